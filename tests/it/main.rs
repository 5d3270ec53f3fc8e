//! Tests of refreshd from the outside: one binary, so that it links once.

mod account;
mod agree;
mod churn;
mod config;
mod crash;
mod deploys;
mod edge;
mod flat;
mod flow;
mod generator;
mod halfway;
mod house;
mod intake;
mod journal;
mod mounts;
mod odd;
mod process;
mod sdk;
mod space;
mod store;
mod systemd;
mod trees;
mod vanish;
mod world;
