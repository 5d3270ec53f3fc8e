//! `/api/v1`: what page, commands and other programs are told, and what they may do.
//!
//! Enters: requests of whoever a door let in ([`super::who`]). Leaves: JSON in shapes of its own, with
//! times as RFC 3339 text, and a stream of events.
//! **Invariant:** an answer looks at a bounded part of what is stored.

use axum::extract::{FromRef, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use utoipa::OpenApi;

use self::problem::Problem;
use self::view::Problems;
use super::who::Who;
use super::{Desk, Desks};

mod ask;
pub mod change;
pub mod deploys;
pub mod events;
pub mod intents;
pub mod look;
pub mod problem;
pub mod view;
pub mod why;

/// The description of all that is below `/api/v1`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "refreshd",
        description = "Keeps Alibaba Cloud CDN fresh. Times are RFC 3339 in UTC. Whoever changes \
                       something sends `Authorization: Bearer TOKEN`; on the control socket nobody \
                       needs to."
    ),
    servers((url = "/api/v1")),
    modifiers(&Secured),
    paths(
        tell_status, events::answer, description,
        intents::list, intents::tell, intents::retry, intents::retry_all, intents::cancel,
        intents::cancel_all,
        deploys::list, deploys::tell, deploys::approve, deploys::reject,
        why::tell, look::search, look::quota, look::lag, look::origins,
        change::pause, change::resume, change::refresh, change::prefetch, change::open_gate,
    )
)]
struct Description;

/// Says how somebody proves who it is.
struct Secured;

impl utoipa::Modify for Secured {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        for path in description.paths.paths.values_mut() {
            if let Some(post) = &mut path.post {
                let token = utoipa::openapi::SecurityRequirement::new("token", [""; 0]);
                post.security = Some(vec![token]);
            }
        }
    }
}

/// Returns the routes below `/api/v1`.
pub fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Desk: FromRef<S>,
    Desks: FromRef<S>,
{
    Router::new()
        .route("/openapi.json", get(description))
        .route("/status", get(tell_status))
        .route("/events", get(events::answer))
        .route("/intents", get(intents::list))
        .route("/intents/retry", post(intents::retry_all))
        .route("/intents/cancel", post(intents::cancel_all))
        .route("/intents/{id}", get(intents::tell))
        .route("/intents/{id}/retry", post(intents::retry))
        .route("/intents/{id}/cancel", post(intents::cancel))
        .route("/deploys", get(deploys::list))
        .route("/deploys/{id}", get(deploys::tell))
        .route("/deploys/{id}/approve", post(deploys::approve))
        .route("/deploys/{id}/reject", post(deploys::reject))
        .route("/why", get(why::tell))
        .route("/search", get(look::search))
        .route("/quota", get(look::quota))
        .route("/lag", get(look::lag))
        .route("/origins", get(look::origins))
        .route("/pause", post(change::pause))
        .route("/resume", post(change::resume))
        .route("/refresh", post(change::refresh))
        .route("/prefetch", post(change::prefetch))
        .route("/gate/{origin}/open", post(change::open_gate))
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
}

/// Tells what the daemon knows, as `refreshd status --json` does: to whoever may change things as it is
/// now, to others as it was at most a second ago.
#[utoipa::path(
    get, path = "/status", tag = "looking",
    responses((status = 200, body = Object), (status = 503, body = Problems))
)]
async fn tell_status(State(desk): State<Desk>, who: Who) -> Result<impl IntoResponse, Problem> {
    let status = match who.may_change() {
        Ok(_) => desk.events.newest(&desk).await?,
        Err(_) => desk.events.recent(&desk).await?,
    };
    Ok(([(CONTENT_TYPE, "application/json")], status.to_string()))
}

/// Describes all this as `OpenAPI` 3.1.
#[utoipa::path(get, path = "/openapi.json", tag = "looking", responses((status = 200, body = Object)))]
async fn description() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
