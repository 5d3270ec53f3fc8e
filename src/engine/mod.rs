//! This room runs the daemon: the only one that spawns tasks.

pub mod intake;
