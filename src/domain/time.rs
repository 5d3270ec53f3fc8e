//! Instants and the CDN's days.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant of wall-clock time in microseconds since the Unix epoch.
///
/// Microseconds because that is what the database stores; the CDN itself speaks whole seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// Makes an instant from microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Makes an instant from whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Returns microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Returns the instant `by` later, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the instant `by` earlier, saturating.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the time from `earlier` to `self`; zero when `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads `yyyy-MM-ddTHH:mm:ssZ` and its RFC 3339 relatives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|instant| Self(instant.as_microsecond()))
    }

    /// Writes the instant as RFC 3339 text in UTC, to the microsecond.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_microsecond(self.0)
            .map_or_else(|_| self.0.to_string(), |instant| format!("{instant:.6}"))
    }

    /// Writes `yyyy-MM-ddTHH:mm:ssZ`, the form of the CDN's API, dropping the fraction.
    #[must_use]
    pub fn to_api(self) -> String {
        jiff::Timestamp::from_second(self.as_seconds())
            .map_or_else(|_| self.0.to_string(), |instant| instant.to_string())
    }
}

impl fmt::Display for Timestamp {
    /// Writes the instant as UTC, to the second: logs and pages read this.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_api())
    }
}

/// A day of the CDN's quota: it turns at 00:00 UTC+8 (API reference, quota management page).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(i64);

/// How many hours a day has.
pub const HOURS: usize = 24;

const DAY_SECONDS: i64 = 86_400;
const OFFSET_SECONDS: i64 = 8 * 3_600;

impl Day {
    /// Returns the day that `instant` belongs to.
    #[must_use]
    pub const fn of(instant: Timestamp) -> Self {
        Self((instant.as_seconds() + OFFSET_SECONDS).div_euclid(DAY_SECONDS))
    }

    /// Makes a day from its number: days since 1970-01-01 UTC+8.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Returns days since 1970-01-01 UTC+8.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Returns the first instant of the day.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp::from_seconds(self.0 * DAY_SECONDS - OFFSET_SECONDS)
    }

    /// Returns the hour of its day that `instant` belongs to: 0 to 23.
    #[must_use]
    pub fn hour_of(instant: Timestamp) -> usize {
        let hour = instant.since(Self::of(instant).start()).as_secs() / 3_600;
        usize::try_from(hour).unwrap_or(0).min(HOURS - 1)
    }

    /// Returns the next day, whose start is when the quota refills.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_turns_at_midnight_utc_plus_8() {
        let before = Timestamp::parse("2026-11-22T15:59:59Z").expect("valid");
        let after = Timestamp::parse("2026-11-22T16:00:00Z").expect("valid");
        assert_eq!(Day::of(before).next(), Day::of(after));
        assert_eq!(Day::of(after).start(), after);
        assert_eq!(after.to_api(), "2026-11-22T16:00:00Z");
    }

    #[test]
    fn differences_never_go_below_zero() {
        let (early, late) = (Timestamp::from_seconds(1), Timestamp::from_seconds(3));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
