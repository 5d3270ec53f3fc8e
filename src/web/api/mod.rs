//! `/api/v1`: what page, commands and other programs are told, and what they may do.
//!
//! Enters: requests of whoever a door let in ([`super::who`]). Leaves: JSON in shapes of its own, with
//! times as RFC 3339 text, and a stream of events.

use axum::extract::{FromRef, State};
use axum::routing::get;
use axum::{Json, Router};

use self::problem::Problem;
use super::Desk;
use super::status::{self, Status};

pub mod events;
pub mod problem;

/// Returns the routes below `/api/v1`.
pub fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Desk: FromRef<S>,
{
    Router::new()
        .route("/status", get(tell_status))
        .route("/events", get(events::answer))
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
}

/// Answers `GET status`.
async fn tell_status(State(desk): State<Desk>) -> Result<Json<Status>, Problem> {
    Ok(Json(status::status(&desk).await?))
}
