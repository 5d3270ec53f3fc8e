//! The client of the CDN's API: signs, sends once, and reads what comes back.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use tracing::debug;
use url::Url;

use super::credentials::{CredentialError, Credentials, Keyring, Renewed};
use super::rate::Rates;
use super::sign::{Signable, canonical_query, hex_sha256};
use super::transport::{MAX_ANSWER, failure, host_header, send};
use super::wire::{
    self, DetailReply, Domain, DomainsReply, Operation, QuotaReply, SubmitReply, Task, TasksReply,
    foreign_text,
};
use super::{
    Accepted, Cdn, PrefetchDetail, Submission, TaskPage, TaskQuery, refusal, skew, trouble,
};
use crate::clock::SharedClock;
use crate::domain::ask::Target;
use crate::domain::endpoint::{Proxy, endpoint_problem};
use crate::domain::intent::Action;
use crate::domain::limits::Limits;
use crate::domain::own::CdnDomain;
use crate::domain::quota::{PerKind, QuotaKind, Reported};
use crate::domain::task::{TaskId, TaskRow};
use crate::domain::verdict::{Failure, NO_CREDENTIALS, QUERY_TOO_LONG, Reached};
use crate::http::builder;

#[cfg(test)]
mod tests;

/// How the API is reached.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Scheme and host; https, or http to this machine.
    pub endpoint: Url,
    /// The endpoint's host, where it is to be called though it is none of Alibaba Cloud's.
    pub trusted: Option<String>,
    /// Which way calls go.
    pub proxy: Proxy,
    /// How long a whole call may take; half of it is for connecting.
    pub timeout: Duration,
    /// What the CDN takes: calls a second, bytes a query.
    pub limits: Limits,
}

impl ClientConfig {
    /// Takes an endpoint, ten seconds a call and the documented limits.
    #[must_use]
    pub fn new(endpoint: Url) -> Self {
        Self {
            endpoint,
            trusted: None,
            proxy: Proxy::None,
            timeout: Duration::from_secs(10),
            limits: Limits::DOCUMENTED,
        }
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is not one that may be called.
    #[error("`{}` cannot be the API's endpoint: {problem}", endpoint.host_str().unwrap_or_default())]
    Endpoint {
        /// The endpoint.
        endpoint: Url,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The HTTP client cannot be made: most likely the system's certificates are missing.
    #[error("{}", trouble::unprepared(.0))]
    Http(#[from] reqwest::Error),
}

/// A client for one account.
pub struct Client {
    endpoint: Url,
    host: String,
    http: reqwest::Client,
    clock: SharedClock,
    keyring: Keyring,
    limits: Limits,
    rates: Rates,
}

impl Client {
    /// Makes a client. It has no access key before [`begin`](Self::begin) or
    /// [`renew`](Cdn::renew) fetched one.
    pub fn new(
        config: &ClientConfig,
        keyring: Keyring,
        clock: SharedClock,
    ) -> Result<Self, ClientError> {
        let (endpoint, limits) = (config.endpoint.clone(), config.limits);
        if let Some(problem) = endpoint_problem(&endpoint, config.trusted.as_deref()) {
            return Err(ClientError::Endpoint { endpoint, problem });
        }
        Ok(Self {
            host: host_header(&endpoint),
            endpoint,
            http: builder(&config.endpoint, &config.proxy, config.timeout / 2)?
                .timeout(config.timeout)
                .build()?,
            rates: Rates::new(clock.clone(), &limits),
            clock,
            keyring,
            limits,
        })
    }

    /// Fetches the first access key; an error says why there is none yet.
    pub async fn begin(&self) -> (Renewed, Result<(), CredentialError>) {
        self.keyring.try_renew(false).await
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
        self.rates.wait_for(operation).await;
        let begun = self.clock.boot();
        let result = self.exchange(operation, encoded).await;
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

    async fn exchange<T: Reply>(
        &self,
        operation: Operation,
        encoded: String,
    ) -> Result<T, Failure> {
        let credentials = self.keyring.key().ok_or_else(|| {
            let code = Some(NO_CREDENTIALS.to_owned());
            let message = "there is no valid access key; `refreshd status` says why";
            Failure { code, ..failure(Reached::Nothing, message) }
        })?;
        let request = self.request(operation, encoded, &credentials);
        let mut received_at = self.clock.steady();
        let answer = send(request, MAX_ANSWER, || received_at = self.clock.steady()).await?;
        let refused = || {
            let secret = credentials.secret.expose_secret();
            let secrets = [credentials.key_id.as_str(), secret, credentials.token()];
            refusal::read(&answer, &secrets)
        };
        let result = if (200..=299).contains(&answer.status) {
            match wire::parse_json::<T>(&answer.body) {
                Some(reply) if reply.tells() => Ok(reply),
                reply => Err(agreed(refused(), reply.as_ref().map(T::request_id))),
            }
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
        encoded: String,
        credentials: &Credentials,
    ) -> reqwest::RequestBuilder {
        let empty = String::new();
        let (query, body) = if operation.has_form() { (empty, encoded) } else { (encoded, empty) };
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
        let signable = Signable {
            method: "POST",
            query: &query,
            headers: &headers,
            payload_sha256: &payload_sha256,
        };
        let authorization =
            signable.authorization(&credentials.key_id, credentials.secret.expose_secret());

        let mut url = self.endpoint.clone();
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        let request = self.http.post(url).header(ACCEPT, "application/json");
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value))
            .header(AUTHORIZATION, authorization)
            .body(body)
    }
}

/// Says that a call succeeded by its status only: what was asked for is not in the answer. If that is
/// an error of the API instead, its code stays.
fn agreed(refused: Failure, request_id: Option<&str>) -> Failure {
    let message = match &refused.code {
        Some(code) => format!("the CDN agreed, but answers {code}: {}", refused.message),
        None => "the CDN agreed, but its answer cannot be read".to_owned(),
    };
    let told = request_id.filter(|id| !id.is_empty()).map(foreign_text);
    let request_id = refused.request_id.or(told);
    Failure { message: foreign_text(&message), request_id, ..refused }
}

/// A reply to a call that succeeded.
trait Reply: DeserializeOwned {
    fn request_id(&self) -> &str;

    /// Returns whether it holds anything of what was asked for.
    fn tells(&self) -> bool;
}

macro_rules! reply {
    ($($name:ident: $tells:expr;)+) => {
        $(impl Reply for $name {
            fn request_id(&self) -> &str {
                &self.request_id
            }

            fn tells(&self) -> bool {
                let tells: fn(&Self) -> bool = $tells;
                tells(self)
            }
        })+
    };
}

reply! {
    SubmitReply: |reply| !reply.tasks().is_empty();
    TasksReply: |_| true;
    QuotaReply: |reply| QuotaKind::ALL.into_iter().any(|kind| reply.of(kind).is_some());
    DetailReply: |_| true;
    DomainsReply: |_| true;
}

fn parameter(name: &str, value: &(impl ToString + ?Sized)) -> (String, String) {
    (name.to_owned(), value.to_string())
}

#[async_trait]
impl Cdn for Client {
    async fn submit(&self, submission: &Submission) -> Result<Accepted, Failure> {
        let Submission { action, kind, force, targets, prefetch } = submission;
        let texts: Vec<&str> =
            targets.iter().map(|target| target.tag().unwrap_or(&target.text)).collect();
        let lines = || parameter("ObjectPath", &texts.join("\n"));
        let (operation, parameters) = match (action, wire::request_type(*kind)) {
            (Action::Prefetch, _) => {
                let options = prefetch.parameters();
                let options = options.iter().map(|(name, value)| parameter(name, value));
                (Operation::PushObjectCache, [lines()].into_iter().chain(options).collect())
            }
            (Action::Refresh, Some(word)) => {
                let parameters =
                    vec![lines(), parameter("ObjectType", word), parameter("Force", force)];
                (Operation::RefreshObjectCaches, parameters)
            }
            (Action::Refresh, None) => {
                let domain = targets.first().map_or("", Target::host);
                let parameters = vec![
                    parameter("CacheTag", &texts.join(",")),
                    parameter("DomainName", domain),
                    parameter("Force", force),
                ];
                (Operation::RefreshObjectCacheByCacheTag, parameters)
            }
        };
        let reply: SubmitReply = self.call(operation, &parameters).await?;
        Ok(Accepted { tasks: reply.tasks(), request_id: foreign_text(&reply.request_id) })
    }

    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<Vec<TaskRow>, Failure> {
        let ids: Vec<_> = tasks.iter().map(|task| task.0.as_str()).collect();
        let parameters = [parameter("TaskId", &ids.join(","))];
        let reply: TasksReply = self.call(Operation::DescribeRefreshTaskById, &parameters).await?;
        Ok(reply.tasks.into_rows().into_iter().map(Task::into_row).collect())
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, Failure> {
        let page = query.page.max(1);
        let kind = query.kind.map(|(action, kind)| wire::row_type(action, kind).to_owned());
        let (from, to) = query.window.map(|(from, to)| (from.to_api(), to.to_api())).unzip();
        let filters = [
            ("TaskId", query.task.as_ref().map(|task| task.0.clone())),
            ("ObjectPath", query.path.clone()),
            ("ObjectType", kind),
            ("DomainName", query.domain.clone()),
            ("Status", query.status.map(str::to_owned)),
            ("ResourceGroupId", query.resource_group.clone()),
            ("StartTime", from),
            ("EndTime", to),
            ("PageNumber", Some(page.to_string())),
            ("PageSize", Some(wire::PAGE_SIZE.to_string())),
        ];
        let given = filters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let parameters: Vec<_> = given.map(|(name, value)| parameter(name, &value)).collect();
        let reply: TasksReply = self.call(Operation::DescribeRefreshTasks, &parameters).await?;
        let rows: Vec<_> = reply.tasks.into_rows().into_iter().map(Task::into_row).collect();
        // Without a total, a full page says that there may be another one.
        let size = u64::from(wire::PAGE_SIZE);
        let seen = u64::from(page - 1) * size + rows.len() as u64;
        let guess = seen + u64::from(rows.len() as u64 >= size);
        Ok(TaskPage { rows, total: reply.total_count.unwrap_or(guess) })
    }

    async fn quota(&self) -> Result<PerKind<Option<Reported>>, Failure> {
        let reply: QuotaReply = self.call(Operation::DescribeRefreshQuota, &[]).await?;
        Ok(PerKind::from_fn(|kind| reply.of(kind)))
    }

    async fn prefetch_detail(&self, task: &TaskId) -> Result<Vec<PrefetchDetail>, Failure> {
        let parameters = [parameter("TaskId", task)];
        let operation = Operation::DescribePreloadDetailById;
        let reply: DetailReply = self.call(operation, &parameters).await?;
        Ok(reply.into_details())
    }

    async fn domains(&self) -> Result<Vec<CdnDomain>, Failure> {
        let mut domains = Vec::new();
        for page in 1_u32.. {
            let parameters = [
                // Else those under review are left out.
                parameter("CheckDomainShow", &true),
                parameter("PageNumber", &page),
                parameter("PageSize", &wire::DOMAINS_PAGE),
            ];
            let reply: DomainsReply =
                self.call(Operation::DescribeUserDomains, &parameters).await?;
            let more = reply.domains.page_data;
            let is_full = more.len() >= wire::DOMAINS_PAGE as usize;
            let is_empty = more.is_empty();
            domains.extend(more.into_iter().map(Domain::into_domain));
            let goes_on = reply.total_count.map_or(is_full, |total| (domains.len() as u64) < total);
            if is_empty || !goes_on {
                break;
            }
        }
        Ok(domains)
    }

    async fn renew(&self, refused: bool) -> Renewed {
        self.keyring.renew(refused).await
    }
}
