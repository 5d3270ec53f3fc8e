//! Verdicts: what an answer of the CDN, or its absence, means for the asks of a call.

use std::collections::BTreeMap;
use std::fmt;
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

/// One line: code, message and the request id that support asks for.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.as_deref().unwrap_or_default();
        let colon = if code.is_empty() || self.message.is_empty() { "" } else { ": " };
        write!(formatter, "{code}{colon}{}", self.message)?;
        match &self.request_id {
            Some(id) => write!(formatter, " (request id {id})"),
            None => Ok(()),
        }
    }
}

/// How much a wait concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The asks of this batch.
    Batch,
    /// Every ask for the domains of this batch.
    Domain,
    /// Every call of this operation: its queue is full.
    Queue,
    /// Every call of this operation: they come too fast, and go slower from now on.
    Rate,
    /// Every call of the account.
    Account,
}

/// What a failure means for the asks of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// Certainly not executed; at least one of the asks is bad: find it by halves.
    Split,
    /// Certainly not executed; there are more asks than one call may hold.
    Smaller,
    /// Certainly not executed and never will be, for these targets.
    Never,
    /// Certainly not executed; the CDN takes nothing for one of the domains until a person mends it.
    Domain,
    /// Certainly not executed; the credentials must be read or fetched again first.
    Renew,
    /// Certainly not executed; the key may not make this call: a person must allow it.
    Forbidden,
    /// Certainly not executed; a person must act, and this operation waits.
    Operator,
    /// Perhaps executed: look it up before it is sent again.
    Unknown,
}

impl Verdict {
    /// Reads a verdict from the word that configuration has for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, verdict)| *verdict)
    }

    /// Returns the word of what it does, whatever waits.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Later { scope: Scope::Rate, .. } => "throttled",
            Self::Later { .. } => "later",
            Self::NextDay => "next_day",
            Self::Split => "split",
            Self::Smaller => "smaller",
            Self::Never => "never",
            Self::Domain => "domain",
            Self::Renew => "renew",
            Self::Forbidden => "forbidden",
            Self::Operator => "operator",
            Self::Unknown => "unknown",
        }
    }

    /// Returns whether the very same call may be answered otherwise a little later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Later { .. } | Self::Renew | Self::Unknown)
    }

    /// The words that configuration has for verdicts.
    pub const WORDS: &[(&str, Self)] = &[
        ("later", Self::Later { after: None, scope: Scope::Batch }),
        ("slower", THROTTLED),
        ("next_day", Self::NextDay),
        ("split", Self::Split),
        ("smaller", Self::Smaller),
        ("never", Self::Never),
        ("domain", Self::Domain),
        ("key", Self::Renew),
        ("forbidden", Self::Forbidden),
        ("operator", Self::Operator),
        ("unknown", Self::Unknown),
    ];
}

/// Returns what a failure means for the asks of the call, by what is documented.
#[must_use]
pub fn judge(failure: &Failure) -> Verdict {
    Verdicts::default().judge(failure)
}

/// The documented verdicts, and before them those that an operator has taught.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Verdicts {
    /// By prefix of the code, in any case.
    taught: BTreeMap<String, Verdict>,
}

impl Verdicts {
    /// Lets codes that begin with each text mean what is written beside it.
    #[must_use]
    pub const fn teach(taught: BTreeMap<String, Verdict>) -> Self {
        Self { taught }
    }

    /// Returns whether a code is documented or taught.
    #[must_use]
    pub fn know(&self, code: &str) -> bool {
        self.lookup(code).is_some()
    }

    /// Returns what a failure means for the asks of the call.
    ///
    /// Certainly not executed is a call of which nothing was written, one refused with a parsed 4xx
    /// `Code`, and one throttled at whatever status (some products say so at 503). All else is
    /// [`Verdict::Unknown`]: time-outs, cuts, 5xx, pages of proxies.
    ///
    /// A 4xx code that is not [known](Self::know) is [`Verdict::Split`]: if one target is to blame it
    /// is isolated and ends failed alone, if all are, each ends failed visibly after its attempts, and
    /// the rest of the account goes on either way. With a wait in the answer it is throttling instead,
    /// as the official clients read it (API reference 2.4).
    #[must_use]
    pub fn judge(&self, failure: &Failure) -> Verdict {
        let code = failure.code.as_deref().unwrap_or_default();
        let unknown = if failure.retry_after.is_some() { THROTTLED } else { Verdict::Split };
        let verdict = match failure.reached {
            Reached::Nothing => self.lookup(code).unwrap_or(UNREACHED),
            Reached::Answered(400..=499) if !code.is_empty() => {
                self.lookup(code).unwrap_or(unknown)
            }
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

    fn lookup(&self, code: &str) -> Option<Verdict> {
        // Of several that fit the longest counts, for it says most.
        let taught = self.taught.iter().filter(|(prefix, _)| starts_with(code, prefix));
        let taught = taught.max_by_key(|(prefix, _)| prefix.len()).map(|(_, verdict)| *verdict);
        taught.or_else(|| {
            TABLE.iter().find(|(prefix, _)| starts_with(code, prefix)).map(|(_, verdict)| *verdict)
        })
    }
}

/// The code of a call that was not made because its query would be too long for the gateway.
pub const QUERY_TOO_LONG: &str = "Refreshd.QueryTooLong";
/// The code of a call that was not made because there is no access key, or an expired one.
pub const NO_CREDENTIALS: &str = "Refreshd.NoCredentials";

const THROTTLING: &str = "Throttling";
const THROTTLED: Verdict = Verdict::Later { after: None, scope: Scope::Rate };
const UNREACHED: Verdict = Verdict::Later { after: None, scope: Scope::Account };

const fn later(seconds: u64, scope: Scope) -> Verdict {
    Verdict::Later { after: Some(Duration::from_secs(seconds)), scope }
}

/// Code pattern → verdict. A pattern is a prefix in any case; the first that fits counts. Sources
/// are sections of the API reference; waits of ours are what its "minutes" are taken for.
static TABLE: &[(&str, Verdict)] = &[
    // Ours: refused before sending.
    (QUERY_TOO_LONG, Verdict::Smaller),
    (NO_CREDENTIALS, Verdict::Renew),
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
    // 2.2: the account's prefetch queue; refreshes have queues of their own.
    ("PreloadQueueFull", later(300, Scope::Queue)),
    // 2.2: the domain is being configured; the platform is being maintained.
    ("ServiceBusy", later(120, Scope::Domain)),
    ("InvalidDomain.Configure_failed", later(120, Scope::Domain)),
    ("SystemUpgrading", later(60, Scope::Account)),
    ("SystemBusy", later(60, Scope::Account)),
    // 2.3: our clock was off; the answer's `Date` has taught the offset, so sign again.
    ("InvalidTimeStamp.Expired", Verdict::Later { after: None, scope: Scope::Batch }),
    ("InvalidTimeStamp", Verdict::Operator),
    ("IllegalTimestamp", Verdict::Operator),
    // 2.3: the key or token is gone or new, or the secret is not the key's: a file may have been
    // rotated half way. Whatever it is, trying on would only look like an attack.
    ("InvalidAccessKeyId", Verdict::Renew),
    ("InvalidSecurityToken", Verdict::Renew),
    ("SignatureDoesNotMatch", Verdict::Renew),
    ("IncompleteSignature", Verdict::Renew),
    // 2.2, 2.3: risk control and verification concern the account, a permission the call.
    ("Forbidden.RiskControl", Verdict::Operator),
    ("Forbidden.UserVerification", Verdict::Operator),
    ("Forbidden", Verdict::Forbidden),
    ("NoPermission", Verdict::Forbidden),
    // 2.2: a service not opened or suspended.
    ("OperationDenied", Verdict::Operator),
    ("CdnServiceNotFound", Verdict::Operator),
    // 2.3: the endpoint is not the CDN's API, or has changed: wrong for every call.
    ("InvalidApi", Verdict::Operator),
    ("InvalidAction", Verdict::Operator),
    ("InvalidVersion", Verdict::Operator),
    ("InvalidProduct", Verdict::Operator),
    ("InvalidProtocol", Verdict::Operator),
    ("UnsupportedHTTPMethod", Verdict::Operator),
    // 2.2: a domain that is not ours, stopped or locked: the others go on.
    ("InvalidDomain", Verdict::Domain),
    ("IllegalOperation", Verdict::Domain),
    ("DomainInProtectedMode", Verdict::Domain),
    // 2.2: more targets than a call may hold.
    ("InvalidObjectPath.Size", Verdict::Smaller),
    ("InvalidObjectPath.ExceedsMaximum", Verdict::Smaller),
    ("SingleRequest.OverLimit", Verdict::Smaller),
    // 2.2: a bad target, which the answer does not name.
    ("InvalidExtensiveDomain", Verdict::Split),
    ("InvalidObjectPath", Verdict::Split),
    ("ObjectPath.", Verdict::Split),
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

fn starts_with(code: &str, pattern: &str) -> bool {
    code.get(..pattern.len()).is_some_and(|start| start.eq_ignore_ascii_case(pattern))
}

#[cfg(test)]
mod tests;
