//! This room keeps an account's memory: deploys, intents, asks, batches, jobs, quota and lead.
//!
//! Enters: wishes in sequence, plans, answers of the CDN. Leaves: what is due.
//! **Invariant:** one verb is one transaction, and a verb that finds the world otherwise than its
//! caller thought changes nothing and says so.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::domain::ask::{Kind, Target};
use crate::domain::intent::{Action, Cause, Intent, IntentId, Outgoing, Wait, Waiting};
use crate::domain::names::{AccountName, NodeId};
use crate::domain::quota::{Allowance, PerKind, Reported};
use crate::domain::task::{Batch, BatchKey, Fence, TaskId, TaskStatus};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;

/// How often an intent is asked in vain before it ends failed.
pub const MAX_ATTEMPTS: u32 = 8;

/// What went wrong in the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database refused; the message says why.
    #[error("the journal's database failed: {0}")]
    Database(String),
    /// Somebody else took the lead: nothing was changed.
    #[error("another process took the lead for account `{account}`; nothing was changed")]
    Fenced {
        /// The account.
        account: AccountName,
    },
    /// What is stored can't be read.
    #[error("the journal holds what it cannot read: {0}")]
    Inconsistent(String),
}

/// What [`Journal::accept`] did.
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
    /// Pending intents whose `not_before` has come, oldest first. Held, paused ones are not among them.
    pub intents: Vec<Intent>,
    /// Targets of every open refresh (pending, submitting, submitted) that could delay a prefetch
    /// among `intents` (rule 9): those with the same text, and every open wider target.
    pub open_refreshes: Vec<Target>,
    /// Action and kind of each batch that is being submitted or unknown: one in flight per kind.
    pub in_flight: Vec<(Action, Kind)>,
    /// When the earliest `not_before` still to come is.
    pub next_at: Option<Timestamp>,
}

/// What came of staging a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staged {
    /// Batch, asks and debit are committed: the call may be made.
    Ready,
    /// The day's budget does not cover it: nothing was changed.
    OverBudget,
    /// One of its intents is no longer pending: nothing was changed; plan again.
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

/// What a poll found, for [`Journal::observe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Which job.
    pub key: BatchKey,
    /// The news: asks by target, with what the CDN says now.
    pub news: Vec<(Target, TaskStatus)>,
    /// When to look again, if anything is left.
    pub next_poll: Timestamp,
    /// Whether to give up on asks that have not ended: they are pending again, or failed once
    /// [`MAX_ATTEMPTS`] is reached, with this reason.
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

/// The memory of one or more accounts. Every verb is one transaction; every time is handed in, as
/// the CDN's clock has it.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Takes the lead for an account: raises its fencing number. Batches that were being submitted
    /// when the last lead died become unknown.
    async fn lead(&self, account: &AccountName, now: Timestamp) -> Result<Fence, JournalError>;

    /// Takes in what a node recorded, in sequence. Numbers at or below the node's last accepted one
    /// are passed over, so that a repetition changes nothing. A wish joins the pending, unheld
    /// intent of its (account, action, target), ORing its force, else it becomes an intent (rule 1).
    /// A closed deploy brings forward the `not_before` of pending intents that it opened.
    async fn accept(
        &self,
        node: &NodeId,
        items: &[(u64, Outgoing)],
        now: Timestamp,
    ) -> Result<AcceptedWishes, JournalError>;

    /// Returns what the account has to do: at most `limit` intents.
    async fn due(
        &self,
        account: &AccountName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Due, JournalError>;

    /// Writes down why pending intents wait and until when. `until` becomes `not_before`; without
    /// one the intent stays due and is planned again at the next turn.
    async fn park(
        &self,
        parked: &[(IntentId, Waiting)],
        now: Timestamp,
    ) -> Result<(), JournalError>;

    /// Writes a batch down before its call: batch, asks, debit of the day of `now`, and its intents
    /// leave pending, in one transaction (rule 3). `limits` is what the account is allowed a day;
    /// the smaller of it and the CDN's last answer counts.
    async fn stage(
        &self,
        batch: &Batch,
        fence: Fence,
        limits: &PerKind<u64>,
        now: Timestamp,
    ) -> Result<Staged, JournalError>;

    /// The CDN accepted the batch (what is left of it): it becomes a job. Pending held twins of its
    /// intents are superseded. Prefetches of the same urls that run now are marked: their urls are
    /// refreshed again when they end (rule 9).
    async fn accepted(
        &self,
        key: &BatchKey,
        fence: Fence,
        tasks: &[TaskId],
        request_id: &str,
        now: Timestamp,
        first_poll: Timestamp,
    ) -> Result<(), JournalError>;

    /// The batch was certainly not executed: the debit is given back, the intents are pending again
    /// from `not_before` with one attempt more (`Later`, `NextDay`, `Renew`, `Operator` count no
    /// attempt), or failed (`Never`, or [`MAX_ATTEMPTS`] reached). With `Split` each ask comes back
    /// with a mark that halves the next batch it is in (the intents keep `attempt + 1`).
    async fn refused(
        &self,
        key: &BatchKey,
        fence: Fence,
        verdict: &Verdict,
        why: &str,
        not_before: Timestamp,
        now: Timestamp,
    ) -> Result<(), JournalError>;

    /// Nobody knows whether the batch was executed: it is looked up from `look_at` on. When
    /// `now` is on a later day than the staging, that day is debited too (rule 8).
    async fn doubted(
        &self,
        key: &BatchKey,
        fence: Fence,
        why: &str,
        look_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), JournalError>;

    /// Returns batches in doubt whose look has come, and the instant of the next one otherwise.
    async fn doubts(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<(Vec<Doubt>, Option<Timestamp>), JournalError>;

    /// Writes down a look at a doubt: asks that were found become (part of) a job under their task
    /// ids; a look that found nothing counts as negative. It is looked at again at `look_at`.
    async fn looked(
        &self,
        key: &BatchKey,
        fence: Fence,
        found: &[(Target, TaskId)],
        look_at: Timestamp,
        first_poll: Timestamp,
        now: Timestamp,
    ) -> Result<(), JournalError>;

    /// Takes a doubt up again for sending, under the same key and without a debit: what is left of
    /// it is being submitted. The batch is returned.
    async fn resend(
        &self,
        key: &BatchKey,
        fence: Fence,
        now: Timestamp,
    ) -> Result<Batch, JournalError>;

    /// Returns jobs whose look has come, at most `limit`, and the instant of the next one.
    async fn jobs_due(
        &self,
        account: &AccountName,
        now: Timestamp,
        limit: usize,
    ) -> Result<(Vec<Job>, Option<Timestamp>), JournalError>;

    /// Writes down what a poll found. A complete ask ends its intents done; a failed one makes the
    /// intents it carried pending again from `retry.not_before` with one attempt more (rule 2), or
    /// failed at [`MAX_ATTEMPTS`]; where a pending twin exists they are superseded by it.
    async fn observe(
        &self,
        observation: &Observation,
        retry: Retry,
        now: Timestamp,
    ) -> Result<(), JournalError>;

    /// Returns the day's quota by kind: the smaller of `limits` and the CDN's last answer, and what
    /// is spent.
    async fn quota(
        &self,
        account: &AccountName,
        limits: &PerKind<u64>,
        now: Timestamp,
    ) -> Result<PerKind<Allowance>, JournalError>;

    /// Takes the CDN's answer about its quota, asked at `asked_at`. The ledger is replaced in both
    /// directions if nothing was in flight or unknown from `asked_at` minus `quiet` until now
    /// (rule 4); else only a smaller remainder than ours is believed. Returns whether it replaced.
    async fn quota_reported(
        &self,
        account: &AccountName,
        reported: &PerKind<Option<Reported>>,
        asked_at: Timestamp,
        quiet: Duration,
        now: Timestamp,
    ) -> Result<bool, JournalError>;

    /// Returns numbers for `status`, of all accounts.
    async fn counts(&self) -> Result<Counts, JournalError>;

    /// Returns when the oldest intent that has not ended was created.
    async fn oldest_open(&self) -> Result<Option<Timestamp>, JournalError>;

    /// Returns waiting and failed intents, newest first, at most `limit`.
    async fn attention(&self, limit: usize) -> Result<Vec<Attention>, JournalError>;

    /// Returns the intents of a target, newest first, with their causes: `refreshd why` and tests.
    async fn history(
        &self,
        account: &AccountName,
        action: Action,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<(Intent, Vec<Cause>)>, JournalError>;

    /// Returns how many intents have not ended and wait for `wait`.
    async fn waiting(&self, wait: Wait) -> Result<u64, JournalError>;
}
