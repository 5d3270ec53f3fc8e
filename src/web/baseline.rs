//! `POST /baseline`: an operator asks for a new baseline of an origin.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::ask::Target;
use crate::domain::hint::Witness;
use crate::domain::intent::{Action, Cause, Outgoing, Priority, Wish};
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;

use super::who::Changer;
use super::wishes::{Recorded, Refused};
use super::{Desk, OriginDesk};

/// A refresh that goes with a baseline is asked this much later. What changes after the baseline's
/// instant is refreshed by itself; what changes before it, by this: so it must not come first. An
/// intake that takes longer asks once more.
const BASELINE_FIRST: Duration = Duration::from_secs(5);

/// What an operator asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Of which origin.
    pub origin: OriginName,
    /// Whether all its URLs are refreshed too.
    pub refresh: bool,
}

/// Answers `POST /baseline`: 202 once the refreshes are durable and the intake is told, 404 for an
/// unknown origin, or 503 when the refreshes could not be written down; then nothing was done.
pub async fn answer(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Json(request): Json<Request>,
) -> Response {
    let Some(origin) = desk.origins.get(&request.origin) else {
        let known: Vec<&str> = desk.origins.keys().map(OriginName::as_str).collect();
        let (name, known) = (&request.origin, known.join(", "));
        let problems = vec![format!("there is no origin `{name}`; configured: {known}")];
        return (StatusCode::NOT_FOUND, Json(Refused { problems })).into_response();
    };
    let now = desk.clock.server_now();
    let wishes = if request.refresh { wishes(&request.origin, origin, now) } else { Vec::new() };
    let recorded = wishes.iter().map(|wish| wish.target.text.clone()).collect();
    let outgoing = wishes.iter().cloned().map(Outgoing::Wish).collect();
    if let Err(error) = desk.store.record_operator(outgoing).await {
        let problems = vec![error.to_string()];
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Refused { problems })).into_response();
    }
    desk.recorded.notify_one();
    origin.door.begin_anew(wishes);
    let (name, refresh) = (&request.origin, request.refresh);
    tracing::info!(origin = %name, refresh, %who, "a baseline is asked for");
    (StatusCode::ACCEPTED, Json(Recorded { recorded, notes: Vec::new() })).into_response()
}

/// Returns a refresh of everything that an origin serves.
fn wishes(name: &OriginName, origin: &OriginDesk, now: Timestamp) -> Vec<Wish> {
    let wish = |target: &Target| Wish {
        account: origin.account.clone(),
        action: Action::Refresh,
        target: target.clone(),
        force: false,
        // It reaches everything and nothing in particular: what changes goes first.
        priority: Priority::Backfill,
        not_before: now.plus(BASELINE_FIRST),
        stage: crate::domain::stage::Stage::default(),
        hold: None,
        cause: Cause {
            witness: Witness::Operator,
            at: now,
            origin: Some(name.clone()),
            path: None,
            change: None,
            digest: None,
            deploy: None,
        },
    };
    origin.bases.iter().map(wish).collect()
}
