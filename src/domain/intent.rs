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

/// How pressing something is: it decides who goes first and who may touch what is kept back.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// A person's wish, what was removed, and what must be dropped.
    Urgent,
    /// A change as they come.
    #[default]
    Normal,
    /// What can wait for what the day leaves over, such as a refresh of everything.
    Backfill,
}

impl Priority {
    /// All priorities, the most pressing first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Backfill];

    /// Returns the word used in code, config, CLI and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Backfill => "backfill",
        }
    }

    /// Returns its place in the order: 0 goes first.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// Reads [`rank`](Self::rank) back.
    #[must_use]
    pub fn of_rank(rank: u8) -> Option<Self> {
        Self::ALL.get(usize::from(rank)).copied()
    }
}

impl fmt::Display for Priority {
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
    /// How pressing it is.
    #[serde(default)]
    pub priority: Priority,
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

    /// Returns whether a person asks for it: then no guard holds it.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        self.cause.witness == Witness::Operator
    }
}

/// Returns whether an action on a target of this kind may carry others.
#[must_use]
pub const fn is_wide_refresh(action: Action, kind: Kind) -> bool {
    matches!(action, Action::Refresh) && !matches!(kind, Kind::Url | Kind::Tag)
}

/// What travels from the store to the journal, in sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outgoing {
    /// Something must become fresh.
    Wish(Wish),
    /// A deploy opened (no `closed_at`) or closed: its intents may be planned now.
    Deploy(Deploy),
    /// What a deploy wished for so far is held for a person.
    Hold {
        /// The deploy.
        deploy: DeployId,
        /// Why, in one sentence.
        why: String,
    },
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

impl State {
    /// Says where an intent stands, and until when if that is known: its state, or rather what it waits
    /// for, or how it ended.
    #[must_use]
    pub const fn stands(&self) -> (&'static str, Option<Timestamp>) {
        match self {
            Self::Pending { waiting: Some(waiting), .. } => (waiting.wait.as_str(), waiting.until),
            Self::Pending { waiting: None, .. } => ("pending", None),
            Self::Submitting => ("submitting", None),
            Self::Submitted => ("submitted", None),
            Self::Ended { outcome, .. } => (outcome.as_str(), None),
        }
    }
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
    /// How pressing its most pressing wish was.
    pub priority: Priority,
    /// When the first cause was accepted.
    pub created_at: Timestamp,
    /// The deploy that opened it; none for an operator's wish.
    pub deploy: Option<DeployId>,
    /// Whether a person asked for it or let it go: then no guard holds it.
    pub approved: bool,
    /// The newest cause.
    pub cause: Cause,
    /// How many causes it has.
    pub causes: u32,
    /// Where it stands.
    pub state: State,
}

impl Intent {
    /// Returns why the intent isn't asked yet; none unless it is pending and waits for something.
    #[must_use]
    pub fn why(&self) -> Option<&String> {
        match &self.state {
            State::Pending { waiting: Some(waiting), .. } => Some(&waiting.why),
            _ => None,
        }
    }

    /// Returns which intent stands for this one, if one does.
    #[must_use]
    pub const fn superseded_by(&self) -> Option<IntentId> {
        match &self.state {
            State::Ended { outcome: Outcome::Superseded(by), .. } => Some(*by),
            _ => None,
        }
    }

    /// Returns how often the intent was asked in vain; zero unless pending.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        match self.state {
            State::Pending { attempt, .. } => attempt,
            _ => 0,
        }
    }
}
