//! `POST /deploy`: a person or a script holds a deploy open, or lets it close; `POST /deploys`: what
//! deploys there were, and what became of one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::deploy::{Bracket, Deploy, DeployId};
use crate::domain::names::OriginName;
use crate::journal::JournalError;
use crate::store::{ChangePlace, StoreError};

use super::report::Report;
use super::wait::unknown;
use super::who::Changer;
use super::wishes::Refused;
use super::{Desk, OriginDesk};

/// Changes that one answer names; it counts all.
const NAMED: usize = 1_000;
/// Deploys that one answer lists.
const LISTED: usize = 20;

/// What is to become of a deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// More comes: quiet does not close it.
    Begin,
    /// All is written: it closes once that is seen.
    End,
}

/// What a person or a script says of a deploy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Of which origin.
    pub origin: OriginName,
    /// What.
    pub bound: Bound,
}

/// What was written down.
#[derive(Clone, Debug, Serialize)]
struct Written {
    deploy: DeployId,
    /// When it ends by itself.
    until: crate::domain::time::Timestamp,
}

fn refuse(code: StatusCode, problem: &impl ToString) -> Response {
    (code, Json(Refused { problems: vec![problem.to_string()] })).into_response()
}

/// Answers `POST /deploy`: 202 with the deploy once it is durable, 404 for an unknown origin, 409 when
/// a deploy is held open already or none is, 503 when it could not be written down.
pub async fn answer(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Json(request): Json<Request>,
) -> Response {
    let name = &request.origin;
    let Some(origin) = desk.origins.get(name) else {
        return refuse(StatusCode::NOT_FOUND, &unknown(&desk, name));
    };
    let written = match request.bound {
        Bound::Begin => begin(&desk, name, origin).await,
        Bound::End => end(&desk, name, origin).await,
    };
    match written {
        Ok(Ok(bracket)) => {
            let (deploy, until) = (bracket.deploy.clone(), bracket.until());
            let bound = request.bound;
            tracing::info!(origin = %name, %deploy, ?bound, %who, "a deploy's bound was set");
            (StatusCode::ACCEPTED, Json(Written { deploy, until })).into_response()
        }
        Ok(Err(problem)) => refuse(StatusCode::CONFLICT, &problem),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

/// Holds a deploy open; the inner error says why not.
async fn begin(
    desk: &Desk,
    name: &OriginName,
    origin: &OriginDesk,
) -> Result<Result<Bracket, String>, StoreError> {
    if origin.is_pushed {
        return Ok(Err(format!(
            "the files of `{name}` are in a repository: each push is a deploy, with nothing to hold open"
        )));
    }
    let began_at = desk.clock.server_now();
    let deploy = DeployId::new(began_at, desk.clock.random());
    if let Some(open) = desk.store.begin_bracket(name, &deploy, began_at).await? {
        let (deploy, until) = (&open.deploy, open.until());
        return Ok(Err(if open.ending {
            format!("deploy {deploy} of `{name}` is about to close: try again in a moment")
        } else {
            format!(
                "deploy {deploy} of `{name}` is held open until {until} at the latest; end it \
                 first: refreshd deploy end {name}"
            )
        }));
    }
    origin.door.bracket();
    Ok(Ok(Bracket { deploy, began_at, ending: false }))
}

/// Lets a deploy close; the inner error says why not.
async fn end(
    desk: &Desk,
    name: &OriginName,
    origin: &OriginDesk,
) -> Result<Result<Bracket, String>, StoreError> {
    let Some(bracket) = desk.store.ask_for_end(name).await? else {
        return Ok(Err(format!(
            "no deploy of `{name}` is held open: none was begun, or it ended by itself"
        )));
    };
    origin.door.bracket();
    Ok(Ok(bracket))
}

/// What is asked about deploys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Of which origin; of all if none is named.
    pub origin: Option<OriginName>,
    /// About which deploy; the list if none is named.
    pub deploy: Option<DeployId>,
}

/// A deploy, what changed in it, and what became of that.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    report: Report,
    /// How many paths changed.
    changed: usize,
    /// The first of them: the letter of what happened, and the path.
    changes: Vec<(&'static str, String)>,
}

/// Answers `POST /deploys`: 200 with the newest deploys, or with what became of one; 404 for an
/// unknown one, 503 when it could not be read.
pub async fn tell(State(desk): State<Desk>, Json(question): Json<Question>) -> Response {
    let Some(id) = &question.deploy else {
        return match list(&desk, question.origin.as_ref()).await {
            Ok(reports) => Json(serde_json::json!({ "deploys": reports })).into_response(),
            Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error),
        };
    };
    let deploy = match desk.journal.deploy(id).await {
        Ok(Some(deploy)) => deploy,
        Ok(None) => {
            let problem = format!("there is no deploy `{id}`; see `refreshd deploy list`");
            return refuse(StatusCode::NOT_FOUND, &problem);
        }
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error),
    };
    let part = match desk.store.some_changes(id, ChangePlace::default(), NAMED).await {
        Ok(part) => part,
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error),
    };
    match Report::read(&desk, &[deploy], usize::MAX).await {
        Ok(report) => Json(Told {
            report,
            changed: part.number,
            changes: part
                .changes
                .into_iter()
                .map(|(kind, path)| (kind.letter(), path.to_string()))
                .collect(),
        })
        .into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

async fn list(desk: &Desk, origin: Option<&OriginName>) -> Result<Vec<Report>, JournalError> {
    let deploys: Vec<Deploy> = desk.journal.deploys(origin, LISTED).await?;
    let mut reports = Vec::with_capacity(deploys.len());
    for deploy in deploys {
        reports.push(Report::read(desk, &[deploy], usize::MAX).await?);
    }
    Ok(reports)
}
