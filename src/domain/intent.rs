//! Intents: durable wishes that something becomes fresh.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ask::{Kind, Target};
use super::change::ChangeKind;
use super::deploy::{Deploy, DeployId};
use super::hint::Witness;
use super::index::Digest;
use super::names::{AccountName, OriginName};
use super::path::RelPath;
use super::stage::Stage;
use super::time::Timestamp;

/// What the CDN is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Forget or revalidate cached copies.
    Refresh,
    /// Fetch and store before visitors ask.
    Prefetch,
}

impl Action {
    /// Returns the word used in code, config, CLI and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Prefetch => "prefetch",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Refresh, Self::Prefetch].into_iter().find(|action| action.as_str() == text)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why something must become fresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Who saw it.
    pub witness: Witness,
    /// When it was recorded.
    pub at: Timestamp,
    /// Whose tree it happened in; none for an operator's wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginName>,
    /// Where in the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RelPath>,
    /// What happened to the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeKind>,
    /// The bytes' digest after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The deploy that the change belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<DeployId>,
}

/// A wish on its way from the store to the journal, where it becomes or joins an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Which account's CDN serves the target.
    pub account: AccountName,
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// Whether cached copies must be dropped, not only revalidated.
    pub force: bool,
    /// Not to be planned before this instant: an open deploy's latest deadline. Closing the deploy
    /// brings it forward, and if the closing is lost the deadline passes by itself.
    pub not_before: Timestamp,
    /// When of its deploy it goes.
    #[serde(default)]
    pub stage: Stage,
    /// Why a person decides whether it is asked, in one sentence; none when it just goes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Why.
    pub cause: Cause,
}

impl Wish {
    /// Returns whether the refresh of what is wished for may carry others.
    #[must_use]
    pub const fn is_wide_refresh(&self) -> bool {
        is_wide_refresh(self.action, self.target.kind)
    }
}

/// Returns whether an action on a target of this kind may carry others.
#[must_use]
pub const fn is_wide_refresh(action: Action, kind: Kind) -> bool {
    matches!(action, Action::Refresh) && !matches!(kind, Kind::Url)
}

/// What travels from the store to the journal, in sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outgoing {
    /// Something must become fresh.
    Wish(Wish),
    /// A deploy opened (no `closed_at`) or closed: its intents may be planned now.
    Deploy(Deploy),
}

/// The journal's number of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(pub i64);

/// Why a pending intent isn't asked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// The day's quota is spent: parked until 00:00 UTC+8.
    Quota,
    /// A person decides.
    Hold,
    /// The origin isn't ready.
    Gate,
    /// An inner cache goes first.
    Inner,
    /// A prefetch waits for the refreshes of its url.
    Refresh,
    /// An operator paused it.
    Pause,
    /// Its deploy stage is not due.
    Stage,
    /// The CDN or the network refused; it is tried again later.
    Retry,
}

impl Wait {
    /// All waits.
    pub const ALL: [Self; 8] = [
        Self::Quota,
        Self::Hold,
        Self::Gate,
        Self::Inner,
        Self::Refresh,
        Self::Pause,
        Self::Stage,
        Self::Retry,
    ];

    /// Returns the word used in code, config, CLI and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Hold => "hold",
            Self::Gate => "gate",
            Self::Inner => "inner",
            Self::Refresh => "refresh",
            Self::Pause => "pause",
            Self::Stage => "stage",
            Self::Retry => "retry",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wait| wait.as_str() == text)
    }
}

/// A wait with what an operator is told about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The wait.
    pub wait: Wait,
    /// One sentence: why, in an operator's words.
    pub why: String,
    /// When it is looked at again; none when only an event ends it.
    pub until: Option<Timestamp>,
}

/// How an intent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The CDN reported it complete.
    Done,
    /// It will not be tried again, for this reason.
    Failed(String),
    /// A pending twin stands for it.
    Superseded(IntentId),
    /// A person refused it while it was held.
    Rejected(String),
    /// A person called it off.
    Cancelled(String),
}

impl Outcome {
    /// Returns the word used in code, CLI and JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Superseded(_) => "superseded",
            Self::Rejected(_) => "rejected",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

/// Where an intent stands; what belongs to a state lives in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not asked yet.
    Pending {
        /// Not to be planned before this instant.
        not_before: Timestamp,
        /// How often it was asked in vain.
        attempt: u32,
        /// Why it isn't asked yet; none when it is merely its turn soon.
        waiting: Option<Waiting>,
    },
    /// In a batch whose call is under way, or whose outcome is unknown.
    Submitting,
    /// In a job the CDN accepted.
    Submitted,
    /// At its end.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        outcome: Outcome,
    },
}

/// One durable wish: (account, action, target) must become fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The journal's number; rises with time.
    pub id: IntentId,
    /// Which account's CDN.
    pub account: AccountName,
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// Whether cached copies must be dropped, not only revalidated.
    pub force: bool,
    /// When the first cause was accepted.
    pub created_at: Timestamp,
    /// The newest cause.
    pub cause: Cause,
    /// How many causes it has.
    pub causes: u32,
    /// Where it stands.
    pub state: State,
}

impl Intent {
    /// Returns how often the intent was asked in vain; zero unless pending.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        match self.state {
            State::Pending { attempt, .. } => attempt,
            _ => 0,
        }
    }
}
