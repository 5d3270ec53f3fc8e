//! One request and its answer: who asks, under which name, and what a browser may do with the answer.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::IntoResponse as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::Service as _;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::service::TowerToHyperService;

use super::{Door, Settings, assets, host};
use crate::web::who::{Denied, Who};
use crate::web::wishes::Refused;

/// How long a body may be, in bytes: a filter, or some hundred targets.
const BODY: usize = 64 << 10;
/// How long a client may take for its body: the threat model's figure for slow clients.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What needs no token although reading does, besides the page, which asks for it: whether the daemon lives.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// What every answer says to a browser: nothing from elsewhere, nobody around it, no word to others.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Answers a request that came to `address`.
pub(super) async fn answer(
    door: &Door,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut response = match judge(door, address, request).await {
        Ok(request) => {
            let Ok(response) = TowerToHyperService::new(door.router.clone()).call(request).await;
            response
        }
        Err(refused) => refused,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        // nginx would keep events back until it had a buffer full of them.
        let unbuffered = HeaderName::from_static("x-accel-buffering");
        headers.insert(unbuffered, HeaderValue::from_static("no"));
    }
    response
}

/// Returns the request with its body and with who asks, or what it is refused with.
async fn judge(
    door: &Door,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Request<Body>, Response<Body>> {
    let (mut head, body) = request.into_parts();
    let settings = door.settings.borrow().clone();
    let ours = host::check(&head, address, &settings.hosts);
    ours.map_err(|(status, problem)| refuse(status, problem))?;
    let who = who(door, &settings, &head.headers);
    match who.may_change() {
        // Whoever shows a token that is none any more learns of it at once.
        Err(denied) if settings.is_private || denied == Denied::Forbidden => {
            let path = head.uri.path();
            if !OPEN.contains(&path) && !assets::is_at(path) {
                return Err(denied.into_response());
            }
        }
        _ => {}
    }
    head.extensions.insert(who);
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY).collect());
    match read.await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, Body::from(body.to_bytes()))),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "a body has at most 64 KiB"))
        }
        Ok(Err(_)) => Err(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body came too slowly")),
    }
}

fn refuse(status: StatusCode, problem: &str) -> Response<Body> {
    (status, Json(Refused { problems: vec![problem.to_owned()] })).into_response()
}

/// Tells from its headers whose a request is.
fn who(door: &Door, settings: &Settings, headers: &HeaderMap) -> Who {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = shown.next() else {
        return Who::anyone();
    };
    let token = match (shown.next(), value.as_bytes().split_first_chunk::<7>()) {
        (None, Some((scheme, token))) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
        _ => return Who::refused(),
    };
    let tokens = door.tokens.of(settings, door.clock.boot());
    let name = tokens.as_deref().and_then(|tokens| tokens.name_of(token.trim_ascii()));
    name.map_or_else(Who::refused, |name| Who::trusted(&format!("token {name}")))
}
