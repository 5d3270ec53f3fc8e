//! The client of the CDN's API: signs, sends once, and reads what comes back.

use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use tracing::debug;
use url::Url;

use super::credentials::{CredentialError, CredentialFiles, Credentials};
use super::sign::{Signable, canonical_query, hex_sha256};
use super::transport::{failure, host_header, http_client, send};
use super::wire::{self, Operation, QuotaReply, SubmitReply, Task, TasksReply, foreign_text};
use super::{Accepted, Cdn, TaskPage, TaskQuery, refusal, skew};
use crate::clock::SharedClock;
use crate::domain::ask::{Kind, Target};
use crate::domain::endpoint::endpoint_problem;
use crate::domain::intent::Action;
use crate::domain::limits::Limits;
use crate::domain::quota::{PerKind, QuotaKind, Reported};
use crate::domain::task::{TaskId, TaskRow};
use crate::domain::verdict::{Failure, QUERY_TOO_LONG, Reached};

#[cfg(test)]
mod tests;

/// How the API is reached.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Scheme and host; https, or http to this machine.
    pub endpoint: Url,
    /// How long a whole call may take; half of it is for connecting.
    pub timeout: Duration,
    /// What the CDN takes: calls a second, bytes a query.
    pub limits: Limits,
    /// How refreshd introduces itself.
    pub user_agent: String,
}

impl ClientConfig {
    /// Takes an endpoint, ten seconds a call, the documented limits and refreshd's own name.
    #[must_use]
    pub fn new(endpoint: Url) -> Self {
        Self {
            endpoint,
            timeout: Duration::from_secs(10),
            limits: Limits::DOCUMENTED,
            user_agent: concat!("refreshd/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is not one that may be called.
    #[error("`{endpoint}` cannot be the API's endpoint: {problem}")]
    Endpoint {
        /// The endpoint.
        endpoint: Url,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no access key.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The HTTP client cannot be made: most likely the system's certificates are missing.
    #[error("cannot prepare HTTPS: {0}; are the system's CA certificates installed?")]
    Http(#[from] reqwest::Error),
}

/// A client for one account.
pub struct Client {
    endpoint: Url,
    host: String,
    http: reqwest::Client,
    clock: SharedClock,
    files: CredentialFiles,
    credentials: RwLock<Arc<Credentials>>,
    limits: Limits,
    rates: Vec<DefaultDirectRateLimiter>,
}

impl Client {
    /// Makes a client; the access key is read now.
    pub fn new(
        config: &ClientConfig,
        files: CredentialFiles,
        clock: SharedClock,
    ) -> Result<Self, ClientError> {
        let (endpoint, limits) = (config.endpoint.clone(), config.limits);
        if let Some(problem) = endpoint_problem(&endpoint) {
            return Err(ClientError::Endpoint { endpoint, problem });
        }
        Ok(Self {
            host: host_header(&endpoint),
            endpoint,
            http: http_client(config)?,
            clock,
            credentials: RwLock::new(Arc::new(files.read()?)),
            files,
            rates: Operation::ALL.iter().map(|one| rate(one.calls_per_second(&limits))).collect(),
            limits,
        })
    }

    /// Reads the access key again, after [`Verdict::Renew`](crate::domain::verdict::Verdict::Renew).
    /// Returns whether it is another one; if not, only a person can help.
    pub fn renew(&self) -> Result<bool, CredentialError> {
        let new = self.files.read()?;
        let mut current = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = !current.is_same(&new);
        *current = Arc::new(new);
        Ok(is_new)
    }

    fn credentials(&self) -> Arc<Credentials> {
        let current = self.credentials.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Makes a call and logs it, once and quietly: who handles a failure also knows what it means.
    async fn call<T: Reply>(
        &self,
        operation: Operation,
        parameters: &[(String, String)],
    ) -> Result<T, Failure> {
        let encoded = canonical_query(parameters);
        let (bytes, most) = (encoded.len(), self.limits.query_bytes);
        if !operation.has_form() && bytes > most {
            let message = format!("the query would have {bytes} bytes; at most {most} are sent");
            let code = Some(QUERY_TOO_LONG.to_owned());
            return Err(Failure { code, ..failure(Reached::Nothing, &message) });
        }
        // Before signing, so that the date is fresh when the call leaves.
        self.rates[operation as usize].until_ready().await;
        let begun = self.clock.boot();
        let result = self.exchange(operation, &encoded).await;
        let duration_ms = self.clock.boot().saturating_sub(begun).as_millis();
        match &result {
            Ok(reply) => debug!(
                api.action = %operation,
                api.request_id = foreign_text(T::request_id(reply)),
                duration_ms,
                "the CDN answered"
            ),
            Err(failure) => debug!(
                api.action = %operation,
                api.request_id = failure.request_id,
                api.code = failure.code,
                api.reached = ?failure.reached,
                duration_ms,
                "the call did not succeed: {}",
                failure.message
            ),
        }
        result
    }

    async fn exchange<T: Reply>(&self, operation: Operation, encoded: &str) -> Result<T, Failure> {
        let credentials = self.credentials();
        let request = self.request(operation, encoded, &credentials);
        let mut received_at = self.clock.steady();
        let answer = send(request, || received_at = self.clock.steady()).await?;
        let refused = || {
            let token = credentials.security_token.as_ref();
            let secrets = [
                credentials.key_id.as_str(),
                credentials.secret.expose_secret(),
                token.map_or("", |token| token.expose_secret()),
            ];
            refusal::read(&answer, &secrets)
        };
        let result = if (200..=299).contains(&answer.status) {
            wire::parse_json(&answer.body).ok_or_else(|| Failure {
                message: "the CDN agreed, but its answer cannot be read".to_owned(),
                code: None,
                ..refused()
            })
        } else {
            Err(refused())
        };
        // Only what speaks the CDN's language may set the clock: a proxy's page may not.
        if result.as_ref().map_or_else(|failure| failure.code.is_some(), |_| true) {
            skew::learn(&*self.clock, &answer.headers, received_at);
        }
        result
    }

    /// Builds and signs a request, with a date and a nonce of its own.
    fn request(
        &self,
        operation: Operation,
        encoded: &str,
        credentials: &Credentials,
    ) -> reqwest::RequestBuilder {
        let (query, body) = if operation.has_form() { ("", encoded) } else { (encoded, "") };
        let payload_sha256 = hex_sha256(body.as_bytes());
        let nonce = format!("{:016x}{:016x}", self.clock.random(), self.clock.random());
        let mut headers = vec![
            (HOST.as_str(), self.host.clone()),
            ("x-acs-action", operation.to_string()),
            ("x-acs-version", wire::VERSION.to_owned()),
            ("x-acs-date", self.clock.server_now().to_api()),
            ("x-acs-signature-nonce", nonce),
            ("x-acs-content-sha256", payload_sha256.clone()),
        ];
        if operation.has_form() {
            headers.push((CONTENT_TYPE.as_str(), wire::FORM.to_owned()));
        }
        if let Some(token) = &credentials.security_token {
            headers.push(("x-acs-security-token", token.expose_secret().to_owned()));
        }
        let headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let signable =
            Signable { method: "POST", query, headers: &headers, payload_sha256: &payload_sha256 };
        let authorization =
            signable.authorization(&credentials.key_id, credentials.secret.expose_secret());

        let mut url = self.endpoint.clone();
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let request = self.http.post(url).header(ACCEPT, "application/json");
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value))
            .header(AUTHORIZATION, authorization)
            .body(body.to_owned())
    }
}

/// Spaces calls evenly: a burst would put twice the figure into one second of the CDN's.
fn rate(calls_per_second: u32) -> DefaultDirectRateLimiter {
    let per_second = NonZeroU32::new(calls_per_second).unwrap_or(NonZeroU32::MIN);
    RateLimiter::direct(Quota::per_second(per_second).allow_burst(NonZeroU32::MIN))
}

/// A reply to a call that succeeded.
trait Reply: DeserializeOwned {
    fn request_id(&self) -> &str;
}

macro_rules! reply {
    ($($name:ident)+) => {
        $(impl Reply for $name {
            fn request_id(&self) -> &str {
                &self.request_id
            }
        })+
    };
}

reply!(SubmitReply TasksReply QuotaReply);

fn parameter(name: &str, value: &(impl ToString + ?Sized)) -> (String, String) {
    (name.to_owned(), value.to_string())
}

#[async_trait]
impl Cdn for Client {
    async fn submit(
        &self,
        action: Action,
        kind: Kind,
        force: bool,
        targets: &[Target],
    ) -> Result<Accepted, Failure> {
        let texts: Vec<&str> =
            targets.iter().map(|target| target.tag().unwrap_or(&target.text)).collect();
        let lines = || parameter("ObjectPath", &texts.join("\n"));
        let (operation, parameters) = match (action, wire::request_type(kind)) {
            (Action::Prefetch, _) => (Operation::PushObjectCache, vec![lines()]),
            (Action::Refresh, Some(word)) => {
                let parameters =
                    vec![lines(), parameter("ObjectType", word), parameter("Force", &force)];
                (Operation::RefreshObjectCaches, parameters)
            }
            (Action::Refresh, None) => {
                let domain = targets.first().map_or("", Target::host);
                let parameters = vec![
                    parameter("CacheTag", &texts.join(",")),
                    parameter("DomainName", domain),
                    parameter("Force", &force),
                ];
                (Operation::RefreshObjectCacheByCacheTag, parameters)
            }
        };
        let reply: SubmitReply = self.call(operation, &parameters).await?;
        let ids = match action {
            Action::Prefetch => reply.push_task_id,
            Action::Refresh => reply.refresh_task_id,
        };
        let tasks = wire::split_task_ids(&ids.unwrap_or_default());
        let request_id = foreign_text(&reply.request_id);
        if tasks.is_empty() {
            // It may well have been accepted, but there is nothing to follow it by.
            let unread = failure(Reached::Answered(200), "the CDN agreed, but named no task");
            return Err(Failure { request_id: Some(request_id), ..unread });
        }
        Ok(Accepted { tasks, request_id })
    }

    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<Vec<TaskRow>, Failure> {
        let ids: Vec<_> = tasks.iter().map(|task| task.0.as_str()).collect();
        let parameters = [parameter("TaskId", &ids.join(","))];
        let reply: TasksReply = self.call(Operation::DescribeRefreshTaskById, &parameters).await?;
        Ok(reply.tasks.into_rows().into_iter().map(Task::into_row).collect())
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, Failure> {
        let parameters = [
            parameter("ObjectType", wire::row_type(query.action, query.kind)),
            parameter("DomainName", &query.domain),
            parameter("StartTime", &query.from),
            parameter("EndTime", &query.to),
            parameter("PageNumber", &query.page),
            parameter("PageSize", &wire::PAGE_SIZE),
        ];
        let reply: TasksReply = self.call(Operation::DescribeRefreshTasks, &parameters).await?;
        let rows: Vec<_> = reply.tasks.into_rows().into_iter().map(Task::into_row).collect();
        // Without a total, a full page says that there may be another one.
        let size = u64::from(wire::PAGE_SIZE);
        let seen = u64::from(query.page.saturating_sub(1)) * size + rows.len() as u64;
        let guess = seen + u64::from(rows.len() as u64 >= size);
        Ok(TaskPage { rows, total: reply.total_count.unwrap_or(guess) })
    }

    async fn quota(&self) -> Result<PerKind<Option<Reported>>, Failure> {
        let reply: QuotaReply = self.call(Operation::DescribeRefreshQuota, &[]).await?;
        Ok(PerKind::from_fn(|kind| {
            let (quota, remain) = match kind {
                QuotaKind::Url => (reply.url_quota, reply.url_remain),
                QuotaKind::Directory => (reply.dir_quota, reply.dir_remain),
                QuotaKind::Regex => (reply.regex_quota, reply.regex_remain),
                QuotaKind::IgnoreParams => (reply.ignore_params_quota, reply.ignore_params_remain),
                // It isn't told (API reference 1.9).
                QuotaKind::Tag => (None, None),
                QuotaKind::Prefetch => (reply.preload_quota, reply.preload_remain),
            };
            Some(Reported { quota: quota?, remain: remain? })
        }))
    }

    fn renew(&self) {
        match self.renew() {
            Ok(true) => tracing::info!("the access key was read again, and it is another one"),
            Ok(false) => {}
            Err(error) => tracing::error!("{error}"),
        }
    }
}
