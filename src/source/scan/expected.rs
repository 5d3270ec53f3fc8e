//! What the index holds of one directory, to be held against its listing.

use crate::domain::index::{Entry, Index};
use crate::domain::path::RelPath;

/// Sorted names, what is held of each, and which of them were met.
pub(super) struct Expected<T> {
    names: Vec<(Vec<u8>, T)>,
    met: Vec<bool>,
}

impl<T> Expected<T> {
    fn new(names: Vec<(Vec<u8>, T)>) -> Self {
        Self { met: vec![false; names.len()], names }
    }

    /// Notes that a name was met.
    pub(super) fn meet(&mut self, name: &[u8]) {
        if let Some(met) = self.at(name).and_then(|at| self.met.get_mut(at)) {
            *met = true;
        }
    }

    /// Returns what is held of a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<&T> {
        self.names.get(self.at(name)?).map(|(_, held)| held)
    }

    fn at(&self, name: &[u8]) -> Option<usize> {
        self.names.binary_search_by(|(held, _)| held.as_slice().cmp(name)).ok()
    }

    /// Returns the names that were not met.
    pub(super) fn unmet(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter().zip(&self.met);
        names.filter(|(_, met)| !**met).map(|((name, _), _)| name.as_slice())
    }
}

/// Returns the files of a directory.
pub(super) fn files(index: &Index, directory: &RelPath) -> Expected<Entry> {
    Expected::new(index.names(directory).collect())
}

/// Returns the directories directly below one that hold files, in themselves or below.
pub(super) fn directories(index: &Index, directory: &RelPath) -> Expected<()> {
    Expected::new(index.children(directory).into_iter().map(|name| (name, ())).collect())
}
