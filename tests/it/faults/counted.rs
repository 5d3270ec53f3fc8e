//! What the engine asks of the CDN, counted on its way, and the time that a call takes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use refreshd::cdn::wire::Operation;
use refreshd::cdn::{
    Accepted, Cdn, Client, PrefetchDetail, Renewed, Submission, TaskPage, TaskQuery,
};
use refreshd::clock::{Clock, ManualClock};
use refreshd::domain::intent::Action;
use refreshd::domain::own::CdnDomain;
use refreshd::domain::quota::{PerKind, Reported};
use refreshd::domain::task::{TaskId, TaskRow};
use refreshd::domain::verdict::{Failure, Verdict, judge};

/// From when until when, or how long at least and at most.
pub(super) type Span = std::ops::Range<Duration>;

/// One call that the engine made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// When, since the beginning.
    pub(super) at: Duration,
    pub(super) operation: Operation,
    /// Whether nobody can tell from the answer if it was carried out.
    pub(super) unknown: bool,
}

/// The real client, with a note of every call.
pub(super) struct Counted {
    pub(super) client: Client,
    pub(super) clock: Arc<ManualClock>,
    pub(super) made: Mutex<Vec<Made>>,
    /// How long half a round trip takes.
    pub(super) travel: Span,
    /// Throws how long of that it is.
    pub(super) dice: Arc<ManualClock>,
}

impl Counted {
    pub(super) fn made(&self) -> Vec<Made> {
        self.made.lock().expect("not poisoned").clone()
    }

    pub(super) fn count(&self) -> usize {
        self.made.lock().expect("not poisoned").len()
    }

    fn travel(&self) {
        let spread = self.travel.end.saturating_sub(self.travel.start);
        let micros = u64::try_from(spread.as_micros()).expect("short").max(1);
        self.clock.advance(self.travel.start + Duration::from_micros(self.dice.random() % micros));
    }

    async fn note<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let at = self.clock.boot();
        self.travel();
        let answer = call.await;
        self.travel();
        let unknown =
            answer.as_ref().err().is_some_and(|failure| judge(failure) == Verdict::Unknown);
        self.made.lock().expect("not poisoned").push(Made { at, operation, unknown });
        answer
    }
}

#[async_trait]
impl Cdn for Counted {
    async fn submit(&self, submission: &Submission) -> Result<Accepted, Failure> {
        let operation = match submission.action {
            Action::Refresh => Operation::RefreshObjectCaches,
            Action::Prefetch => Operation::PushObjectCache,
        };
        self.note(operation, self.client.submit(submission)).await
    }

    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<Vec<TaskRow>, Failure> {
        self.note(Operation::DescribeRefreshTaskById, self.client.tasks_by_id(tasks)).await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, Failure> {
        self.note(Operation::DescribeRefreshTasks, self.client.tasks(query)).await
    }

    async fn prefetch_detail(&self, task: &TaskId) -> Result<Vec<PrefetchDetail>, Failure> {
        self.note(Operation::DescribePreloadDetailById, self.client.prefetch_detail(task)).await
    }

    async fn domains(&self) -> Result<Vec<CdnDomain>, Failure> {
        self.note(Operation::DescribeUserDomains, self.client.domains()).await
    }

    async fn quota(&self) -> Result<PerKind<Option<Reported>>, Failure> {
        self.note(Operation::DescribeRefreshQuota, self.client.quota()).await
    }

    async fn renew(&self, refused: bool) -> Renewed {
        self.client.renew(refused).await
    }
}
