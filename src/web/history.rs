//! `POST /history`: what changed in which deploy, as `refreshd simulate` reads it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::deploy::DeployId;
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;

use super::Desk;
use super::wait::unknown;
use super::wishes::Refused;

/// Deploys in one answer.
const PAGE: usize = 100;

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Of which origin.
    pub origin: OriginName,
    /// Recorded since when.
    pub since: Timestamp,
    /// The last deploy of the answer before.
    pub after: Option<DeployId>,
}

/// A line of a history.
#[derive(Debug, Serialize)]
struct Line {
    /// When the deploy opened, in seconds since the Unix epoch.
    time: i64,
    /// What happened, by letter, to which path.
    changes: Vec<(&'static str, String)>,
}

/// A part of a history.
#[derive(Debug, Serialize)]
struct Part {
    lines: Vec<Line>,
    /// What to go on after; none at the end.
    after: Option<DeployId>,
}

/// Answers `POST /history`: 200 with the oldest lines after those asked for before, 404 for an unknown
/// origin, 503 when they could not be read.
pub async fn answer(State(desk): State<Desk>, Json(request): Json<Request>) -> Response {
    let refuse = |code, problem| (code, Json(Refused { problems: vec![problem] })).into_response();
    if !desk.origins.contains_key(&request.origin) {
        return refuse(StatusCode::NOT_FOUND, unknown(&desk, &request.origin));
    }
    let after = request.after.as_ref();
    let history = desk.store.history(&request.origin, request.since, after, PAGE).await;
    let deploys = match history {
        Ok(deploys) => deploys,
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    let after = deploys.last().filter(|_| deploys.len() == PAGE).map(|(deploy, _)| deploy.clone());
    let line = |(deploy, changes): (DeployId, Vec<crate::store::Changed>)| Line {
        time: deploy.opened_at().unwrap_or_default().as_seconds(),
        changes: changes
            .into_iter()
            .map(|(kind, path)| {
                (kind.letter(), String::from_utf8_lossy(path.as_bytes()).into_owned())
            })
            .collect(),
    };
    Json(Part { lines: deploys.into_iter().map(line).collect(), after }).into_response()
}
