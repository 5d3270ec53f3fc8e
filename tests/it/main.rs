//! Tests of refreshd from the outside: one binary, so that it links once.

mod config;
mod house;
mod intake;
mod systemd;
