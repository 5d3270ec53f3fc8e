//! The index: what an origin's tree was at the last reconcile.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::path::RelPath;

/// The first 128 bits of the BLAKE3 digest of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 16]);

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
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
