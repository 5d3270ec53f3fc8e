//! `GET /status`: what the daemon knows, in one JSON object.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::alarm::Alarm;
use crate::domain::facts::{AccountFacts, GateFacts, OriginFacts, ReloadFacts};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::QuotaKind;
use crate::journal::{Counts, JournalError, Pause};

use super::decide::Held;
use super::report::{Alike, REASONS};
use super::treasury::{self, Treasury};
use super::{Desk, alarms};

/// Waiting and failed intents that one answer names; the counts tell of all.
const ATTENTION: usize = 50;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whether every origin is watched or polled.
    pub ready: bool,
    /// The daemon's version.
    pub version: &'static str,
    /// The daemon's process.
    pub pid: u32,
    /// Whose daemon this is.
    pub state_dir: String,
    /// What a person should know of or do, what is worst first.
    pub alarms: Vec<Alarm>,
    /// By name.
    pub origins: BTreeMap<OriginName, OriginFacts>,
    /// Counts by state.
    pub intents: Counts,
    /// What is recorded and not yet accepted by the journal.
    pub outbox: u64,
    /// Deliveries of hooks.
    pub deliveries: Deliveries,
    /// By account and kind.
    pub quota: BTreeMap<AccountName, BTreeMap<&'static str, Quota>>,
    /// How the day of each account stands: what is kept for whom, foreign spending, the forecast.
    pub treasury: BTreeMap<AccountName, Treasury>,
    /// The way to the CDN, by account.
    pub accounts: BTreeMap<AccountName, AccountFacts>,
    /// Age of the oldest intent that has not ended.
    pub oldest_open_seconds: u64,
    /// What waits at gates, by origin.
    pub gates: BTreeMap<OriginName, GateFacts>,
    /// How the last reload of the configuration ended; none since the start.
    pub reload: Option<ReloadFacts>,
    /// What an operator paused.
    pub paused: Vec<Pause>,
    /// What waits for a person, by deploy, the oldest first.
    pub held: Vec<Held>,
    /// Why intents wait or failed, but for those held: what failed first, then what is most.
    pub reasons: Vec<Alike>,
    /// Waiting and failed intents, but for those held, newest first, with their reasons.
    pub attention: Vec<Shown>,
}

/// How deliveries stand, of those that are kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Deliveries {
    /// How many are looked at, or will be.
    pub open: u64,
    /// How many came to nothing.
    pub failed: u64,
}

/// A day's allowance.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Quota {
    /// What the day allows.
    pub limit: u64,
    /// What is spent.
    pub used: u64,
    /// What is left.
    pub left: u64,
}

/// An intent that an operator should see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// `refresh` or `prefetch`.
    pub action: String,
    /// What for.
    pub target: String,
    /// Why it is shown.
    pub why: String,
    /// The path that caused it; empty for an operator's wish.
    pub path: String,
}

/// Answers `GET /status`.
pub async fn answer(State(desk): State<Desk>) -> Response {
    match status(&desk).await {
        Ok(status) => Json(status).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// Gathers what the daemon knows.
pub(super) async fn status(desk: &Desk) -> Result<Status, JournalError> {
    let now = desk.clock.server_now();
    let facts = desk.facts.borrow().clone();
    let mut quota = BTreeMap::new();
    let mut treasury = BTreeMap::new();
    let mut quotas = Vec::new();
    for (name, account) in &desk.accounts {
        let allowances = desk.journal.quota(name, &account.quota, now).await?;
        let of_day = treasury::of(desk, name, account, &allowances).await?;
        quotas.extend(alarms::quotas(name, &allowances, &of_day));
        treasury.insert(name.clone(), of_day);
        let by_kind = QuotaKind::ALL
            .into_iter()
            .map(|kind| {
                let allowance = allowances[kind];
                let quota =
                    Quota { limit: allowance.limit, used: allowance.used, left: allowance.left() };
                (kind.as_str(), quota)
            })
            .collect();
        quota.insert(name.clone(), by_kind);
    }
    let attention = desk.journal.attention(ATTENTION).await?;
    let reasons = desk.journal.reasons(None, REASONS).await?;
    // What leaves the outbox meanwhile is among the intents then: nothing on its way is in neither.
    let outbox = desk.store.outbox_len().await.unwrap_or_default();
    let (open, failed) = desk.store.delivery_counts().await.unwrap_or_default();
    let deliveries = Deliveries { open, failed };
    let (paused, held) = (desk.journal.pauses().await?, desk.journal.held().await?);
    let alarms = alarms::of(desk, &facts, quotas, &held, &paused, failed).await?.alarms;
    Ok(Status {
        ready: facts.ready,
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        state_dir: desk.state_dir.display().to_string(),
        alarms,
        origins: facts.origins,
        intents: desk.journal.counts().await?,
        outbox,
        deliveries,
        quota,
        treasury,
        accounts: facts.accounts,
        gates: facts.gates,
        reload: facts.reload,
        oldest_open_seconds: desk
            .journal
            .oldest_open()
            .await?
            .map_or(0, |oldest| now.since(oldest).as_secs()),
        paused,
        held: held.into_iter().map(Held::from).collect(),
        reasons: reasons.into_iter().map(Alike::from).collect(),
        attention: attention
            .into_iter()
            .map(|shown| Shown {
                action: shown.intent.action.to_string(),
                target: shown.intent.target.to_string(),
                why: shown.why,
                path: shown.intent.cause.path.map(|path| path.to_string()).unwrap_or_default(),
            })
            .collect(),
    })
}
