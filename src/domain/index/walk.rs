//! Ways through the index: below a path, and from file to file.

use std::collections::{BTreeSet, HashSet};

use super::code::Entries;
use super::{Index, key, split};
use crate::domain::path::RelPath;

impl Index {
    /// Returns the directories at or below `path` that hold files themselves: `path` first.
    pub fn directories_below(&self, path: &RelPath) -> impl Iterator<Item = RelPath> + use<'_> {
        let mut last = None;
        self.pieces_below(path)
            .map(|(key, _)| split(key).0)
            .filter(move |directory| last.replace(*directory) != Some(*directory))
            .map(RelPath::trusted)
    }

    /// Returns the files at or below `path`: the file `path`, those in it, those below it.
    pub fn below(&self, path: &RelPath) -> impl Iterator<Item = RelPath> + use<'_> {
        let itself = self.get(path).map(|_| path.clone());
        itself.into_iter().chain(
            self.pieces_below(path).flat_map(|(key, data)| {
                Entries::of(data).map(|(name, _)| file(split(key).0, &name))
            }),
        )
    }

    /// Returns the names of the directories directly below this one that hold files in themselves or
    /// below, sorted.
    #[must_use]
    pub fn children(&self, directory: &RelPath) -> Vec<Vec<u8>> {
        let start = below(directory);
        let mut found = BTreeSet::new();
        // NUL would lead to the root's own files.
        let mut from = [&start, b"\x01".as_slice()].concat();
        while let Some((key, _)) = self.from(&from).next()
            && let Some(rest) = key.strip_prefix(start.as_slice())
            && let Some(end) = rest.iter().position(|byte| matches!(byte, 0 | b'/'))
        {
            let name = &rest[..end];
            found.insert(name.to_vec());
            // Past the files in it (NUL), or past all below it (`/`): between the two, `a-b` stands
            // after `a` and before `a/x`.
            from = [&start, name, &[rest[end] + 1]].concat();
        }
        found.into_iter().collect()
    }

    /// Returns files without a digest, at most `limit`, those after a path: by directory, then by
    /// name.
    #[must_use]
    pub fn undigested_after(&self, after: Option<&RelPath>, limit: usize) -> Vec<RelPath> {
        let mut found = Vec::new();
        if self.counts.undigested == 0 {
            return found;
        }
        let after = after.and_then(|path| Some((path.parent()?, path.name())));
        let start = after.as_ref().map(|(directory, name)| {
            let piece = self.piece(directory, name);
            piece.map_or_else(|| key(directory, name), |(key, _)| key.into())
        });
        for (key, data) in self.from(&start.unwrap_or_default()) {
            let (directory, _) = split(key);
            let passed = after.as_ref().filter(|(open, _)| open.as_bytes() == directory);
            let mut entries = Entries::of(data);
            while let Some((name, entry)) = entries.step() {
                if found.len() == limit {
                    return found;
                }
                if entry.digest.is_none() && passed.is_none_or(|(_, passed)| name > *passed) {
                    found.push(file(directory, name));
                }
            }
        }
        found
    }

    /// Returns the files that have, or lead to, one of these inodes.
    #[must_use]
    pub fn sharing(&self, inodes: &HashSet<u64>) -> Vec<RelPath> {
        let mut found = Vec::new();
        for (key, data) in &self.pieces {
            let mut entries = Entries::of(data);
            while let Some((name, entry)) = entries.step() {
                if inodes.contains(&entry.fingerprint.inode) {
                    found.push(file(split(key).0, name));
                }
            }
        }
        found
    }

    /// Returns the chunks of a directory, then those of all below it.
    fn pieces_below(&self, path: &RelPath) -> impl Iterator<Item = (&[u8], &[u8])> + use<'_> {
        let starts = if path.is_root() {
            vec![Vec::new()]
        } else {
            // `a-b` stands between `a` and `a/x`.
            vec![key(path, b"").into(), below(path)]
        };
        starts.into_iter().flat_map(|start| self.starting(&start))
    }
}

/// Returns how the paths below a directory start.
fn below(directory: &RelPath) -> Vec<u8> {
    if directory.is_root() { Vec::new() } else { [directory.as_bytes(), b"/"].concat() }
}

fn file(directory: &[u8], name: &[u8]) -> RelPath {
    let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
    RelPath::trusted(&[directory, slash, name].concat())
}
