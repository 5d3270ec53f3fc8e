//! This room is what a person types: arguments in, words and exit codes out.

pub mod sandbox;
