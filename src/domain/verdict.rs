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

/// Returns what a failure means for the asks of the call.
///
/// Certainly not executed is a call of which nothing was written, one refused with a parsed 4xx
/// `Code`, and one throttled at whatever status (some products say so at 503). All else is
/// [`Verdict::Unknown`]: time-outs, cuts, 5xx, pages of proxies.
///
/// A 4xx code that the table does not know is [`Verdict::Split`]: if one target is to blame it is
/// isolated and ends failed alone, if all are, each ends failed visibly after its attempts, and the
/// rest of the account goes on either way. With a wait in the answer it is throttling instead, as
/// the official clients read it (API reference 2.4).
#[must_use]
pub fn judge(failure: &Failure) -> Verdict {
    let code = failure.code.as_deref().unwrap_or_default();
    let known = || lookup(code).cloned();
    let verdict = match failure.reached {
        Reached::Nothing => known().unwrap_or(THROTTLED),
        Reached::Answered(400..=499) if !code.is_empty() => known()
            .unwrap_or(if failure.retry_after.is_some() { THROTTLED } else { Verdict::Split }),
        Reached::Answered(_) if starts_with(code, THROTTLING) => THROTTLED,
        Reached::Answered(_) | Reached::Sent => Verdict::Unknown,
    };
    match verdict {
        Verdict::Later { after, scope } => {
            Verdict::Later { after: after.max(failure.retry_after), scope }
        }
        verdict => verdict,
    }
}

/// The code of a call that was not made because its query would be too long for the gateway.
pub const QUERY_TOO_LONG: &str = "Refreshd.QueryTooLong";

/// The code of a call that was not made because there is no access key, or an expired one.
pub const NO_CREDENTIALS: &str = "Refreshd.NoCredentials";

const THROTTLING: &str = "Throttling";
const THROTTLED: Verdict = Verdict::Later { after: None, scope: Scope::Account };

const fn later(seconds: u64, scope: Scope) -> Verdict {
    Verdict::Later { after: Some(Duration::from_secs(seconds)), scope }
}

/// Code pattern → verdict. A pattern is a prefix in any case; the first that fits counts. Sources
/// are sections of the API reference; waits of ours are what its "minutes" are taken for.
static TABLE: &[(&str, Verdict)] = &[
    // Ours: refused before sending.
    (QUERY_TOO_LONG, Verdict::Split),
    // 2.3: the gateway saw this nonce before, so a copy of the request may have been executed.
    ("SignatureNonceUsed", Verdict::Unknown),
    // 2.2, 2.3: too many calls.
    (THROTTLING, THROTTLED),
    ("TooManyRequests", THROTTLED),
    ("FlowControl", THROTTLED),
    // 2.2: the day's quota of this kind.
    ("QuotaExceeded", Verdict::NextDay),
    // 2.2: the cap per domain and minute, and a full queue of the domain.
    ("QuotaPerMinuteExceeded", later(60, Scope::Domain)),
    ("TooMany.Refresh", later(60, Scope::Domain)),
    // 2.2: the account's prefetch queue. Not `Account`: refreshes have a queue of their own.
    ("PreloadQueueFull", later(300, Scope::Batch)),
    // 2.2: the domain is being configured; the platform is being maintained.
    ("ServiceBusy", later(120, Scope::Domain)),
    ("InvalidDomain.Configure_failed", later(120, Scope::Domain)),
    ("SystemUpgrading", later(60, Scope::Account)),
    ("SystemBusy", later(60, Scope::Account)),
    // 2.3: our clock was off; the answer's `Date` has taught the offset, so sign again.
    ("InvalidTimeStamp.Expired", THROTTLED),
    ("InvalidTimeStamp", Verdict::Operator),
    ("IllegalTimestamp", Verdict::Operator),
    // 2.3: the key or token is gone or new; the files may have been rotated.
    ("InvalidAccessKeyId", Verdict::Renew),
    ("InvalidSecurityToken", Verdict::Renew),
    // 2.3: a wrong secret, or a bug of ours; trying again would only look like an attack.
    ("SignatureDoesNotMatch", Verdict::Operator),
    ("IncompleteSignature", Verdict::Operator),
    // 2.2, 2.3: permissions, risk control, a service not opened or suspended.
    ("Forbidden", Verdict::Operator),
    ("NoPermission", Verdict::Operator),
    ("OperationDenied", Verdict::Operator),
    ("CdnServiceNotFound", Verdict::Operator),
    // 2.3: the endpoint is not the CDN's API, or has changed: wrong for every call.
    ("InvalidApi", Verdict::Operator),
    ("InvalidAction", Verdict::Operator),
    ("InvalidVersion", Verdict::Operator),
    ("InvalidProduct", Verdict::Operator),
    ("InvalidProtocol", Verdict::Operator),
    ("UnsupportedHTTPMethod", Verdict::Operator),
    // 2.2: a domain that is not ours, stopped, locked or a wildcard: the others go on.
    ("InvalidDomain", Verdict::Split),
    ("InvalidExtensiveDomain", Verdict::Split),
    ("IllegalOperation", Verdict::Split),
    ("DomainInProtectedMode", Verdict::Split),
    // 2.2: a bad target, which the answer does not name, or too many of them.
    ("InvalidObjectPath", Verdict::Split),
    ("ObjectPath.", Verdict::Split),
    ("SingleRequest.OverLimit", Verdict::Split),
    ("InvalidParameter", Verdict::Split),
    // 2.2: this kind is not served, or the call was built wrongly: fewer targets would not help.
    ("InvalidObjectType", Verdict::Never),
    ("MissingParameter", Verdict::Never),
    // 2.2: questions about tasks that were put wrongly.
    ("InvalidTaskId", Verdict::Never),
    ("InvalidStartTime", Verdict::Never),
    ("InvalidEndTime", Verdict::Never),
    ("InvalidStatus", Verdict::Never),
];

fn lookup(code: &str) -> Option<&'static Verdict> {
    TABLE.iter().find(|(pattern, _)| starts_with(code, pattern)).map(|(_, verdict)| verdict)
}

fn starts_with(code: &str, pattern: &str) -> bool {
    code.get(..pattern.len()).is_some_and(|start| start.eq_ignore_ascii_case(pattern))
}

#[cfg(test)]
mod tests;
