//! Tests of refreshd from the outside: one binary, so that it links once.

mod account;
mod agree;
mod config;
mod crash;
mod edge;
mod flow;
mod house;
mod process;
mod sdk;
mod systemd;
mod world;
