//! This room answers questions and takes wishes over the control socket.
//!
//! Enters: HTTP requests on a listener handed in. Leaves: JSON; wishes recorded in the store before
//! they are answered 202.
//! **Invariant:** nothing here speaks to the CDN or waits for it.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::FromRef;
use axum::extract::connect_info::Connected;
use axum::middleware;
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use api::events::Events;
pub use concern::Served;

use crate::clock::SharedClock;
use crate::domain::alarm::Seen;
use crate::domain::ask::Target;
use crate::domain::facts::Facts;
use crate::domain::limits::Limits;
use crate::domain::mapping::Mapping;
use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::PerKind;
use crate::domain::quota::purse::Rules;
use crate::journal::Journal;
use crate::source::HintSender;
use crate::store::Store;
use crate::telemetry::heart::Heart;
use crate::telemetry::meters::Meters;

pub mod alarms;
pub mod announce;
pub mod api;
pub mod baseline;
mod concern;
pub mod decide;
pub mod deliveries;
pub mod deploy;
pub mod gate;
mod guests;
pub mod health;
pub mod history;
pub mod hooks;
pub mod metrics;
pub mod page;
pub mod pause;
pub mod reload;
pub mod report;
mod secret_files;
pub mod status;
pub mod treasury;
pub mod wait;
pub mod who;
pub mod wishes;

/// What the daemon knows of an account when it answers for it.
#[derive(Clone, Debug)]
pub struct AccountDesk {
    /// What the configuration allows a day.
    pub quota: PerKind<u64>,
    /// What its CDN takes.
    pub limits: Limits,
    /// What of that is kept for whom.
    pub rules: Rules,
    /// The hosts its origins serve.
    pub hosts: Vec<String>,
}

/// What the daemon knows of an origin when it answers for it.
#[derive(Clone, Debug)]
pub struct OriginDesk {
    /// Whose CDN serves it.
    pub account: AccountName,
    /// The directories that hold all its URLs, one for each base.
    pub bases: Vec<Target>,
    /// Where its intake hears.
    pub door: HintSender,
    /// Whether each push is a deploy of it, because a repository holds its files.
    pub is_pushed: bool,
    /// Which URLs its paths have.
    pub mapping: Arc<Mapping>,
    /// The directory that it is, where it is one.
    pub root: Option<PathBuf>,
}

/// What the daemon knows of a gate when it answers for it.
#[derive(Clone, Debug)]
pub struct GateDesk {
    /// How long after it opened everything is refreshed once more; zero for never.
    pub echo: Duration,
    /// Wakes its loop after something was let go.
    pub wake: Arc<Notify>,
}

/// All that an answer is made from.
#[derive(Clone)]
pub struct Desk {
    /// Where wishes are recorded.
    pub store: Store,
    /// Where intents are counted.
    pub journal: Arc<dyn Journal>,
    /// What the engine knows now.
    pub facts: watch::Receiver<Facts>,
    /// The time.
    pub clock: SharedClock,
    /// Wakes the forwarder after wishes were recorded.
    pub recorded: Arc<Notify>,
    /// Wake the dispatchers after a person approved or resumed.
    pub dispatchers: Vec<Arc<Notify>>,
    /// Wakes who looks at the pushes of each origin.
    pub pushed: BTreeMap<OriginName, Arc<Notify>>,
    /// The origins.
    pub origins: BTreeMap<OriginName, OriginDesk>,
    /// The accounts.
    pub accounts: BTreeMap<AccountName, AccountDesk>,
    /// The gates, by origin.
    pub gates: BTreeMap<OriginName, GateDesk>,
    /// Whose daemon this is.
    pub state_dir: PathBuf,
    /// What listeners to events share.
    pub events: Events,
    /// Since when alarms stand.
    pub seen: Arc<Mutex<Seen>>,
    /// What is counted.
    pub meters: Meters,
    /// Whether the daemon goes on.
    pub heart: Heart,
    /// Cancelled once the daemon stops.
    pub stopping: CancellationToken,
    /// What was last told of the daemon's health, for a moment.
    pub told: health::Told,
    /// Where another configuration is asked for.
    pub reload: mpsc::Sender<reload::Asked>,
}

impl Desk {
    /// Makes a desk with no engine behind it, and no origins and accounts yet.
    #[must_use]
    pub fn bare(store: Store, journal: Arc<dyn Journal>, clock: SharedClock) -> Self {
        Self {
            store,
            journal,
            facts: watch::channel(Facts::default()).1,
            clock,
            recorded: Arc::default(),
            dispatchers: Vec::new(),
            pushed: BTreeMap::new(),
            origins: BTreeMap::new(),
            accounts: BTreeMap::new(),
            gates: BTreeMap::new(),
            state_dir: PathBuf::new(),
            events: Events::default(),
            seen: Arc::default(),
            meters: Meters::default(),
            heart: Heart::default(),
            stopping: CancellationToken::new(),
            told: health::Told::default(),
            reload: mpsc::channel(1).0,
        }
    }

    /// Has every dispatcher look at what is due.
    fn wake_dispatchers(&self) {
        for dispatcher in &self.dispatchers {
            dispatcher.notify_one();
        }
    }
}

/// The desk as the configuration in force makes it: each request is answered by one.
#[derive(Clone)]
pub struct Desks(pub watch::Receiver<Desk>);

impl From<Desk> for Desks {
    /// Makes a desk of all that stays as it is.
    fn from(desk: Desk) -> Self {
        Self(watch::channel(desk).1)
    }
}

impl FromRef<Desks> for Desk {
    fn from_ref(desks: &Desks) -> Self {
        desks.0.borrow().clone()
    }
}

/// Returns the routes of the control socket. Whoever serves them says who asks ([`who::Who`]).
pub fn router(desks: impl Into<Desks>) -> Router {
    let desks = desks.into();
    Router::new()
        .route("/status", get(status::answer))
        .route("/wishes", post(wishes::answer))
        .route("/decide", post(decide::answer))
        .route("/gates", get(gate::tell))
        .route("/gate", post(gate::answer))
        .route("/pause", post(pause::answer))
        .route("/baseline", post(baseline::answer))
        .route("/call", post(wait::call))
        .route("/wait", post(wait::answer))
        .route("/deploy", post(deploy::answer))
        .route("/deploys", post(deploy::tell))
        .route("/history", post(history::answer))
        .route("/deliveries", post(deliveries::answer))
        .route("/replay", post(deliveries::replay))
        .route("/reload", post(reload::answer))
        .nest("/api/v1", api::router())
        .with_state(desks.clone())
        .merge(metrics::routes(desks))
}

/// How long answers that were begun may take once the daemon stops: nobody's half a request may hold
/// up its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves the control socket until told to stop, then finishes what it has begun.
pub async fn serve(
    listener: UnixListener,
    desks: Desks,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = router(desks).layer(middleware::from_fn(who::by_peer));
    serve_router(listener, router, stop).await
}

/// Serves routes on a unix socket until told to stop.
async fn serve_router<L>(
    listener: L,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<()>
where
    L: Listener<Addr: std::fmt::Debug>,
    who::Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let service = router.into_make_service_with_connect_info::<who::Peer>();
    let served =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        served = served.into_future() => served,
        () = patience => Ok(()),
    }
}
