//! Verdicts: what an answer of the CDN, or its absence, means for the asks of a call.

use std::time::Duration;

use serde::Serialize;

/// How far a failed call had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// No byte of the request was written.
    Nothing,
    /// Bytes were written; no whole answer came.
    Sent,
    /// A whole answer came with this HTTP status.
    Answered(u16),
}

/// A call that did not succeed, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How far it came.
    pub reached: Reached,
    /// The `Code` of a parsed error body.
    pub code: Option<String>,
    /// The `Message` of a parsed error body, or what the transport said; at most 512 bytes.
    pub message: String,
    /// What the answer asked to wait: `x-acs-retry-after` (ms), `x-ratelimit-*` `TimeLeft` (ms) or
    /// `Retry-After` (s); capped at 120 s (API reference 2.4).
    pub retry_after: Option<Duration>,
    /// The CDN's request id.
    pub request_id: Option<String>,
}

/// How much of the account a wait concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The asks of this batch.
    Batch,
    /// Every ask for the domains of this batch.
    Domain,
    /// Every call of the account.
    Account,
}

/// What a failure means for the asks of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Certainly not executed; try again, not before `after` where the answer said so.
    Later {
        /// The least wait; none leaves it to the back-off.
        after: Option<Duration>,
        /// What waits.
        scope: Scope,
    },
    /// Certainly not executed; this kind's quota is spent until 00:00 UTC+8.
    NextDay,
    /// Certainly not executed; one of the asks is bad or there are too many: halve the batch.
    Split,
    /// Certainly not executed and never will be, for these targets.
    Never,
    /// Certainly not executed; the credentials must be read or fetched again first.
    Renew,
    /// Certainly not executed; a person must act, and the account waits.
    Operator,
    /// Perhaps executed: look it up before it is sent again.
    Unknown,
}
