//! This room asks whether an origin is ready: its web servers, or a command.
//!
//! Enters: whom to ask and for what. Leaves: what was answered, for a gate to judge.
//! **Invariant:** no answer is kept whole that is larger than it was asked to be, and what was started ends
//! with whoever waits for it.

pub mod command;
pub mod server;
pub mod together;
