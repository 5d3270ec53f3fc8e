//! `GET /gates`: what waits at gates; `POST /gate`: a person lets it go.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::deploy::DeployId;
use crate::domain::names::OriginName;
use crate::domain::push::CommitId;
use crate::domain::time::Timestamp;
use crate::store::{GatedDeploy, StoreError};

use super::Desk;
use super::who::Changer;
use super::wishes::Refused;

/// Why a gate is closed for a deploy whose changes are still being collected.
const INCOMPLETE: &str = "the deploy is still open";

/// A deploy that waits at a gate.
#[derive(Debug, Serialize)]
struct Waiting {
    origin: OriginName,
    deploy: DeployId,
    /// The commit that it is to serve, where that is known.
    commit: Option<CommitId>,
    /// Since when it is complete, or by when at the latest it will be.
    ready_at: Timestamp,
    /// Whether it is complete.
    complete: bool,
    wishes: u64,
    /// Why the gate is closed.
    why: String,
    /// What the gate's command wrote last.
    output: String,
}

/// What a person lets go.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The name of an origin, for all of it that is complete, or a deploy.
    pub what: String,
}

/// What went.
#[derive(Debug, Serialize)]
pub(super) struct Opened {
    pub(super) deploys: Vec<DeployId>,
    pub(super) wishes: u64,
}

fn unwritten(error: &StoreError) -> Response {
    let problems = vec![error.to_string()];
    (StatusCode::SERVICE_UNAVAILABLE, Json(Refused { problems })).into_response()
}

/// Answers `GET /gates`: 200 with the deploys that wait, the oldest of each origin first, or 503.
pub async fn tell(State(desk): State<Desk>) -> Response {
    match waiting(&desk).await {
        Ok(waiting) => {
            let waiting: Vec<Waiting> =
                waiting.into_iter().map(|(origin, gated)| shown(&desk, origin, gated)).collect();
            Json(serde_json::json!({ "gated": waiting })).into_response()
        }
        Err(error) => unwritten(&error),
    }
}

/// Answers `POST /gate`: 200 with what went, 404 when nothing of that name waits, 503 when it could not be
/// written down.
pub async fn answer(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Json(request): Json<Request>,
) -> Response {
    match open(&desk, &request.what, &who).await {
        Ok(opened) if opened.deploys.is_empty() => {
            let what = &request.what;
            let problem = nothing_waits(what);
            (StatusCode::NOT_FOUND, Json(Refused { problems: vec![problem] })).into_response()
        }
        Ok(opened) => Json(opened).into_response(),
        Err(error) => unwritten(&error),
    }
}

/// Says that nothing of that name can be let go.
pub(super) fn nothing_waits(what: &str) -> String {
    format!("nothing complete of `{what}` waits at a gate; `refreshd gate` shows what does")
}

/// Lets go what is complete of an origin, or a deploy.
pub(super) async fn open(desk: &Desk, what: &str, who: &str) -> Result<Opened, StoreError> {
    let mut opened = Opened { deploys: Vec::new(), wishes: 0 };
    for (origin, gated) in waiting(desk).await? {
        let now = desk.clock.server_now();
        let is_named = gated.deploy.as_str() == what || origin.as_str() == what;
        if !is_named || gated.ready_at > now {
            continue;
        }
        let Some(gate) = desk.gates.get(&origin) else { continue };
        let echo = (!gate.echo.is_zero()).then(|| now.plus(gate.echo));
        if desk.store.open_gate(&origin, &gated, now, echo).await? == 0 {
            continue;
        }
        let (deploy, wishes) = (&gated.deploy, gated.wishes);
        tracing::info!(%origin, %deploy, wishes, %who, "a person opened the gate");
        desk.recorded.notify_one();
        gate.wake.notify_one();
        opened.wishes += wishes;
        opened.deploys.push(gated.deploy);
    }
    Ok(opened)
}

async fn waiting(desk: &Desk) -> Result<Vec<(OriginName, GatedDeploy)>, StoreError> {
    let mut waiting = Vec::new();
    for origin in desk.gates.keys() {
        let gated = desk.store.gated(origin).await?;
        waiting.extend(gated.into_iter().map(|gated| (origin.clone(), gated)));
    }
    Ok(waiting)
}

fn shown(desk: &Desk, origin: OriginName, gated: GatedDeploy) -> Waiting {
    let complete = gated.ready_at <= desk.clock.server_now();
    let facts = desk.facts.borrow().gates.get(&origin).cloned().unwrap_or_default();
    Waiting {
        complete,
        deploy: gated.deploy,
        commit: gated.commit,
        ready_at: gated.ready_at,
        wishes: gated.wishes,
        why: why(desk, &origin, complete),
        output: facts.output,
        origin,
    }
}

/// Says why a gate is closed.
fn why(desk: &Desk, origin: &OriginName, complete: bool) -> String {
    if !complete {
        return INCOMPLETE.to_owned();
    }
    desk.facts.borrow().gates.get(origin).map(|facts| facts.why.clone()).unwrap_or_default()
}

/// What of some deploys waits at their origin's gate.
#[derive(Debug, Serialize)]
pub struct AtGate {
    /// How many wishes.
    pub wishes: u64,
    /// Since when the oldest deploy is complete, or by when at the latest.
    pub since: Timestamp,
    /// Why it is closed.
    pub why: String,
}

impl AtGate {
    /// Looks what of an origin's deploys waits at its gate; none when nothing does.
    pub(super) async fn look<'d>(
        desk: &Desk,
        origin: &OriginName,
        deploys: impl Iterator<Item = &'d DeployId> + Clone,
    ) -> Result<Option<Self>, StoreError> {
        if !desk.gates.contains_key(origin) {
            return Ok(None);
        }
        let gated = desk.store.gated(origin).await?;
        let of = |gated: &&GatedDeploy| deploys.clone().any(|deploy| *deploy == gated.deploy);
        let gated: Vec<&GatedDeploy> = gated.iter().filter(of).collect();
        let now = desk.clock.server_now();
        let Some(since) = gated.iter().map(|gated| gated.ready_at).min() else {
            // What passed a moment ago is not in the journal before the outbox is empty.
            let why = "what passed it is being written down".to_owned();
            let is_passing = desk.store.outbox_len().await? > 0;
            return Ok(is_passing.then_some(Self { wishes: 0, since: now, why }));
        };
        let complete = since <= now;
        let wishes = gated.iter().map(|gated| gated.wishes).sum();
        Ok(Some(Self { wishes, since, why: why(desk, origin, complete) }))
    }
}
