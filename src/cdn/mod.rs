//! This room speaks to the CDN: one call in, one answer or one failure out.
//!
//! Enters: asks and questions. Leaves: task ids, task rows, quota, or a [`Failure`] that
//! `domain::verdict` judges.
//! **Invariant:** no call is retried in here; a retry is a row of the journal.

use async_trait::async_trait;

use crate::domain::ask::{Kind, Target};
use crate::domain::intent::Action;
use crate::domain::quota::{PerKind, Reported};
use crate::domain::task::{TaskId, TaskRow};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Failure;

pub mod client;
pub mod credentials;
mod refusal;
pub mod sign;
mod skew;
mod transport;
pub mod wire;

pub use client::{Client, ClientConfig, ClientError};
pub use credentials::{CredentialError, CredentialFiles, Credentials};
pub use transport::{http_client, local_client};

/// What the CDN answered to an accepted batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The task ids, split at commas; one may be shared with another batch (API reference 1.2).
    pub tasks: Vec<TaskId>,
    /// The CDN's request id.
    pub request_id: String,
}

/// A question about recent tasks: one domain and type in a window of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQuery {
    /// What was asked for.
    pub action: Action,
    /// Of which kind; only url and directory can be listed.
    pub kind: Kind,
    /// The domain.
    pub domain: String,
    /// From this second on.
    pub from: Timestamp,
    /// Up to this second.
    pub to: Timestamp,
    /// From 1.
    pub page: u32,
}

/// A page of recent tasks: at most 100 rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPage {
    /// The rows.
    pub rows: Vec<TaskRow>,
    /// How many rows there are in all pages.
    pub total: u64,
}

/// The CDN, as far as refreshd needs it.
#[async_trait]
pub trait Cdn: Send + Sync + 'static {
    /// Asks for a batch of one action, kind and force; by tag, of one domain. Targets travel in order.
    async fn submit(
        &self,
        action: Action,
        kind: Kind,
        force: bool,
        targets: &[Target],
    ) -> Result<Accepted, Failure>;

    /// Asks how far up to ten task ids are; a shared id brings rows of others along.
    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<Vec<TaskRow>, Failure>;

    /// Lists recent tasks.
    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, Failure>;

    /// Asks what the day allows and what remains of it; a kind may be missing from the answer.
    async fn quota(&self) -> Result<PerKind<Option<Reported>>, Failure>;

    /// Reads or fetches the credentials again before the next call: the CDN refused them, or they
    /// were rotated.
    fn renew(&self);
}
