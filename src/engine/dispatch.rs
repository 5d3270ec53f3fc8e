//! Dispatch: turns pending intents into batches the CDN accepts, one call at a time.
//!
//! One turn is [`Dispatch::step`]. Each call is written down before it is made (rule 3), and its
//! answer before anything else happens; an answer that can't be written is kept and tried again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::cdn::{Accepted, Cdn};
use crate::clock::SharedClock;
use crate::config::Account;
use crate::domain::cover::Recurrence;
use crate::domain::guard::{self, Guard};
use crate::domain::intent::{Action, Intent, IntentId, Priority, State, Wait, Waiting};
use crate::domain::names::OriginName;
use crate::domain::plan::PlannedBatch;
use crate::domain::quota::{self, QuotaKind};
use crate::domain::task::{Batch, BatchKey, Fence};
use crate::domain::time::{Day, Timestamp};
use crate::domain::verdict::{Failure, Verdict, judge};
use crate::journal::{Journal, JournalError, Staged};

use super::account::AccountBoard;
use super::backoff::full_jitter;
use super::census::Trees;
use super::step::Step;
use treasurer::Treasurer;

mod doubt;
mod draft;
mod hold;
mod treasurer;

/// How many due intents one turn plans; what is beyond waits for the next turn.
const DUE: usize = 100_000;
/// With more than that due, prefetches that wait for a refresh stand aside this long.
const CROWDED: Duration = Duration::from_secs(600);
/// A plan is followed for this long; then what has come meanwhile is planned with the rest.
const PLAN_LASTS: Duration = Duration::from_secs(10);
/// How many intents are parked in one transaction.
const PARKED: usize = 1_000;
/// The quota is asked again this often, for others spend it too.
const QUOTA_EVERY: Duration = Duration::from_secs(3600);
/// Each time, what ended long ago is forgotten, in this many small transactions at most.
const PRUNINGS: u32 = 20;
/// With nothing in flight or unknown for this long, the CDN's count replaces ours (rule 4).
const QUIET: Duration = Duration::from_secs(60);
/// The first look at a batch in doubt comes this long after the doubt.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// A call may wait this long for its turn under the API's rates before its time-out begins.
const RATE_WAIT: Duration = Duration::from_secs(1);
/// Back-off after refusals: full jitter from this base …
const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// … up to this cap.
const BACKOFF_CAP: Duration = Duration::from_secs(300);

/// Turns one account's pending intents into batches.
pub struct Dispatch {
    account: Account,
    journal: Arc<dyn Journal>,
    cdn: Arc<dyn Cdn>,
    clock: SharedClock,
    board: AccountBoard,
    fence: Fence,
    /// An answer that could not be written yet.
    unwritten: Option<(Batch, Result<Accepted, Failure>)>,
    /// No call before this instant: the account was throttled, refused or is unreachable.
    halted_until: Timestamp,
    /// No look at a batch in doubt before this instant: the last one failed.
    no_look_before: Timestamp,
    /// Batches planned at `planned_at` and not sent yet.
    planned: VecDeque<PlannedBatch>,
    planned_at: Timestamp,
    /// Refusals in a row, for the back-off.
    refusals: u32,
    /// When the quota is asked next.
    quota_at: Timestamp,
    /// What of each origin is held for a person.
    guards: BTreeMap<OriginName, Guard>,
    /// What lives beside what changes.
    trees: Trees,
    /// The large deploys of late.
    recurrence: Recurrence,
    /// Alarms and forecast.
    treasurer: Treasurer,
}

impl Dispatch {
    /// Takes the lead for the account; what its predecessor left in flight is in doubt from now on.
    pub async fn lead(
        account: Account,
        journal: Arc<dyn Journal>,
        cdn: Arc<dyn Cdn>,
        clock: SharedClock,
        board: AccountBoard,
    ) -> Result<Self, JournalError> {
        let fence = journal.lead(&account.name, clock.server_now()).await?;
        let treasurer = Treasurer::new(account.clone(), journal.clone());
        let least = Recurrence::least(account.quota[QuotaKind::Url]);
        let large = journal.large_deploys(&account.name, least, Recurrence::REMEMBERED).await?;
        Ok(Self {
            account,
            journal,
            cdn,
            clock,
            board,
            fence,
            unwritten: None,
            halted_until: Timestamp::EPOCH,
            no_look_before: Timestamp::EPOCH,
            planned: VecDeque::new(),
            planned_at: Timestamp::EPOCH,
            refusals: 0,
            quota_at: Timestamp::EPOCH,
            guards: BTreeMap::new(),
            trees: Trees::default(),
            recurrence: Recurrence::of(large),
            treasurer,
        })
    }

    /// Has each plan judged before it is followed.
    #[must_use]
    pub fn guarded(self, guards: BTreeMap<OriginName, Guard>) -> Self {
        Self { guards, ..self }
    }

    /// Lets plans know what lives beside what changes.
    #[must_use]
    pub fn over(self, trees: Trees) -> Self {
        Self { trees, ..self }
    }

    /// Does one turn: at most one call of each sort, and says when to come again.
    pub async fn step(&mut self) -> Result<Step, JournalError> {
        if let Some((batch, answer)) = self.unwritten.take() {
            self.write(batch, answer).await?;
            return Ok(Step::Worked);
        }
        let now = self.clock.server_now();
        if now < self.halted_until {
            return Ok(Step::Idle { until: Some(self.halted_until) });
        }
        if let Err(later) = quota::may_call(now, self.account.timeout + RATE_WAIT) {
            return Ok(Step::Idle { until: Some(later) });
        }
        if now >= self.quota_at {
            self.ask_quota(now).await?;
            return Ok(Step::Worked);
        }
        let (doubts, mut next_doubt) = self.journal.doubts(&self.account.name, now).await?;
        for doubt in doubts {
            if doubt.negatives >= 2 && self.is_paused().await? {
                // It is sent again once the account goes on.
                continue;
            }
            if doubt.negatives >= 2 || now >= self.no_look_before {
                self.resolve(doubt).await?;
                return Ok(Step::Worked);
            }
            next_doubt = Some(self.no_look_before);
        }
        let is_old = now.since(self.planned_at) >= PLAN_LASTS || now < self.planned_at;
        // Another day has another purse.
        if is_old || Day::of(now) != Day::of(self.planned_at) {
            self.planned.clear();
        }
        if let Some(planned) = self.planned.pop_front() {
            let batch = self.draw_up(planned, now);
            self.send_staged(batch, now).await?;
            return Ok(Step::Worked);
        }
        let next_due = self.plan(now).await?;
        if !self.planned.is_empty() || next_due.is_some_and(|at| at <= now) {
            return Ok(Step::Worked);
        }
        Ok(Step::Idle {
            until: [next_doubt, next_due, Some(self.quota_at)].into_iter().flatten().min(),
        })
    }

    /// Plans what is due and parks what has to wait; returns when more is due. The batches are sent
    /// in the next turns, each staged just before its call, until one isn't accepted: then the plan
    /// is void. A plan that a guard refuses is not followed: the next turn makes another.
    async fn plan(&mut self, now: Timestamp) -> Result<Option<Timestamp>, JournalError> {
        let due = self.journal.due(&self.account.name, now, DUE).await?;
        if due.intents.is_empty() {
            self.treasurer.look(now).await?;
            return Ok(due.next_at);
        }
        let purse = self.treasurer.purse(now).await?;
        let (plan, due, purse) = self.draft(due, purse, now).await;
        let held = guard::judge(&plan, &due.intents, &purse, &self.guards);
        if !held.is_empty() {
            self.hold(&held, now).await?;
            return Ok(Some(now));
        }
        let mut waiting = plan.waiting;
        if due.intents.len() == DUE {
            // What only an event ends must not crowd out what could go.
            for (_, waiting) in &mut waiting {
                waiting.until.get_or_insert(now.plus(CROWDED));
            }
        }
        let news = newly_waiting(&due.intents, waiting);
        if !news.is_empty() {
            // A part at a time: others need the writer too (rule 6).
            for news in news.chunks(PARKED) {
                self.journal.park(news, now).await?;
            }
            self.tell_parked(&due.intents, &news);
        }
        // A prefetch goes only by a fresh plan: its url may have to be refreshed since (rule 9).
        let mut batches = plan.batches.into_iter();
        self.planned.extend(batches.next());
        self.planned.extend(batches.filter(|batch| batch.action == Action::Refresh));
        // From now on: a plan that took long to make is no older for it, and is followed.
        self.planned_at = self.clock.server_now();
        Ok(due.next_at)
    }

    /// Tells of what begins to wait for quota, a line for each reason. Backfill may wait.
    fn tell_parked(&self, intents: &[Intent], news: &[(IntentId, Waiting)]) {
        let known: HashMap<IntentId, &Intent> = intents.iter().map(|one| (one.id, one)).collect();
        let mut parked: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, waiting) in news.iter().filter(|(_, waiting)| waiting.wait == Wait::Quota) {
            let told = known.get(id).is_some_and(|intent| {
                intent.priority == Priority::Backfill || intent.why() == Some(&waiting.why)
            });
            if !told {
                *parked.entry(&waiting.why).or_default() += 1;
            }
        }
        for (why, intents) in parked {
            tracing::warn!(account = %self.account.name, intents, "parked: {why}");
        }
    }

    fn draw_up(&self, planned: PlannedBatch, now: Timestamp) -> Batch {
        let key = BatchKey::new(now, self.clock.random());
        tracing::debug!(batch.key = %key, batch.asks = planned.asks.len(), "{}", planned.why);
        Batch {
            key,
            account: self.account.name.clone(),
            action: planned.action,
            kind: planned.kind,
            force: planned.force,
            asks: planned.asks,
        }
    }

    async fn send_staged(&mut self, batch: Batch, now: Timestamp) -> Result<(), JournalError> {
        match self.journal.stage(&batch, self.fence, &self.account.quota, now).await? {
            Staged::Ready => {
                self.treasurer.spent();
                self.call(batch).await
            }
            // The ledger moved between planning and staging: plan again with what it says now.
            Staged::OverBudget | Staged::Stale => {
                self.planned.clear();
                Ok(())
            }
        }
    }

    async fn call(&mut self, batch: Batch) -> Result<(), JournalError> {
        let targets: Vec<_> = batch.asks.iter().map(|ask| ask.target.clone()).collect();
        let answer = self.cdn.submit(batch.action, batch.kind, batch.force, &targets).await;
        self.write(batch, answer).await
    }

    /// Writes an answer down; keeps it if the journal can't take it now.
    async fn write(
        &mut self,
        batch: Batch,
        answer: Result<Accepted, Failure>,
    ) -> Result<(), JournalError> {
        let result = self.write_answer(&batch, &answer).await;
        if result.is_err() {
            self.unwritten = Some((batch, answer));
        }
        result
    }

    async fn write_answer(
        &mut self,
        batch: &Batch,
        answer: &Result<Accepted, Failure>,
    ) -> Result<(), JournalError> {
        let now = self.clock.server_now();
        let failure = match answer {
            Ok(accepted) => {
                let first_poll = now.plus(self.account.poll_first);
                self.journal
                    .accepted(
                        &batch.key,
                        self.fence,
                        &accepted.tasks,
                        &accepted.request_id,
                        now,
                        first_poll,
                    )
                    .await?;
                self.refusals = 0;
                self.board.answered(now);
                tracing::info!(
                    batch.key = %batch.key,
                    batch.asks = batch.asks.len(),
                    batch.action = %batch.action,
                    batch.kind = %batch.kind,
                    batch.first = batch.asks.first().map_or("", |ask| ask.target.text.as_str()),
                    job.tasks = accepted.tasks.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(","),
                    api.request_id = accepted.request_id,
                    "the CDN accepted a batch"
                );
                self.board.wake_poll();
                return Ok(());
            }
            Err(failure) => failure,
        };
        self.planned.clear();
        let verdict = match judge(failure) {
            Verdict::Split if batch.asks.len() == 1 => Verdict::Never,
            verdict => verdict,
        };
        let why = explain(failure);
        if verdict == Verdict::Unknown {
            let look_at = now.plus(FIRST_LOOK.min(self.account.doubt_gap));
            self.journal.doubted(&batch.key, self.fence, &why, look_at, now).await?;
            self.board.note(&why);
            tracing::warn!(batch.key = %batch.key, "a call's outcome is unknown and will be looked up: {why}");
            return Ok(());
        }
        let not_before = self.not_before(&verdict, failure, now);
        self.journal.refused(&batch.key, self.fence, &verdict, &why, not_before, now).await?;
        self.after_refusal(&verdict, &why, not_before, now);
        Ok(())
    }

    /// When intents of a refused batch may be planned again.
    fn not_before(&self, verdict: &Verdict, failure: &Failure, now: Timestamp) -> Timestamp {
        let jitter = full_jitter(BACKOFF_BASE, BACKOFF_CAP, self.refusals + 1, self.clock.random());
        match verdict {
            Verdict::NextDay => Day::of(now).next().start().plus(Duration::from_secs(1)),
            Verdict::Split | Verdict::Never => now,
            Verdict::Later { after, .. } => {
                now.plus(after.or(failure.retry_after).unwrap_or_default().max(jitter))
            }
            Verdict::Renew | Verdict::Operator | Verdict::Unknown => {
                now.plus(jitter.max(Duration::from_secs(60)))
            }
        }
    }

    /// Halts the account where the refusal concerns all of it, and tells the operator.
    fn after_refusal(
        &mut self,
        verdict: &Verdict,
        why: &str,
        not_before: Timestamp,
        now: Timestamp,
    ) {
        use crate::domain::verdict::Scope;
        tracing::warn!(account = %self.account.name, verdict = ?verdict, "the CDN refused a batch: {why}");
        match verdict {
            Verdict::Later { scope: Scope::Account, .. } | Verdict::Renew | Verdict::Operator => {
                self.refusals = self.refusals.saturating_add(1);
                self.halted_until = not_before;
                self.board.note(why);
            }
            Verdict::NextDay => {
                self.quota_at = now;
                self.board.note(why);
            }
            Verdict::Later { .. } => self.refusals = self.refusals.saturating_add(1),
            Verdict::Split | Verdict::Never | Verdict::Unknown => {}
        }
        // A key rotated half way looks like a wrong signature, which is a person's matter too.
        if matches!(verdict, Verdict::Renew | Verdict::Operator) {
            self.board.key_refused();
        }
    }

    /// Reads what the CDN says is left (rule 4), and when to ask again.
    async fn ask_quota(&mut self, now: Timestamp) -> Result<(), JournalError> {
        for _ in 0..PRUNINGS {
            if self.journal.prune(now).await? == 0 {
                break;
            }
        }
        // Not sooner: the CDN's count may turn a little after the day, and what it said of yesterday
        // would be taken for somebody's spending of today.
        let turn = Day::of(now).next().start().plus(QUIET);
        match self.cdn.quota().await {
            Ok(reported) => {
                let after = self.clock.server_now();
                let reconciled = self
                    .journal
                    .quota_reported(&self.account.name, &reported, now, QUIET, after)
                    .await?;
                let replaced = reconciled.replaced;
                tracing::debug!(account = %self.account.name, replaced, "the CDN reported its quota");
                self.treasurer.reconciled(&reconciled, after).await?;
                self.refusals = 0;
                self.board.answered(after);
                // After a restless answer it is asked again when there may have been quiet.
                let again = if replaced { QUOTA_EVERY } else { 2 * QUIET };
                self.quota_at = after.plus(again).min(turn);
            }
            Err(failure) => {
                let why = explain(&failure);
                tracing::warn!(account = %self.account.name, "the CDN's quota could not be read; going on with our own count: {why}");
                self.board.note(&why);
                if matches!(judge(&failure), Verdict::Renew | Verdict::Operator) {
                    self.board.key_refused();
                }
                // The refusal may have set the clock right.
                let after = self.clock.server_now();
                self.quota_at = after.plus(Duration::from_secs(60)).min(turn);
            }
        }
        Ok(())
    }
}

/// Keeps the waits that the journal does not hold already, so that an idle turn writes nothing.
fn newly_waiting(
    intents: &[Intent],
    waiting: Vec<(IntentId, Waiting)>,
) -> Vec<(IntentId, Waiting)> {
    let known: HashMap<IntentId, &Waiting> = intents
        .iter()
        .filter_map(|intent| match &intent.state {
            State::Pending { waiting: Some(waiting), .. } => Some((intent.id, waiting)),
            _ => None,
        })
        .collect();
    waiting.into_iter().filter(|(id, now)| known.get(id) != Some(&now)).collect()
}

/// One line about a failure: code, message and the request id that support asks for.
pub(super) fn explain(failure: &Failure) -> String {
    use std::fmt::Write as _;
    let mut text = failure.code.clone().unwrap_or_default();
    if !failure.message.is_empty() {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&failure.message);
    }
    if let Some(id) = &failure.request_id {
        let _ = write!(text, " (request id {id})");
    }
    text
}
