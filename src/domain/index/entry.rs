//! What is held of one file, and how two states of it compare.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::change::ChangeKind;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    /// Whether the file has more names: its hard link count is above one, or it was reached through
    /// a symbolic link.
    pub linked: bool,
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
