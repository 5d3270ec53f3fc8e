//! The CDN with its calls counted and timed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::cdn::{Accepted, Cdn, PrefetchDetail, Renewed, Submission, TaskPage, TaskQuery};
use crate::clock::SharedClock;
use crate::config::Account;
use crate::domain::ask::Kind;
use crate::domain::intent::Action;
use crate::domain::own::CdnDomain;
use crate::domain::quota::{PerKind, Reported};
use crate::domain::task::{TaskId, TaskRow};
use crate::domain::verdict::{Failure, Reached};
use crate::telemetry::meters::{Meter, Meters};

/// No documented code is longer.
const LONGEST_CODE: usize = 80;

/// Counts the calls of an account's client and hands them on.
pub struct Metered {
    cdn: Arc<dyn Cdn>,
    account: Account,
    clock: SharedClock,
    meters: Meters,
}

impl Metered {
    /// Makes one around a client.
    #[must_use]
    pub const fn new(
        cdn: Arc<dyn Cdn>,
        account: Account,
        clock: SharedClock,
        meters: Meters,
    ) -> Self {
        Self { cdn, account, clock, meters }
    }

    fn count<T>(&self, operation: &str, began: Duration, answer: &Result<T, Failure>) {
        let took = self.clock.boot().saturating_sub(began);
        let account = self.account.name.as_str();
        let code = match answer {
            Ok(_) => "ok",
            Err(failure) => self.code(failure),
        };
        self.meters.count(Meter::ApiRequests, &[account, operation, code]);
        self.meters.took(Meter::ApiTime, &[account, operation], took);
    }

    /// What the CDN says is only repeated where it is documented or taught: a label comes from no stranger.
    fn code<'f>(&self, failure: &'f Failure) -> &'f str {
        match (&failure.code, failure.reached) {
            (Some(code), _) => {
                let is_plain = code.len() <= LONGEST_CODE
                    && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
                if is_plain && self.account.verdicts.know(code) { code } else { "other" }
            }
            (None, Reached::Nothing) => "unreached",
            (None, Reached::Sent) => "unanswered",
            (None, Reached::Answered(_)) => "unreadable",
        }
    }
}

/// Returns the API's name of the operation that asks for work.
const fn operation(action: Action, kind: Kind) -> &'static str {
    match (action, kind) {
        (Action::Refresh, Kind::Tag) => "RefreshObjectCacheByCacheTag",
        (Action::Refresh, _) => "RefreshObjectCaches",
        (Action::Prefetch, _) => "PushObjectCache",
    }
}

#[async_trait]
impl Cdn for Metered {
    async fn submit(&self, submission: &Submission) -> Result<Accepted, Failure> {
        let began = self.clock.boot();
        let answer = self.cdn.submit(submission).await;
        self.count(operation(submission.action, submission.kind), began, &answer);
        answer
    }

    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<Vec<TaskRow>, Failure> {
        let began = self.clock.boot();
        let answer = self.cdn.tasks_by_id(tasks).await;
        self.count("DescribeRefreshTaskById", began, &answer);
        answer
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, Failure> {
        let began = self.clock.boot();
        let answer = self.cdn.tasks(query).await;
        self.count("DescribeRefreshTasks", began, &answer);
        answer
    }

    async fn prefetch_detail(&self, task: &TaskId) -> Result<Vec<PrefetchDetail>, Failure> {
        let began = self.clock.boot();
        let answer = self.cdn.prefetch_detail(task).await;
        self.count("DescribePreloadDetailById", began, &answer);
        answer
    }

    async fn domains(&self) -> Result<Vec<CdnDomain>, Failure> {
        let began = self.clock.boot();
        let answer = self.cdn.domains().await;
        self.count("DescribeUserDomains", began, &answer);
        answer
    }

    async fn quota(&self) -> Result<PerKind<Option<Reported>>, Failure> {
        let began = self.clock.boot();
        let answer = self.cdn.quota().await;
        self.count("DescribeRefreshQuota", began, &answer);
        answer
    }

    async fn renew(&self, refused: bool) -> Renewed {
        self.cdn.renew(refused).await
    }
}
