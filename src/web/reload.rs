//! `POST /reload`: another configuration is put in force.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Desk;
use super::who::{Changer, Peer};
use super::wishes::Refused;
use crate::domain::deploy::DeployId;
use crate::domain::names::OriginName;

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which file the asker means, absolute: a machine may run several daemons.
    pub path: PathBuf,
    /// Whether the answer waits for the end of it.
    pub wait: bool,
    /// Whether it is only to be told what would change.
    pub dry_run: bool,
}

/// A reload on its way to whoever reads the configuration.
#[derive(Debug)]
pub struct Asked {
    /// Who asks.
    pub who: String,
    /// Which file the asker means.
    pub path: PathBuf,
    /// Whether it is only to be told what would change.
    pub dry_run: bool,
    /// Where the end is told.
    pub answer: oneshot::Sender<Result<Reloaded, Problem>>,
}

/// What came, or would come, of a reload.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reloaded {
    /// What is different, in a few words each; empty when nothing is.
    pub changed: Vec<String>,
    /// What is held, or would be, because origins are mapped otherwise.
    pub held: Vec<Remapped>,
}

/// URLs that an origin has and had not before.
#[derive(Clone, Debug, Serialize)]
pub struct Remapped {
    /// Which origin.
    pub origin: OriginName,
    /// How many.
    pub urls: u64,
    /// Some of them.
    pub sample: Vec<String>,
    /// What `approve` and `reject` are told; none of what only would be held.
    pub deploy: Option<DeployId>,
}

/// Of which sort the problem of a refused reload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// The file is wrong.
    Configuration,
    /// A running daemon can't change that.
    Restart,
    /// Something could not be read, written or bound.
    Io,
    /// An access key can't be had.
    Credentials,
}

/// Why a reload was refused; the configuration before is in force.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// Of which sort it is.
    pub sort: Sort,
    /// What is wrong and what to do about it.
    pub problems: Vec<String>,
}

/// Answers `POST /reload`: 200 with what changed, 202 when nobody waits for the end, 403 when the user may not,
/// 409 with the problems when it was refused, 503 when the daemon ends.
pub async fn answer(
    State(desk): State<Desk>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Changer(who): Changer,
    Json(request): Json<Request>,
) -> Response {
    let refuse = |code: StatusCode, problem: &str| {
        (code, Json(Refused { problems: vec![problem.to_owned()] })).into_response()
    };
    let may = [0, rustix::process::geteuid().as_raw()];
    if !peer.uid().is_some_and(|uid| may.contains(&uid)) {
        let problem = "only root and the daemon's own user may have the configuration read again";
        return refuse(StatusCode::FORBIDDEN, problem);
    }
    let (answer, end) = oneshot::channel();
    let asked = Asked { who, path: request.path, dry_run: request.dry_run, answer };
    let stopping = || refuse(StatusCode::SERVICE_UNAVAILABLE, "the daemon ends");
    if desk.reload.send(asked).await.is_err() {
        return stopping();
    }
    if !request.wait {
        return StatusCode::ACCEPTED.into_response();
    }
    match end.await {
        Ok(Ok(reloaded)) => Json(reloaded).into_response(),
        Ok(Err(problem)) => (StatusCode::CONFLICT, Json(problem)).into_response(),
        Err(_) => stopping(),
    }
}
