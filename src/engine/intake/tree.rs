//! What intake asks of the file system; each of these blocks.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::clock::SharedClock;
use crate::domain::index::{Entry, Index};
use crate::domain::path::RelPath;
use crate::domain::watch::Links;
use crate::source::look::{Seen, look};
use crate::source::root::Root;
use crate::source::scan::{Comparison, Scan, THREADS, scan};
use crate::source::{Excluded, Unavailable};

/// Identity of a root: device and inode.
pub(super) type Identity = (u64, u64);

/// Opens the root and makes sure that it is the one that is watched.
fn open(path: &Path, expected: Identity) -> Result<Root, Unavailable> {
    let root = Root::open(path, Links::default())?;
    if root.identity() == expected { Ok(root) } else { Err(Unavailable::Replaced(path.to_owned())) }
}

/// Scans subtrees; returns the suspects, in order, and what else was found.
pub(super) fn scan_all(
    path: &Path,
    expected: Identity,
    subtrees: &[RelPath],
    index: &Index,
    device: Option<u64>,
    excluded: &Excluded,
) -> Result<(Vec<RelPath>, Scan), Unavailable> {
    let root = open(path, expected)?;
    let (index, progress) = (RwLock::new(index.clone()), AtomicU64::new(0));
    let excluded = excluded.as_ref();
    let comparison =
        Comparison { index: &index, device, excluded, progress: &progress, threads: THREADS };
    let suspects = Mutex::new(Vec::new());
    let mut all = Scan::default();
    for subtree in subtrees {
        let mut found = scan(&root, subtree, &comparison, &|suspect| {
            suspects.lock().unwrap_or_else(PoisonError::into_inner).push(suspect.path);
        })?;
        all.unknown.append(&mut found.unknown);
        all.missing += found.missing;
        all.files += found.files;
        all.directories += found.directories;
    }
    let mut suspects = suspects.into_inner().unwrap_or_else(PoisonError::into_inner);
    suspects.sort_unstable();
    Ok((suspects, all))
}

/// Looks at paths, in order. `removing` is how many files the index holds, where a path that is
/// absent may count as removed: a root without any name in it then says nothing about its files.
pub(super) fn look_all(
    path: &Path,
    expected: Identity,
    paths: &[(RelPath, Option<Entry>)],
    removing: Option<u64>,
    clock: &SharedClock,
) -> Result<Vec<Seen>, Unavailable> {
    let root = open(path, expected)?;
    let seen =
        paths.iter().map(|(path, prior)| look(&root, path, prior.as_ref(), clock.now())).collect();
    if let Some(files) = removing
        && root.is_empty()?
    {
        let root = path.to_owned();
        return Err(Unavailable::Empty { root, files });
    }
    root.is_still_there()?;
    Ok(seen)
}
