//! The journal in plain vectors: slow, obviously right, and gone with the process. The contract
//! suite holds every other journal against it.

mod browse;
mod decide;
mod deploys;
mod looks;
mod memory;
mod pause;
mod reasons;
mod steps;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::check::Snapshot;
use super::{
    AcceptedWishes, Attention, Counts, Decision, DeployReport, Doubt, Due, HeldSet, Job, Journal,
    JournalError, Observation, Pause, Reason, Retry, Staged,
};
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
use memory::Memory;

/// A journal in memory.
#[derive(Debug, Default)]
pub struct ReferenceJournal {
    memory: Mutex<Memory>,
}

impl ReferenceJournal {
    /// Runs a verb on a copy, which is kept if it succeeds.
    fn verb<R>(
        &self,
        verb: impl FnOnce(&mut Memory) -> Result<R, JournalError>,
    ) -> Result<R, JournalError> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copy = memory.clone();
        let result = verb(&mut copy)?;
        *memory = copy;
        Ok(result)
    }
}

#[async_trait]
impl Journal for ReferenceJournal {
    async fn lead(&self, account: &AccountName, now: Timestamp) -> Result<Fence, JournalError> {
        self.verb(|memory| memory.lead(account, now))
    }

    async fn accept(
        &self,
        node: &NodeId,
        items: &[(u64, Outgoing)],
        now: Timestamp,
    ) -> Result<AcceptedWishes, JournalError> {
        self.verb(|memory| memory.accept(node, items, now))
    }

    async fn decide(
        &self,
        deploy: &DeployId,
        through: Option<IntentId>,
        decision: Decision,
        who: &str,
        now: Timestamp,
    ) -> Result<u64, JournalError> {
        self.verb(|memory| memory.decide((deploy, through), decision, who, now))
    }

    async fn hold(&self, deploy: &DeployId, why: &str) -> Result<u64, JournalError> {
        self.verb(|memory| memory.hold(deploy, why))
    }

    async fn pause(
        &self,
        account: &AccountName,
        origin: Option<&OriginName>,
        who: &str,
        now: Timestamp,
    ) -> Result<bool, JournalError> {
        self.verb(|memory| memory.pause(account, origin, who, now))
    }

    async fn resume(
        &self,
        account: &AccountName,
        origin: Option<&OriginName>,
    ) -> Result<bool, JournalError> {
        self.verb(|memory| memory.resume(account, origin))
    }

    async fn pauses(&self) -> Result<Vec<Pause>, JournalError> {
        self.verb(Memory::pauses)
    }

    async fn due(
        &self,
        account: &AccountName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Due, JournalError> {
        self.verb(|memory| memory.due(account, now, limit))
    }

    async fn park(
        &self,
        parked: &[(IntentId, Waiting)],
        now: Timestamp,
    ) -> Result<(), JournalError> {
        self.verb(|memory| memory.park(parked, now))
    }

    async fn stage(
        &self,
        batch: &Batch,
        fence: Fence,
        limits: &PerKind<u64>,
        now: Timestamp,
    ) -> Result<Staged, JournalError> {
        self.verb(|memory| memory.stage(batch, fence, limits, now))
    }

    async fn accepted(
        &self,
        key: &BatchKey,
        fence: Fence,
        tasks: &[TaskId],
        request_id: &str,
        now: Timestamp,
        first_poll: Timestamp,
    ) -> Result<(), JournalError> {
        self.verb(|memory| memory.accepted(key, fence, tasks, request_id, now, first_poll))
    }

    async fn refused(
        &self,
        key: &BatchKey,
        fence: Fence,
        verdict: &Verdict,
        why: &str,
        not_before: Timestamp,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        self.verb(|memory| memory.refused(key, fence, verdict, why, not_before, now))
    }

    async fn doubted(
        &self,
        key: &BatchKey,
        fence: Fence,
        why: &str,
        look_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        self.verb(|memory| memory.doubted(key, fence, why, look_at, now))
    }

    async fn doubts(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<(Vec<Doubt>, Option<Timestamp>), JournalError> {
        self.verb(|memory| memory.doubts(account, now))
    }

    async fn looked(
        &self,
        key: &BatchKey,
        fence: Fence,
        found: &[(Target, TaskId)],
        look_at: Timestamp,
        first_poll: Timestamp,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        self.verb(|memory| memory.looked(key, fence, found, look_at, first_poll, now))
    }

    async fn resend(
        &self,
        key: &BatchKey,
        fence: Fence,
        now: Timestamp,
    ) -> Result<Batch, JournalError> {
        self.verb(|memory| memory.resend(key, fence, now))
    }

    async fn jobs_due(
        &self,
        account: &AccountName,
        now: Timestamp,
        limit: usize,
    ) -> Result<(Vec<Job>, Option<Timestamp>), JournalError> {
        self.verb(|memory| memory.jobs_due(account, now, limit))
    }

    async fn open_jobs(&self, account: &AccountName) -> Result<u64, JournalError> {
        self.verb(|memory| Ok(memory.open_jobs(account)))
    }

    async fn observe(
        &self,
        observation: &Observation,
        retry: Retry,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        self.verb(|memory| memory.observe(observation, retry, now))
    }

    async fn quota(
        &self,
        account: &AccountName,
        limits: &PerKind<u64>,
        now: Timestamp,
    ) -> Result<PerKind<Allowance>, JournalError> {
        self.verb(|memory| memory.quota(account, limits, now))
    }

    async fn quota_reported(
        &self,
        account: &AccountName,
        reported: &PerKind<Option<Reported>>,
        asked_at: Timestamp,
        quiet: Duration,
        now: Timestamp,
    ) -> Result<Reconciled, JournalError> {
        self.verb(|memory| memory.quota_reported(account, reported, asked_at, quiet, now))
    }

    async fn spending(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<Spending, JournalError> {
        self.verb(|memory| memory.spending(account, now))
    }

    async fn past(&self, account: &AccountName, now: Timestamp) -> Result<History, JournalError> {
        self.verb(|memory| memory.past(account, now))
    }

    async fn alarm(
        &self,
        account: &AccountName,
        kind: QuotaKind,
        percent: u64,
        now: Timestamp,
    ) -> Result<bool, JournalError> {
        self.verb(|memory| memory.alarm(account, kind, percent, now))
    }

    async fn counts(&self) -> Result<Counts, JournalError> {
        self.verb(Memory::counts)
    }

    async fn oldest_open(&self) -> Result<Option<Timestamp>, JournalError> {
        self.verb(Memory::oldest_open)
    }

    async fn troubles(&self, now: Timestamp) -> Result<Troubles, JournalError> {
        self.verb(|memory| memory.troubles(now))
    }

    async fn carried(
        &self,
        key: &BatchKey,
    ) -> Result<Vec<(Timestamp, Option<Timestamp>)>, JournalError> {
        self.verb(|memory| memory.carried(key))
    }

    async fn attention(&self, limit: usize) -> Result<Vec<Attention>, JournalError> {
        self.verb(|memory| memory.attention(limit))
    }

    async fn reasons(
        &self,
        deploys: Option<&[DeployId]>,
        limit: usize,
    ) -> Result<Vec<Reason>, JournalError> {
        self.verb(|memory| memory.reasons(deploys, limit))
    }

    async fn history(
        &self,
        account: &AccountName,
        action: Action,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<(Intent, Vec<Cause>)>, JournalError> {
        self.verb(|memory| memory.history(account, action, target, limit))
    }

    async fn waiting(&self, wait: Wait) -> Result<u64, JournalError> {
        self.verb(|memory| memory.waiting(wait))
    }

    async fn held(&self) -> Result<Vec<HeldSet>, JournalError> {
        self.verb(Memory::held)
    }

    async fn deploys(
        &self,
        origin: Option<&OriginName>,
        limit: usize,
    ) -> Result<Vec<Deploy>, JournalError> {
        self.verb(|memory| memory.deploys(origin, limit))
    }

    async fn large_deploys(
        &self,
        account: &AccountName,
        least: u64,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeployId)>, JournalError> {
        self.verb(|memory| memory.large_deploys(account, least, limit))
    }

    async fn deploy(&self, deploy: &DeployId) -> Result<Option<Deploy>, JournalError> {
        self.verb(|memory| memory.deploy(deploy))
    }

    async fn deploy_report(
        &self,
        deploys: &[DeployId],
        most: usize,
        limit: usize,
    ) -> Result<DeployReport, JournalError> {
        self.verb(|memory| memory.deploy_report(deploys, most, limit))
    }

    async fn prune(&self, now: Timestamp) -> Result<u64, JournalError> {
        self.verb(|memory| memory.prune(now))
    }

    async fn snapshot(&self) -> Result<Snapshot, JournalError> {
        self.verb(Memory::snapshot)
    }
}
