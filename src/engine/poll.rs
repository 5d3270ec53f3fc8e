//! Poll: follows accepted jobs until the CDN has ended every (task id, target).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::cdn::Cdn;
use crate::clock::SharedClock;
use crate::config::Account;
use crate::domain::task::{TaskId, TaskRow, TaskStatus, statuses};
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Failure, Verdict, judge};
use crate::journal::{Job, Journal, JournalError, Observation, Retry};

use super::account::AccountBoard;
use super::backoff::{full_jitter, spread};
use super::dispatch::explain;
use super::step::Step;

/// Jobs looked at in one turn.
const JOBS: usize = 20;
/// Task ids one call may name (API reference 1.8).
const IDS: usize = 10;
/// Failed targets are tried again after full jitter up to this.
const RETRY_CAP: Duration = Duration::from_secs(60);

/// Follows one account's jobs.
pub struct Poll {
    account: Account,
    journal: Arc<dyn Journal>,
    cdn: Arc<dyn Cdn>,
    clock: SharedClock,
    board: AccountBoard,
    halted_until: Timestamp,
    failures: u32,
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
        let halted_until = Timestamp::EPOCH;
        Self { account, journal, cdn, clock, board, halted_until, failures: 0 }
    }

    /// Looks at the jobs whose time has come.
    pub async fn step(&mut self) -> Result<Step, JournalError> {
        let now = self.clock.server_now();
        if now < self.halted_until {
            return Ok(Step::Idle { until: Some(self.halted_until) });
        }
        let (jobs, next) = self.journal.jobs_due(&self.account.name, now, JOBS).await?;
        if jobs.is_empty() {
            return Ok(Step::Idle { until: next });
        }
        let ids: BTreeSet<&TaskId> = jobs.iter().flat_map(|job| &job.tasks).collect();
        let ids: Vec<TaskId> = ids.into_iter().cloned().collect();
        let mut rows = Vec::new();
        for ten in ids.chunks(IDS) {
            match self.ask(ten).await {
                Ok(more) => rows.extend(more),
                Err(failure) => {
                    self.failures = self.failures.saturating_add(1);
                    let wait = full_jitter(
                        Duration::from_secs(2),
                        self.account.poll_max,
                        self.failures,
                        self.clock.random(),
                    );
                    let wait = wait.max(failure.retry_after.unwrap_or(Duration::from_secs(1)));
                    self.halted_until = self.clock.server_now().plus(wait);
                    self.board.note(&explain(&failure));
                    if matches!(judge(&failure), Verdict::Renew | Verdict::Operator) {
                        self.cdn.renew();
                    }
                    return Ok(Step::Worked);
                }
            }
        }
        self.failures = 0;
        self.board.answered(now);
        for job in &jobs {
            self.observe(job, &rows).await?;
        }
        self.board.wake_dispatch();
        Ok(Step::Worked)
    }

    /// Asks for up to ten ids. If the CDN won't have one of them, the others are asked alone, and
    /// that one brings no rows: its job is given up in time.
    async fn ask(&self, ids: &[TaskId]) -> Result<Vec<TaskRow>, Failure> {
        let is_bad = |failure: &Failure| matches!(judge(failure), Verdict::Never | Verdict::Split);
        match self.cdn.tasks_by_id(ids).await {
            Err(failure) if is_bad(&failure) => {
                let mut rows = Vec::new();
                for id in ids {
                    match self.cdn.tasks_by_id(std::slice::from_ref(id)).await {
                        Ok(more) => rows.extend(more),
                        Err(failure) if is_bad(&failure) => {
                            tracing::warn!(task.id = %id, "the CDN knows no such task: {}", explain(&failure));
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                Ok(rows)
            }
            answer => answer,
        }
    }

    async fn observe(&self, job: &Job, rows: &[TaskRow]) -> Result<(), JournalError> {
        let now = self.clock.server_now();
        let asks = job.asks.iter().map(|ask| &ask.target);
        let news = statuses(job.kind, asks, &job.tasks, rows);
        for (target, status) in &news {
            if let TaskStatus::Failed(why) = status {
                tracing::warn!(job.key = %job.key, intent.url = %target, "the CDN ended a task failed: {why}");
            }
        }
        let expire = (now.since(job.accepted_at) >= self.account.poll_give_up).then(|| {
            format!(
                "the CDN did not report an end within {} minutes of accepting it",
                self.account.poll_give_up.as_secs() / 60
            )
        });
        let next = spread(delay(&self.account, job.polls + 1), self.clock.random());
        let retry = full_jitter(RETRY_CAP, RETRY_CAP, 1, self.clock.random());
        self.journal
            .observe(
                &Observation { key: job.key.clone(), news, next_poll: now.plus(next), expire },
                Retry { not_before: now.plus(retry.min(self.account.poll_first)) },
                now,
            )
            .await
    }
}

/// Returns the wait before look number `polls + 1`: half as long again each time, up to `poll_max`.
fn delay(account: &Account, polls: u32) -> Duration {
    let grown = account.poll_first.as_secs_f64()
        * 1.5_f64.powi(polls.saturating_sub(1).min(40).cast_signed());
    Duration::from_secs_f64(grown.min(account.poll_max.as_secs_f64()))
}
