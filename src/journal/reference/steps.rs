//! The verbs of the reference that move intents, in the order of the trait.

use std::collections::BTreeSet;

use super::memory::{Debit, Kept, Memory, Row};
use crate::domain::ask::{Kind, Target};
use crate::domain::intent::{
    Action, Intent, IntentId, Outcome, Outgoing, State, Wait, Waiting, is_wide_refresh,
};
use crate::domain::names::{AccountName, NodeId};
use crate::domain::quota::{PerKind, QuotaKind};
use crate::domain::task::{Ask, Batch, BatchKey, Fence, TaskId, TaskStatus};
use crate::domain::time::{Day, Timestamp};
use crate::domain::verdict::Verdict;
use crate::journal::check::{AskState, BatchState};
use crate::journal::fate::Fate;
use crate::journal::{
    AcceptedWishes, Doubt, Due, Job, JobAsk, JournalError, ORPHANED, Observation, Retry, Staged,
    fate,
};

type Answer<T> = Result<T, JournalError>;

impl Kept {
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, BatchState::Staged | BatchState::Unknown)
    }

    pub(super) fn places(&self, wanted: AskState) -> Vec<usize> {
        let states = self.asks.iter().enumerate();
        states.filter(|(_, (state, _))| *state == wanted).map(|(place, _)| place).collect()
    }

    pub(super) fn asks_in(&self, wanted: AskState) -> Vec<Ask> {
        let places = self.places(wanted);
        let asks = places.iter().map(|place| self.batch.asks[*place].clone());
        asks.map(|mut ask| {
            ask.intents.sort();
            ask
        })
        .collect()
    }

    pub(super) fn has_job(&self) -> bool {
        !self.places(AskState::Accepted).is_empty()
    }

    /// Returns what is left of the batch.
    pub(super) fn remainder(&self) -> Batch {
        Batch { asks: self.asks_in(AskState::Open), ..self.batch.clone() }
    }

    pub(super) fn charge(&mut self, now: Timestamp) {
        let day = Day::of(now);
        if self.debits.iter().any(|debit| debit.day == day) {
            return;
        }
        for place in self.places(AskState::Open) {
            let (priority, origin) = self.payers[place].clone();
            self.debits.push(Debit {
                day,
                hour: Day::hour_of(now),
                send: self.sends,
                host: self.batch.asks[place].target.host().to_owned(),
                priority,
                origin,
            });
        }
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "verbs look alike, whether this journal can fail in them or not"
)]
impl Memory {
    pub(super) fn lead(&mut self, account: &AccountName, now: Timestamp) -> Answer<Fence> {
        let fence = self.leads.entry(account.clone()).or_default();
        *fence += 1;
        let fence = Fence(*fence);
        for kept in self.batches.values_mut() {
            if kept.batch.account == *account && kept.state == BatchState::Staged {
                kept.state = BatchState::Unknown;
                kept.why = Some(ORPHANED.to_owned());
                kept.look_at = now;
                kept.negatives = 0;
                kept.last_negative = None;
            }
        }
        self.release(account, &QuotaKind::ALL, now);
        Ok(fence)
    }

    pub(super) fn accept(
        &mut self,
        node: &NodeId,
        items: &[(u64, Outgoing)],
        now: Timestamp,
    ) -> Answer<AcceptedWishes> {
        let mut result = AcceptedWishes {
            through: self.through.get(node).copied().unwrap_or(0),
            ..AcceptedWishes::default()
        };
        for (sequence, item) in items {
            if *sequence <= result.through {
                continue;
            }
            result.through = *sequence;
            if let Outgoing::Wish(wish) = item
                && wish.hold.is_none()
                && wish.is_wide_refresh()
            {
                self.release(&wish.account, &QuotaKind::ALL, now);
            }
            match item {
                Outgoing::Wish(wish) if self.enter(wish, now) => result.created += 1,
                Outgoing::Wish(_) => result.absorbed += 1,
                Outgoing::Deploy(deploy) => self.take_deploy(deploy, now),
                Outgoing::Hold { deploy, why } => {
                    self.hold(deploy, why)?;
                }
            }
        }
        self.through.insert(node.clone(), result.through);
        Ok(result)
    }

    /// What is asked widely and has not ended, whether an intent wants it itself or not.
    fn wide_asks(&self, account: &AccountName) -> impl Iterator<Item = Target> {
        let wide = |kept: &&Kept| {
            let batch = &kept.batch;
            batch.account == *account && is_wide_refresh(batch.action, batch.kind)
        };
        self.batches
            .values()
            .filter(wide)
            .flat_map(|kept| {
                [AskState::Open, AskState::Accepted]
                    .into_iter()
                    .flat_map(|state| kept.asks_in(state))
            })
            .map(|ask| ask.target)
    }

    pub(super) fn due(
        &mut self,
        account: &AccountName,
        now: Timestamp,
        limit: usize,
    ) -> Answer<Due> {
        self.keep_order(account, now);
        let ready: Vec<_> = self
            .intents
            .iter()
            .filter(|row| row.intent.account == *account && row.is_pending())
            .filter(|row| !matches!(row.wait(), Some(Wait::Hold | Wait::Pause)))
            .filter(|row| !self.is_paused(row))
            .collect();
        let mut come: Vec<_> = ready.iter().filter(|row| row.not_before <= now).collect();
        come.sort_by_key(|row| (row.intent.priority, row.not_before, row.intent.id));
        come.truncate(limit);
        let intents: Vec<Intent> = come.iter().map(|row| row.intent.clone()).collect();
        let prefetched: BTreeSet<&str> = intents
            .iter()
            .filter(|intent| intent.action == Action::Prefetch)
            .map(|intent| intent.target.text.as_str())
            .collect();
        let open: BTreeSet<Target> = self
            .intents
            .iter()
            .filter(|row| row.is_open() && row.intent.account == *account)
            .filter(|row| row.intent.action == Action::Refresh && !prefetched.is_empty())
            .map(|row| row.intent.target.clone())
            .filter(|target| {
                is_wide_refresh(Action::Refresh, target.kind)
                    || prefetched.contains(target.text.as_str())
            })
            .chain(self.wide_asks(account).filter(|_| !prefetched.is_empty()))
            .collect();
        let in_flight: BTreeSet<(&str, &str)> = self
            .batches
            .values()
            .filter(|kept| kept.batch.account == *account && kept.is_live())
            .map(|kept| (kept.batch.action.as_str(), kept.batch.kind.as_str()))
            .collect();
        Ok(Due {
            open_refreshes: open.into_iter().collect(),
            in_flight: in_flight
                .into_iter()
                .filter_map(|(action, kind)| Some((Action::parse(action)?, Kind::parse(kind)?)))
                .collect(),
            next_at: ready.iter().map(|row| row.not_before).filter(|at| *at > now).min(),
            intents,
        })
    }

    pub(super) fn park(&mut self, parked: &[(IntentId, Waiting)], now: Timestamp) -> Answer<()> {
        for (id, waiting) in parked {
            let row = self.intents.iter().find(|row| row.intent.id == *id);
            let stays = |row: &&Row| waiting.wait == Wait::Hold && row.intent.approved;
            if let Some(row) = row.filter(|row| row.is_pending() && !stays(row)) {
                self.pend(*id, row.attempt, waiting.clone(), now)?;
            }
        }
        Ok(())
    }

    pub(super) fn stage(
        &mut self,
        batch: &Batch,
        fence: Fence,
        limits: &PerKind<u64>,
        now: Timestamp,
    ) -> Answer<Staged> {
        self.holds_lead(&batch.account, fence)?;
        if self.batches.contains_key(&batch.key) || batch.asks.is_empty() {
            return Ok(Staged::Stale);
        }
        let drops = batch.force || batch.kind == Kind::Url;
        let mut seen = BTreeSet::new();
        for ask in &batch.asks {
            let can_go = |id: &IntentId| {
                self.intents.iter().any(|row| {
                    row.intent.id == *id
                        && row.intent.account == batch.account
                        && row.intent.action == batch.action
                        && row.is_pending()
                        && !matches!(row.wait(), Some(Wait::Hold | Wait::Pause))
                        && (drops || !row.intent.force)
                        && !self.is_paused(row)
                })
            };
            let all = ask.intents.iter().all(|id| can_go(id) && seen.insert(*id));
            if ask.intents.is_empty() || !all {
                return Ok(Staged::Stale);
            }
        }
        let kind = batch.quota_kind();
        let left = self.quota(&batch.account, limits, now)?[kind].left();
        if batch.asks.len() as u64 > left {
            return Ok(Staged::OverBudget);
        }
        let payer = |ask: &Ask| {
            let intents = self.intents.iter().map(|row| &row.intent);
            let carried = intents.filter(|intent| ask.intents.contains(&intent.id));
            let leading = carried.min_by_key(|intent| (intent.priority, intent.id));
            leading.map(|intent| (intent.priority, intent.cause.origin.clone())).unwrap_or_default()
        };
        let payers = batch.asks.iter().map(payer).collect();
        for id in seen {
            self.row(id)?.intent.state = State::Submitting;
        }
        let mut kept = Kept {
            batch: batch.clone(),
            asks: vec![(AskState::Open, None); batch.asks.len()],
            state: BatchState::Staged,
            staged_at: now,
            sends: 1,
            negatives: 0,
            last_negative: None,
            look_at: now,
            settled_at: None,
            payers,
            debits: Vec::new(),
            job: None,
            request_id: None,
            why: None,
        };
        kept.charge(now);
        self.batches.insert(batch.key.clone(), kept);
        Ok(Staged::Ready)
    }

    pub(super) fn accepted(
        &mut self,
        key: &BatchKey,
        fence: Fence,
        tasks: &[TaskId],
        request_id: &str,
        now: Timestamp,
        first_poll: Timestamp,
    ) -> Answer<()> {
        let kept = self.turn(key, fence, BatchState::Staged)?;
        kept.state = BatchState::Accepted;
        kept.settled_at = Some(now);
        kept.request_id = Some(request_id.to_owned());
        kept.why = None;
        let places = kept.places(AskState::Open);
        self.adopt(key, &places, tasks, first_poll, now)
    }

    pub(super) fn refused(
        &mut self,
        key: &BatchKey,
        fence: Fence,
        verdict: &Verdict,
        why: &str,
        not_before: Timestamp,
        now: Timestamp,
    ) -> Answer<()> {
        let kept = self.turn(key, fence, BatchState::Staged)?;
        if *verdict == Verdict::Unknown {
            return Err(JournalError::OutOfTurn(key.clone()));
        }
        kept.state = BatchState::Refused;
        kept.settled_at = Some(now);
        kept.why = Some(why.to_owned());
        let sends = kept.sends;
        kept.debits.retain(|debit| debit.send != sends);
        let open = kept.asks_in(AskState::Open);
        for place in kept.places(AskState::Open) {
            kept.asks[place].0 = AskState::Ended;
        }
        let alone = open.len() == 1;
        for ask in open {
            for id in ask.intents {
                let row = self.row(id)?;
                let own = row.intent.target == ask.target;
                let fate = fate::of_refusal(verdict, row.attempt, (own, alone), why, not_before);
                self.settle(id, fate, now)?;
            }
        }
        Ok(())
    }

    pub(super) fn doubted(
        &mut self,
        key: &BatchKey,
        fence: Fence,
        why: &str,
        look_at: Timestamp,
        now: Timestamp,
    ) -> Answer<()> {
        let kept = self.turn(key, fence, BatchState::Staged)?;
        kept.charge(now);
        kept.state = BatchState::Unknown;
        kept.why = Some(why.to_owned());
        kept.look_at = look_at;
        kept.negatives = 0;
        kept.last_negative = None;
        Ok(())
    }

    pub(super) fn doubts(
        &mut self,
        account: &AccountName,
        now: Timestamp,
    ) -> Answer<(Vec<Doubt>, Option<Timestamp>)> {
        let mut unknown: Vec<&Kept> = self
            .batches
            .values()
            .filter(|kept| kept.batch.account == *account && kept.state == BatchState::Unknown)
            .collect();
        unknown.sort_by_key(|kept| (kept.look_at, &kept.batch.key));
        let next = unknown.iter().map(|kept| kept.look_at).find(|at| *at > now);
        let come = unknown.into_iter().filter(|kept| kept.look_at <= now);
        let doubts = come.map(|kept| Doubt {
            batch: kept.remainder(),
            staged_at: kept.staged_at,
            negatives: kept.negatives,
            last_negative: kept.last_negative,
            sends: kept.sends,
        });
        Ok((doubts.collect(), next))
    }

    pub(super) fn looked(
        &mut self,
        key: &BatchKey,
        fence: Fence,
        found: &[(Target, TaskId)],
        look_at: Timestamp,
        first_poll: Timestamp,
        now: Timestamp,
    ) -> Answer<()> {
        let kept = self.turn(key, fence, BatchState::Unknown)?;
        let open = kept.places(AskState::Open);
        let batch = kept.batch.clone();
        let named = |place: &usize| {
            let target = &batch.asks[*place].target;
            found.iter().any(|(found, _)| found == target)
        };
        let ours: Vec<usize> = open.iter().copied().filter(named).collect();
        if ours.len() == open.len() {
            kept.state = BatchState::Accepted;
            kept.settled_at = Some(now);
            kept.why = None;
        } else {
            kept.look_at = look_at;
        }
        if ours.is_empty() {
            kept.negatives += 1;
            kept.last_negative = Some(now);
            return Ok(());
        }
        let tasks: Vec<TaskId> = found
            .iter()
            .filter(|(target, _)| ours.iter().any(|place| batch.asks[*place].target == *target))
            .map(|(_, task)| task.clone())
            .collect();
        self.adopt(key, &ours, &tasks, first_poll, now)
    }

    pub(super) fn resend(&mut self, key: &BatchKey, fence: Fence, now: Timestamp) -> Answer<Batch> {
        let kept = self.turn(key, fence, BatchState::Unknown)?;
        kept.state = BatchState::Staged;
        kept.staged_at = now;
        kept.sends += 1;
        kept.charge(now);
        let batch = kept.remainder();
        *self.tally.entry("resent").or_default() += 1;
        Ok(batch)
    }

    pub(super) fn jobs_due(
        &mut self,
        account: &AccountName,
        now: Timestamp,
        limit: usize,
    ) -> Answer<(Vec<Job>, Option<Timestamp>)> {
        let mut live: Vec<_> = self
            .batches
            .values()
            .filter(|kept| kept.batch.account == *account && kept.has_job())
            .filter_map(|kept| Some((kept, kept.job.as_ref()?)))
            .collect();
        live.sort_by_key(|(kept, job)| (job.next_poll, &kept.batch.key));
        let next = live.iter().map(|(_, job)| job.next_poll).find(|at| *at > now);
        let come = live.into_iter().filter(|(_, job)| job.next_poll <= now);
        let jobs = come.take(limit).map(|(kept, job)| Job {
            key: kept.batch.key.clone(),
            account: account.clone(),
            action: kept.batch.action,
            kind: kept.batch.kind,
            tasks: job.tasks.clone(),
            asks: kept
                .places(AskState::Accepted)
                .into_iter()
                .map(|place| JobAsk {
                    target: kept.batch.asks[place].target.clone(),
                    status: kept.asks[place].1.clone(),
                })
                .collect(),
            accepted_at: job.accepted_at,
            polls: job.polls,
        });
        Ok((jobs.collect(), next))
    }

    pub(super) fn open_jobs(&mut self, account: &AccountName) -> u64 {
        let of_account = |kept: &&Kept| kept.batch.account == *account && kept.has_job();
        self.batches.values().filter(of_account).count() as u64
    }

    pub(super) fn observe(
        &mut self,
        observation: &Observation,
        retry: Retry,
        now: Timestamp,
    ) -> Answer<()> {
        let key = &observation.key;
        let out_of_turn = || JournalError::OutOfTurn(key.clone());
        let kept = self.batches.get_mut(key).ok_or_else(out_of_turn)?;
        let places = kept.places(AskState::Accepted);
        let job = kept.job.as_mut().filter(|_| !places.is_empty());
        let job = job.ok_or_else(out_of_turn)?;
        job.polls += 1;
        job.next_poll = observation.next_poll;
        let left: Vec<Target> =
            places.iter().map(|place| kept.batch.asks[*place].target.clone()).collect();
        for (target, status) in &observation.news {
            self.hear((key, target), status, fate::of_failure, retry, now)?;
        }
        if let Some(why) = &observation.expire {
            let status = TaskStatus::Failed(why.clone());
            for target in &left {
                self.hear((key, target), &status, fate::of_expiry, retry, now)?;
            }
        }
        if let Some(kept) = self.batches.get_mut(key).filter(|kept| !kept.has_job())
            && let Some(job) = &mut kept.job
        {
            job.ended_at = Some(now);
        }
        Ok(())
    }

    fn hear(
        &mut self,
        (key, target): (&BatchKey, &Target),
        status: &TaskStatus,
        fate: impl Fn(u32, &str, Timestamp) -> Fate,
        retry: Retry,
        now: Timestamp,
    ) -> Answer<()> {
        let Some(kept) = self.batches.get_mut(key) else {
            return Ok(());
        };
        let places = kept.places(AskState::Accepted);
        let named = |place: &&usize| kept.batch.asks[**place].target == *target;
        let Some(place) = places.iter().find(named).copied() else {
            return Ok(());
        };
        kept.asks[place].1 = Some(status.clone());
        if let TaskStatus::Running { .. } = status {
            return Ok(());
        }
        kept.asks[place].0 = AskState::Ended;
        let mut ids = kept.batch.asks[place].intents.clone();
        ids.sort();
        for id in ids {
            if let TaskStatus::Failed(why) = status {
                let fate = fate(self.row(id)?.attempt, why, retry.not_before);
                self.settle(id, fate, now)?;
            } else {
                self.end(id, Outcome::Done, now)?;
            }
        }
        Ok(())
    }
}
