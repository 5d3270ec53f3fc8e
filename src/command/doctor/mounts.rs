//! Where a tree lies, and whether the kernel tells of all that changes there.

use std::path::{Path, PathBuf};

use crate::source::mounts::{Events, Mount, Mounts};

/// What holds a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The type of the file system that holds its root.
    pub(super) kind: String,
    /// Mounts that hold it or lie in it and do not tell of every change: where, and why.
    pub(super) silent: Vec<(PathBuf, String)>,
}

/// Returns what holds the tree at `root`; none where the mounts can't be read.
pub(super) fn events_of(root: &Path) -> Option<Place> {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    judge(&Mounts::read().ok()?, &root)
}

/// Judges by a table of mounts. Of a type that is not known nothing is said: the daemon tries it.
pub(super) fn judge(mounts: &Mounts, root: &Path) -> Option<Place> {
    let holding = mounts.holding(root)?;
    let silent = |(at, mount): (&Path, &Mount)| match mount.events() {
        Events::No(why) => Some((at.to_owned(), why)),
        Events::Yes | Events::Unknown => None,
    };
    let below = mounts.below(root).into_iter().map(|mount| (mount.point.as_path(), mount));
    let silent = std::iter::once((root, holding)).chain(below).filter_map(silent).collect();
    Some(Place { kind: holding.kind.clone(), silent })
}
