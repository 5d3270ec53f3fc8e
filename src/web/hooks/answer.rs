//! One request and its answer.

use std::net::IpAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::clerk::Letter;
use super::{Door, Guarded, Terms, body, source};
use crate::domain::path::foreign_text;
use crate::source::webhook::{Headers, must_have, told, verify};
use crate::store::{Delivered, Delivery};
use crate::telemetry::meters::Meter;
use crate::web::concern::concerned;
use crate::web::guests::Place;

/// After how many seconds a sender may come again.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("30");
/// The most characters of a content type that are kept.
const CONTENT_TYPE_KEPT: usize = 200;
/// The word for a delivery that the database does not take.
const UNWRITTEN: &str = "unwritten";

/// Why a request is refused: the status is for the sender, the rest for the log.
struct Refusal {
    status: StatusCode,
    word: &'static str,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, word: &'static str, why: impl Into<String>) -> Self {
        Self { status, word, why: why.into() }
    }
}

/// Answers a request. What was not read of the body of a refused one is left in `rests`.
pub(super) async fn answer(
    door: &Door,
    place: &Place,
    peer: IpAddr,
    request: Request<Incoming>,
    rests: &mpsc::UnboundedSender<Incoming>,
) -> Response<Full<Bytes>> {
    let began = door.clock.boot();
    let (head, mut body) = request.into_parts();
    // What is in force when a request comes holds until its answer.
    let terms = door.terms();
    let source = source::of(peer, &head.headers, &terms.settings.trusted_proxies);
    let hook = terms.hook(head.uri.path());
    let taken = match &hook {
        Some(hook) => take((door, &terms), place, hook, source, &head, &mut body).await,
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "unknown", "there is no such hook")),
    };
    place.is_answered(taken.is_ok());
    let result = match &taken {
        Ok(delivered) if delivered.repeated => "repeated",
        Ok(_) => "taken",
        Err(refusal) => refusal.word,
    };
    let name = hook.as_ref().map_or("", |guarded| guarded.hook.name.as_str());
    door.meters.count(Meter::HookRequests, &[name, result]);
    door.meters.took(Meter::HookTime, &[], door.clock.boot().saturating_sub(began));
    match taken {
        Ok(delivered) => accepted(delivered),
        Err(refusal) => {
            tell(door, name, source, &refusal);
            // Who waits to be told to send its body sends none now.
            if !head.headers.contains_key(EXPECT) {
                let _ = rests.send(body);
            }
            refused(refusal.status)
        }
    }
}

/// Takes a delivery, or says why not. What needs no body is judged before it is read.
async fn take(
    (door, terms): (&Door, &Terms),
    place: &Place,
    guarded: &Guarded,
    source: IpAddr,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Delivered, Refusal> {
    let hook = &guarded.hook;
    let busy = |word, why: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, word, why);
    if head.method != Method::POST {
        let why =
            format!("it is a {}, and deliveries are posted", foreign_text(head.method.as_str()));
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", why));
    }
    if !hook.sources.is_empty() && !source::is_in(&hook.sources, source) {
        let why = "it comes from none of the hook's `sources`";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "source", why));
    }
    let encodings = head.headers.get_all(CONTENT_ENCODING).iter();
    if !encodings.into_iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let why = "its body is compressed";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", why));
    }
    let most = terms.settings.body_bytes;
    if body::is_too_long(body, most) {
        let why = format!("its body has more than {most} bytes, as `body_bytes` allows");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "length", why));
    }
    let headers = read_headers(&head.headers);
    let names = must_have(&hook.provider);
    if !names.iter().any(|name| headers.has(name)) {
        let why = format!(
            "there is no `{}`: is the hook's provider right, and does the sender know the secret?",
            names.first().copied().unwrap_or_default()
        );
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "missing", why));
    }
    if door.stop.is_cancelled() {
        return Err(busy("stopping", "the daemon stops"));
    }
    let Some(secrets) = guarded.keys.of(hook, door.clock.boot()) else {
        return Err(busy("secretless", "no file of the hook holds a secret that can be used"));
    };
    let turn = tokio::time::timeout(terms.settings.body_timeout, place.asks_for(source)).await;
    turn.map_err(|_| busy("crowded", "there are too many requests of this source"))?;
    let (bytes, room) = body::read(body, most, terms.settings.body_timeout, &door.room, place)
        .await
        .map_err(|(status, why)| Refusal::new(status, "body", why))?;
    let verified = verify(&hook.provider, &secrets, &headers, &bytes, door.clock.now())
        .map_err(|why| Refusal::new(StatusCode::UNAUTHORIZED, why.word(), why.to_string()))?;
    place.is_served();
    let told = told(&hook.provider, &headers, &bytes)
        .map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, "unreadable", why.to_string()))?;
    let (pushes, why) = concerned(told, &hook.origins);
    let drawn = || format!("drawn-{:016x}{:016x}", door.clock.random(), door.clock.random());
    let delivery = Delivery {
        hook: hook.name.clone(),
        key: verified.key.unwrap_or_else(drawn),
        at: door.clock.server_now(),
        event: verified.event,
        source: source.to_string(),
        content_type: content_type(&head.headers),
        body: bytes,
        pushes,
        why,
    };
    let (answer, written) = oneshot::channel();
    let unwritten = || busy(UNWRITTEN, "it can't be written down");
    door.letters.send(Letter { delivery, room, answer }).await.map_err(|_| unwritten())?;
    written.await.map_err(|_| unwritten())
}

fn read_headers(headers: &HeaderMap) -> Headers {
    Headers::new(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    text.unwrap_or_default().chars().take(CONTENT_TYPE_KEPT).collect()
}

/// Says in the log why a request was refused, now and then. Of what can't be written down the clerk tells.
fn tell(door: &Door, hook: &str, source: IpAddr, refusal: &Refusal) {
    if refusal.word == UNWRITTEN {
        return;
    }
    if let Some(silent) = door.quiet.may_speak(hook, refusal.word) {
        let (status, why) = (refusal.status.as_u16(), foreign_text(&refusal.why));
        tracing::warn!(hook, %source, status, silent, "a request was refused: {why}");
    }
}

fn accepted(delivered: Delivered) -> Response<Full<Bytes>> {
    let id = delivered.id.0;
    let (status, text) = if delivered.repeated {
        (StatusCode::OK, format!("{{\"delivery\":{id},\"repeated\":true}}\n"))
    } else {
        (StatusCode::ACCEPTED, format!("{{\"delivery\":{id}}}\n"))
    };
    respond(status, "application/json", text)
}

fn refused(status: StatusCode) -> Response<Full<Bytes>> {
    let text = format!("{}\n", status.canonical_reason().unwrap_or_default());
    let mut response = respond(status, "text/plain; charset=utf-8", text);
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(RETRY_AFTER, COME_AGAIN);
        }
        _ => {}
    }
    response
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
