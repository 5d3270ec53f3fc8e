//! What the index holds of one directory, to be held against its listing.

use crate::domain::index::{Entry, Index};
use crate::domain::path::RelPath;

/// Sorted names, what is held of each, and which of them were met.
pub(super) struct Expected<T> {
    names: Vec<(Box<[u8]>, T)>,
    met: Vec<bool>,
}

impl<T> Expected<T> {
    fn new(names: Vec<(Box<[u8]>, T)>) -> Self {
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
        self.names.binary_search_by(|(held, _)| (**held).cmp(name)).ok()
    }

    /// Returns the names that were not met.
    pub(super) fn unmet(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter().zip(&self.met);
        names.filter(|(_, met)| !**met).map(|((name, _), _)| &**name)
    }
}

/// Returns the files of a directory.
pub(super) fn files(index: &Index, directory: &RelPath) -> Expected<Entry> {
    Expected::new(index.names(directory).map(|(name, entry)| (name.into(), *entry)).collect())
}

/// Returns the directories directly below one that hold files, in themselves or below.
pub(super) fn directories(index: &Index, directory: &RelPath) -> Expected<()> {
    Expected::new(children(index, directory).into_iter().map(|name| (name.into(), ())).collect())
}

/// Stands in for `Index::children` until there is one.
fn children(index: &Index, directory: &RelPath) -> Vec<Vec<u8>> {
    let above = if directory.is_root() { 0 } else { directory.as_bytes().len() + 1 };
    let name = |below: &RelPath| {
        let rest = below.as_bytes().get(above..)?;
        rest.split(|byte| *byte == b'/').next().map(<[u8]>::to_vec)
    };
    let below = index.directories_below(directory).filter(|below| *below != directory);
    let mut names: Vec<_> = below.filter_map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}
