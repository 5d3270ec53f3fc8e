//! Pushes: a ref of a repository moved from one commit to another.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::path::RelPath;

/// The name of a commit: 40 or 64 lower-case hexadecimal digits, not all of them 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// A text that names no commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a commit: 40 or 64 hexadecimal digits are")]
pub struct NoCommit(String);

impl CommitId {
    /// Reads a commit's name, or the row of zeros that stands for none.
    pub fn parse(text: &str) -> Result<Option<Self>, NoCommit> {
        let is_name = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        match is_name {
            true if text.bytes().all(|byte| byte == b'0') => Ok(None),
            true => Ok(Some(Self(text.to_ascii_lowercase()))),
            false => Err(NoCommit(text.chars().take(80).collect())),
        }
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first ten digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..10).unwrap_or(&self.0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<CommitId> for String {
    fn from(commit: CommitId) -> Self {
        commit.0
    }
}

impl TryFrom<String> for CommitId {
    type Error = NoCommit;

    fn try_from(text: String) -> Result<Self, NoCommit> {
        Self::parse(&text).ok().flatten().ok_or(NoCommit(text))
    }
}

/// What a sender says of the paths that a push changed; paths from the repository's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listed {
    /// All of them.
    All(BTreeSet<RelPath>),
    /// Perhaps not all, or none: why, in one sentence.
    Cut {
        /// Those that are named.
        paths: BTreeSet<RelPath>,
        /// Why there may be others.
        why: String,
    },
}

impl Listed {
    /// Names none, for this reason.
    #[must_use]
    pub fn nothing(why: impl Into<String>) -> Self {
        Self::Cut { paths: BTreeSet::new(), why: why.into() }
    }

    /// Returns the paths that are named.
    #[must_use]
    pub const fn paths(&self) -> &BTreeSet<RelPath> {
        match self {
            Self::All(paths) | Self::Cut { paths, .. } => paths,
        }
    }
}

/// One ref that moved, as a delivery tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The whole name of the ref: `refs/heads/main`.
    pub reference: String,
    /// Where it stood; none where it was made.
    pub before: Option<CommitId>,
    /// Where it stands; none where it was deleted, or where its sender names no commits at all.
    pub after: Option<CommitId>,
    /// Which paths changed.
    pub listed: Listed,
}

/// What a verified delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// These refs moved.
    Pushes(Vec<Push>),
    /// Nothing about refs; what it is about, in its sender's word: `ping`.
    Other(String),
}

/// The most paths that are taken from one payload: beyond, the whole tree is compared.
pub const MOST_LISTED: usize = 20_000;

/// How a delivery ended, for one origin or in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Nothing that is served changed.
    Nothing,
    /// It became wishes for the CDN.
    Intents,
    /// It came to nothing, and a person should know why.
    Failed,
}

impl Fate {
    /// All fates, the one that outweighs the others last.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Intents, Self::Failed];

    /// Returns the word used in the store, commands and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Intents => "intents",
            Self::Failed => "failed",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_40_or_64_digits_and_zeros_are_none() {
        let a = "AB".repeat(20);
        let commit = CommitId::parse(&a).expect("valid").expect("some");
        assert_eq!(commit.as_str(), "ab".repeat(20));
        assert_eq!(CommitId::parse(&"0".repeat(64)), Ok(None));
        for bad in ["", "main", &"a".repeat(41), &"g".repeat(40), &format!("{}\n", "a".repeat(39))]
        {
            CommitId::parse(bad).expect_err(bad);
        }
        serde_json::from_str::<CommitId>(&format!("\"{}\"", "0".repeat(40))).expect_err("zeros");
    }
}
