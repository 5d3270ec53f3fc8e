//! This room speaks to the CDN: one call in, one answer or one failure out.
//!
//! Enters: asks and questions. Leaves: task ids, task rows, quota, domains, or a [`Failure`] that
//! `domain::verdict` judges.
//! **Invariant:** no call is retried in here; a retry is a row of the journal.

use async_trait::async_trait;

use crate::domain::ask::{Kind, Target};
use crate::domain::intent::Action;
use crate::domain::own::CdnDomain;
use crate::domain::prefetch::PrefetchOptions;
use crate::domain::quota::{PerKind, Reported};
use crate::domain::task::{TaskId, TaskRow};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Failure;

pub mod client;
pub mod credentials;
mod rate;
mod refusal;
pub mod sign;
mod skew;
mod transport;
mod trouble;
pub mod wire;

pub use client::{Client, ClientConfig, ClientError};
pub use credentials::{CredentialError, Credentials, Keyring, Renewed, Surroundings};

/// What the CDN answered to an accepted batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The task ids, split at commas; one may be shared with another batch (API reference 1.2).
    pub tasks: Vec<TaskId>,
    /// The CDN's request id.
    pub request_id: String,
}

/// A call that asks for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// What the CDN is to do.
    pub action: Action,
    /// The kind that all targets share.
    pub kind: Kind,
    /// Whether cached copies are to be dropped.
    pub force: bool,
    /// The targets, in the order they travel.
    pub targets: Vec<Target>,
    /// How to prefetch; no matter for a refresh.
    pub prefetch: PrefetchOptions,
}

/// A question about recent tasks; what is none narrows nothing (API reference 1.7).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TaskQuery {
    /// One task id.
    pub task: Option<TaskId>,
    /// A target, spelled as it was sent.
    pub path: Option<String>,
    /// What was asked for, and of which kind. The API wants it along with a domain or a status.
    pub kind: Option<(Action, Kind)>,
    /// The domain.
    pub domain: Option<String>,
    /// How far: a word of the API's, such as `Failed`.
    pub status: Option<&'static str>,
    /// The resource group that the domains are in.
    pub resource_group: Option<String>,
    /// From this second to that one.
    pub window: Option<(Timestamp, Timestamp)>,
    /// From 1; 0 means the first, too.
    pub page: u32,
}

impl TaskQuery {
    /// Asks for the tasks of a domain in a window of time.
    #[must_use]
    pub fn of_domain(
        (action, kind): (Action, Kind),
        domain: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        Self {
            kind: Some((action, kind)),
            domain: Some(domain.to_owned()),
            window: Some((from, to)),
            ..Self::default()
        }
    }
}

/// A page of recent tasks: at most 100 rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPage {
    /// The rows.
    pub rows: Vec<TaskRow>,
    /// How many rows there are in all pages.
    pub total: u64,
}

/// How far the CDN's nodes are with a URL of a prefetch (API reference 1.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefetchDetail {
    /// The URL as the CDN spells it: domain and path.
    pub url: String,
    /// Which part of the nodes has it, as `47%`.
    pub success: String,
    /// What became of it, in the CDN's words.
    pub description: String,
}

/// The CDN, as far as refreshd needs it.
#[async_trait]
pub trait Cdn: Send + Sync + 'static {
    /// Asks for work; by tag, of one domain.
    async fn submit(&self, submission: &Submission) -> Result<Accepted, Failure>;

    /// Asks how far up to ten task ids are; a shared id brings rows of others along.
    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<Vec<TaskRow>, Failure>;

    /// Lists recent tasks.
    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, Failure>;

    /// Asks how far a prefetch is on the CDN's nodes: for accounts on a list of the CDN's only.
    async fn prefetch_detail(&self, task: &TaskId) -> Result<Vec<PrefetchDetail>, Failure>;

    /// Lists the account's domains, all pages of them.
    async fn domains(&self) -> Result<Vec<CdnDomain>, Failure>;

    /// Asks what the day allows and what remains of it; a kind may be missing from the answer.
    async fn quota(&self) -> Result<PerKind<Option<Reported>>, Failure>;

    /// Fetches the access key anew where it is due, where what it is read from has changed, or where
    /// the CDN `refused` it; says what came of it and when to come again.
    async fn renew(&self, refused: bool) -> Renewed;
}
