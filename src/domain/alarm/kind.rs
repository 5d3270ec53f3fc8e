//! What alarms are about, and how bad that is.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something stands still, or is lost unless a person acts.
    Error,
    /// Something is slower or less sure than it could be.
    Warning,
}

impl Severity {
    /// Returns its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! kinds {
    ($($kind:ident $word:literal $severity:ident $meaning:literal)+) => {
        /// What an alarm is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AlarmKind {
            $(#[doc = $meaning] $kind,)+
        }

        impl AlarmKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Returns its word: what its keys begin with.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word,)+ }
            }

            /// Returns how bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)+ }
            }

            /// Returns what it means, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning,)+ }
            }
        }
    };
}

kinds! {
    DatabaseFailing "database.failing" Error "For a minute a loop can't write down what it does: the disk is full, or another process holds the database."
    LoopStuck "loop.stuck" Error "A turn of one of the daemon's loops does not end for more than 15 minutes."
    OriginUnavailable "origin.unavailable" Error "An origin's root is gone, unreadable or another one: its changes are unknown until it is back."
    KeyMissing "key.missing" Error "There is no access key."
    KeyRefused "key.refused" Error "The CDN refuses the access key."
    KeyExpires "key.expires" Warning "A temporary access key expires soon, and no new one could be had."
    KeyUnread "key.unread" Warning "A lasting access key can't be read again for ten minutes; the one that was read is in use."
    CdnClosed "cdn.closed" Error "The CDN does not answer, or takes nothing of a sort."
    CdnSlow "cdn.slow" Warning "For five minutes the CDN has calls go slower, or takes nothing for a domain."
    QuotaExhausted "quota.exhausted" Error "A kind of quota is spent until the day turns."
    QuotaForecast "quota.forecast" Warning "A kind of quota is likely to be spent before the day turns."
    ChangesHeld "changes.held" Error "Changes look like an accident and wait for a person."
    PausedLong "paused.long" Warning "An origin or account has been paused for more than a day."
    GateClosed "gate.closed" Error "A deploy waits for its origin's web servers for more than half an hour."
    LagHigh "lag.high" Error "A refresh could go on for more than 15 minutes, and nothing explains that it does not."
    DoubtLong "doubt.long" Warning "It has been unknown for more than half an hour what became of a call."
    IntentsFailed "intents.failed" Warning "Intents failed today, are not tried again by themselves, and nothing came of their targets since."
    DeliveriesFailed "deliveries.failed" Warning "Deliveries of hooks came to nothing though they should not have."
    WatchDegraded "watch.degraded" Warning "Parts of an origin, or all of it, send no events and are compared at intervals."
    DomainUnserved "domain.unserved" Error "The account can't refresh a domain that an origin serves."
    DomainUnchecked "domain.unchecked" Warning "Whether the account may refresh its origins' domains could not be told."
    PathsUnmapped "paths.unmapped" Warning "Paths changed that have no URL."
    ReloadRefused "reload.refused" Error "The configuration that was to be loaded is refused; the one before is in force."
    ClockOffset "clock.offset" Warning "This machine's clock is more than five minutes off the CDN's."
    NoticesFailed "notices.failed" Warning "Notices can't be posted."
}

impl AlarmKind {
    /// Finds the kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// Returns its anchor in docs/troubleshooting.md.
    #[must_use]
    pub fn anchor(self) -> String {
        self.as_str().replace('.', "-")
    }
}
