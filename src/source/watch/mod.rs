//! Means that hear of changes in a tree and hand hints in at the door: [`auto`] chooses among them,
//! [`way`] watches what leads to a root.

use std::path::PathBuf;

use super::{Excluded, HintSender};
use crate::domain::path::RelPath;
use crate::domain::watch::Links;

pub mod auto;
pub mod fanotify;
pub mod ground;
pub mod inotify;
pub mod polling;
pub mod way;

/// Why a tree can't be watched; the message names the remedy where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WatchError(pub String);

/// What is watched.
#[derive(Clone)]
pub struct Tree {
    /// Where it begins, absolute.
    pub root: PathBuf,
    /// Which links are followed.
    pub links: Links,
    /// What is no concern of it: neither watched nor walked.
    pub excluded: Excluded,
}

/// A means of hearing of changes in trees.
pub trait Backend: Send + Sync + 'static {
    /// Watches a tree until what it returns is dropped. When it returns, no later change goes unheard,
    /// but in what [`Watch::coverage`] says is polled. It may block for as long as a walk of all
    /// directories takes.
    fn arm(&self, tree: &Tree, door: HintSender) -> Result<Box<dyn Watch>, WatchError>;
}

/// An armed watch; dropping it ends it.
///
/// It hands hints in at the door: a path where a file may have changed, a subtree where a directory
/// came or went, the whole root after the kernel dropped events. What it heard of too late to watch
/// it in time it watches by itself, and hints at the subtree.
pub trait Watch: Send + Sync + 'static {
    /// Waits until everything that the kernel had to tell at the time of the call was hinted at, and
    /// every directory of these hints is watched: a scan that begins afterwards misses nothing. It
    /// blocks.
    fn catch_up(&self);

    /// Tries to watch what is polled because there was no room or right for it. It blocks as arming
    /// does.
    fn retry(&self);

    /// Watches, from now on, the directories outside the root that these links lead to, and nothing
    /// else outside: `(the link below the root, the directory)`. Hints of them are below the link.
    /// It blocks as arming does.
    fn follow(&self, outside: &[(RelPath, PathBuf)]);

    /// Returns what is heard of and what is not.
    fn coverage(&self) -> Coverage;
}

/// What a watch hears of, and what it does not.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Coverage {
    /// By which means: `inotify`, `fanotify`, `poll`.
    pub means: &'static str,
    /// How many kernel watches or marks it holds.
    pub watches: u64,
    /// Subtrees that must be compared at intervals, sorted; none lies within another.
    pub polled: Vec<Polled>,
    /// How often the kernel dropped events.
    pub overflows: u64,
    /// One line for an operator when there is something to mend: what is missing, how much, and the
    /// command that mends it; empty when all is well.
    pub advice: String,
}

/// A subtree that the kernel does not tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// Where.
    pub path: RelPath,
    /// Why, in an operator's words: "no inotify watch is left", "nfs4 sends no events".
    pub why: String,
}
