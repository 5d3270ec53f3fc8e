//! Quota: the CDN's allowance per account, kind and day, and what is left of it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ask::Kind;
use super::intent::Action;
use super::time::{Day, Timestamp};

pub mod forecast;
pub mod purse;

/// What a day's allowance is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// URL refreshes.
    Url,
    /// Directory refreshes.
    Directory,
    /// Regex refreshes.
    Regex,
    /// Ignore-params refreshes.
    IgnoreParams,
    /// Refreshes by cache tag.
    Tag,
    /// Prefetches.
    Prefetch,
}

impl QuotaKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Url, Self::Directory, Self::Regex, Self::IgnoreParams, Self::Tag, Self::Prefetch];

    /// Returns the kind that asking `action` of a target of `kind` is debited to.
    #[must_use]
    pub const fn of(action: Action, kind: Kind) -> Self {
        match (action, kind) {
            (Action::Prefetch, _) => Self::Prefetch,
            (Action::Refresh, Kind::Url) => Self::Url,
            (Action::Refresh, Kind::Directory) => Self::Directory,
            (Action::Refresh, Kind::Regex) => Self::Regex,
            (Action::Refresh, Kind::IgnoreParams) => Self::IgnoreParams,
            (Action::Refresh, Kind::Tag) => Self::Tag,
        }
    }

    /// Returns the word used in code, config, CLI and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Directory => "directory",
            Self::Regex => "regex",
            Self::IgnoreParams => "ignore_params",
            Self::Tag => "tag",
            Self::Prefetch => "prefetch",
        }
    }

    /// Returns what its asks are called in a sentence.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Url => "URL refreshes",
            Self::Directory => "directory refreshes",
            Self::Regex => "regex refreshes",
            Self::IgnoreParams => "ignore-params refreshes",
            Self::Tag => "tag refreshes",
            Self::Prefetch => "prefetches",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    const fn slot(self) -> usize {
        self as usize
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One value for each [`QuotaKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PerKind<T>([T; 6]);

impl<T> PerKind<T> {
    /// Makes a table by asking for each kind.
    pub fn from_fn(mut value: impl FnMut(QuotaKind) -> T) -> Self {
        Self(QuotaKind::ALL.map(&mut value))
    }

    /// Returns each kind with its value.
    pub fn iter(&self) -> impl Iterator<Item = (QuotaKind, &T)> {
        QuotaKind::ALL.into_iter().zip(&self.0)
    }
}

impl<T> std::ops::Index<QuotaKind> for PerKind<T> {
    type Output = T;

    fn index(&self, kind: QuotaKind) -> &T {
        &self.0[kind.slot()]
    }
}

impl<T> std::ops::IndexMut<QuotaKind> for PerKind<T> {
    fn index_mut(&mut self, kind: QuotaKind) -> &mut T {
        &mut self.0[kind.slot()]
    }
}

/// One kind's allowance and spending on one day, in asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Allowance {
    /// What the day allows: the smaller of the configured figure and the CDN's answer.
    pub limit: u64,
    /// What is spent, by us or by others as far as known.
    pub used: u64,
}

impl Allowance {
    /// Returns what may still be spent.
    #[must_use]
    pub const fn left(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Returns the highest of [`ALARMS`] that is reached.
    #[must_use]
    pub fn alarm(self) -> Option<u64> {
        let reached = |percent: &u64| {
            u128::from(self.used) * 100 >= u128::from(self.limit) * u128::from(*percent)
        };
        ALARMS.into_iter().rev().find(reached).filter(|_| self.limit > 0)
    }
}

/// At how many percent of a day's allowance an operator is told, once a day each.
pub const ALARMS: [u64; 2] = [70, 90];

/// What the CDN answered about one kind: the day's allowance and what remains of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The day's allowance.
    pub quota: u64,
    /// What remains of it.
    pub remain: u64,
}

/// What came of comparing our count with the CDN's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Whether its count replaced ours in both directions.
    pub replaced: bool,
    /// How much more than before others than us are known to have spent today.
    pub foreign: PerKind<u64>,
}

/// Returns whether a call begun at `server_now` (the server's time) ends before the quota day does:
/// `Ok`, or the instant at which to begin instead.
///
/// Rule 8: no call starts so late that its time-out could cross 00:00 UTC+8. One
/// second more on both sides covers the API's whole-second clock.
pub fn may_call(server_now: Timestamp, timeout: Duration) -> Result<Day, Timestamp> {
    let margin = Duration::from_secs(1);
    let day = Day::of(server_now);
    let turn = day.next().start();
    if server_now.since(day.start()) < margin {
        Err(day.start().plus(margin))
    } else if turn.since(server_now) <= timeout + margin {
        Err(turn.plus(margin))
    } else {
        Ok(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_may_cross_the_turn_of_the_day() {
        let midnight = Timestamp::parse("2026-11-22T16:00:00Z").expect("valid");
        let timeout = Duration::from_secs(10);
        let second = Duration::from_secs(1);
        let noon = midnight.minus(Duration::from_secs(12 * 3600));
        assert_eq!(may_call(noon, timeout), Ok(Day::of(noon)));
        assert!(may_call(midnight.minus(Duration::from_secs(12)), timeout).is_ok());
        for late in [11, 5, 0] {
            let late = midnight.minus(Duration::from_secs(late));
            assert_eq!(may_call(late, timeout), Err(midnight.plus(second)), "{late}");
        }
        assert_eq!(may_call(midnight.plus(second), timeout), Ok(Day::of(midnight)));
    }

    #[test]
    fn an_operator_is_told_at_seventy_and_at_ninety_percent() {
        let alarm = |limit, used| Allowance { limit, used }.alarm();
        assert_eq!(
            [69, 70, 89, 90, 120].map(|used| alarm(100, used)),
            [None, Some(70), Some(70), Some(90), Some(90)]
        );
        assert_eq!(alarm(0, 0), None, "what is never allowed alarms nobody");
    }
}
