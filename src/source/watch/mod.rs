//! Backends that hear of changes and hand hints in at the door.
//!
//! Polling and fanotify have their place beside [`inotify`].

use std::path::Path;

use super::{Excluded, HintSender};

pub mod directories;
pub mod inotify;
pub mod shape;

/// Why a tree can't be watched; the message names the remedy where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WatchError(pub String);

/// A means of watching trees.
pub trait Backend: Send + Sync + 'static {
    /// Returns the name that `status` shows.
    fn name(&self) -> &'static str;

    /// Watches everything below `root` until what it returns is dropped. When it returns, no later
    /// change goes unseen. It may block for as long as a walk of all directories takes.
    fn arm(
        &self,
        root: &Path,
        door: HintSender,
        excluded: Excluded,
    ) -> Result<Box<dyn Watch>, WatchError>;
}

/// What a watch no longer hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Directories that can't be watched while they can't be read.
    Unreadable,
    /// Nobody knows what: events were dropped, and with them perhaps new directories.
    Lost,
}

/// An armed watch; dropping it ends it.
pub trait Watch: Send + Sync + 'static {
    /// Waits until every directory that was hinted at is watched itself. What a scan that begins
    /// afterwards comes too early for is hinted at. It may block.
    fn catch_up(&self);

    /// Returns what it no longer hears of; only a new watch may mend that.
    fn gap(&self) -> Option<Gap>;
}
