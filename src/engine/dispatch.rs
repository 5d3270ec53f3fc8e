//! Dispatch: turns pending intents into batches the CDN accepts, one call at a time.
//!
//! One turn is [`Dispatch::step`]. Each call is written down before it is made (rule 3), and its
//! answer before anything else happens; an answer that can't be written is kept and tried again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::cdn::Cdn;
use crate::clock::SharedClock;
use crate::config::Account;
use crate::domain::ask::Kind;
use crate::domain::cover::Recurrence;
use crate::domain::guard::{self, Guard};
use crate::domain::intent::{Action, Intent, IntentId, Priority, State, Wait, Waiting};
use crate::domain::names::OriginName;
use crate::domain::pace::{Errand, Gate};
use crate::domain::plan::PlannedBatch;
use crate::domain::prefetch::PrefetchByHost;
use crate::domain::quota::{self, QuotaKind};
use crate::domain::task::{Batch, BatchKey, Fence};
use crate::domain::time::{Day, Timestamp};
use crate::journal::{Journal, JournalError, Staged};

use super::account::AccountBoard;
use super::census::Trees;
use super::step::Step;
use answer::Answer;
use lessons::Lessons;
use treasurer::Treasurer;

mod answer;
mod doubt;
mod draft;
mod hold;
mod lessons;
mod prefetch;
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

/// Turns one account's pending intents into batches.
pub struct Dispatch {
    account: Account,
    journal: Arc<dyn Journal>,
    cdn: Arc<dyn Cdn>,
    clock: SharedClock,
    board: AccountBoard,
    fence: Fence,
    /// An answer that could not be written yet.
    unwritten: Option<(Batch, Answer)>,
    /// Batches planned at `planned_at` and not sent yet.
    planned: VecDeque<PlannedBatch>,
    planned_at: Timestamp,
    /// What refusals have told of later batches.
    lessons: Lessons,
    /// When the quota is asked next.
    quota_at: Timestamp,
    /// What of each origin is held for a person.
    guards: BTreeMap<OriginName, Guard>,
    /// What lives beside what changes.
    trees: Trees,
    /// How each host is prefetched.
    prefetching: PrefetchByHost,
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
            planned: VecDeque::new(),
            planned_at: Timestamp::EPOCH,
            lessons: Lessons::default(),
            quota_at: Timestamp::EPOCH,
            guards: BTreeMap::new(),
            trees: Trees::default(),
            prefetching: PrefetchByHost::default(),
            recurrence: Recurrence::of(large),
            treasurer,
        })
    }

    /// Has each plan judged before it is followed.
    #[must_use]
    pub fn guarded(self, guards: BTreeMap<OriginName, Guard>) -> Self {
        Self { guards, ..self }
    }

    /// Has each host prefetched in its own way.
    #[must_use]
    pub fn prefetching(self, prefetching: PrefetchByHost) -> Self {
        Self { prefetching, ..self }
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
        if let Err(later) = quota::may_call(now, self.account.timeout + RATE_WAIT) {
            return Ok(Step::Idle { until: Some(later) });
        }
        let probe = self.board.pace().probe_at();
        match probe {
            Some(at) if now < at => return Ok(Step::Idle { until: Some(at) }),
            None if now < self.quota_at => {}
            _ => match self.board.gate(Errand::Quota, now) {
                Gate::Open => {
                    self.ask_quota(now).await?;
                    return Ok(Step::Worked);
                }
                gate => self.quota_at = gate.at().unwrap_or(self.quota_at),
            },
        }
        let (doubts, mut next_doubt) = self.journal.doubts(&self.account.name, now).await?;
        for doubt in doubts {
            if doubt.negatives >= 2 && self.is_paused().await? {
                // It is sent again once the account goes on.
                continue;
            }
            match self.doubt_gate(&doubt, now) {
                Gate::Open => {
                    self.resolve(doubt).await?;
                    return Ok(Step::Worked);
                }
                gate => next_doubt = [next_doubt, gate.at()].into_iter().flatten().min(),
            }
        }
        let is_old = now.since(self.planned_at) >= PLAN_LASTS || now < self.planned_at;
        // Another day has another purse.
        if is_old || Day::of(now) != Day::of(self.planned_at) {
            self.planned.clear();
        }
        let (closed, opens_at) = self.closed(now);
        let is_open = |batch: &PlannedBatch| !closed.contains(&(batch.action, batch.kind));
        // A prefetch goes at once or by a fresh plan: its url may have to be refreshed since (rule 9).
        self.planned.retain(|batch| batch.action == Action::Refresh || is_open(batch));
        if let Some(planned) =
            self.planned.iter().position(is_open).and_then(|at| self.planned.remove(at))
        {
            let batch = self.draw_up(planned, now);
            self.send_staged(batch, now).await?;
            return Ok(Step::Worked);
        }
        let is_shut = closed.len() == 2 * Kind::ALL.len();
        let next_due = if !self.planned.is_empty() {
            // It is followed as slowly as its calls may be made.
            Some(self.planned_at.plus(PLAN_LASTS))
        } else if is_shut {
            None
        } else {
            let next_due = self.plan(&closed, now).await?;
            if !self.planned.is_empty() || next_due.is_some_and(|at| at <= now) {
                return Ok(Step::Worked);
            }
            next_due
        };
        self.board.publish(false, now);
        Ok(Step::Idle {
            until: [next_doubt, next_due, opens_at, Some(self.quota_at)]
                .into_iter()
                .flatten()
                .min(),
        })
    }

    /// Returns the actions and kinds that no call may be made for now, and when the first may.
    fn closed(&self, now: Timestamp) -> (Vec<(Action, Kind)>, Option<Timestamp>) {
        let mut closed = Vec::new();
        let mut opens_at = None;
        for action in [Action::Refresh, Action::Prefetch] {
            for kind in Kind::ALL {
                let gate = self.board.gate(Errand::of(action, kind), now);
                let quota = QuotaKind::of(action, kind);
                let spent = self.board.pace().closed_kind(quota, now).map(|(at, _)| at);
                opens_at = opens_at.into_iter().chain(gate.at()).chain(spent).min();
                if gate != Gate::Open || spent.is_some() {
                    closed.push((action, kind));
                }
            }
        }
        (closed, opens_at)
    }

    /// Plans what is due and parks what has to wait; returns when more is due. The batches are sent
    /// in the next turns, each staged just before its call, until one isn't accepted: then the plan
    /// is void. A plan that a guard refuses is not followed: the next turn makes another. Of `closed`
    /// kinds nothing is planned, and nothing is parked either: they go on by themselves.
    async fn plan(
        &mut self,
        closed: &[(Action, Kind)],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, JournalError> {
        let mut due = self.journal.due(&self.account.name, now, DUE).await?;
        if due.intents.is_empty() {
            self.treasurer.look(now).await?;
            return Ok(due.next_at);
        }
        let is_full = due.intents.len() == DUE;
        due.in_flight.extend(closed);
        let aside = lessons::set_aside(&mut due.intents, &self.board.pace(), now);
        self.park(&[], aside, now).await?;
        if let Some(half) = self.lessons.half(&due) {
            let purse = self.treasurer.purse(now).await?;
            let (plan, _, _) = self.draft(half, purse, true, now).await;
            if let Some(batch) = plan.batches.into_iter().next() {
                self.planned.push_back(batch);
                self.planned_at = self.clock.server_now();
                return Ok(due.next_at);
            }
            self.lessons.forget_half();
            return Ok(Some(now));
        }
        let purse = self.treasurer.purse(now).await?;
        let (plan, due, purse) = self.draft(due, purse, false, now).await;
        let held = guard::judge(&plan, &due.intents, &purse, &self.guards);
        if !held.is_empty() {
            self.hold(&held, now).await?;
            return Ok(Some(now));
        }
        let mut waiting = plan.waiting;
        if is_full {
            // What only an event ends must not crowd out what could go.
            for (_, waiting) in &mut waiting {
                waiting.until.get_or_insert(now.plus(CROWDED));
            }
        }
        self.park(&due.intents, waiting, now).await?;
        // Of prefetches only what goes next.
        let mut batches = plan.batches.into_iter();
        self.planned.extend(batches.next().map(|batch| prefetch::alike(batch, &self.prefetching)));
        self.planned.extend(batches.filter(|batch| batch.action == Action::Refresh));
        // From now on: a plan that took long to make is no older for it, and is followed.
        self.planned_at = self.clock.server_now();
        Ok(due.next_at)
    }

    /// Writes down what waits, a part at a time: others need the writer too (rule 6).
    async fn park(
        &self,
        intents: &[Intent],
        waiting: Vec<(IntentId, Waiting)>,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let news = newly_waiting(intents, waiting);
        for news in news.chunks(PARKED) {
            self.journal.park(news, now).await?;
        }
        self.tell_parked(intents, &news);
        Ok(())
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
            tracing::warn!(event = "quota-exhausted", account = %self.account.name, intents, "parked: {why}");
        }
    }

    fn draw_up(&mut self, mut planned: PlannedBatch, now: Timestamp) -> Batch {
        if let Some(rest) = self.lessons.of_one_host(&mut planned) {
            self.planned.push_front(rest);
        }
        let key = BatchKey::new(now, self.clock.random());
        tracing::debug!(batch = %key, batch.asks = planned.asks.len(), "{}", planned.why);
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
        let answer = self.cdn.submit(&prefetch::submission(&batch, &self.prefetching)).await;
        self.hear(batch, answer).await
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
