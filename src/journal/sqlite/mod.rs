//! The journal on `SQLite`: one verb, one transaction on the database's writer thread.
//!
//! The files follow the life of an intent: accept, decide, plan, stage, answers, doubt, poll; `flight`
//! holds what becomes of intents that leave flight, `batches` what the steps of a batch share.

mod accept;
mod answers;
mod batches;
mod browse;
mod debit;
mod decide;
mod deploys;
mod doubt;
mod flight;
mod hold;
mod look;
mod order;
mod pause;
mod plan;
mod poll;
mod prune;
mod quota;
mod reasons;
mod rows;
mod stage;

use std::time::Duration;

use async_trait::async_trait;

use super::check::Snapshot;
use super::{
    AcceptedWishes, Attention, Counts, Decision, DeployReport, Doubt, Due, HeldSet, Job, Journal,
    JournalError, Observation, Pause, Reason, Retry, Staged,
};
use crate::database::{Database, DatabaseError};
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

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(DatabaseError::from(error))
    }
}

/// The journal of this machine's accounts.
#[derive(Clone, Debug)]
pub struct SqliteJournal {
    database: Database,
}

impl SqliteJournal {
    /// Makes a journal of an open database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn lead(&self, account: &AccountName, now: Timestamp) -> Result<Fence, JournalError> {
        let account = account.clone();
        self.database.call("journal.lead", move |tx| doubt::lead(tx, &account, now)).await
    }

    async fn accept(
        &self,
        node: &NodeId,
        items: &[(u64, Outgoing)],
        now: Timestamp,
    ) -> Result<AcceptedWishes, JournalError> {
        let node = node.clone();
        let items = items.to_vec();
        self.database.call("journal.accept", move |tx| accept::accept(tx, &node, &items, now)).await
    }

    async fn decide(
        &self,
        deploy: &DeployId,
        through: Option<IntentId>,
        decision: Decision,
        who: &str,
        now: Timestamp,
    ) -> Result<u64, JournalError> {
        let (deploy, who) = (deploy.clone(), who.to_owned());
        self.database
            .call("journal.decide", move |tx| {
                decide::decide(tx, (&deploy, through), decision, &who, now)
            })
            .await
    }

    async fn hold(&self, deploy: &DeployId, why: &str) -> Result<u64, JournalError> {
        let (deploy, why) = (deploy.clone(), why.to_owned());
        self.database.call("journal.hold", move |tx| hold::hold(tx, &deploy, &why)).await
    }

    async fn pause(
        &self,
        account: &AccountName,
        origin: Option<&OriginName>,
        who: &str,
        now: Timestamp,
    ) -> Result<bool, JournalError> {
        let (account, origin, who) = (account.clone(), origin.cloned(), who.to_owned());
        self.database
            .call("journal.pause", move |tx| pause::pause(tx, &account, origin.as_ref(), &who, now))
            .await
    }

    async fn resume(
        &self,
        account: &AccountName,
        origin: Option<&OriginName>,
    ) -> Result<bool, JournalError> {
        let (account, origin) = (account.clone(), origin.cloned());
        self.database
            .call("journal.resume", move |tx| pause::resume(tx, &account, origin.as_ref()))
            .await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, JournalError> {
        self.database.call("journal.pauses", pause::pauses).await
    }

    async fn due(
        &self,
        account: &AccountName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Due, JournalError> {
        let account = account.clone();
        self.database.call("journal.due", move |tx| plan::due(tx, &account, now, limit)).await
    }

    async fn park(
        &self,
        parked: &[(IntentId, Waiting)],
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let parked = parked.to_vec();
        self.database.call("journal.park", move |tx| plan::park(tx, &parked, now)).await
    }

    async fn stage(
        &self,
        batch: &Batch,
        fence: Fence,
        limits: &PerKind<u64>,
        now: Timestamp,
    ) -> Result<Staged, JournalError> {
        let batch = batch.clone();
        let limits = *limits;
        self.database
            .call("journal.stage", move |tx| stage::stage(tx, &batch, fence, &limits, now))
            .await
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
        let key = key.clone();
        let tasks = tasks.to_vec();
        let request_id = request_id.to_owned();
        self.database
            .call("journal.accepted", move |tx| {
                answers::accepted(tx, &key, fence, (&tasks, &request_id), now, first_poll)
            })
            .await
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
        let key = key.clone();
        let verdict = *verdict;
        let why = why.to_owned();
        self.database
            .call("journal.refused", move |tx| {
                answers::refused(tx, &key, fence, (&verdict, &why), not_before, now)
            })
            .await
    }

    async fn doubted(
        &self,
        key: &BatchKey,
        fence: Fence,
        why: &str,
        look_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let key = key.clone();
        let why = why.to_owned();
        self.database
            .call("journal.doubted", move |tx| doubt::doubted(tx, &key, fence, &why, look_at, now))
            .await
    }

    async fn doubts(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<(Vec<Doubt>, Option<Timestamp>), JournalError> {
        let account = account.clone();
        self.database.call("journal.doubts", move |tx| doubt::doubts(tx, &account, now)).await
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
        let key = key.clone();
        let found = found.to_vec();
        self.database
            .call("journal.looked", move |tx| {
                doubt::looked(tx, &key, fence, &found, (look_at, first_poll), now)
            })
            .await
    }

    async fn resend(
        &self,
        key: &BatchKey,
        fence: Fence,
        now: Timestamp,
    ) -> Result<Batch, JournalError> {
        let key = key.clone();
        self.database.call("journal.resend", move |tx| stage::resend(tx, &key, fence, now)).await
    }

    async fn jobs_due(
        &self,
        account: &AccountName,
        now: Timestamp,
        limit: usize,
    ) -> Result<(Vec<Job>, Option<Timestamp>), JournalError> {
        let account = account.clone();
        self.database
            .call("journal.jobs_due", move |tx| poll::jobs_due(tx, &account, now, limit))
            .await
    }

    async fn open_jobs(&self, account: &AccountName) -> Result<u64, JournalError> {
        let account = account.clone();
        self.database.call("journal.open_jobs", move |tx| poll::open_jobs(tx, &account)).await
    }

    async fn observe(
        &self,
        observation: &Observation,
        retry: Retry,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let observation = observation.clone();
        self.database
            .call("journal.observe", move |tx| poll::observe(tx, &observation, retry, now))
            .await
    }

    async fn quota(
        &self,
        account: &AccountName,
        limits: &PerKind<u64>,
        now: Timestamp,
    ) -> Result<PerKind<Allowance>, JournalError> {
        let account = account.clone();
        let limits = *limits;
        self.database
            .call("journal.quota", move |tx| quota::quota(tx, &account, &limits, now))
            .await
    }

    async fn quota_reported(
        &self,
        account: &AccountName,
        reported: &PerKind<Option<Reported>>,
        asked_at: Timestamp,
        quiet: Duration,
        now: Timestamp,
    ) -> Result<Reconciled, JournalError> {
        let account = account.clone();
        let reported = *reported;
        self.database
            .call("journal.quota_reported", move |tx| {
                quota::reported(tx, &account, &reported, (asked_at, quiet), now)
            })
            .await
    }

    async fn spending(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<Spending, JournalError> {
        let account = account.clone();
        self.database.call("journal.spending", move |tx| debit::spending(tx, &account, now)).await
    }

    async fn past(&self, account: &AccountName, now: Timestamp) -> Result<History, JournalError> {
        let account = account.clone();
        self.database.call("journal.past", move |tx| debit::past(tx, &account, now)).await
    }

    async fn alarm(
        &self,
        account: &AccountName,
        kind: QuotaKind,
        percent: u64,
        now: Timestamp,
    ) -> Result<bool, JournalError> {
        let account = account.clone();
        self.database
            .call("journal.alarm", move |tx| debit::alarm(tx, &account, kind, percent, now))
            .await
    }

    async fn counts(&self) -> Result<Counts, JournalError> {
        self.database.call("journal.counts", look::counts).await
    }

    async fn oldest_open(&self) -> Result<Option<Timestamp>, JournalError> {
        self.database.call("journal.oldest_open", look::oldest_open).await
    }

    async fn troubles(&self, now: Timestamp) -> Result<Troubles, JournalError> {
        self.database.call("journal.troubles", move |tx| look::troubles(tx, now)).await
    }

    async fn carried(
        &self,
        key: &BatchKey,
    ) -> Result<Vec<(Timestamp, Option<Timestamp>)>, JournalError> {
        let key = key.clone();
        self.database.call("journal.carried", move |tx| look::carried(tx, &key)).await
    }

    async fn attention(&self, limit: usize) -> Result<Vec<Attention>, JournalError> {
        self.database.call("journal.attention", move |tx| look::attention(tx, limit)).await
    }

    async fn reasons(
        &self,
        deploys: Option<&[DeployId]>,
        limit: usize,
    ) -> Result<Vec<Reason>, JournalError> {
        let deploys = deploys.map(<[DeployId]>::to_vec);
        self.database
            .call("journal.reasons", move |tx| reasons::reasons(tx, deploys.as_deref(), limit))
            .await
    }

    async fn history(
        &self,
        account: &AccountName,
        action: Action,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<(Intent, Vec<Cause>)>, JournalError> {
        let account = account.clone();
        let target = target.clone();
        self.database
            .call("journal.history", move |tx| look::history(tx, &account, action, &target, limit))
            .await
    }

    async fn waiting(&self, wait: Wait) -> Result<u64, JournalError> {
        self.database.call("journal.waiting", move |tx| look::waiting(tx, wait)).await
    }

    async fn held(&self) -> Result<Vec<HeldSet>, JournalError> {
        self.database.call("journal.held", decide::held).await
    }

    async fn deploys(
        &self,
        origin: Option<&OriginName>,
        limit: usize,
    ) -> Result<Vec<Deploy>, JournalError> {
        let origin = origin.cloned();
        self.database
            .call("journal.deploys", move |tx| deploys::deploys(tx, origin.as_ref(), limit))
            .await
    }

    async fn large_deploys(
        &self,
        account: &AccountName,
        least: u64,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeployId)>, JournalError> {
        let account = account.clone();
        self.database
            .call("journal.large_deploys", move |tx| deploys::large(tx, &account, least, limit))
            .await
    }

    async fn deploy(&self, deploy: &DeployId) -> Result<Option<Deploy>, JournalError> {
        let deploy = deploy.clone();
        self.database.call("journal.deploy", move |tx| deploys::deploy(tx, &deploy)).await
    }

    async fn deploy_report(
        &self,
        deploys: &[DeployId],
        most: usize,
        limit: usize,
    ) -> Result<DeployReport, JournalError> {
        let deploys = deploys.to_vec();
        self.database
            .call("journal.deploy_report", move |tx| deploys::report(tx, &deploys, most, limit))
            .await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64, JournalError> {
        self.database.call("journal.prune", move |tx| prune::prune(tx, now)).await
    }

    async fn snapshot(&self) -> Result<Snapshot, JournalError> {
        self.database.call("journal.snapshot", look::snapshot).await
    }
}
