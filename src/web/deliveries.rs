//! `POST /deliveries` and `POST /replay`: what hooks told, what became of it, and once more.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Desk;
use super::who::Changer;
use super::wishes::Refused;
use crate::domain::deploy::DeployId;
use crate::domain::names::{HookName, OriginName};
use crate::domain::push::{CommitId, Fate, Listed};
use crate::domain::time::Timestamp;
use crate::store::{DeliveryId, DeliveryRow, PushRow, StoreError};

/// The most deliveries of one answer.
const MOST: usize = 1_000;
/// The most of a body that is shown, in bytes.
const SHOWN: usize = 64 << 10;

/// Which deliveries are asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// This one, with its body.
    #[serde(default)]
    pub only: Option<DeliveryId>,
    /// Those that are open or failed.
    #[serde(default)]
    pub attention: bool,
    /// At most so many, the newest.
    pub limit: usize,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The newest first.
    pub deliveries: Vec<Shown>,
}

/// A delivery as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// Its number.
    pub id: DeliveryId,
    /// Through which hook it came.
    pub hook: HookName,
    /// The sender's id.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// What it is about, in the sender's word.
    pub event: String,
    /// From where.
    pub source: String,
    /// How long its body is, in bytes.
    pub bytes: u64,
    /// How often it came again.
    pub repeats: u64,
    /// How it ended; none while it is open.
    pub fate: Option<Fate>,
    /// Why.
    pub why: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it tells, and what became of that for each origin.
    pub pushes: Vec<ShownPush>,
    /// The body as far as it is text, if one delivery was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// A push as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShownPush {
    /// For which origin.
    pub origin: OriginName,
    /// The ref that moved.
    pub reference: String,
    /// Where it stood.
    pub before: Option<CommitId>,
    /// Where it stands.
    pub after: Option<CommitId>,
    /// How many paths the sender names.
    pub listed: u64,
    /// Why there may be others; none where all are named.
    pub cut: Option<String>,
    /// Whether a person asked for it once more.
    pub again: bool,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// When it is tried again.
    pub not_before: Timestamp,
    /// How it ended; none while it is open.
    pub fate: Option<Fate>,
    /// Why, or why it is still open.
    pub why: String,
    /// The deploy that holds what changed.
    pub deploy: Option<DeployId>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl From<PushRow> for ShownPush {
    fn from(row: PushRow) -> Self {
        let listed = row.push.listed.paths().len() as u64;
        let cut = match row.push.listed {
            Listed::All(_) => None,
            Listed::Cut { why, .. } => Some(why),
        };
        Self {
            origin: row.origin,
            reference: row.push.reference,
            before: row.push.before,
            after: row.push.after,
            listed,
            cut,
            again: row.again,
            attempts: row.attempts,
            not_before: row.not_before,
            fate: row.fate,
            why: row.why,
            deploy: row.deploy,
            ended_at: row.ended_at,
        }
    }
}

impl From<DeliveryRow> for Shown {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id,
            hook: row.hook,
            key: row.key,
            at: row.at,
            event: row.event,
            source: row.source,
            bytes: row.bytes,
            repeats: row.repeats,
            fate: row.fate,
            why: row.why,
            ended_at: row.ended_at,
            pushes: row.pushes.into_iter().map(ShownPush::from).collect(),
            body: None,
        }
    }
}

/// Which delivery is wanted once more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Its number.
    pub delivery: DeliveryId,
}

/// What is looked at once more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Replayed {
    /// How many pushes.
    pub pushes: usize,
}

/// Answers `POST /deliveries`: 200, 404 when there is none of that number, 503 when the store fails.
pub async fn answer(State(desk): State<Desk>, Json(request): Json<Request>) -> Response {
    match deliveries(&desk, &request).await {
        Ok(answer) if request.only.is_some() && answer.deliveries.is_empty() => {
            refuse(StatusCode::NOT_FOUND, "there is no such delivery, or no more".to_owned())
        }
        Ok(answer) => Json(answer).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// Answers `POST /replay`: 200 with how many pushes are looked at once more, 404 when that is none.
pub async fn replay(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Json(request): Json<Replay>,
) -> Response {
    let id = request.delivery;
    match desk.store.replay(id, desk.clock.server_now()).await {
        Ok(0) => {
            let problem = format!(
                "there is no delivery {} that told of a push for an origin and has ended",
                id.0
            );
            refuse(StatusCode::NOT_FOUND, problem)
        }
        Ok(pushes) => {
            tracing::info!(delivery = id.0, %who, pushes, "a delivery is done once more");
            for pushed in desk.pushed.values() {
                pushed.notify_one();
            }
            let known = desk.pushed.keys().cloned().collect();
            if let Err(error) =
                desk.store.end_pushes_of_others(known, desk.clock.server_now()).await
            {
                return refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            }
            Json(Replayed { pushes }).into_response()
        }
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

fn refuse(status: StatusCode, problem: String) -> Response {
    (status, Json(Refused { problems: vec![problem] })).into_response()
}

async fn deliveries(desk: &Desk, request: &Request) -> Result<Answer, StoreError> {
    let limit = request.limit.min(MOST);
    let rows = desk.store.deliveries(request.only, request.attention, limit).await?;
    let mut deliveries: Vec<Shown> = rows.into_iter().map(Shown::from).collect();
    if let (Some(id), Some(shown)) = (request.only, deliveries.first_mut()) {
        let body = desk.store.delivery_body(id).await?.map(|(_, body)| body).unwrap_or_default();
        let text = String::from_utf8_lossy(body.get(..SHOWN).unwrap_or(&body)).into_owned();
        shown.body = Some(text);
    }
    Ok(Answer { deliveries })
}
