//! `POST /call` and `POST /wait`: a script waits until what it wrote is fresh.
//!
//! A call asks intakes to see all that was written by now; its tickets are then asked about until
//! they were served and what the deploy caused has ended.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::deploy::{self, DeployId};
use crate::domain::facts::{OriginFacts, OriginState};
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;
use crate::journal::JournalError;

use super::report::Report;
use super::wishes::Refused;
use super::{Desk, OriginDesk};

/// Deploys that are looked through for the latest one's beginning: each may have been cut short by
/// its deadline.
const MOST_DEPLOYS: usize = 1_000;

/// Which trees are to be seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Of which origin; of all if neither it nor a deploy is named.
    pub origin: Option<OriginName>,
    /// The origin that this deploy is of.
    pub deploy: Option<DeployId>,
}

/// What to ask about.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// Whose tree is to be seen.
    pub origin: OriginName,
    /// The number of the call.
    pub ticket: u64,
    /// Which process gave it out: another one knows nothing of it.
    pub pid: u32,
    /// Which deploys; the latest if none is named.
    pub deploys: Vec<DeployId>,
    /// When it was first called: what was open then belongs to the latest.
    pub since: Timestamp,
}

/// How far it is.
#[derive(Debug, Serialize)]
struct Progress {
    /// Whether all that was written before the call is seen and in the journal.
    seen: bool,
    /// What it waits for if not.
    note: String,
    /// The time, by the CDN's clock.
    now: Timestamp,
    /// What became of the deploy; none when nothing was ever deployed.
    report: Option<Report>,
}

fn refuse(code: StatusCode, problem: String) -> Response {
    (code, Json(Refused { problems: vec![problem] })).into_response()
}

/// Answers `POST /call`: 202 with a ticket for each origin, 404 for an unknown origin or deploy.
pub async fn call(State(desk): State<Desk>, Json(request): Json<Call>) -> Response {
    let origin = match (&request.deploy, request.origin) {
        (None, origin) => origin,
        (Some(deploy), named) => match origin_of(&desk, deploy).await {
            Ok(Some(of)) if named.as_ref().is_none_or(|named| *named == of) => Some(of),
            Ok(Some(of)) => {
                let problem = format!("the deploy `{deploy}` is of origin `{of}`");
                return refuse(StatusCode::NOT_FOUND, problem);
            }
            Ok(None) => {
                let problem = format!("there is no deploy `{deploy}`; see `refreshd deploy list`");
                return refuse(StatusCode::NOT_FOUND, problem);
            }
            Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        },
    };
    if let Some(origin) = origin.as_ref().filter(|name| !desk.origins.contains_key(name)) {
        return refuse(StatusCode::NOT_FOUND, unknown(&desk, origin));
    }
    let wanted = |name: &OriginName| origin.as_ref().is_none_or(|origin| origin == name);
    let ticket = |(name, known): (&OriginName, &OriginDesk)| Ticket {
        origin: name.clone(),
        ticket: known.door.call(),
        pid: std::process::id(),
        deploys: request.deploy.iter().cloned().collect(),
        since: desk.clock.server_now(),
    };
    let tickets: Vec<Ticket> =
        desk.origins.iter().filter(|(name, _)| wanted(name)).map(ticket).collect();
    (StatusCode::ACCEPTED, Json(serde_json::json!({ "tickets": tickets }))).into_response()
}

/// Says that an origin is not known, and which are.
pub(super) fn unknown(desk: &Desk, origin: &OriginName) -> String {
    let known: Vec<&str> = desk.origins.keys().map(OriginName::as_str).collect();
    format!("there is no origin `{origin}`; configured: {}", known.join(", "))
}

/// Returns whose a deploy is; one that was begun a moment ago is not in the journal yet.
async fn origin_of(desk: &Desk, deploy: &DeployId) -> Result<Option<OriginName>, JournalError> {
    let facts = desk.facts.borrow().clone();
    let open = facts.origins.into_iter().find(|(_, facts)| facts.deploy.as_ref() == Some(deploy));
    match open {
        Some((origin, _)) => Ok(Some(origin)),
        None => Ok(desk.journal.deploy(deploy).await?.map(|deploy| deploy.origin)),
    }
}

/// Answers `POST /wait`: 200 with how far it is, 410 when the ticket is another process's.
pub async fn answer(State(desk): State<Desk>, Json(ticket): Json<Ticket>) -> Response {
    if ticket.pid != std::process::id() {
        return refuse(StatusCode::GONE, "the daemon was started anew: call again".to_owned());
    }
    match progress(&desk, &ticket).await {
        Ok(progress) => Json(progress).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

async fn progress(desk: &Desk, ticket: &Ticket) -> Result<Progress, JournalError> {
    let now = desk.clock.server_now();
    let facts = desk.facts.borrow().origins.get(&ticket.origin).cloned().unwrap_or_default();
    let unseen = |note| Progress { seen: false, note, now, report: None };
    if facts.seen < ticket.ticket {
        return Ok(unseen(awaited(&ticket.origin, &facts)));
    }
    // What was seen is recorded; once the outbox was empty all of that is in the journal.
    if desk.store.outbox_len().await.unwrap_or(1) > 0 {
        return Ok(unseen("what was seen is being written down".to_owned()));
    }
    let mut deploys = Vec::new();
    for deploy in &ticket.deploys {
        deploys.extend(desk.journal.deploy(deploy).await?);
    }
    if ticket.deploys.is_empty() {
        let all = desk.journal.deploys(Some(&ticket.origin), MOST_DEPLOYS).await?;
        deploys = deploy::latest(&all, ticket.since).to_vec();
    }
    let report = if deploys.is_empty() {
        None
    } else {
        Some(Report::read(desk, &deploys, usize::MAX).await?)
    };
    Ok(Progress { seen: true, note: String::new(), now, report })
}

/// Says what seeing all of a tree waits for.
fn awaited(origin: &OriginName, facts: &OriginFacts) -> String {
    if let (Some(deploy), Some(until)) = (&facts.deploy, facts.held_open_until) {
        return format!(
            "deploy {deploy} is held open until {until} at the latest: refreshd deploy end {origin}"
        );
    }
    match facts.state {
        OriginState::Unavailable => format!("the tree is unavailable: {}", facts.note),
        OriginState::Baseline => "the whole tree is being compared".to_owned(),
        _ => "what was written is being looked at".to_owned(),
    }
}
