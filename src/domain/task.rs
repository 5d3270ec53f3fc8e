//! Batches, jobs and tasks: what was asked of the CDN and what it says of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ask::{Kind, Target};
use super::intent::{Action, IntentId};
use super::names::AccountName;
use super::quota::QuotaKind;
use super::time::Timestamp;

/// Our key of a batch: 32 hexadecimal digits, drawn before the call. The debit hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchKey(String);

impl BatchKey {
    /// Makes a key that sorts by time: 16 digits of microseconds, 16 random ones.
    #[must_use]
    pub fn new(now: Timestamp, random: u64) -> Self {
        Self(format!("{:016x}{random:016x}", now.as_micros()))
    }

    /// Takes a key as it was written.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// Returns the key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BatchKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The fencing number of the lead: rises each time somebody takes the right to submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);

/// A task id of the CDN: decimal digits, of any length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub String);

impl fmt::Display for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the CDN is asked in order to satisfy one or more intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is named.
    pub target: Target,
    /// The intents it stands for: its own, and those it covers. Never empty.
    pub intents: Vec<IntentId>,
}

/// The asks of one API call, with a key of ours; one debit of quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Our key.
    pub key: BatchKey,
    /// Whose quota.
    pub account: AccountName,
    /// What the CDN is to do.
    pub action: Action,
    /// The kind that all asks share. `Url` for a prefetch.
    pub kind: Kind,
    /// Whether cached copies are to be dropped.
    pub force: bool,
    /// The asks, in the order they travel.
    pub asks: Vec<Ask>,
}

impl Batch {
    /// Returns the kind of quota that the batch is debited to.
    #[must_use]
    pub const fn quota_kind(&self) -> QuotaKind {
        QuotaKind::of(self.action, self.kind)
    }

    /// Returns whether a row of the CDN's task list can be known to be ours: only the target is
    /// listed, not `Force` (API reference 1.7), and only File and plain Directory tasks can be
    /// listed by domain and type.
    #[must_use]
    pub const fn can_be_adopted(&self) -> bool {
        match (self.action, self.kind) {
            (Action::Prefetch, _) | (Action::Refresh, Kind::Url) => true,
            (Action::Refresh, Kind::Directory) => !self.force,
            (Action::Refresh, Kind::Regex | Kind::IgnoreParams) => false,
        }
    }
}

/// What the CDN says of one (task id, target).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// The task id.
    pub task: TaskId,
    /// The target as the CDN spells it.
    pub object_path: String,
    /// The type as the CDN spells it: `file`, `directory`, `regex`, `preload`, …
    pub object_type: String,
    /// How far it is.
    pub status: TaskStatus,
    /// When the CDN made it, to the second.
    pub created_at: Option<Timestamp>,
}

/// How far a task is with a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Pending, Refreshing, or a word not known.
    Running {
        /// Percent, 0 to 100; decimals dropped.
        percent: u8,
    },
    /// `Complete`.
    Complete,
    /// `Failed`, `Timeout` or `Canceled`, with the CDN's description.
    Failed(String),
}
