//! The caching edge: an HTTP reverse proxy in front of an HTTP origin, which really caches.
//!
//! * It keeps answers to GET and HEAD with status 200, 301 or 404 for an hour, or as `s-maxage` or
//!   `max-age` say; never with `no-store`, `no-cache` or `private`. HEAD is asked as GET.
//! * `x-cache` is `HIT` or `MISS`, and `x-cache-detail` says how it came about: `fresh`, `stored`,
//!   `revalidated` (the origin said 304 and the old copy lives on), `passed` (not kept).
//! * A refresh by cache tag reaches what the origin labelled with `Cache-Tag: a,b`: how the real CDN's
//!   origins set tags no source says.
//! * Copies are kept apart by path and query, and by domain only where several were named. The
//!   origin is asked for whole, uncompressed answers, and every visitor gets the same one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use crate::clock::SharedClock;
use crate::domain::ask::Target;

use cache::{Cache, Held};
use key::{Hosts, Key, Reach};
use origin::{Origin, Question, Reply};

mod cache;
mod key;
mod origin;

#[cfg(test)]
mod tests;

/// How long a copy lives when the origin doesn't say.
const DEFAULT_LIFE: Duration = Duration::from_secs(3_600);

/// Why the edge can't be made, or the origin can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The origin's address can't be used.
    #[error("the origin {0:?} is not an address like http://127.0.0.1:8080")]
    Origin(String),
    /// No HTTP client can be made.
    #[error("no TLS settings can be made: {0}")]
    Tls(#[from] rustls::Error),
    /// The origin did not answer.
    #[error("the origin does not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// The origin's answer is too large.
    #[error("the origin's answer has no Content-Length and more than 64 MiB")]
    TooLarge,
}

/// The edge: its copies and its origin.
pub(crate) struct Edge {
    cache: Mutex<Cache>,
    origin: Origin,
    hosts: Hosts,
    clock: SharedClock,
}

/// What came of asking the origin.
enum Fetched {
    /// An answer to show, and how it came about.
    Answer(Held, &'static str),
    /// An answer too large to be held.
    Stream(reqwest::Response),
}

impl Edge {
    pub(crate) fn new(
        origin: &str,
        domains: Vec<String>,
        clock: SharedClock,
    ) -> Result<Self, EdgeError> {
        Ok(Self {
            cache: Mutex::default(),
            origin: Origin::new(origin)?,
            hosts: Hosts::new(domains),
            clock,
        })
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a refresh take effect.
    pub(crate) fn refresh(&self, target: &Target, force: bool) -> Result<(), String> {
        // An expression that was accepted and can't be compiled is too large.
        let reach = Reach::new(&self.hosts, target).map_err(|_| "Internal Error".to_owned())?;
        self.cache().refresh(&reach, force);
        Ok(())
    }

    /// Fetches and keeps an object; on failure returns the API's description of it.
    pub(crate) async fn prefetch(&self, url: &str) -> Result<(), String> {
        let (host, rest) = key::split(url);
        let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        let key = Key::new(&self.hosts, host, &rest);
        loop {
            let flight = Flight::begin(self, key.clone());
            let question = Question {
                method: Method::GET,
                host,
                path_and_query: &rest,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            };
            let reply = self.origin.ask(question).await;
            let (status, headers, body) = match reply {
                Ok(Reply::Whole(status, headers, body)) => (status, headers, body),
                Ok(Reply::Stream(_)) | Err(EdgeError::TooLarge) => {
                    return Err("Object Too Large".to_owned());
                }
                Err(_) => return Err("Origin Timeout".to_owned()),
            };
            if status != StatusCode::OK {
                return Err(format!("Origin Return StatusCode {}", status.as_u16()));
            }
            let Some(copy) = self.copy(status, headers, body) else {
                return Err("Origin Return Uncacheable".to_owned());
            };
            // A refresh that took effect meanwhile may have meant what was fetched: once more.
            if flight.keep(copy) {
                return Ok(());
            }
        }
    }

    /// Answers a visitor.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let path_and_query = parts.uri.path_and_query().map_or("/", |both| both.as_str());
        let mut question = Question {
            method: parts.method.clone(),
            host: host.or_else(|| parts.uri.host()).unwrap_or("localhost"),
            path_and_query,
            headers: origin::forwarded(&parts.headers),
            body: Bytes::new(),
        };
        let result = if matches!(parts.method, Method::GET | Method::HEAD) {
            question.method = Method::GET;
            self.answer_read(question).await
        } else {
            match axum::body::to_bytes(body, origin::LARGEST).await {
                Ok(body) => question.body = body,
                Err(_) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            }
            self.pass(question).await
        };
        let head = parts.method == Method::HEAD;
        match result {
            Ok(Fetched::Answer(copy, detail)) => self.show(&copy, detail, head),
            Ok(Fetched::Stream(response)) => stream(response, head),
            Err(error) => plain(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }

    async fn answer_read(&self, mut question: Question<'_>) -> Result<Fetched, EdgeError> {
        let key = Key::new(&self.hosts, question.host, question.path_and_query);
        let old = self.cache().get(&key);
        let now = self.clock.now();
        if let Some(copy) = &old {
            if copy.is_fresh(now) {
                return Ok(Fetched::Answer(copy.clone(), "fresh"));
            }
            let validators = [
                (header::ETAG, header::IF_NONE_MATCH),
                (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE),
            ];
            for (given, asked) in validators {
                if let Some(value) = copy.headers.get(given) {
                    question.headers.insert(asked, value.clone());
                }
            }
        }
        let flight = Flight::begin(self, key);
        let (status, headers, body) = match self.origin.ask(question).await? {
            Reply::Whole(status, headers, body) => (status, headers, body),
            Reply::Stream(response) => {
                flight.replace_with_nothing();
                return Ok(Fetched::Stream(response));
            }
        };
        if status == StatusCode::NOT_MODIFIED
            && let Some(mut copy) = old
        {
            copy.headers.extend(headers);
            copy.marked = false;
            copy.since = self.clock.now();
            copy.life = life(&copy.headers).unwrap_or(Duration::ZERO);
            flight.keep(copy.clone());
            return Ok(Fetched::Answer(copy, "revalidated"));
        }
        if let Some(copy) = self.copy(status, headers.clone(), body.clone()) {
            let detail = if flight.keep(copy.clone()) { "stored" } else { "passed" };
            return Ok(Fetched::Answer(copy, detail));
        }
        // An origin in trouble says nothing about what it holds.
        if !status.is_server_error() {
            flight.replace_with_nothing();
        }
        Ok(Fetched::Answer(self.uncached(status, headers, body), "passed"))
    }

    async fn pass(&self, question: Question<'_>) -> Result<Fetched, EdgeError> {
        Ok(match self.origin.ask(question).await? {
            Reply::Whole(status, headers, body) => {
                Fetched::Answer(self.uncached(status, headers, body), "passed")
            }
            Reply::Stream(response) => Fetched::Stream(response),
        })
    }

    /// Makes a copy to keep; none when the answer must not be kept.
    fn copy(&self, status: StatusCode, headers: HeaderMap, body: Bytes) -> Option<Held> {
        let life = matches!(status.as_u16(), 200 | 301 | 404).then(|| life(&headers)).flatten()?;
        let copy = self.uncached(status, headers, body);
        Some(Held { life, ..copy })
    }

    fn uncached(&self, status: StatusCode, headers: HeaderMap, body: Bytes) -> Held {
        Held {
            status: status.as_u16(),
            headers,
            body,
            since: self.clock.now(),
            life: Duration::ZERO,
            marked: false,
        }
    }

    fn show(&self, copy: &Held, detail: &'static str, head: bool) -> Response {
        let length = copy.body.len();
        let body = if head { Bytes::new() } else { copy.body.clone() };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(copy.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        headers.clone_from(&copy.headers);
        if copy.status != 204 && copy.status != 304 {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        if detail != "passed" {
            let age = self.clock.now().since(copy.since).as_secs();
            headers.insert(header::AGE, age.into());
        }
        tell(headers, detail);
        response
    }
}

/// A fetch under way; dropped before its end, for the visitor left, it is forgotten.
struct Flight<'a> {
    edge: &'a Edge,
    fetch: u64,
}

impl<'a> Flight<'a> {
    fn begin(edge: &'a Edge, key: Key) -> Self {
        let fetch = edge.cache().begin(key);
        Self { edge, fetch }
    }

    fn keep(&self, copy: Held) -> bool {
        self.edge.cache().keep(self.fetch, copy)
    }

    fn replace_with_nothing(&self) {
        self.edge.cache().replace_with_nothing(self.fetch);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.edge.cache().abandon(self.fetch);
    }
}

/// Returns how long an answer may be kept; none when it must not be.
fn life(headers: &HeaderMap) -> Option<Duration> {
    let mut shared = None;
    let mut own = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        for directive in text.split(',').map(str::trim) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = || value.trim_matches('"').parse().ok();
            match name {
                "no-store" | "no-cache" | "private" => return None,
                "s-maxage" => shared = seconds(),
                "max-age" => own = seconds(),
                _ => {}
            }
        }
    }
    let life = shared.or(own).map_or(DEFAULT_LIFE, Duration::from_secs);
    (!life.is_zero()).then_some(life)
}

fn tell(headers: &mut HeaderMap, detail: &'static str) {
    let hit = if detail == "fresh" { "HIT" } else { "MISS" };
    headers.insert("x-cache", HeaderValue::from_static(hit));
    headers.insert("x-cache-detail", HeaderValue::from_static(detail));
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(format!("refreshd sandbox edge: {text}\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    tell(response.headers_mut(), "passed");
    response
}

fn stream(response: reqwest::Response, head: bool) -> Response {
    let (status, length) = (response.status(), response.content_length());
    let mut headers = origin::kept(response.headers());
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let body = if head { Body::empty() } else { Body::from_stream(response.bytes_stream()) };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    tell(answer.headers_mut(), "passed");
    answer
}
