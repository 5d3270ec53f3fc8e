//! What a person may have done: pause and resume, wishes, opening a gate.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ask::{self, Named, Told};
use super::problem::Problem;
use super::view::Problems;
use crate::domain::ask::Kind;
use crate::domain::intent::Action;
use crate::journal::Pause;
use crate::web::Desk;
use crate::web::who::Changer;
use crate::web::{gate, pause, wishes};

/// What is to be paused or to go on; without either, every account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// This origin.
    #[serde(default)]
    pub origin: Option<String>,
    /// This account.
    #[serde(default)]
    pub account: Option<String>,
}

/// What is paused.
#[derive(Debug, Serialize, ToSchema)]
pub struct PauseView {
    /// Whose.
    pub account: String,
    /// Of which origin; none for the whole account.
    pub origin: Option<String>,
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// By whom.
    pub by: String,
    /// How many pending intents it keeps back.
    pub waiting: u64,
}

impl From<Pause> for PauseView {
    fn from(pause: Pause) -> Self {
        Self {
            account: pause.account.to_string(),
            origin: pause.origin.map(|origin| origin.to_string()),
            since: pause.since.to_rfc3339(),
            by: pause.by,
            waiting: pause.waiting,
        }
    }
}

/// What is paused now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Paused {
    /// Whether the request changed anything.
    pub changed: bool,
    /// All that is paused.
    pub paused: Vec<PauseView>,
}

/// Asks nothing more of the CDN for an origin, an account or at all; changes are still collected.
#[utoipa::path(
    post, path = "/pause", tag = "changes", request_body = Scope,
    responses(
        (status = 200, body = Paused), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 404, body = Problems)
    )
)]
pub(super) async fn pause(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Told(scope): Told<Scope>,
) -> Result<Json<Paused>, Problem> {
    freeze(&desk, &scope, true, &who).await
}

/// Ends a pause.
#[utoipa::path(
    post, path = "/resume", tag = "changes", request_body = Scope,
    responses(
        (status = 200, body = Paused), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 404, body = Problems)
    )
)]
pub(super) async fn resume(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Told(scope): Told<Scope>,
) -> Result<Json<Paused>, Problem> {
    freeze(&desk, &scope, false, &who).await
}

async fn freeze(
    desk: &Desk,
    scope: &Scope,
    pause: bool,
    who: &str,
) -> Result<Json<Paused>, Problem> {
    if scope.origin.is_some() && scope.account.is_some() {
        return Err(Problem::bad("name an `origin` or an `account`, not both"));
    }
    let request = pause::Request {
        pause,
        origin: scope.origin.as_deref().map(Into::into),
        account: scope.account.as_deref().map(Into::into),
    };
    let done = pause::change(desk, &request, who).await?.map_err(Problem::unknown)?;
    Ok(Json(Paused {
        changed: done.changed,
        paused: done.paused.into_iter().map(PauseView::from).collect(),
    }))
}

/// What is to become fresh.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// The targets: 1,000 at most.
    #[schema(min_items = 1, max_items = 1000)]
    pub targets: Vec<String>,
    /// How they are meant; `url` if it is not said, and for a prefetch.
    #[schema(schema_with = ask::kind_schema)]
    #[serde(default)]
    pub kind: Option<String>,
    /// Whether cached copies are to be dropped, not only revalidated.
    #[serde(default)]
    pub force: bool,
    /// Whether it goes last, by what the day leaves over.
    #[serde(default)]
    pub backfill: bool,
    /// Whether a refresh of everything that a domain serves is meant.
    #[serde(default)]
    pub yes: bool,
    /// Whose CDN; may be left out when the host tells.
    #[serde(default)]
    pub account: Option<String>,
}

/// What was written down.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recorded {
    /// The targets in their one spelling, in order.
    pub recorded: Vec<String>,
    /// Why these wait for now, if they do.
    pub notes: Vec<String>,
}

/// The most targets of one request.
const MOST: usize = 1_000;

/// Asks for refreshes.
#[utoipa::path(
    post, path = "/refresh", tag = "changes", request_body = Wishes,
    responses(
        (status = 202, body = Recorded), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 413, body = Problems)
    )
)]
pub(super) async fn refresh(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Told(wishes): Told<Wishes>,
) -> Result<(StatusCode, Json<Recorded>), Problem> {
    record(&desk, Action::Refresh, wishes, &who).await
}

/// Asks for prefetches.
#[utoipa::path(
    post, path = "/prefetch", tag = "changes", request_body = Wishes,
    responses(
        (status = 202, body = Recorded), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 413, body = Problems)
    )
)]
pub(super) async fn prefetch(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Told(wishes): Told<Wishes>,
) -> Result<(StatusCode, Json<Recorded>), Problem> {
    record(&desk, Action::Prefetch, wishes, &who).await
}

async fn record(
    desk: &Desk,
    action: Action,
    wishes: Wishes,
    who: &str,
) -> Result<(StatusCode, Json<Recorded>), Problem> {
    if wishes.targets.len() > MOST {
        return Err(Problem::bad(format!("more than {MOST} targets: send them in parts")));
    }
    let kind = ask::word("kind", wishes.kind.as_ref(), Kind::parse, &ask::kinds())?;
    let request = wishes::Request {
        action,
        kind: kind.unwrap_or(Kind::Url),
        targets: wishes.targets,
        force: wishes.force,
        backfill: wishes.backfill,
        yes: wishes.yes,
        account: wishes.account.as_deref().map(Into::into),
    };
    let recorded = wishes::record(desk, &request, who).await?.map_err(Problem::all_bad)?;
    let wishes::Recorded { recorded, notes } = recorded;
    Ok((StatusCode::ACCEPTED, Json(Recorded { recorded, notes })))
}

/// What went.
#[derive(Debug, Serialize, ToSchema)]
pub struct Opened {
    /// The deploys.
    pub deploys: Vec<String>,
    /// How many wishes.
    pub wishes: u64,
}

/// Lets go what is complete of an origin, or a deploy, and waits at its gate.
#[utoipa::path(
    post, path = "/gate/{origin}/open", tag = "changes",
    params(("origin" = String, Path, description = "The origin, or a deploy of it")),
    responses(
        (status = 200, body = Opened), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 404, description = "Nothing complete waits", body = Problems)
    )
)]
pub(super) async fn open_gate(
    State(desk): State<Desk>,
    Changer(who): Changer,
    named: Named,
) -> Result<Json<Opened>, Problem> {
    let opened = gate::open(&desk, &named.0, &who).await?;
    if opened.deploys.is_empty() {
        return Err(Problem::unknown(gate::nothing_waits(&ask::shown(&named.0))));
    }
    let deploys = opened.deploys.iter().map(ToString::to_string).collect();
    Ok(Json(Opened { deploys, wishes: opened.wishes }))
}
