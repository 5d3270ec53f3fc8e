//! refreshd keeps Alibaba Cloud CDN fresh: see README.md for its users and ARCHITECTURE.md for its
//! developers.

pub mod cdn;
pub mod clock;
pub mod command;
pub mod config;
pub mod database;
pub mod domain;
pub mod engine;
pub mod http;
pub mod journal;
pub mod notice;
pub mod probe;
pub mod sandbox;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod web;
