//! Changes: differences between two reconciled states of a tree.

use serde::{Deserialize, Serialize};

use super::index::Digest;
use super::path::RelPath;

/// What happened to a path between two reconciled states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It was not there; the edge may hold its 404.
    Created,
    /// Its bytes differ.
    Modified,
    /// It is gone.
    Removed,
}

impl ChangeKind {
    /// Returns the letter that a history names it by.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Created => "A",
            Self::Modified => "M",
            Self::Removed => "D",
        }
    }

    /// Reads [`letter`](Self::letter) back.
    #[must_use]
    pub fn parse(letter: &str) -> Option<Self> {
        [Self::Created, Self::Modified, Self::Removed]
            .into_iter()
            .find(|kind| kind.letter() == letter)
    }
}

/// A difference between two reconciled states of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: RelPath,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The digest of its bytes now; none when removed or not read.
    pub digest: Option<Digest>,
    /// Whether cached copies must be dropped rather than revalidated: a removal, or bytes that
    /// changed while size and modification time (and so the usual validators) did not. Of a created
    /// path: it was there before, and removed.
    pub force: bool,
}
