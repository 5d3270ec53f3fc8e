//! `POST /pause`: an operator freezes submission, or lets it go on.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::names::{AccountName, OriginName};
use crate::journal::{JournalError, Pause};

use super::Desk;
use super::who::Changer;
use super::wishes::Refused;

/// What an operator asks for. Without origin and account it is about everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Whether to pause; else to resume.
    pub pause: bool,
    /// Which origin.
    pub origin: Option<OriginName>,
    /// Which account.
    pub account: Option<AccountName>,
}

/// What is paused now.
#[derive(Clone, Debug, Serialize)]
pub struct Paused {
    /// Whether the request changed anything.
    pub changed: bool,
    /// All that is paused.
    pub paused: Vec<Pause>,
}

/// What is paused or resumed: an account and perhaps an origin of it.
type Scope = (AccountName, Option<OriginName>);

/// Answers `POST /pause`: 200 with what is paused once that is durable, 404 for an unknown name, or 503
/// when it could not be written down.
pub async fn answer(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Json(request): Json<Request>,
) -> Response {
    match change(&desk, &request, &who).await {
        Ok(Ok(paused)) => Json(paused).into_response(),
        Ok(Err(problem)) => {
            (StatusCode::NOT_FOUND, Json(Refused { problems: vec![problem] })).into_response()
        }
        Err(error) => {
            let problems = vec![error.to_string()];
            (StatusCode::SERVICE_UNAVAILABLE, Json(Refused { problems })).into_response()
        }
    }
}

/// Freezes or lets go; the inner error names what is not known.
pub(super) async fn change(
    desk: &Desk,
    request: &Request,
    who: &str,
) -> Result<Result<Paused, String>, JournalError> {
    let known = desk.journal.pauses().await?;
    let scopes = match scopes(desk, request, &known) {
        Ok(scopes) => scopes,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut changed = false;
    for (account, origin) in scopes {
        let (now, origin) = (desk.clock.server_now(), origin.as_ref());
        changed |= if request.pause {
            desk.journal.pause(&account, origin, who, now).await?
        } else {
            desk.journal.resume(&account, origin).await?
        };
    }
    if changed {
        let what = if request.pause { "paused" } else { "resumed" };
        let origin = request.origin.as_ref().map(OriginName::as_str);
        let account = request.account.as_ref().map(AccountName::as_str);
        tracing::info!(origin, account, %who, "{what}");
    }
    desk.wake_dispatchers();
    Ok(Ok(Paused { changed, paused: desk.journal.pauses().await? }))
}

/// Returns what a request is about. What is paused can be resumed even when the configuration does not
/// name it any more.
fn scopes(desk: &Desk, request: &Request, known: &[Pause]) -> Result<Vec<Scope>, String> {
    let paused = known.iter().filter(|_| !request.pause);
    let paused = paused.map(|pause| (pause.account.clone(), pause.origin.clone()));
    let accounts = desk.accounts.keys().map(|account| (account.clone(), None));
    let origins =
        desk.origins.iter().map(|(name, origin)| (origin.account.clone(), Some(name.clone())));
    let mut scopes: Vec<Scope> = match (&request.origin, &request.account) {
        (Some(origin), _) => {
            origins.chain(paused).filter(|(_, named)| named.as_ref() == Some(origin)).collect()
        }
        (None, Some(account)) => accounts
            .chain(paused)
            .filter(|(named, origin)| named == account && origin.is_none())
            .collect(),
        (None, None) => accounts.chain(paused).collect(),
    };
    scopes.sort();
    scopes.dedup();
    let name = request.account.as_ref().filter(|_| scopes.is_empty());
    if let Some(name) = name {
        let known: Vec<&str> = desk.accounts.keys().map(AccountName::as_str).collect();
        return Err(format!("there is no account `{name}`; configured: {}", known.join(", ")));
    }
    let name = request.origin.as_ref().filter(|_| scopes.is_empty());
    if let Some(name) = name {
        let known: Vec<&str> = desk.origins.keys().map(OriginName::as_str).collect();
        return Err(format!("there is no origin `{name}`; configured: {}", known.join(", ")));
    }
    Ok(scopes)
}
