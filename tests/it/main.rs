//! Tests of refreshd from the outside: one binary, so that it links once.

mod account;
mod agree;
mod commands;
mod config;
mod crash;
mod deploys;
mod doctor;
mod edge;
mod flow;
mod house;
mod intake;
mod journal;
mod process;
mod sdk;
mod store;
mod systemd;
mod world;
