//! Asking the origin: one request out, one answer in, as small as its body allows.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use bytes::{Bytes, BytesMut};

/// The largest body that is kept, in bytes; larger ones pass through.
pub(crate) const LARGEST: usize = 64 << 20;

/// How long the origin may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Headers that concern one connection, or what this edge does on its own: it asks for whole,
/// plain answers, keeps those, and gives them to everyone.
const NOT_FORWARDED: [HeaderName; 15] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHORIZATION,
    header::ACCEPT_ENCODING,
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// Headers of an answer that concern one connection only.
const NOT_KEPT: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::AGE,
    header::CONTENT_LENGTH,
];

/// The origin.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    base: String,
    client: reqwest::Client,
}

/// What to ask.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    pub(crate) host: &'a str,
    pub(crate) path_and_query: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What came.
pub(crate) enum Reply {
    /// An answer with its whole body.
    Whole(StatusCode, HeaderMap, Bytes),
    /// An answer whose body is too large to be held.
    Stream(reqwest::Response),
}

impl Origin {
    /// Makes the way to an HTTP server at `base`, like `http://127.0.0.1:8080`.
    pub(crate) fn new(base: &str) -> Result<Self, super::EdgeError> {
        let url = url::Url::parse(base).map_err(|_| super::EdgeError::Origin(base.to_owned()))?;
        if url.scheme() != "http" || url.host().is_none() {
            return Err(super::EdgeError::Origin(base.to_owned()));
        }
        // Nothing here is asked over TLS; reqwest still wants a provider named.
        let tls = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(PATIENCE)
            .build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), client })
    }

    /// Asks; the body is read whole unless it is too large.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Reply, super::EdgeError> {
        let url = format!("{}{}", self.base, question.path_and_query);
        let head = question.method == Method::HEAD;
        let mut response = self
            .client
            .request(question.method, url)
            .headers(question.headers)
            .header(header::HOST, question.host)
            .header(header::ACCEPT_ENCODING, "identity")
            .body(question.body)
            .send()
            .await?;
        let status = response.status();
        if response.content_length().unwrap_or(0) > LARGEST as u64 && !head {
            return Ok(Reply::Stream(response));
        }
        let headers = kept(response.headers());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LARGEST {
                return Err(super::EdgeError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply::Whole(status, headers, body.freeze()))
    }
}

/// Returns the headers of a visitor's request that the origin is sent.
pub(crate) fn forwarded(headers: &HeaderMap) -> HeaderMap {
    without(headers, &NOT_FORWARDED)
}

/// Returns the headers of the origin's answer that visitors are sent.
pub(crate) fn kept(headers: &HeaderMap) -> HeaderMap {
    without(headers, &NOT_KEPT)
}

fn without(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut rest = headers.clone();
    for name in names {
        rest.remove(name);
    }
    rest.remove("keep-alive");
    rest.remove("proxy-connection");
    rest
}
