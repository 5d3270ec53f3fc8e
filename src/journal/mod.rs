//! This room keeps an account's memory: deploys, intents, asks, batches, jobs, quota and lead.
//!
//! Enters: wishes in sequence, plans, answers of the CDN. Leaves: what is due.
//! **Invariant:** one verb is one transaction, and a verb that finds the world otherwise than its
//! caller thought changes nothing and says so.

pub mod browse;
pub mod check;
mod fate;
mod order;
pub mod reference;
pub mod sqlite;
mod types;

use std::time::Duration;

use async_trait::async_trait;

use crate::database::{DatabaseError, Failure};
use crate::domain::alarm::Troubles;
use crate::domain::ask::Target;
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::intent::{Action, Cause, Intent, IntentId, Outgoing, Wait, Waiting};
use crate::domain::names::{AccountName, NodeId, OriginName};
use crate::domain::quota::forecast::History;
use crate::domain::quota::purse::Spending;
use crate::domain::quota::{Allowance, PerKind, QuotaKind, Reconciled, Reported};
use crate::domain::task::{Batch, BatchKey, Fence, TaskId};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;

pub use types::{
    AcceptedWishes, Attention, Counts, Decision, DeployReport, Doubt, Due, HeldSet, Job, JobAsk,
    Observation, Pause, Reason, Retry, Staged,
};

/// How often an intent is asked in vain before it ends failed.
pub const MAX_ATTEMPTS: u32 = 8;

/// After this many attempts an intent whose job expires is failed.
pub const MAX_EXPIRIES: u32 = 3;
/// How many causes an intent keeps; older ones are only counted.
pub const MAX_CAUSES: u32 = 20;
/// Intents that are looked at for why they are not done: some 60 ms of the one writer.
pub const MAX_REASONED: usize = 20_000;
/// How many held intents are decided on in one transaction: others need the writer too (rule 6).
pub const MAX_DECIDED: usize = 1_000;
/// How many targets of a held set are named.
pub const MAX_SAMPLE: usize = 5;
/// How long ended intents are kept, in days; afterwards only their daily sums are.
pub const KEPT_DAYS: i64 = 90;

/// What went wrong in the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database refused; the message says what to do.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Somebody else took the lead: nothing was changed.
    #[error("another process took the lead for account `{account}`; nothing was changed")]
    Fenced {
        /// The account.
        account: AccountName,
    },
    /// The batch isn't where the verb needs it (staged, in doubt, a job under way), or isn't known:
    /// nothing was changed.
    #[error("batch `{0}` is not where this step needs it; nothing was changed")]
    OutOfTurn(BatchKey),
    /// What is stored can't be read.
    #[error("the journal holds what it cannot read: {0}")]
    Inconsistent(String),
}

impl Failure for JournalError {
    fn is_of_database(&self) -> bool {
        matches!(self, Self::Database(_))
    }
}

/// Why a batch that was being sent when its process ended is in doubt.
const ORPHANED: &str = "the process that sent it ended before the answer was written down";

/// The memory of one or more accounts. Every verb is one transaction; every time is handed in, as
/// the CDN's clock has it.
#[async_trait]
pub trait Journal: browse::Browse {
    /// Takes the lead for an account: raises its fencing number. Batches that were being submitted
    /// when the last lead died become unknown, and what waited for quota is planned anew: the
    /// configuration may allow more by now.
    async fn lead(&self, account: &AccountName, now: Timestamp) -> Result<Fence, JournalError>;

    /// Takes in what a node recorded, in sequence. Numbers at or below the node's last accepted one
    /// are passed over, so that a repetition changes nothing. A wish joins the pending, unheld
    /// intent of its (account, action, target) and adds its force, else it becomes an intent (rule 1).
    /// The more pressing priority of the two counts; what waits for quota and presses more than it did
    /// is planned anew.
    /// A wide refresh lets what waits for quota be planned anew, for it may carry it.
    /// A wish with a `hold` that joins none becomes an intent that waits for a person; one of the same
    /// target and deploy that waits so already stands for it, and only takes its force.
    /// A closed deploy brings forward the `not_before` of pending intents that it opened, but for
    /// those that wait for something, and lets what waits for quota be planned anew, for something wide
    /// may now stand for both. An open deploy closes those of its origin that are open still:
    /// their closing was lost in a crash. A hold does as [`hold`](Self::hold).
    /// An operator's wish approves what it becomes or joins, and takes it into the hands of its own
    /// origin, or of none: pausing the first origin holds it up no more.
    async fn accept(
        &self,
        node: &NodeId,
        items: &[(u64, Outgoing)],
        now: Timestamp,
    ) -> Result<AcceptedWishes, JournalError>;

    /// Lets a person decide on what is held of a deploy. Approved intents are due at once and are never
    /// held again; where a
    /// free pending twin exists it stands for the held one, with its force, causes and approval. Rejected ones
    /// end so, "by `who`". Decides on the oldest [`MAX_DECIDED`] and returns how many these were: with
    /// as many, ask again. What the deploy does not hold any more is left alone, and so is what came
    /// after the intent `through`: the person did not see it.
    async fn decide(
        &self,
        deploy: &DeployId,
        through: Option<IntentId>,
        decision: Decision,
        who: &str,
        now: Timestamp,
    ) -> Result<u64, JournalError>;

    /// Holds for a person what a deploy opened that is pending, but for what a person approved; returns
    /// how many intents that were.
    async fn hold(&self, deploy: &DeployId, why: &str) -> Result<u64, JournalError>;

    /// Freezes an origin, or a whole account: nothing of it is due or can be staged until
    /// [`resume`](Self::resume). Returns whether it was not paused before; if it was, that stays as
    /// it is.
    async fn pause(
        &self,
        account: &AccountName,
        origin: Option<&OriginName>,
        who: &str,
        now: Timestamp,
    ) -> Result<bool, JournalError>;

    /// Ends a pause; returns whether there was one.
    async fn resume(
        &self,
        account: &AccountName,
        origin: Option<&OriginName>,
    ) -> Result<bool, JournalError>;

    /// Returns what is paused, by account, the account as a whole first.
    async fn pauses(&self) -> Result<Vec<Pause>, JournalError>;

    /// Returns what the account has to do: at most `limit` intents. Of what is paused nothing is due.
    /// Before that it lets the stages of closed deploys wait for those before them, and those go that
    /// have waited for the last.
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

    /// The batch was certainly not executed by this sending: what this sending was charged is given
    /// back (after a doubt only a new day's charge is, for the first sending may have spent the
    /// other). Its intents are pending again from `not_before` with a visible wait: `Later`,
    /// `NextDay`, `Renew` and `Operator` count no attempt; `Split` counts one, and the planner halves
    /// the batch of an intent with each attempt. `Never` fails the intents of the very target; those
    /// merely covered are pending again with one attempt more. At [`MAX_ATTEMPTS`] they fail.
    /// `Unknown` is no refusal: out of turn.
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

    /// Takes a doubt up again for sending, under the same key and without a debit, unless the day of
    /// `now` was not charged yet (rule 8): what is left of it is being submitted. The batch is
    /// returned.
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

    /// Returns how many jobs have not ended.
    async fn open_jobs(&self, account: &AccountName) -> Result<u64, JournalError>;

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
    /// (rule 4); else only a smaller remainder than ours is believed. If it replaced,
    /// intents that wait for quota of a kind that has some left are due again. What the CDN counts
    /// beyond our debits, others spent: by how much that grew is returned.
    async fn quota_reported(
        &self,
        account: &AccountName,
        reported: &PerKind<Option<Reported>>,
        asked_at: Timestamp,
        quiet: Duration,
        now: Timestamp,
    ) -> Result<Reconciled, JournalError>;

    /// Returns what was spent lately, by origin and by host, and by others than us. An ask is paid by
    /// the origin of the newest cause of its most pressing and oldest intent.
    async fn spending(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<Spending, JournalError>;

    /// Returns what the last [`HISTORY_DAYS`](crate::domain::quota::forecast::HISTORY_DAYS) before
    /// today spent by the hour, without backfill.
    async fn past(&self, account: &AccountName, now: Timestamp) -> Result<History, JournalError>;

    /// Writes down that an operator is told today that this much of a kind is spent; returns whether
    /// that is news.
    async fn alarm(
        &self,
        account: &AccountName,
        kind: QuotaKind,
        percent: u64,
        now: Timestamp,
    ) -> Result<bool, JournalError>;

    /// Returns numbers for `status`, of all accounts.
    async fn counts(&self) -> Result<Counts, JournalError>;

    /// Returns when the oldest intent that has not ended was created.
    async fn oldest_open(&self) -> Result<Option<Timestamp>, JournalError>;

    /// Returns what is wrong, of all accounts.
    async fn troubles(&self, now: Timestamp) -> Result<Troubles, JournalError>;

    /// Returns of the intents that a batch carries, when the oldest cause that is kept came and, if it is
    /// done, when it ended.
    async fn carried(
        &self,
        key: &BatchKey,
    ) -> Result<Vec<(Timestamp, Option<Timestamp>)>, JournalError>;

    /// Returns waiting and failed intents, newest first, at most `limit`; what [`held`](Self::held)
    /// shows is not among them.
    async fn attention(&self, limit: usize) -> Result<Vec<Attention>, JournalError>;

    /// Returns why intents are not done, counted by reason: what failed first, then what is most; at
    /// most `limit` reasons. Of what these deploys caused, or, of all, what
    /// [`attention`](Self::attention) tells of. Looks at the newest [`MAX_REASONED`] intents of these.
    async fn reasons(
        &self,
        deploys: Option<&[DeployId]>,
        limit: usize,
    ) -> Result<Vec<Reason>, JournalError>;

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

    /// Returns what is held, by deploy, the oldest first. Held intents of no deploy are in no set.
    async fn held(&self) -> Result<Vec<HeldSet>, JournalError>;

    /// Returns the deploys of an origin, or of all, newest first, at most `limit`.
    async fn deploys(
        &self,
        origin: Option<&OriginName>,
        limit: usize,
    ) -> Result<Vec<Deploy>, JournalError>;

    /// Returns the last `limit` deploys that caused at least `least` refreshes of the account, and when
    /// they closed, the oldest first.
    async fn large_deploys(
        &self,
        account: &AccountName,
        least: u64,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeployId)>, JournalError>;

    /// Returns a deploy.
    async fn deploy(&self, deploy: &DeployId) -> Result<Option<Deploy>, JournalError>;

    /// Returns what became of all that these deploys caused, as one: each intent counts once. What
    /// stands for a superseded intent belongs to its deploys. Looks at the newest `most` that each of
    /// them caused, all together; names at most `limit` unfinished ones.
    async fn deploy_report(
        &self,
        deploys: &[DeployId],
        most: usize,
        limit: usize,
    ) -> Result<DeployReport, JournalError>;

    /// Forgets what ended more than [`KEPT_DAYS`] ago, at most 1,000 intents; returns how many
    /// intents went. Sums stay.
    async fn prune(&self, now: Timestamp) -> Result<u64, JournalError>;

    /// Returns everything that [`check::Snapshot::problems`] judges.
    async fn snapshot(&self) -> Result<check::Snapshot, JournalError>;
}
