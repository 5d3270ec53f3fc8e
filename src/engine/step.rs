//! What one turn of a loop says.

use crate::domain::time::Timestamp;

/// The result of one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done: take another turn at once.
    Worked,
    /// Nothing to do before this instant of the CDN's clock, or before somebody wakes the loop.
    Idle {
        /// When; none when only a wake-up can bring work.
        until: Option<Timestamp>,
    },
}
