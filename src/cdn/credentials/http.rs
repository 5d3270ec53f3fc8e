//! The small calls that fetch a key: no redirects, few bytes.

use std::time::Duration;

use reqwest::Method;
use url::Url;

use super::CredentialError;
use crate::cdn::transport::{self, Answer};
use crate::cdn::trouble;
use crate::domain::endpoint::Proxy;
use crate::http::builder;

/// Answers have a few KB; what is longer is none.
const MOST: usize = 64 * 1024;

/// How long a call may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    connect: Duration,
    read: Duration,
}

/// The metadata service stands beside the machine (API reference 4.3).
pub(super) const NEAR: Limits =
    Limits { connect: Duration::from_secs(1), read: Duration::from_secs(1) };
/// STS and a credentials URI may be farther away (API reference 4.4).
pub(super) const FAR: Limits =
    Limits { connect: Duration::from_secs(5), read: Duration::from_secs(10) };

/// Makes one call. An error names neither the address's query nor what came back.
pub(super) async fn call(
    method: Method,
    url: &Url,
    headers: &[(String, String)],
    body: String,
    (limits, proxy): (Limits, &Proxy),
) -> Result<Answer, CredentialError> {
    let client = builder(url, proxy, limits.connect)
        .and_then(|builder| {
            let whole = limits.connect + limits.read;
            builder.read_timeout(limits.read).timeout(whole).build()
        })
        .map_err(|error| CredentialError::passing(trouble::unprepared(&error)))?;
    let request = headers
        .iter()
        .fold(client.request(method, url.clone()), |request, (name, value)| {
            request.header(name, value)
        })
        .body(body);
    transport::send(request, MOST, || {}).await.map_err(|failure| {
        let host = url.host_str().unwrap_or_default();
        CredentialError::passing(format!("{host} did not answer: {}", failure.message))
    })
}
