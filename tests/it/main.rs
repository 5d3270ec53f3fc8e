//! Tests of refreshd from the outside: one binary, so that it links once.

mod account;
mod agree;
mod churn;
mod config;
mod crash;
mod deploys;
mod edge;
mod flow;
mod generator;
mod house;
mod intake;
mod journal;
mod process;
mod sdk;
mod store;
mod systemd;
mod trees;
mod world;
