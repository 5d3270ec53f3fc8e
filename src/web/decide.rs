//! `POST /decide`: a person approves or rejects what is held of a deploy.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::deploy::DeployId;
use crate::domain::intent::IntentId;
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;
use crate::journal::{Decision, HeldSet, JournalError, MAX_DECIDED};

use super::Desk;
use super::who::Changer;
use super::wishes::Refused;

/// What a person decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// On which deploy.
    pub deploy: DeployId,
    /// The newest intent that the person saw of it; none for all that is held now.
    #[serde(default)]
    pub through: Option<IntentId>,
    /// What.
    pub decision: Decision,
}

/// What was done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// How many intents were decided on.
    pub decided: u64,
}

/// What is held of a deploy, as an answer shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// The deploy: what `approve` and `reject` are told.
    pub deploy: DeployId,
    /// Whose.
    pub origin: Option<OriginName>,
    /// How many intents.
    pub intents: u64,
    /// The newest of them.
    pub through: IntentId,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// Some of the targets.
    pub sample: Vec<String>,
}

impl From<HeldSet> for Held {
    fn from(set: HeldSet) -> Self {
        Self {
            deploy: set.deploy,
            origin: set.origin,
            intents: set.intents,
            through: set.through,
            since: set.since,
            why: set.why,
            sample: set.sample.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Answers `POST /decide`: 200 with how many intents were decided on, 404 when nothing is held of the
/// deploy, or 503 when the decision could not be written down.
pub async fn answer(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Json(request): Json<Request>,
) -> Response {
    match decide(&desk, &request, &who).await {
        Ok(0) => {
            let problems = vec![nothing_held(&request.deploy)];
            (StatusCode::NOT_FOUND, Json(Refused { problems })).into_response()
        }
        Ok(decided) => Json(Decided { decided }).into_response(),
        Err(error) => {
            let problems = vec![error.to_string()];
            (StatusCode::SERVICE_UNAVAILABLE, Json(Refused { problems })).into_response()
        }
    }
}

/// Says that nothing of a deploy waits for a person.
pub(super) fn nothing_held(deploy: &DeployId) -> String {
    format!("nothing is held of `{deploy}`")
}

/// Decides on all that is held of a deploy; returns how many intents that were. After a failure the
/// rest is still held, and shown.
pub(super) async fn decide(desk: &Desk, request: &Request, who: &str) -> Result<u64, JournalError> {
    let mut all = 0;
    loop {
        let now = desk.clock.server_now();
        let (deploy, through) = (&request.deploy, request.through);
        let decided = desk.journal.decide(deploy, through, request.decision, who, now).await?;
        all += decided;
        if decided < MAX_DECIDED as u64 {
            break;
        }
    }
    if all > 0 {
        let (deploy, decision) = (&request.deploy, request.decision);
        tracing::info!(%deploy, ?decision, %who, intents = all, "a person decided");
        desk.wake_dispatchers();
    }
    Ok(all)
}
