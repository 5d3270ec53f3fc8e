//! How calls travel: one request, one answer, nothing repeated behind the caller's back.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::HeaderMap;
use url::Url;

use super::trouble::told;
use super::wire::foreign_text;
use crate::domain::endpoint::Proxy;
use crate::domain::verdict::{Failure, Reached};

/// How refreshd introduces itself.
const USER_AGENT: &str = concat!("refreshd/", env!("CARGO_PKG_VERSION"));

/// The most bytes of an answer that are read. The largest honest one, ten shared ids with 2,000
/// URLs of 1,024 characters each, is about 30 MB (API reference 1.2, 1.8).
pub(super) const MAX_ANSWER: usize = 64 << 20;

/// How many connections wait for the next call, and for how long. A server that closes what is idle
/// gives it 5 s at least (common ones: 5 to 75 s), and no router forgets a connection so soon: one
/// that waits here is alive.
const KEPT: (usize, Duration) = (4, Duration::from_secs(4));

/// Returns the beginnings of a client for the host of `url` that sends each request once; `connect` is how
/// long connecting may take.
///
/// It keeps connections for a moment, because the layer below (hyper-util's pool, which reqwest gives
/// no switch for) sends a request again only where hyper hands it back: it was still queued, none of
/// it encoded, when the kept connection turned out to be closed. Once hyper has begun to encode it,
/// it is gone, and whatever happens to it is reported. So nobody reads a request twice, and an error
/// while connecting means that nothing was written. Both would end with HTTP/2, which retries
/// streams, and with TLS early data: neither is on. Redirects are answers like others, and a
/// proxy is used only where one is configured.
pub(super) fn builder(
    url: &Url,
    proxy: &Proxy,
    connect: Duration,
) -> Result<reqwest::ClientBuilder, reqwest::Error> {
    install_tls();
    let builder = reqwest::Client::builder()
        .connect_timeout(connect)
        .user_agent(USER_AGENT)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(KEPT.0)
        .pool_idle_timeout(KEPT.1)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http1_only();
    let builder = match (url.scheme(), proxy) {
        // Plain http goes to this machine or beside it: through no proxy, and not failing for want of
        // the system's CA certificates.
        ("http", _) => return Ok(builder.no_proxy().https_only(false).tls_certs_only([])),
        (_, Proxy::None) => builder.no_proxy(),
        (_, Proxy::Through(proxy)) => {
            builder.no_proxy().proxy(reqwest::Proxy::all(proxy.as_str())?)
        }
        (_, Proxy::Environment) => builder,
    };
    Ok(builder.https_only(true).tls_version_min(reqwest::tls::Version::TLS_1_2))
}

/// Returns the beginnings of a client that asks this machine only, over a socket or plain http.
pub fn local_client() -> reqwest::ClientBuilder {
    install_tls();
    reqwest::Client::builder().no_proxy().http1_only().tls_certs_only([])
}

/// Makes ring the one TLS provider of the process.
fn install_tls() {
    // An error says that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Returns the `Host` header for `endpoint`: the port only where it is not the scheme's own.
#[must_use]
pub(super) fn host_header(endpoint: &Url) -> String {
    let mut host = endpoint.host_str().unwrap_or_default().to_owned();
    if let Some(port) = endpoint.port() {
        let _ = write!(host, ":{port}");
    }
    host
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends the request and reads the whole answer of `most` bytes; `on_head` is called when its head has come.
pub(super) async fn send(
    request: reqwest::RequestBuilder,
    most: usize,
    on_head: impl FnOnce(),
) -> Result<Answer, Failure> {
    // What the kernel knows of kept connections by now, their tasks learn first: a closed one that
    // is still taken for an open one would have the request, and leave it in doubt.
    tokio::task::yield_now().await;
    let mut response = request.send().await.map_err(transport_failure)?;
    on_head();
    let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport_failure)? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            let message = format!("the answer is longer than {most} bytes");
            return Err(failure(Reached::Sent, &message));
        }
    }
    Ok(Answer { status, headers, body })
}

fn transport_failure(error: reqwest::Error) -> Failure {
    // Built wrongly or not connected: nothing was written. All else may have arrived.
    let reached =
        if error.is_builder() || error.is_connect() { Reached::Nothing } else { Reached::Sent };
    // The URL holds the whole query.
    failure(reached, &told(&error.without_url()))
}

/// Makes a failure of which only the message is known.
pub(super) fn failure(reached: Reached, message: &str) -> Failure {
    Failure {
        reached,
        code: None,
        message: foreign_text(message),
        retry_after: None,
        request_id: None,
    }
}
