//! How calls travel: one request, one answer, nothing repeated behind the caller's back.

use std::fmt::Write as _;

use reqwest::header::HeaderMap;
use url::Url;

use super::trouble::told;
use super::wire::foreign_text;
use crate::domain::verdict::{Failure, Reached};

/// The most bytes of an answer that are read. The largest honest one, ten shared ids with 2,000
/// URLs of 1,024 characters each, is about 30 MB (API reference 1.2, 1.8).
pub(super) const MAX_ANSWER: usize = 64 << 20;

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
