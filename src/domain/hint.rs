//! Hints: "look there".

use serde::{Deserialize, Serialize};

use super::path::RelPath;

/// Who saw something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Witness {
    /// The kernel told it.
    Watch,
    /// A comparison of the tree with the index found it.
    Scan,
    /// A forge or a bucket sent it.
    Webhook,
    /// A person or a script asked for it.
    Operator,
    /// A clock asked for it.
    Schedule,
}

impl Witness {
    /// Returns its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Scan => "scan",
            Self::Webhook => "webhook",
            Self::Operator => "operator",
            Self::Schedule => "schedule",
        }
    }
}

/// How far a hint reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// This one path.
    Path,
    /// This path and everything below it: it must be walked.
    Subtree,
}

/// A path or subtree of an origin that may have changed; may be lost, repeated or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Where to look.
    pub path: RelPath,
    /// How far.
    pub reach: Reach,
    /// Who said so.
    pub witness: Witness,
}
