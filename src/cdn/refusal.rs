//! What an answer that is no success says: its code, its message without secrets, its wait.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::transport::{Answer, failure};
use super::wire::{ErrorBody, foreign_text};
use crate::domain::verdict::{Failure, Reached};

#[cfg(test)]
mod tests;

/// The longest wait that is believed (API reference 2.4).
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Turns an answer that is no success into a failure. `secrets` are blotted out of the message.
pub(super) fn read(answer: &Answer, secrets: &[&str]) -> Failure {
    let reached = Reached::Answered(answer.status);
    let header = |name| text(&answer.headers, name).map(foreign_text);
    let mut refused = if let Some(error) = ErrorBody::parse(&answer.body) {
        Failure {
            code: Some(foreign_text(&error.code)),
            request_id: Some(foreign_text(&error.request_id)).filter(|id| !id.is_empty()),
            ..failure(reached, &without_secrets(&error.message, secrets))
        }
    } else {
        let kind = header(CONTENT_TYPE.as_str()).unwrap_or_else(|| "no content type".to_owned());
        let status = answer.status;
        failure(reached, &format!("HTTP {status} ({kind}) without an error code"))
    };
    refused.request_id = refused.request_id.or_else(|| header("x-acs-request-id"));
    refused.retry_after = wait(&answer.headers);
    refused
}

/// Cuts off the text that the CDN signed, for it repeats the headers of the request: the key id and
/// the token (API reference 2.3).
fn without_secrets(message: &str, secrets: &[&str]) -> String {
    const MARKS: [&str; 3] = ["string to sign", "stringtosign", "canonical"];
    // ASCII case only, so that positions in both texts are the same.
    let lower = message.to_ascii_lowercase();
    let cut = MARKS.iter().filter_map(|mark| lower.find(mark)).min();
    let kept = match cut {
        Some(at) => format!("{}[text that was signed left out]", &message[..at]),
        None => message.to_owned(),
    };
    secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(kept, |text, secret| text.replace(secret, "[redacted]"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the longest wait that the headers ask for, capped. Absent, zero and odd values are none.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let value = |name| text(headers, name);
    let millis = |text: &str| text.trim().parse().ok().map(Duration::from_millis);
    let time_left = |name| {
        value(name)?
            .split(',')
            .filter_map(|pair| pair.trim().split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case("TimeLeft"))
            .and_then(|(_, left)| millis(left))
    };
    [
        value("x-acs-retry-after").and_then(millis),
        time_left("x-ratelimit-user-api"),
        time_left("x-ratelimit-user"),
        value("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs),
    ]
    .into_iter()
    .flatten()
    .max()
    .filter(|wait| !wait.is_zero())
    .map(|wait| wait.min(MAX_WAIT))
}
