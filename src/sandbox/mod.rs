//! This room pretends to be the CDN: an API endpoint that judges signed calls, and a caching edge
//! that they act on.
//!
//! Enters: options, two listeners and a clock; calls and visitors. Leaves: replies, and a log of
//! what was accepted: the outside counting side of tests.
//! **Invariant:** nothing of the daemon imports it, and it knows nothing of the daemon: a fault in
//! the one can't hide one in the other.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::DropGuard;

use crate::clock::{Clock, SharedClock};
use crate::domain::quota::{PerKind, QuotaKind};

use connection::{Breakable, Breaker};
use edge::Edge;
use model::{Model, Settings};
use shared::Shared;

mod api;
mod connection;
mod edge;
mod model;
mod shared;

#[cfg(test)]
mod tests;

pub use edge::EdgeError;
pub use model::fault::{CallFault, Ending, Fault, Reply, Shape, TargetFault};
pub use model::{Accepted, AccessKey, Log};

/// How long a refresh takes (API reference 0: 5 to 6 minutes).
const RIPENING: Duration = Duration::from_secs(5 * 60);

/// How long a stop waits for answers that are under way.
const GRACE: Duration = Duration::from_secs(2);

/// What the sandbox is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The HTTP server behind the edge, like `http://127.0.0.1:8080`.
    pub origin: String,
    /// The domains that exist; any does when empty. With two or more the edge keeps their copies
    /// apart, and a `Host` that is none of them means the first.
    pub domains: Vec<String>,
    /// Those of them that are switched off: refreshes of these are refused.
    pub offline: Vec<String>,
    /// Whether the details of a prefetch may be asked for; the real API lets chosen accounts only.
    pub detail: bool,
    /// What a day allows.
    pub quota: PerKind<u64>,
    /// By how much tasks ripen faster than in five minutes; days, minutes, nonces and the allowed
    /// clock skew stay as they are.
    pub time_scale: u32,
    /// The keys that may sign, the first of which is announced; one is drawn when empty.
    pub keys: Vec<AccessKey>,
}

impl Options {
    /// Makes the options of a new account: quotas as documented (API reference 0), any domain,
    /// real time.
    #[must_use]
    pub fn new(origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            domains: Vec::new(),
            offline: Vec::new(),
            detail: false,
            quota: PerKind::from_fn(|kind| match kind {
                QuotaKind::Url => 10_000,
                QuotaKind::Directory | QuotaKind::IgnoreParams | QuotaKind::Tag => 100,
                QuotaKind::Regex => 20,
                QuotaKind::Prefetch => 1_000,
            }),
            time_scale: 1,
            keys: Vec::new(),
        }
    }
}

/// Why the sandbox can't start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The edge can't be made.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// A listener can't say its address.
    #[error("a listener has no address: {0}")]
    Listener(#[from] io::Error),
}

/// The pretend CDN.
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts both servers on listeners that are bound already. Must be called within a tokio
    /// runtime.
    pub fn start(
        options: Options,
        api: TcpListener,
        edge: TcpListener,
        clock: SharedClock,
    ) -> Result<Running, SandboxError> {
        let mut keys = options.keys;
        if keys.is_empty() {
            keys.push(draw_key(&*clock));
        }
        let announced = keys[0].clone();
        let domains: Vec<String> =
            options.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        let settings = Settings {
            keys,
            quota: options.quota,
            domains: domains.clone(),
            offline: options.offline.iter().map(|name| name.to_ascii_lowercase()).collect(),
            detail: options.detail,
            ripening: RIPENING / options.time_scale.max(1),
            // Ids have eleven digits (API reference 1.2).
            first_task: 10_000_000_000 + clock.random() % 80_000_000_000,
        };
        let model = Model::new(settings, clock.now());
        let cache = Edge::new(&options.origin, domains, Arc::clone(&clock))?;
        let (api_address, edge_address) = (api.local_addr()?, edge.local_addr()?);
        let (shared, fetches) = Shared::new(model, cache, clock);

        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&shared).ripen(fetches));
        let stop = shared.stop.clone();
        let router = api::router(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Breaker>();
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            // It ends only when told to; accepting never fails for good.
            let server = axum::serve(Breakable(api), service);
            let _ = server.with_graceful_shutdown(stopped).await;
        });
        let router = Router::new().fallback(visit).with_state(Arc::clone(&shared));
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            let server = axum::serve(edge, router);
            let _ = server.with_graceful_shutdown(stopped).await;
        });
        Ok(Running {
            api: api_address,
            edge: edge_address,
            access_key_id: announced.id,
            access_key_secret: announced.secret,
            control: Control { shared },
            tasks,
            _stop: stop.drop_guard(),
        })
    }
}

async fn visit(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.apply_due();
    shared.edge.answer(request).await
}

/// Draws a key pair that looks like a real one.
fn draw_key(clock: &dyn Clock) -> AccessKey {
    let text = |length: usize| -> String {
        const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";
        let count = LETTERS.len() as u64;
        (0..length)
            .filter_map(|_| usize::try_from(clock.random() % count).ok())
            .map(|at| char::from(LETTERS[at]))
            .collect()
    };
    AccessKey { id: format!("LTAI5t{}", text(18)), secret: text(30), token: None, expires_at: None }
}

/// A sandbox that runs; dropped, it stops.
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where the edge listens.
    pub edge: SocketAddr,
    /// The key id that may sign.
    pub access_key_id: String,
    /// Its secret.
    pub access_key_secret: String,
    control: Control,
    tasks: JoinSet<()>,
    _stop: DropGuard,
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Running").field("api", &self.api).finish_non_exhaustive()
    }
}

impl Running {
    /// Returns a handle for faults, quota and the log.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops both servers; answers under way get two seconds.
    pub async fn stop(mut self) {
        self.control.shared.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What is still running then is dropped with the set.
        let _ = tokio::time::timeout(GRACE, all).await;
    }
}

/// Steers a running sandbox from code, as `/sandbox/…` does over HTTP.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Control")
    }
}

impl Control {
    /// Adds a scripted fault behind those that are still to come.
    pub fn fault(&self, fault: Fault) {
        let now = self.shared.clock.now();
        self.shared.model().faults.add(fault, now);
    }

    /// Forgets the faults that are still to come.
    pub fn clear_faults(&self) {
        self.shared.model().faults.clear();
    }

    /// Sets what is left of today's quota, as if others of the account had spent the rest.
    pub fn set_remaining(&self, kind: QuotaKind, remaining: u64) {
        let now = self.shared.clock.now();
        self.shared.model().set_remaining(kind, remaining, now);
    }

    /// Sets the keys that may sign from now on, as when they are rotated.
    pub fn set_keys(&self, keys: Vec<AccessKey>) {
        self.shared.model().set_keys(keys);
    }

    /// Returns all that was accepted and refused so far.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.model().log().clone()
    }

    /// Returns the task id and target of every refresh and prefetch that had its effect.
    #[must_use]
    pub fn effective(&self) -> Vec<(String, String)> {
        self.shared.apply_due();
        self.shared.model().effective()
    }

    /// Applies every effect that is due by the clock, and waits until no prefetch is under way:
    /// for tests with a clock that they move themselves.
    pub async fn settle(&self) {
        self.shared.settle().await;
    }
}
