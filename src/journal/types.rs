//! What the journal's verbs take and return.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ask::{Kind, Target};
use crate::domain::deploy::DeployId;
use crate::domain::intent::{Action, Intent, IntentId, Outcome, State};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::task::{Batch, BatchKey, TaskId, TaskStatus};
use crate::domain::time::Timestamp;

/// What [`Journal::accept`](super::Journal::accept) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AcceptedWishes {
    /// Sequence numbers up to this one are accepted, now or before.
    pub through: u64,
    /// Wishes that became an intent of their own.
    pub created: u64,
    /// Wishes that joined a pending intent.
    pub absorbed: u64,
}

/// What an account has to do now.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Due {
    /// Pending intents whose `not_before` has come: by priority, and among equals what came
    /// first first.
    /// Held and paused ones are not among them.
    pub intents: Vec<Intent>,
    /// Targets of every open refresh (pending, submitting, submitted) that could delay a prefetch
    /// among `intents` (rule 9): those with the same text, and every open wider target, also one that
    /// only a plan chose.
    pub open_refreshes: Vec<Target>,
    /// Action and kind of each batch that is being submitted or unknown: one in flight per kind.
    pub in_flight: Vec<(Action, Kind)>,
    /// When the earliest `not_before` still to come is.
    pub next_at: Option<Timestamp>,
}

/// What a person decides on what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It is asked of the CDN.
    Approve,
    /// It ends.
    Reject,
}

/// What is held of a deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSet {
    /// The deploy.
    pub deploy: DeployId,
    /// Whose; none if its oldest intent came from no tree.
    pub origin: Option<OriginName>,
    /// How many intents are held.
    pub intents: u64,
    /// The newest of them: whoever decides saw no later one.
    pub through: IntentId,
    /// When the oldest was accepted.
    pub since: Timestamp,
    /// Why, in the words of the oldest.
    pub why: String,
    /// Its oldest targets, at most [`MAX_SAMPLE`](super::MAX_SAMPLE).
    pub sample: Vec<Target>,
}

impl HeldSet {
    /// Describes a set by its oldest held intents, in order.
    #[must_use]
    pub(super) fn of(deploy: DeployId, intents: u64, through: IntentId, oldest: &[Intent]) -> Self {
        let first = oldest.first();
        let why = first.map(|intent| match &intent.state {
            State::Pending { waiting: Some(waiting), .. } => waiting.why.clone(),
            _ => String::new(),
        });
        Self {
            deploy,
            origin: first.and_then(|intent| intent.cause.origin.clone()),
            intents,
            through,
            since: first.map_or(Timestamp::EPOCH, |intent| intent.created_at),
            why: why.unwrap_or_default(),
            sample: oldest.iter().map(|intent| intent.target.clone()).collect(),
        }
    }
}

/// That submission is frozen, since when and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Whose.
    pub account: AccountName,
    /// Of which origin; none for the whole account.
    pub origin: Option<OriginName>,
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: String,
    /// How many pending intents it keeps back; those held for a person are not counted.
    pub waiting: u64,
}

impl Pause {
    /// Names what is paused.
    #[must_use]
    pub fn of(&self) -> String {
        match &self.origin {
            Some(origin) => format!("origin {origin}"),
            None => format!("account {}", self.account),
        }
    }
}

/// What came of staging a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staged {
    /// Batch, asks and debit are committed: the call may be made.
    Ready,
    /// The day's budget does not cover it: nothing was changed.
    OverBudget,
    /// One of its intents is no longer pending and free, or was paused or made forced since: nothing
    /// was changed; plan again.
    Stale,
}

/// A batch whose outcome is unknown, and what of it is still to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The batch, with the asks not adopted yet.
    pub batch: Batch,
    /// When it was (last) staged, by the CDN's clock.
    pub staged_at: Timestamp,
    /// How many looks found nothing.
    pub negatives: u32,
    /// When the last of these was.
    pub last_negative: Option<Timestamp>,
    /// How often it was sent.
    pub sends: u32,
}

/// An ask of a job and what the CDN last said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobAsk {
    /// The target.
    pub target: Target,
    /// What was last said; none when no row named it yet.
    pub status: Option<TaskStatus>,
}

/// A batch the CDN accepted: its task ids, and a status for every ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The batch it came from.
    pub key: BatchKey,
    /// Whose.
    pub account: AccountName,
    /// What is being done.
    pub action: Action,
    /// The kind its asks share.
    pub kind: Kind,
    /// The CDN's task ids.
    pub tasks: Vec<TaskId>,
    /// The asks that have not ended.
    pub asks: Vec<JobAsk>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// How often it was looked at.
    pub polls: u32,
}

/// What a poll found, for [`Journal::observe`](super::Journal::observe).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Which job.
    pub key: BatchKey,
    /// The news: asks by target, with what the CDN says now.
    pub news: Vec<(Target, TaskStatus)>,
    /// When to look again, if anything is left.
    pub next_poll: Timestamp,
    /// Whether to give up on asks that have not ended: they are pending again, or failed once
    /// [`MAX_EXPIRIES`](super::MAX_EXPIRIES) is reached, with this reason.
    pub expire: Option<String>,
}

/// How refused or failed intents are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Not before this instant.
    pub not_before: Timestamp,
}

/// Numbers for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Pending, waiting or not.
    pub pending: u64,
    /// Pending and waiting, by wait.
    pub waiting: BTreeMap<&'static str, u64>,
    /// In a call under way or in doubt.
    pub submitting: u64,
    /// In an accepted job.
    pub submitted: u64,
    /// Ended done.
    pub done: u64,
    /// Ended failed.
    pub failed: u64,
    /// Ended superseded.
    pub superseded: u64,
    /// Ended rejected by a person.
    pub rejected: u64,
    /// Ended cancelled by a person.
    pub cancelled: u64,
    /// Batches in doubt.
    pub unknown: u64,
    /// Batches sent again after a doubt: each may have doubled its asks.
    pub resent: u64,
    /// Refreshes repeated because a prefetch of the same url overlapped (rule 9).
    pub overlapped: u64,
}

/// An intent that an operator should see: waiting or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// The intent.
    pub intent: Intent,
    /// Why it is shown, in one sentence.
    pub why: String,
}

impl Attention {
    /// Says why an intent is shown: its wait's or its failure's own words.
    #[must_use]
    pub fn of(intent: Intent) -> Self {
        let why = match &intent.state {
            State::Pending { waiting: Some(waiting), .. } => waiting.why.clone(),
            State::Ended {
                outcome: Outcome::Failed(why) | Outcome::Rejected(why) | Outcome::Cancelled(why),
                ..
            } => why.clone(),
            _ => String::new(),
        };
        Self { intent, why }
    }
}

/// Intents that are not done for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What they are to do.
    pub action: Action,
    /// Where they stand: a state, a wait or an outcome.
    pub stands: String,
    /// Why; empty when they are merely under way.
    pub why: String,
    /// How many.
    pub number: u64,
    /// When the first of them is looked at again; none unless that is known of all.
    pub until: Option<Timestamp>,
    /// What the oldest is for.
    pub target: Target,
}

/// What became of all that one or more deploys caused.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeployReport {
    /// How many intents stand where: by state, and those that ended by outcome.
    pub intents: BTreeMap<String, u64>,
    /// Whether the deploys caused more than were counted.
    pub more: bool,
    /// The oldest intents that are neither done nor superseded.
    pub unfinished: Vec<Attention>,
    /// How many asks of which action and kind went to the CDN.
    pub asks: Vec<(Action, Kind, u64)>,
    /// When the CDN accepted the first ask of these, and when the last.
    pub accepted: Option<(Timestamp, Timestamp)>,
    /// When the last intent that ended did.
    pub ended_at: Option<Timestamp>,
}

impl DeployReport {
    /// Returns how many intents have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        let open = ["pending", "submitting", "submitted"];
        open.iter().filter_map(|state| self.intents.get(*state)).sum()
    }

    /// Returns whether each intent is done, or another one stands for it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.intents.keys().all(|state| state == "done" || state == "superseded")
    }
}
