//! What is known of all entries together.

use std::collections::BTreeMap;

use super::Entry;

/// Counts over all entries of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) files: u64,
    /// Directories that hold files themselves.
    pub(super) directories: u64,
    /// Files without a digest.
    pub(super) undigested: u64,
    /// Their bytes. A stored size may be anything, and must not stop the daemon: this wraps.
    pub(super) undigested_bytes: u64,
    /// How many linked entries an inode has.
    pub(super) linked: BTreeMap<u64, u32>,
}

impl Counts {
    pub(super) fn add(&mut self, entry: &Entry) {
        self.files += 1;
        if entry.digest.is_none() {
            self.undigested += 1;
            self.undigested_bytes = self.undigested_bytes.wrapping_add(entry.fingerprint.size);
        }
        if entry.linked {
            *self.linked.entry(entry.fingerprint.inode).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        self.files -= 1;
        if entry.digest.is_none() {
            self.undigested -= 1;
            self.undigested_bytes = self.undigested_bytes.wrapping_sub(entry.fingerprint.size);
        }
        if entry.linked
            && let Some(names) = self.linked.get_mut(&entry.fingerprint.inode)
        {
            *names -= 1;
            if *names == 0 {
                self.linked.remove(&entry.fingerprint.inode);
            }
        }
    }
}
