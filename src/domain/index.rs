//! The index: what an origin's tree was at the last reconcile.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::change::ChangeKind;
use super::path::RelPath;

mod code;

pub use code::IndexError;

/// The most entries a chunk holds.
pub const CHUNK_ENTRIES: usize = 512;
/// The most bytes the names of a chunk have together; with at most 61 bytes beside each name
/// (see `code`) an encoded chunk stays below 64 KiB.
const CHUNK_NAME_BYTES: usize = 32 * 1024;

/// The first 128 bits of the BLAKE3 digest of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 16]);

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What the file system says of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the Unix epoch.
    pub modified_ns: i64,
    /// Change time, nanoseconds since the Unix epoch: no tool can set it back.
    pub changed_ns: i64,
    /// Inode number.
    pub inode: u64,
}

impl Fingerprint {
    /// Returns what all names of a file share, links to it included, until its bytes change: inode,
    /// size, modification time.
    #[must_use]
    pub const fn shared(&self) -> (u64, u64, i64) {
        (self.inode, self.size, self.modified_ns)
    }
}

/// What the index holds of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the file system said of it.
    pub fingerprint: Fingerprint,
    /// The digest of its bytes; none until it was read.
    pub digest: Option<Digest>,
    /// Whether the fingerprint was younger than two clock ticks when it was taken, so that a later
    /// write could hide behind it: the next scan looks again.
    pub doubtful: bool,
    /// Whether the file has more names: a hard link count above one, or it was reached through a
    /// symbolic link.
    pub linked: bool,
}

/// A stored piece of the index: at most 512 entries of one directory, by name range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The directory.
    pub directory: RelPath,
    /// The first name in it: with the directory, the chunk's key. Empty for a directory's first chunk.
    pub first: Vec<u8>,
    /// The entries, encoded.
    pub data: Vec<u8>,
}

/// A change to the stored index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkWrite {
    /// The directory.
    pub directory: RelPath,
    /// The first name.
    pub first: Vec<u8>,
    /// The new data; none deletes the chunk.
    pub data: Option<Vec<u8>>,
}

/// What an origin's tree was at the last reconcile: its files by directory and name.
#[derive(Clone, Debug, Default)]
pub struct Index {
    directories: BTreeMap<RelPath, Directory>,
    files: u64,
    /// Keys of the chunks that differ from what was last taken.
    touched: BTreeSet<(RelPath, Vec<u8>)>,
}

#[derive(Clone, Debug, Default)]
struct Directory {
    /// By the first name of their range; a range ends where the next begins. None is empty.
    pieces: BTreeMap<Vec<u8>, Piece>,
    /// How many directories at or below this one hold files: at zero it leaves the index.
    uses: u32,
}

/// A file of a directory, by its name.
type Named = (Box<[u8]>, Entry);

#[derive(Clone, Debug, Default)]
struct Piece {
    /// Sorted by name.
    entries: Vec<Named>,
    name_bytes: usize,
}

impl Piece {
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|(held, _)| (**held).cmp(name))
    }

    fn is_too_large(&self) -> bool {
        self.entries.len() > CHUNK_ENTRIES || self.name_bytes > CHUNK_NAME_BYTES
    }

    fn from_entries(entries: Vec<Named>) -> Self {
        let name_bytes = entries.iter().map(|(name, _)| name.len()).sum();
        Self { entries, name_bytes }
    }
}

impl Directory {
    fn piece(&self, name: &[u8]) -> Option<(&Vec<u8>, &Piece)> {
        self.pieces.range::<[u8], _>((Bound::Unbounded, Bound::Included(name))).next_back()
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.pieces
            .values()
            .flat_map(|piece| piece.entries.iter().map(|(name, entry)| (&**name, entry)))
    }
}

impl Index {
    /// Makes an empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an index from its stored chunks, in any order.
    pub fn load(chunks: impl IntoIterator<Item = Chunk>) -> Result<Self, IndexError> {
        let mut index = Self::new();
        for Chunk { directory, first, data } in chunks {
            let entries = code::decode(&directory, &first, &data)?;
            let held = entries.len() as u64;
            if held == 0 {
                continue;
            }
            index.files += held;
            let slot = index.directories.entry(directory.clone()).or_default();
            let was_empty = slot.pieces.is_empty();
            slot.pieces.insert(first, Piece::from_entries(entries));
            if was_empty {
                index.count(&directory, true);
            }
        }
        for (path, directory) in &index.directories {
            let mut last: Option<&[u8]> = None;
            for (name, _) in directory.entries() {
                if last.is_some_and(|last| last >= name) {
                    return Err(IndexError::overlap(path));
                }
                last = Some(name);
            }
        }
        Ok(index)
    }

    /// Returns what is held of a file.
    #[must_use]
    pub fn get(&self, path: &RelPath) -> Option<Entry> {
        let directory = self.directories.get(&path.parent()?)?;
        let (_, piece) = directory.piece(path.name())?;
        let at = piece.find(path.name()).ok()?;
        piece.entries.get(at).map(|(_, entry)| *entry)
    }

    /// Returns how many files there are.
    #[must_use]
    pub const fn files(&self) -> u64 {
        self.files
    }

    /// Returns how many directories hold files, in themselves or below.
    #[must_use]
    pub fn directories(&self) -> u64 {
        self.directories.len() as u64
    }

    /// Returns the directories at or below `path` that hold files themselves.
    pub fn directories_below<'a>(&'a self, path: &'a RelPath) -> impl Iterator<Item = &'a RelPath> {
        // `a/` sorts after `a-b`: the directory itself stands apart from what lies below it.
        let from: Vec<u8> = if path.is_root() { vec![0] } else { [path.as_bytes(), b"/"].concat() };
        self.directories
            .get_key_value(path)
            .into_iter()
            .chain(
                self.directories
                    .range::<[u8], _>((Bound::Included(from.as_slice()), Bound::Unbounded))
                    .take_while(move |(directory, _)| directory.is_within(path)),
            )
            .filter(|(_, directory)| !directory.pieces.is_empty())
            .map(|(path, _)| path)
    }

    /// Returns the files of which [`Fingerprint::shared`] is among these.
    #[must_use]
    pub fn sharing(&self, shared: &HashSet<(u64, u64, i64)>) -> Vec<RelPath> {
        self.directories
            .iter()
            .flat_map(|(path, directory)| directory.entries().map(move |entry| (path, entry)))
            .filter(|(_, (_, entry))| shared.contains(&entry.fingerprint.shared()))
            .filter_map(|(path, (name, _))| path.join(name).ok())
            .collect()
    }

    /// Stub.
    pub fn is_shared(&self, _inode: u64) -> bool {
        true
    }

    /// Stub.
    pub fn undigested(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        for (_, directory) in &self.directories {
            for (_, entry) in directory.entries() {
                if entry.digest.is_none() {
                    sum.0 += 1;
                    sum.1 += entry.fingerprint.size;
                }
            }
        }
        sum
    }

    /// Stub.
    pub fn undigested_after(&self, after: Option<&RelPath>, limit: usize) -> Vec<RelPath> {
        let mut all = Vec::new();
        for (path, directory) in &self.directories {
            for (name, entry) in directory.entries() {
                let full = path.join(name).unwrap_or_default();
                if entry.digest.is_none() && after.is_none_or(|after| full > *after) {
                    all.push(full);
                }
            }
        }
        all.sort();
        all.truncate(limit);
        all
    }

    /// Returns the names of the files in one directory, sorted, with what is held of them.
    pub fn names(&self, directory: &RelPath) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.directories.get(directory).into_iter().flat_map(Directory::entries)
    }

    /// Sets what is held of a file, or forgets it. The root is no file: for it nothing happens.
    pub fn apply(&mut self, path: &RelPath, entry: Option<Entry>) {
        let Some(directory) = path.parent() else {
            return;
        };
        match entry {
            Some(entry) => self.insert(&directory, path.name(), entry),
            None => self.remove(&directory, path.name()),
        }
    }

    fn insert(&mut self, path: &RelPath, name: &[u8], entry: Entry) {
        let directory = self.directories.entry(path.clone()).or_default();
        let was_empty = directory.pieces.is_empty();
        let key = directory.piece(name).map_or_else(Vec::new, |(key, _)| key.clone());
        let piece = directory.pieces.entry(key.clone()).or_default();
        match piece.find(name) {
            Ok(at) => match piece.entries.get_mut(at) {
                Some((_, held)) if *held != entry => *held = entry,
                _ => return,
            },
            Err(at) => {
                piece.entries.insert(at, (name.into(), entry));
                piece.name_bytes += name.len();
                self.files += 1;
                if piece.is_too_large() {
                    // Names that come in order leave full chunks behind them.
                    let last = piece.entries.len() - 1;
                    let cut = if at == last { last } else { piece.entries.len() / 2 };
                    let upper = Piece::from_entries(piece.entries.split_off(cut));
                    piece.name_bytes -= upper.name_bytes;
                    if let Some((first, _)) = upper.entries.first() {
                        let first = first.to_vec();
                        self.touched.insert((path.clone(), first.clone()));
                        directory.pieces.insert(first, upper);
                    }
                }
            }
        }
        self.touched.insert((path.clone(), key));
        if was_empty {
            self.count(path, true);
        }
    }

    fn remove(&mut self, path: &RelPath, name: &[u8]) {
        let Some(directory) = self.directories.get_mut(path) else {
            return;
        };
        let Some(key) = directory.piece(name).map(|(key, _)| key.clone()) else {
            return;
        };
        let Some(piece) = directory.pieces.get_mut(&key) else {
            return;
        };
        let Ok(at) = piece.find(name) else {
            return;
        };
        piece.entries.remove(at);
        piece.name_bytes -= name.len();
        self.files -= 1;
        if piece.entries.is_empty() {
            directory.pieces.remove(&key);
        }
        let now_empty = directory.pieces.is_empty();
        self.touched.insert((path.clone(), key));
        if now_empty {
            self.count(path, false);
        }
    }

    /// Counts a directory that began or ceased to hold files in itself and all above it.
    fn count(&mut self, path: &RelPath, holds: bool) {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            at = path.parent();
            let directory = self.directories.entry(path.clone()).or_default();
            if holds {
                directory.uses += 1;
            } else {
                directory.uses = directory.uses.saturating_sub(1);
                if directory.uses == 0 {
                    self.directories.remove(&path);
                }
            }
        }
    }

    /// Returns the chunks that changed since the last call, to be stored with what caused them.
    pub fn take_writes(&mut self) -> Vec<ChunkWrite> {
        std::mem::take(&mut self.touched)
            .into_iter()
            .map(|(directory, first)| {
                let data = self
                    .directories
                    .get(&directory)
                    .and_then(|held| held.pieces.get(&first))
                    .map(|piece| code::encode(&piece.entries));
                ChunkWrite { directory, first, data }
            })
            .collect()
    }
}

/// Compares what the index holds of a path with what was seen; returns what happened, and whether
/// cached copies must be dropped rather than revalidated.
///
/// Equal digests are no change, whatever else moved. Where a digest is missing the fingerprint
/// decides, and a doubtful one counts as moved. Cached copies must be dropped after a removal, and
/// after new bytes behind the old size and modification time: those are the usual validators.
#[must_use]
pub fn compare(prior: Option<&Entry>, seen: Option<&Entry>) -> Option<(ChangeKind, bool)> {
    match (prior, seen) {
        (None, None) => None,
        (None, Some(_)) => Some((ChangeKind::Created, false)),
        (Some(_), None) => Some((ChangeKind::Removed, true)),
        (Some(prior), Some(seen)) => {
            let differs = match (prior.digest, seen.digest) {
                (Some(before), Some(after)) => before != after,
                _ => prior.doubtful || prior.fingerprint != seen.fingerprint,
            };
            let (before, after) = (prior.fingerprint, seen.fingerprint);
            let hidden = before.size == after.size && before.modified_ns == after.modified_ns;
            differs.then_some((ChangeKind::Modified, hidden))
        }
    }
}

#[cfg(test)]
mod tests;
