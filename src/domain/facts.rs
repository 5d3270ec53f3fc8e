//! Facts: live state that isn't stored, published by the engine for whoever answers questions.

use std::collections::BTreeMap;

use serde::Serialize;

use super::deploy::DeployId;
use super::names::{AccountName, OriginName};
use super::own::Unserved;
use super::time::Timestamp;

/// How an origin is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginState {
    /// The tree is being compared with the index for the first time since it could be watched. Where
    /// there is no index yet nothing of it is refreshed.
    #[default]
    Baseline,
    /// Events tell of changes.
    Watching,
    /// No events; the tree is compared at intervals.
    Polling,
    /// The root is gone, unreadable or another one; changes are unknown until it is back.
    Unavailable,
}

impl OriginState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Baseline, Self::Watching, Self::Polling, Self::Unavailable];

    /// Returns its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Watching => "watching",
            Self::Polling => "polling",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What is known of an origin.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct OriginFacts {
    /// How it is looked at.
    pub state: OriginState,
    /// By which means: `inotify`, or why not.
    pub watch: String,
    /// Files in the index.
    pub files: u64,
    /// Directories that hold files of the index themselves.
    pub directories: u64,
    /// Since when changes are known: the time of the baseline.
    pub baseline_at: Option<Timestamp>,
    /// Files whose bytes have not been read once: touching one counts as a change.
    pub undigested: u64,
    /// How many bytes these have.
    pub undigested_bytes: u64,
    /// Kernel watches or marks held.
    pub watches: u64,
    /// Subtrees that the kernel does not tell of, each with the reason: at most the first 100.
    pub polled: Vec<PolledFacts>,
    /// What an operator can do for the watch: what is missing, and the command that mends it.
    pub advice: String,
    /// How often the kernel dropped events since the start.
    pub overflows: u64,
    /// How often the whole tree, or all that is polled, was compared since the start.
    pub reconciles: u64,
    /// Whether a comparison is under way, and how many files it has seen.
    pub comparing: Option<u64>,
    /// Paths seen but not settled yet.
    pub dirty: u64,
    /// The newest ticket of [`call`](crate::source::HintSender::call) that was served.
    #[serde(skip)]
    pub seen: u64,
    /// The open deploy.
    pub deploy: Option<DeployId>,
    /// The open deploy, if its opening was recorded.
    #[serde(skip)]
    pub announced: Option<DeployId>,
    /// Until when at the latest a person or a script holds it open.
    pub held_open_until: Option<Timestamp>,
    /// Why it is unavailable, or what a person should know; empty when all is well.
    pub note: String,
    /// That what was found can't be stored.
    pub failing: Option<FailingFacts>,
    /// Paths that changed and could not be mapped to a URL, with the reason: the newest 100.
    pub unmapped: Vec<Unmapped>,
}

/// A subtree that is compared at intervals because no events come from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolledFacts {
    /// Where, escaped; `.` is the root.
    pub path: String,
    /// Why.
    pub why: String,
}

/// A changed path that has no URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmapped {
    /// The path, escaped.
    pub path: String,
    /// Why it has none.
    pub why: String,
}

/// What is known of an account's access key; never the key.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct KeyFacts {
    /// Where it comes from; empty when there is none.
    pub source: String,
    /// Its id, shortened.
    pub key_id: String,
    /// When a temporary one expires.
    pub expires_at: Option<Timestamp>,
    /// Why the last attempt at a new one failed; empty when it did not.
    pub trouble: String,
}

/// How an account's way to the CDN stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Nothing slows or stops calls.
    #[default]
    Open,
    /// Calls go slower, or something of a domain or a kind is closed.
    Slow,
    /// An operation is closed.
    Closed,
    /// The CDN does not answer.
    Away,
    /// The CDN refuses the key.
    KeyRefused,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Open, Self::Slow, Self::Closed, Self::Away, Self::KeyRefused];

    /// Returns its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Slow => "slow",
            Self::Closed => "closed",
            Self::Away => "away",
            Self::KeyRefused => "key_refused",
        }
    }
}

/// What is known of an account's way to the CDN.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct AccountFacts {
    /// How its way to the CDN stands.
    pub way: Way,
    /// What stops or slows submission; empty when nothing does.
    pub note: String,
    /// When the CDN last answered.
    pub answered_at: Option<Timestamp>,
    /// Its access key.
    pub key: KeyFacts,
    /// What it said at the start of the domains that are mapped.
    pub domains: DomainFacts,
}

/// What the CDN said of the domains that an account's origins serve.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct DomainFacts {
    /// Why it could not be told; empty where it could, and before.
    pub unchecked: String,
    /// Those that this account can't refresh.
    pub unserved: Vec<Unserved>,
}

/// What waits at the gate of an origin, and why it is closed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct GateFacts {
    /// How many complete deploys wait.
    pub deploys: u64,
    /// How many wishes they hold.
    pub wishes: u64,
    /// Since when the oldest is complete.
    pub since: Timestamp,
    /// Why it is closed, as the last look found.
    pub why: String,
    /// What the gate's command wrote last, escaped: at most its last 4 KiB.
    pub output: String,
    /// Whether it is closed for so long that this was logged as an error.
    pub alarmed: bool,
}

/// How the last reload of the configuration ended.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct ReloadFacts {
    /// When.
    pub at: Timestamp,
    /// Why it was refused, so that the configuration before is in force; empty when it was applied.
    pub refused: String,
    /// What it changed, in a few words each.
    pub changed: Vec<String>,
}

/// A loop whose turns fail, though that may pass.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct FailingFacts {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
}

/// How it goes with the notices of one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct NoticeFacts {
    /// How many wait to be posted.
    pub waiting: u64,
    /// Since when they can't be posted; none when they can.
    pub failing_since: Option<Timestamp>,
    /// Why not.
    pub why: String,
}

/// What the engine knows now and does not store.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Facts {
    /// Whether every origin is watched or polled.
    pub ready: bool,
    /// By origin.
    pub origins: BTreeMap<OriginName, OriginFacts>,
    /// By account.
    pub accounts: BTreeMap<AccountName, AccountFacts>,
    /// By origin, where something waits at a gate.
    pub gates: BTreeMap<OriginName, GateFacts>,
    /// How the last reload ended; none since the start.
    pub reload: Option<ReloadFacts>,
    /// By loop, those whose turns fail.
    pub failing: BTreeMap<String, FailingFacts>,
    /// By receiver of notices.
    pub notices: BTreeMap<String, NoticeFacts>,
}
