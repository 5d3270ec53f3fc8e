//! The API's listener: HTTP in, the model's answer or a scripted fault out, and a control door.
//!
//! The door, for tests and trials, asks for no signature:
//! * `POST /sandbox/faults` takes one fault or a list (see [`Fault`]); `DELETE` forgets them.
//! * `GET /sandbox/log` tells what was accepted and refused (see [`Log`](super::Log)).
//! * `POST /sandbox/quota` sets what is left of today's quota: `{"url": 5, "directory": 0}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Json, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::domain::quota::QuotaKind;

use super::connection::Breaker;
use super::model::Log;
use super::model::call::{Answer, Call, Refusal};
use super::model::fault::{CallFault, Fault, Reply};
use super::shared::Shared;

/// The largest request body that is read, in bytes: 1,000 urls of 1,024 characters, encoded.
const LARGEST: usize = 8 << 20;

const JSON: &str = "application/json;charset=utf-8";

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/sandbox/faults", post(add_faults).delete(clear_faults))
        .route("/sandbox/log", get(log))
        .route("/sandbox/quota", post(set_quota))
        .fallback(api)
        .with_state(shared)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Fault),
    Many(Vec<Fault>),
}

async fn add_faults(
    State(shared): State<Arc<Shared>>,
    Json(faults): Json<OneOrMany>,
) -> StatusCode {
    let faults = match faults {
        OneOrMany::One(fault) => vec![fault],
        OneOrMany::Many(faults) => faults,
    };
    let now = shared.clock.now();
    for fault in faults {
        shared.model().faults.add(fault, now);
    }
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.model().faults.clear();
    StatusCode::NO_CONTENT
}

async fn log(State(shared): State<Arc<Shared>>) -> Json<Log> {
    Json(shared.model().log().clone())
}

async fn set_quota(
    State(shared): State<Arc<Shared>>,
    Json(left): Json<BTreeMap<QuotaKind, u64>>,
) -> StatusCode {
    let now = shared.clock.now();
    for (kind, left) in left {
        shared.model().set_remaining(kind, left, now);
    }
    StatusCode::NO_CONTENT
}

async fn api(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(breaker): ConnectInfo<Breaker>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let call = Call {
        method: parts.method.as_str().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body,
    };
    let reply = Front { request_id: request_id(&shared), shared: &shared, call, breaker };
    if parts.uri.path() != "/" {
        return reply.refuse(404, "InvalidApi.NotFound", None);
    }
    if !matches!(reply.call.method.as_str(), "GET" | "POST") {
        return reply.refuse(400, "UnsupportedHTTPMethod", None);
    }
    let action = reply.call.header("x-acs-action").unwrap_or_default();
    let fault = {
        let mut model = shared.model();
        model.count_call(action);
        model.faults.next_call(&reply.call, shared.clock.now())
    };
    let Some(fault) = fault else {
        return reply.json(&reply.work());
    };
    let more = fault.headers.clone();
    let mut response = reply.faulty(fault).await;
    for (name, value) in &more {
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// One call on its way to an answer.
struct Front<'a> {
    shared: &'a Arc<Shared>,
    call: Call,
    request_id: String,
    breaker: Breaker,
}

impl Front<'_> {
    /// Carries the call out.
    fn work(&self) -> Answer {
        self.shared.apply_due();
        let now = self.shared.clock.now();
        let answer = self.shared.model().call(&self.call, now, &self.request_id);
        self.shared.wake();
        answer
    }

    /// Answers as a scripted fault says.
    async fn faulty(&self, fault: CallFault) -> Response {
        let works = matches!(fault.reply, Reply::Truncated | Reply::Delay { .. } | Reply::Shape(_));
        if let Reply::Delay { millis } = fault.reply {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        let answer = (fault.work || works).then(|| self.work());
        match fault.reply {
            Reply::Error { status, code, retry_after } => self.refuse(status, &code, retry_after),
            Reply::Html { status } => {
                let page = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>";
                self.respond(status, "text/html", page.to_owned())
            }
            Reply::Xml { status, code } => {
                self.shared.model().count_refusal(&code);
                let id = &self.request_id;
                let text = format!(
                    "<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>{id}</RequestId>\
                     <HostId>sandbox</HostId><Code>{code}</Code>\
                     <Message>A scripted fault.</Message></Error>"
                );
                self.respond(status, "text/xml;charset=utf-8", text)
            }
            Reply::Reset => {
                self.breaker.reset();
                StatusCode::OK.into_response()
            }
            Reply::Silent => {
                self.shared.stop.cancelled().await;
                self.breaker.reset();
                StatusCode::OK.into_response()
            }
            Reply::Truncated => {
                self.breaker.halve();
                self.json(&answer.unwrap_or_else(|| self.work()))
            }
            Reply::Delay { .. } => self.json(&answer.unwrap_or_else(|| self.work())),
            Reply::Shape(shape) => {
                let answer = answer.unwrap_or_else(|| self.work());
                let text = shape.write(&answer.body, &mut || self.shared.clock.random());
                self.respond(answer.status, JSON, text)
            }
        }
    }

    fn refuse(&self, status: u16, code: &str, retry_after: Option<u64>) -> Response {
        self.shared.model().count_refusal(code);
        let refusal = Refusal::new(status, code, "The request was refused.");
        let host = self.call.header("host").unwrap_or_default();
        let mut response = self.json(&Answer::refused(&refusal, host, &self.request_id));
        if let Some(millis) = retry_after {
            let name = HeaderName::from_static("x-acs-retry-after");
            response.headers_mut().insert(name, millis.into());
        }
        response
    }

    fn json(&self, answer: &Answer) -> Response {
        self.respond(answer.status, JSON, answer.body.to_string())
    }

    fn respond(&self, status: u16, kind: &'static str, body: String) -> Response {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert("x-acs-request-id", id);
        }
        // The sandbox's own clock, which clients learn their offset from.
        if let Some(date) = self.date() {
            headers.insert(header::DATE, date);
        }
        response
    }

    fn date(&self) -> Option<HeaderValue> {
        let seconds = self.shared.clock.now().as_seconds();
        let instant = jiff::Timestamp::from_second(seconds).ok()?;
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        let text = printer.timestamp_to_rfc9110_string(&instant).ok()?;
        HeaderValue::from_str(&text).ok()
    }
}

/// Draws a request id: an upper-case UUID, version 4.
fn request_id(shared: &Shared) -> String {
    let (high, low) = (shared.clock.random(), shared.clock.random());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let digits = format!("{high:016X}{low:016X}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| &digits[group]);
    groups.join("-")
}
