//! The watch that hears nothing: its whole tree is compared at intervals.

use std::path::PathBuf;

use super::{Coverage, Polled, Watch};
use crate::domain::path::RelPath;

/// A watch without events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polling {
    /// Why, in an operator's words.
    pub why: String,
}

impl Watch for Polling {
    fn catch_up(&self) {}

    fn retry(&self) {}

    /// A comparison of the root goes through the links that are followed.
    fn follow(&self, _: &[(RelPath, PathBuf)]) {}

    fn coverage(&self) -> Coverage {
        let polled = vec![Polled { path: RelPath::root(), why: self.why.clone() }];
        Coverage { means: "poll", polled, ..Coverage::default() }
    }
}
