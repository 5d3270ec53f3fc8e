//! What the reference remembers, and how intents move in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ask::{Kind, Target};
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::hint::Witness;
use crate::domain::intent::{
    Action, Cause, Intent, IntentId, Outcome, Priority, State, Wait, Waiting, Wish,
};
use crate::domain::names::{AccountName, NodeId, OriginName};
use crate::domain::quota::QuotaKind;
use crate::domain::stage::{Order, Stage};
use crate::domain::task::{Batch, BatchKey, Fence, TaskId, TaskStatus};
use crate::domain::time::{Day, Timestamp};
use crate::journal::JournalError;
use crate::journal::check::{AskState, BatchState};
use crate::journal::fate::Fate;

#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) leads: BTreeMap<AccountName, i64>,
    pub(super) through: BTreeMap<NodeId, u64>,
    pub(super) intents: Vec<Row>,
    pub(super) next: i64,
    pub(super) batches: BTreeMap<BatchKey, Kept>,
    pub(super) corrected: BTreeMap<(AccountName, Day, QuotaKind), i64>,
    pub(super) limits: BTreeMap<(AccountName, QuotaKind), u64>,
    pub(super) pauses: BTreeMap<(AccountName, Option<OriginName>), (Timestamp, String)>,
    pub(super) alarms: BTreeSet<(AccountName, Day, QuotaKind, u64)>,
    pub(super) deploys: BTreeMap<DeployId, Deploy>,
    /// Which intents a deploy caused, and what stands for those superseded.
    pub(super) caused: BTreeSet<(DeployId, IntentId)>,
    pub(super) tally: BTreeMap<&'static str, u64>,
}

/// An intent with what its present state doesn't show.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) intent: Intent,
    pub(super) not_before: Timestamp,
    pub(super) attempt: u32,
    pub(super) origin: Option<OriginName>,
    pub(super) stage: Stage,
    pub(super) overlapped: bool,
    pub(super) causes: Vec<Cause>,
}

/// A batch with all that came of it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) batch: Batch,
    pub(super) asks: Vec<(AskState, Option<TaskStatus>)>,
    pub(super) state: BatchState,
    pub(super) staged_at: Timestamp,
    pub(super) sends: u32,
    pub(super) negatives: u32,
    pub(super) last_negative: Option<Timestamp>,
    pub(super) look_at: Timestamp,
    pub(super) settled_at: Option<Timestamp>,
    /// Who pays for each ask.
    pub(super) payers: Vec<(Priority, Option<OriginName>)>,
    pub(super) debits: Vec<Debit>,
    pub(super) job: Option<KeptJob>,
    pub(super) request_id: Option<String>,
    pub(super) why: Option<String>,
}

/// What one ask was charged by one sending.
#[derive(Clone, Debug)]
pub(super) struct Debit {
    pub(super) day: Day,
    pub(super) hour: usize,
    pub(super) send: u32,
    pub(super) host: String,
    pub(super) priority: Priority,
    pub(super) origin: Option<OriginName>,
}

#[derive(Clone, Debug)]
pub(super) struct KeptJob {
    pub(super) tasks: Vec<TaskId>,
    pub(super) accepted_at: Timestamp,
    pub(super) polls: u32,
    pub(super) next_poll: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
}

impl Row {
    pub(super) fn wait(&self) -> Option<Wait> {
        match &self.intent.state {
            State::Pending { waiting, .. } => waiting.as_ref().map(|waiting| waiting.wait),
            _ => None,
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.intent.state, State::Pending { .. })
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.intent.state, State::Ended { .. })
    }

    /// Whether changes may join it.
    pub(super) fn is_free(&self) -> bool {
        self.is_pending() && self.wait() != Some(Wait::Hold)
    }

    pub(super) fn is(&self, account: &AccountName, action: Action, target: &Target) -> bool {
        self.intent.account == *account
            && self.intent.action == action
            && self.intent.target == *target
    }

    /// Moves the end of its wait.
    pub(super) fn wait_until(&mut self, until: Timestamp) {
        if let State::Pending { waiting: Some(waiting), .. } = self.intent.state.clone() {
            self.set_pending(Some(Waiting { until: Some(until), ..waiting }));
        }
    }

    pub(super) fn set_pending(&mut self, waiting: Option<Waiting>) {
        self.intent.state =
            State::Pending { not_before: self.not_before, attempt: self.attempt, waiting };
    }
}

impl Memory {
    pub(super) fn row(&mut self, id: IntentId) -> Result<&mut Row, JournalError> {
        self.intents
            .iter_mut()
            .find(|row| row.intent.id == id)
            .ok_or_else(|| JournalError::Inconsistent(format!("{id:?} is gone")))
    }

    pub(super) fn holds_lead(
        &self,
        account: &AccountName,
        fence: Fence,
    ) -> Result<(), JournalError> {
        if self.leads.get(account) == Some(&fence.0) {
            Ok(())
        } else {
            Err(JournalError::Fenced { account: account.clone() })
        }
    }

    pub(super) fn turn(
        &mut self,
        key: &BatchKey,
        fence: Fence,
        state: BatchState,
    ) -> Result<&mut Kept, JournalError> {
        let out_of_turn = || JournalError::OutOfTurn(key.clone());
        let account = self.batches.get(key).ok_or_else(out_of_turn)?;
        self.holds_lead(&account.batch.account, fence)?;
        self.batches.get_mut(key).filter(|kept| kept.state == state).ok_or_else(out_of_turn)
    }

    /// Lets a wish join or become an intent; returns whether it became one.
    pub(super) fn enter(&mut self, wish: &Wish, now: Timestamp) -> bool {
        let twin = self
            .intents
            .iter_mut()
            .find(|row| row.is_free() && row.is(&wish.account, wish.action, &wish.target));
        if let Some(row) = twin {
            if row.wait() == Some(Wait::Quota) && wish.priority < row.intent.priority {
                row.not_before = row.not_before.min(wish.not_before);
                row.wait_until(row.not_before);
            }
            row.intent.priority = row.intent.priority.min(wish.priority);
            row.intent.force |= wish.force;
            row.intent.causes += 1;
            row.intent.cause = wish.cause.clone();
            if wish.is_approved() {
                row.intent.approved = true;
                row.origin.clone_from(&wish.cause.origin);
            }
            row.causes.push(wish.cause.clone());
            if row.wait().is_none() {
                row.not_before = row.not_before.min(wish.not_before);
                row.set_pending(None);
            }
            let is_staged = row.wait() == Some(Wait::Stage);
            if wish.stage.order == Order::Any {
                row.stage.order = Order::Any;
                if is_staged {
                    row.not_before = wish.not_before;
                    row.set_pending(None);
                }
            } else if is_staged && wish.cause.deploy.is_some() {
                row.intent.deploy.clone_from(&wish.cause.deploy);
                row.stage = wish.stage;
            }
            let caused = wish.cause.deploy.clone().map(|deploy| (deploy, row.intent.id));
            self.caused.extend(caused);
            return false;
        }
        if wish.hold.is_some() {
            let held = self.intents.iter_mut().find(|row| {
                row.wait() == Some(Wait::Hold)
                    && row.is(&wish.account, wish.action, &wish.target)
                    && row.intent.deploy == wish.cause.deploy
            });
            if let Some(row) = held {
                row.intent.force |= wish.force;
                row.intent.priority = row.intent.priority.min(wish.priority);
                return false;
            }
        }
        self.next += 1;
        let hold = |why: &String| Waiting { wait: Wait::Hold, why: why.clone(), until: None };
        let waiting = wish.hold.as_ref().map(hold);
        let state = State::Pending { not_before: wish.not_before, attempt: 0, waiting };
        self.intents.push(Row {
            intent: Intent {
                id: IntentId(self.next),
                account: wish.account.clone(),
                action: wish.action,
                target: wish.target.clone(),
                force: wish.force,
                priority: wish.priority,
                created_at: now,
                deploy: wish.cause.deploy.clone(),
                approved: wish.is_approved(),
                cause: wish.cause.clone(),
                causes: 1,
                state,
            },
            not_before: wish.not_before,
            attempt: 0,
            origin: wish.cause.origin.clone(),
            stage: wish.stage,
            overlapped: false,
            causes: vec![wish.cause.clone()],
        });
        self.caused.extend(wish.cause.deploy.clone().map(|deploy| (deploy, IntentId(self.next))));
        true
    }

    pub(super) fn settle(
        &mut self,
        id: IntentId,
        fate: Fate,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        match fate {
            Fate::Failed(why) => self.end(id, Outcome::Failed(why), now),
            Fate::Again { attempt, waiting } => {
                let overlapped = self.row(id)?.overlapped;
                self.pend(id, attempt, waiting, now)?;
                self.refresh_after(id, overlapped, now)
            }
        }
    }

    pub(super) fn pend(
        &mut self,
        id: IntentId,
        attempt: u32,
        waiting: Waiting,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let own = self.row(id)?.clone();
        let (account, action, target) =
            (&own.intent.account, own.intent.action, &own.intent.target.clone());
        let twin = self
            .intents
            .iter_mut()
            .find(|row| row.intent.id != id && row.is_free() && row.is(account, action, target));
        if let Some(twin) = twin
            && waiting.wait != Wait::Hold
        {
            let twin = twin.intent.id;
            return self.merge(id, twin, now);
        }
        let row = self.row(id)?;
        row.attempt = attempt;
        row.overlapped = false;
        row.not_before = waiting.until.unwrap_or(row.not_before);
        row.set_pending(Some(waiting));
        Ok(())
    }

    /// Lets a free twin stand for an intent.
    pub(super) fn merge(
        &mut self,
        id: IntentId,
        twin: IntentId,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let own = self.row(id)?.clone();
        let row = self.row(twin)?;
        row.intent.force |= own.intent.force;
        row.intent.approved |= own.intent.approved;
        row.intent.priority = row.intent.priority.min(own.intent.priority);
        row.intent.causes += own.intent.causes;
        row.causes.splice(0..0, own.causes);
        self.finish(id, Outcome::Superseded(twin), now)
    }

    pub(super) fn end(
        &mut self,
        id: IntentId,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let overlapped = self.row(id)?.overlapped;
        self.finish(id, outcome, now)?;
        self.refresh_after(id, overlapped, now)
    }

    pub(super) fn finish(
        &mut self,
        id: IntentId,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        if let Outcome::Superseded(by) = outcome {
            self.stand_for(id, by);
        }
        *self.tally.entry(outcome.as_str()).or_default() += 1;
        let row = self.row(id)?;
        row.overlapped = false;
        row.intent.state = State::Ended { at: now, outcome };
        Ok(())
    }

    fn refresh_after(
        &mut self,
        id: IntentId,
        overlapped: bool,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        if overlapped {
            let intent = self.row(id)?.intent.clone();
            let cause = Cause {
                witness: Witness::Schedule,
                at: now,
                origin: None,
                path: None,
                change: None,
                digest: None,
                deploy: None,
            };
            let wish = Wish {
                account: intent.account,
                action: Action::Refresh,
                target: intent.target,
                force: false,
                priority: Priority::Normal,
                not_before: now,
                stage: crate::domain::stage::Stage::default(),
                hold: None,
                cause,
            };
            self.enter(&wish, now);
            *self.tally.entry("overlapped").or_default() += 1;
        }
        Ok(())
    }

    /// What was debited for an account, a day and a kind, and corrected.
    pub(super) fn used(&self, account: &AccountName, day: Day, kind: QuotaKind) -> i64 {
        let corrected = self.corrected.get(&(account.clone(), day, kind));
        let debits = self
            .batches
            .values()
            .filter(|kept| kept.batch.account == *account && kept.batch.quota_kind() == kind)
            .flat_map(|kept| &kept.debits)
            .filter(|debit| debit.day == day);
        i64::try_from(debits.count()).unwrap_or(i64::MAX) + corrected.copied().unwrap_or(0)
    }

    /// Makes open asks of a batch, by place, (a part of) its job.
    pub(super) fn adopt(
        &mut self,
        key: &BatchKey,
        places: &[usize],
        tasks: &[TaskId],
        first_poll: Timestamp,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let Some(kept) = self.batches.get_mut(key) else {
            return Err(JournalError::OutOfTurn(key.clone()));
        };
        let mut job = kept.job.take().unwrap_or(KeptJob {
            tasks: Vec::new(),
            accepted_at: now,
            polls: 0,
            next_poll: first_poll,
            ended_at: None,
        });
        if !kept.asks.iter().any(|(state, _)| *state == AskState::Accepted) {
            job.next_poll = first_poll;
        }
        job.next_poll = job.next_poll.min(first_poll);
        job.accepted_at = now;
        job.polls = 0;
        job.ended_at = None;
        for task in tasks {
            if !job.tasks.contains(task) {
                job.tasks.push(task.clone());
            }
        }
        kept.job = Some(job);
        for place in places {
            kept.asks[*place].0 = AskState::Accepted;
        }
        let batch = kept.batch.clone();
        for place in places {
            for id in &batch.asks[*place].intents {
                self.row(*id)?.intent.state = State::Submitted;
                self.supersede_held(*id, &batch, now)?;
            }
        }
        if batch.action == Action::Refresh {
            for row in &mut self.intents {
                let runs = matches!(row.intent.state, State::Submitting | State::Submitted);
                let ours = row.intent.account == batch.account
                    && row.intent.action == Action::Prefetch
                    && runs;
                row.overlapped |= ours
                    && places
                        .iter()
                        .any(|place| batch.asks[*place].target.may_reach(&row.intent.target));
            }
        }
        Ok(())
    }

    fn supersede_held(
        &mut self,
        id: IntentId,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let own = self.row(id)?.intent.clone();
        let drops = batch.force || batch.kind == Kind::Url;
        let held: Vec<IntentId> = self
            .intents
            .iter()
            .filter(|row| row.is(&own.account, own.action, &own.target))
            .filter(|row| row.wait() == Some(Wait::Hold) && row.intent.id < id)
            .filter(|row| drops || !row.intent.force)
            .map(|row| row.intent.id)
            .collect();
        for held in held {
            self.finish(held, Outcome::Superseded(id), now)?;
        }
        Ok(())
    }
}
