//! This room holds the words of refreshd and its decisions: pure values and pure functions.
//!
//! Enters: values, `now`, a seed. Leaves: decisions as values.
//! **Invariant:** nothing here is async, does I/O, asks a clock or draws randomness, and nothing
//! here imports another room of the crate.

pub mod alarm;
pub mod ask;
pub mod change;
pub mod cover;
pub mod credentials;
pub mod deploy;
pub mod endpoint;
pub mod facts;
pub mod gate;
pub mod guard;
pub mod hint;
pub mod hook;
pub mod index;
pub mod intent;
pub mod lag;
pub mod limits;
pub mod mapping;
pub mod names;
pub mod notice;
pub mod own;
pub mod pace;
pub mod path;
pub mod plan;
pub mod prefetch;
pub mod push;
pub mod quota;
pub mod settle;
pub mod simulate;
pub mod stage;
pub mod task;
pub mod time;
pub mod url;
pub mod verdict;
pub mod watch;
