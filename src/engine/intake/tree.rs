//! What intake asks of the file system; each of these blocks.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::clock::SharedClock;
use crate::domain::index::{Entry, Index};
use crate::domain::path::RelPath;
use crate::source::Unavailable;
use crate::source::look::{Seen, look, look_at_pace};
use crate::source::root::Root;
use crate::source::scan::{self, Scan, Suspect};
use crate::source::watch::Tree;

/// Identity of a root: device and inode.
pub(super) type Identity = (u64, u64);

/// A path with what the index holds of it.
pub(super) type Known = (RelPath, Option<Entry>);

/// Opens the root and makes sure that it is the one that is watched.
pub(super) fn open(tree: &Tree, expected: Identity) -> Result<Root, Unavailable> {
    let root = Root::open(&tree.root, tree.links)?;
    if root.identity() == expected {
        Ok(root)
    } else {
        Err(Unavailable::Replaced(tree.root.clone()))
    }
}

/// What a comparison is about.
#[derive(Clone)]
pub(super) struct Comparison {
    pub(super) tree: Tree,
    pub(super) expected: Identity,
    pub(super) subtrees: Vec<RelPath>,
    pub(super) index: Arc<RwLock<Index>>,
    /// The device that the root lay on when the index was made.
    pub(super) device: Option<u64>,
    /// How many files were seen so far.
    pub(super) seen: Arc<AtomicU64>,
}

/// Compares subtrees with the index.
pub(super) fn compare(
    what: &Comparison,
    emit: &(dyn Fn(Suspect) + Sync),
) -> Result<Scan, Unavailable> {
    let root = open(&what.tree, what.expected)?;
    let mut all = Scan::default();
    for subtree in &what.subtrees {
        let comparison = scan::Comparison {
            index: &what.index,
            device: what.device,
            excluded: what.tree.excluded.as_ref(),
            progress: &what.seen,
            threads: scan::THREADS,
        };
        let found = scan::scan(&root, subtree, &comparison, emit)?;
        all.unknown.extend(found.unknown);
        all.links.extend(found.links);
        all.dangling.extend(found.dangling);
        all.leaving.extend(found.leaving);
        all.missing += found.missing;
        all.files += found.files;
        all.directories += found.directories;
    }
    Ok(all)
}

/// Looks at paths, in order. `removing` is how many files the index holds, where a path that is
/// absent may count as removed: a root without any name in it then says nothing about its files.
pub(super) fn look_all(
    tree: &Tree,
    expected: Identity,
    paths: &[Known],
    removing: Option<u64>,
    clock: &SharedClock,
) -> Result<Vec<Seen>, Unavailable> {
    let root = open(tree, expected)?;
    let seen =
        paths.iter().map(|(path, prior)| look(&root, path, prior.as_ref(), clock.now())).collect();
    if let Some(files) = removing
        && root.is_empty()?
    {
        return Err(Unavailable::Empty { root: tree.root.clone(), files });
    }
    root.is_still_there()?;
    Ok(seen)
}

/// Reads files that have no digest yet, no faster than `rate` bytes a second on the whole.
pub(super) fn digest_all(
    tree: &Tree,
    expected: Identity,
    paths: Vec<(RelPath, Entry)>,
    rate: u64,
    clock: &SharedClock,
) -> Result<Vec<(RelPath, Entry, Seen)>, Unavailable> {
    let root = open(tree, expected)?;
    let mut seen = Vec::with_capacity(paths.len());
    let (mut read, began) = (0, clock.boot());
    let mut pace = |bytes: usize| {
        read += bytes as u64;
        let earliest = began + Duration::from_millis(read * 1_000 / rate);
        std::thread::sleep(earliest.saturating_sub(clock.boot()));
    };
    for (path, prior) in paths {
        let found = look_at_pace(&root, &path, Some(&prior), clock.now(), &mut pace);
        seen.push((path, prior, found));
    }
    root.is_still_there()?;
    Ok(seen)
}
