//! Poll: follows accepted jobs until the CDN has ended every (task id, target).
//!
//! Looks come in pairs: the CDN brings a status up to date because it was asked for, so the first answer
//! after a while may be old, and only the second is believed when it says that nothing has ended yet
//! (API reference 1.7).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::cdn::Cdn;
use crate::clock::SharedClock;
use crate::config::Account;
use crate::domain::ask::Target;
use crate::domain::pace::{Errand, Gate};
use crate::domain::task::{TaskId, TaskRow, TaskStatus, statuses};
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Failure, Verdict};
use crate::journal::{Job, Journal, JournalError, Observation, Retry};
use crate::telemetry::meters::Meter;

use super::account::AccountBoard;
use super::backoff::{full_jitter, spread};
use super::step::Step;

/// Jobs looked at together.
const JOBS: usize = 20;
/// With fewer open jobs than that, calls keep their distance.
const FEW: u64 = 10;
/// Failed targets are tried again after full jitter up to this.
const RETRY_CAP: Duration = Duration::from_secs(60);

/// Follows one account's jobs.
pub struct Poll {
    account: Account,
    journal: Arc<dyn Journal>,
    cdn: Arc<dyn Cdn>,
    clock: SharedClock,
    board: AccountBoard,
    /// A look that takes more calls.
    look: Option<Look>,
    /// There are few jobs: no call before this instant.
    no_call_before: Timestamp,
}

/// A look at some jobs, call by call.
struct Look {
    jobs: Vec<Job>,
    /// Ids to ask for, as the calls will name them.
    to_ask: VecDeque<Vec<TaskId>>,
    rows: Vec<TaskRow>,
}

impl Look {
    fn at(jobs: Vec<Job>, ids_per_call: usize) -> Self {
        let ids: BTreeSet<&TaskId> = jobs.iter().flat_map(|job| &job.tasks).collect();
        let ids: Vec<TaskId> = ids.into_iter().cloned().collect();
        let to_ask = ids.chunks(ids_per_call.max(1)).map(<[TaskId]>::to_vec).collect();
        Self { jobs, to_ask, rows: Vec::new() }
    }
}

impl Poll {
    /// Makes a poller; nothing happens before [`step`](Self::step).
    #[must_use]
    pub fn new(
        account: Account,
        journal: Arc<dyn Journal>,
        cdn: Arc<dyn Cdn>,
        clock: SharedClock,
        board: AccountBoard,
    ) -> Self {
        let no_call_before = Timestamp::EPOCH;
        Self { account, journal, cdn, clock, board, look: None, no_call_before }
    }

    /// Does one turn: at most one call.
    pub async fn step(&mut self) -> Result<Step, JournalError> {
        let now = self.clock.server_now();
        let gate = self.board.gate(Errand::TasksById, now);
        if gate != Gate::Open {
            return Ok(Step::Idle { until: gate.at() });
        }
        let mut look = match self.look.take() {
            Some(look) => look,
            None => match self.begin(now).await? {
                Ok(look) => look,
                Err(until) => return Ok(Step::Idle { until }),
            },
        };
        if now < self.no_call_before {
            self.look = Some(look);
            return Ok(Step::Idle { until: Some(self.no_call_before) });
        }
        let Some(ids) = look.to_ask.pop_front() else {
            return self.end(look).await;
        };
        let answer = self.cdn.tasks_by_id(&ids).await;
        let now = self.clock.server_now();
        let is_few = self.journal.open_jobs(&self.account.name).await? < FEW;
        self.no_call_before = if is_few { now.plus(self.account.poll_gap) } else { now };
        match answer {
            Ok(rows) => {
                self.board.answered(Errand::TasksById, now);
                look.rows.extend(rows);
            }
            Err(failure) => {
                let verdict = self.account.verdicts.judge(&failure);
                let random = self.clock.random();
                self.board.failed(Errand::TasksById, (&failure, &verdict), now, random);
                if !matches!(verdict, Verdict::Never | Verdict::Split) {
                    // The jobs stay due, and are looked at when the CDN answers again.
                    self.despair(&look, &failure, &verdict).await?;
                    return Ok(Step::Worked);
                }
                // It won't have one of the ids. The others are asked for alone, and that one brings
                // no rows: its job expires in time.
                if ids.len() > 1 {
                    let alone = ids.into_iter().map(|id| vec![id]);
                    look.to_ask.extend(alone);
                } else {
                    tracing::warn!(task = ids[0].0, "the CDN knows no such task: {failure}");
                }
            }
        }
        if look.to_ask.is_empty() {
            return self.end(look).await;
        }
        self.look = Some(look);
        Ok(Step::Worked)
    }

    /// Begins a look at the jobs whose time has come, or says when one's will have.
    async fn begin(&self, now: Timestamp) -> Result<Result<Look, Option<Timestamp>>, JournalError> {
        let name = &self.account.name;
        let (mut jobs, next) = self.journal.jobs_due(name, now, JOBS).await?;
        if jobs.is_empty() {
            return Ok(Err(next));
        }
        if now < self.no_call_before {
            return Ok(Err(Some(self.no_call_before)));
        }
        if self.journal.open_jobs(name).await? < FEW {
            // What would be due before the next call may be made comes along.
            let soon = now.plus(self.account.poll_gap);
            jobs = self.journal.jobs_due(name, soon, JOBS).await?.0;
        }
        Ok(Ok(Look::at(jobs, self.account.limits.ids_per_call)))
    }

    /// Ends a look: what was heard of each job is written down.
    async fn end(&self, look: Look) -> Result<Step, JournalError> {
        for job in &look.jobs {
            self.observe(job, &look.rows).await?;
        }
        self.board.wake_dispatch();
        Ok(Step::Worked)
    }

    /// Gives up jobs that are old enough, if the key may not ask for them.
    async fn despair(
        &self,
        look: &Look,
        failure: &Failure,
        verdict: &Verdict,
    ) -> Result<(), JournalError> {
        if verdict.may_pass() {
            return Ok(());
        }
        let now = self.clock.server_now();
        let is_old = |job: &&Job| now.since(job.accepted_at) >= self.account.poll_give_up;
        for job in look.jobs.iter().filter(is_old) {
            let why = format!("what became of it can't be asked: {failure}");
            self.write(job, Vec::new(), Some(why), now).await?;
        }
        Ok(())
    }

    async fn observe(&self, job: &Job, rows: &[TaskRow]) -> Result<(), JournalError> {
        let now = self.clock.server_now();
        let asks = job.asks.iter().map(|ask| &ask.target);
        let news = statuses(job.kind, asks, &job.tasks, rows);
        for (target, status) in &news {
            if let TaskStatus::Failed(why) = status {
                tracing::warn!(batch = %job.key, intent.url = %target, "the CDN ended a task failed: {why}");
            }
        }
        let is_old = now.since(job.accepted_at) >= self.account.poll_give_up;
        let expire = (is_old && is_second(job)).then(|| {
            format!(
                "the CDN did not report an end within {} minutes of accepting it",
                self.account.poll_give_up.as_secs() / 60
            )
        });
        self.write(job, news, expire, now).await
    }

    async fn write(
        &self,
        job: &Job,
        news: Vec<(Target, TaskStatus)>,
        expire: Option<String>,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let wait = if is_second(job) {
            spread(delay(&self.account, job.polls / 2 + 1), self.clock.random())
        } else {
            self.account.poll_gap
        };
        let retry = full_jitter(RETRY_CAP, RETRY_CAP, 1, self.clock.random());
        let not_before = now.plus(retry.min(self.account.poll_first));
        let key = job.key.clone();
        let failed = news.iter().filter(|(_, status)| matches!(status, TaskStatus::Failed(_)));
        let failed = failed.count();
        let has_done = news.iter().any(|(_, status)| *status == TaskStatus::Complete);
        let observation = Observation { key, news, next_poll: now.plus(wait), expire };
        self.journal.observe(&observation, Retry { not_before }, now).await?;
        self.board.again("failed", failed);
        if has_done {
            for (since, done_at) in self.journal.carried(&job.key).await.unwrap_or_default() {
                if done_at == Some(now) {
                    self.board.meters().took(Meter::ToDone, &[], now.since(since));
                }
            }
        }
        Ok(())
    }
}

/// Returns whether this look at a job is the second of a pair: its answer is believed.
const fn is_second(job: &Job) -> bool {
    job.polls % 2 == 1
}

/// Returns the wait before pair number `pairs + 1` of looks: half as long again each time, up to
/// `poll_max`.
fn delay(account: &Account, pairs: u32) -> Duration {
    let grown = account.poll_first.as_secs_f64()
        * 1.5_f64.powi(pairs.saturating_sub(1).min(40).cast_signed());
    Duration::from_secs_f64(grown.min(account.poll_max.as_secs_f64()))
}
