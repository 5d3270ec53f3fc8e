//! Deploys: lists of them, what became of one, and what a person decides on what is held of it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ask::{self, Asked, Named, Told, shown};
use super::problem::Problem;
use super::view::{DeployView, Items, Problems, maybe};
use crate::domain::deploy::DeployId;
use crate::domain::intent::IntentId;
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;
use crate::journal::Decision;
use crate::journal::browse::MAX_COUNTED;
use crate::store::ChangePlace;
use crate::web::Desk;
use crate::web::decide;
use crate::web::report::Report;
use crate::web::who::Changer;

/// Which deploys are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Those of this origin.
    #[param(schema_with = ask::text_schema)]
    pub origin: Option<String>,
    /// How many at most: 1 to 500, usually 100.
    #[param(schema_with = ask::limit_schema)]
    pub limit: Option<String>,
    /// What an answer named as `next`.
    #[param(schema_with = ask::text_schema)]
    pub after: Option<String>,
}

/// Reads `MICROS.ID`.
fn cursor(text: &str) -> Option<(Timestamp, DeployId)> {
    let (micros, id) = text.split_once('.')?;
    Some((Timestamp::from_micros(micros.parse().ok()?), DeployId::from_text(id.to_owned())))
}

/// Lists deploys, newest first.
#[utoipa::path(
    get, path = "/deploys", tag = "deploys", params(Wanted),
    responses((status = 200, body = Items<DeployView>), (status = 400, body = Problems))
)]
pub(super) async fn list(
    State(desk): State<Desk>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<Items<DeployView>>, Problem> {
    ask::filled("origin", wanted.origin.as_ref())?;
    let limit = ask::limit(wanted.limit.as_deref())?;
    let after = ask::after(wanted.after.as_deref(), cursor)?;
    let origin: Option<OriginName> = wanted.origin.as_deref().map(Into::into);
    let page = desk.journal.counted_deploys(origin.as_ref(), after.as_ref(), limit).await?;
    let (deploys, more) = page;
    let last = deploys.last().filter(|_| more);
    let next = last.map(|last| format!("{}.{}", last.deploy.opened_at.as_micros(), last.deploy.id));
    Ok(Json(Items { items: deploys.into_iter().map(DeployView::from).collect(), next }))
}

/// A path that changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedPath {
    /// What happened: `A`, `M` or `D`.
    pub change: String,
    /// To which path.
    pub path: String,
}

/// A deploy, what became of it, and what changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeployStory {
    /// Its name.
    pub id: String,
    /// Whose.
    pub origin: String,
    /// When it opened.
    #[schema(format = DateTime)]
    pub opened_at: String,
    /// When it closed; none while it is open.
    #[schema(format = DateTime)]
    pub closed_at: Option<String>,
    /// What became of it, as `refreshd deploy show --json` tells, of the newest 10,000 intents that it
    /// caused; only with the first changes.
    #[schema(value_type = Option<Object>)]
    pub report: Option<Report>,
    /// How many paths changed.
    pub changed: usize,
    /// Some of them, in the order they were recorded.
    pub changes: Vec<ChangedPath>,
    /// What to send as `after` to see more of them; none at the end.
    pub next: Option<String>,
}

/// Which changes are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// How many changed paths at most: 1 to 500, usually 100.
    #[param(schema_with = ask::limit_schema)]
    pub limit: Option<String>,
    /// What an answer named as `next`.
    #[param(schema_with = ask::text_schema)]
    pub after: Option<String>,
}

/// Reads `SEQUENCE.SKIP`.
fn place(text: &str) -> Option<ChangePlace> {
    let (sequence, skip) = text.split_once('.')?;
    Some(ChangePlace { sequence: sequence.parse().ok()?, skip: skip.parse().ok()? })
}

/// Tells what became of a deploy, and what changed in it.
#[utoipa::path(
    get, path = "/deploys/{id}", tag = "deploys",
    params(("id" = String, Path, description = "Its name"), Part),
    responses(
        (status = 200, body = DeployStory), (status = 400, body = Problems),
        (status = 404, body = Problems)
    )
)]
pub(super) async fn tell(
    State(desk): State<Desk>,
    named: Named,
    Asked(part): Asked<Part>,
) -> Result<Json<DeployStory>, Problem> {
    let limit = ask::limit(part.limit.as_deref())?;
    let after = ask::after(part.after.as_deref(), place)?;
    let id = DeployId::from_text(named.0);
    let Some(deploy) = desk.journal.deploy(&id).await? else {
        let problem = format!("there is no deploy `{}`, or no more", shown(id.as_str()));
        return Err(Problem::unknown(problem));
    };
    let part = desk.store.some_changes(&id, after.unwrap_or_default(), limit).await?;
    let report = match after {
        None => Some(Report::read(&desk, std::slice::from_ref(&deploy), MAX_COUNTED).await?),
        Some(_) => None,
    };
    let named = part.changes.into_iter().map(|(kind, path)| ChangedPath {
        change: kind.letter().to_owned(),
        path: path.to_string(),
    });
    Ok(Json(DeployStory {
        id: deploy.id.to_string(),
        origin: deploy.origin.to_string(),
        opened_at: deploy.opened_at.to_rfc3339(),
        closed_at: maybe(deploy.closed_at),
        report,
        changed: part.number,
        changes: named.collect(),
        next: part.next.map(|next| format!("{}.{}", next.sequence, next.skip)),
    }))
}

/// Through which intent a person looked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The newest intent that the person saw; none for all that is held now.
    #[serde(default)]
    pub through: Option<i64>,
}

/// How many intents were decided on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decided {
    /// How many.
    pub decided: u64,
}

/// Lets go out what is held of a deploy.
#[utoipa::path(
    post, path = "/deploys/{id}/approve", tag = "deploys", request_body = Seen,
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, body = Decided), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 404, description = "Nothing is held of it", body = Problems)
    )
)]
pub(super) async fn approve(
    State(desk): State<Desk>,
    Changer(who): Changer,
    named: Named,
    Told(seen): Told<Seen>,
) -> Result<Json<Decided>, Problem> {
    decided(&desk, named, &seen, Decision::Approve, &who).await
}

/// Ends what is held of a deploy.
#[utoipa::path(
    post, path = "/deploys/{id}/reject", tag = "deploys", request_body = Seen,
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, body = Decided), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 404, description = "Nothing is held of it", body = Problems)
    )
)]
pub(super) async fn reject(
    State(desk): State<Desk>,
    Changer(who): Changer,
    named: Named,
    Told(seen): Told<Seen>,
) -> Result<Json<Decided>, Problem> {
    decided(&desk, named, &seen, Decision::Reject, &who).await
}

async fn decided(
    desk: &Desk,
    named: Named,
    seen: &Seen,
    decision: Decision,
    who: &str,
) -> Result<Json<Decided>, Problem> {
    let deploy = DeployId::from_text(named.0);
    let request = decide::Request { deploy, through: seen.through.map(IntentId), decision };
    match decide::decide(desk, &request, who).await? {
        0 => Err(Problem::unknown(decide::nothing_held(&request.deploy))),
        decided => Ok(Json(Decided { decided })),
    }
}
