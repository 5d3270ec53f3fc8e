//! `GET /livez`, `/readyz` and `/healthz`: for who starts the daemon anew, who sends it deliveries, and who
//! looks after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::domain::alarm::{Alarm, Severity};
use crate::domain::facts::{OriginState, Way};
use crate::domain::names::{AccountName, OriginName};
use crate::telemetry::heart::Part;

use super::{Desk, alarms};

/// Whether something can be written is tried this often at most.
const TRIED_EVERY: Duration = Duration::from_secs(2);

/// How long the database is waited for: those who ask wait for ten seconds, mostly.
pub(super) const ANSWERED_IN: Duration = Duration::from_secs(2);

/// What was last told of the daemon's health, and when, by the boot clock: whoever asks often costs little.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub(super) metrics: Kept<Arc<str>>,
    writable: Kept<Result<(), String>>,
}

/// Something that was told at a time since boot.
pub(super) type Kept<T> = Arc<Mutex<Option<(Duration, T)>>>;

/// The daemon's health, part by part.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `ok`; `degraded` when a warning stands; `failing` when an error does, or something hangs.
    pub status: &'static str,
    /// Whether anything is wrong.
    pub degraded: bool,
    /// The daemon's version.
    pub version: &'static str,
    /// Loops and the database's writer.
    pub parts: BTreeMap<&'static str, PartHealth>,
    /// Whether deliveries and changes can be written down, else why not.
    pub writable: WritableHealth,
    /// By origin.
    pub origins: BTreeMap<OriginName, OriginState>,
    /// The way to the CDN, by account.
    pub accounts: BTreeMap<AccountName, Way>,
    /// What a person should know of or do.
    pub alarms: Vec<Alarm>,
    /// Why alarms could not be told; empty when they could.
    pub unread: String,
}

/// Whether a part goes on.
#[derive(Debug, Serialize)]
pub struct PartHealth {
    /// Whether it does.
    pub ok: bool,
    /// Seconds since it last beat; none before it began.
    pub age_seconds: Option<f64>,
}

/// Whether anything can be written.
#[derive(Debug, Serialize)]
pub struct WritableHealth {
    /// Whether it can.
    pub ok: bool,
    /// Why not; empty when it can.
    pub why: String,
}

/// Answers `GET /livez`: 200 while loops and writer go on, else 503 with the parts that hang. Nothing else
/// counts, for a new start mends nothing else.
pub async fn live(State(desk): State<Desk>) -> Response {
    let hung = desk.heart.hung(desk.clock.boot());
    if hung.is_empty() {
        return "ok\n".into_response();
    }
    let names: Vec<&str> = hung.into_iter().map(Part::as_str).collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("hangs: {}\n", names.join(", "))).into_response()
}

/// Answers `GET /readyz`: 200 while deliveries can be written down, else 503 with the reason.
pub async fn ready(State(desk): State<Desk>) -> Response {
    match writable(&desk).await {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Answers `GET /healthz`: 200 with everything part by part, or 503 with what is known without the database
/// when that can't be read or does not answer.
pub async fn answer(State(desk): State<Desk>) -> Response {
    // Before the alarms: what is told to be wrong is among them then.
    let facts = desk.facts.borrow().clone();
    let read = match timeout(ANSWERED_IN, alarms::now(&desk)).await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err(unanswered()),
    };
    let code = if read.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (alarms, unread) = match read {
        Ok(alarms) => (alarms, String::new()),
        Err(why) => (Vec::new(), why),
    };
    let boot = desk.clock.boot();
    let hung = desk.heart.hung(boot);
    let part = |part: Part| PartHealth {
        ok: !hung.contains(&part),
        age_seconds: desk.heart.since(part, boot).map(|since| since.as_secs_f64()),
    };
    let parts: BTreeMap<_, _> =
        Part::ALL.into_iter().map(|one| (one.as_str(), part(one))).collect();
    let written = if unread.is_empty() { writable(&desk).await } else { Err(unread.clone()) };
    let is_failing = !hung.is_empty()
        || written.is_err()
        || alarms.iter().any(|alarm| alarm.severity == Severity::Error);
    let status = match (is_failing, alarms.is_empty()) {
        (true, _) => "failing",
        (false, false) => "degraded",
        (false, true) => "ok",
    };
    let health = Health {
        status,
        degraded: status != "ok",
        version: env!("CARGO_PKG_VERSION"),
        parts,
        writable: WritableHealth { ok: written.is_ok(), why: written.err().unwrap_or_default() },
        origins: facts.origins.into_iter().map(|(name, origin)| (name, origin.state)).collect(),
        accounts: facts.accounts.into_iter().map(|(name, of)| (name, of.way)).collect(),
        alarms,
        unread,
    };
    (code, Json(health)).into_response()
}

/// Says why nothing can be written down now, if so.
async fn writable(desk: &Desk) -> Result<(), String> {
    if desk.stopping.is_cancelled() {
        return Err("the daemon stops".to_owned());
    }
    // What is small may still find room within the write-ahead log where nothing else does.
    let failing = {
        let facts = desk.facts.borrow();
        let intakes = facts.origins.values().filter_map(|origin| origin.failing.as_ref());
        facts.failing.values().chain(intakes).next().map(|failing| failing.why.clone())
    };
    if let Some(why) = failing {
        return Err(why);
    }
    let mut last = desk.told.writable.lock().await;
    let boot = desk.clock.boot();
    if let Some((at, known)) = &*last
        && boot.saturating_sub(*at) < TRIED_EVERY
    {
        return known.clone();
    }
    let tried = match timeout(ANSWERED_IN, desk.store.try_to_write()).await {
        Ok(tried) => tried.map_err(|error| error.to_string()),
        Err(_) => Err(unanswered()),
    };
    *last = Some((desk.clock.boot(), tried.clone()));
    tried
}

fn unanswered() -> String {
    format!("the database did not answer within {} s", ANSWERED_IN.as_secs())
}
