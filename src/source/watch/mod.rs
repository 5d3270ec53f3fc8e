//! Backends that hear of changes and hand hints in at the door.
//!
//! Polling and fanotify have their place beside [`inotify`].

use std::path::Path;

use super::{Excluded, HintSender};

pub mod inotify;

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

/// An armed watch; dropping it ends it.
pub trait Watch: Send + Sync + 'static {}
