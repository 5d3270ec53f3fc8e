//! The forecast: what the rest of a day is likely to cost, told from the account's own earlier days.
//!
//! Backfill is left out: it takes what is left over, and would else be kept for itself.

use std::collections::BTreeMap;

use super::{Allowance, PerKind, QuotaKind};
use crate::domain::time::{Day, HOURS, Timestamp};

/// How many days an account's spending by the hour is kept.
pub const HISTORY_DAYS: i64 = 60;

/// What was spent in each hour of a day.
pub type Hours = [u64; HOURS];

/// What an account spent in the hours of its last days, today not among them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct History {
    days: BTreeMap<Day, PerKind<Hours>>,
}

/// What the rest of today is likely to cost of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The mean over earlier days of what was spent from this time of the day on, rounded up.
    pub expected: u64,
    /// The most of any of these days.
    pub highest: u64,
    /// When the day's allowance is spent if today goes on like the mean; none if it lasts.
    pub runs_out: Option<Timestamp>,
}

impl History {
    /// Counts what was spent in an hour.
    pub fn add(&mut self, day: Day, hour: usize, kind: QuotaKind, amount: u64) {
        let hours = self.days.entry(day).or_default();
        if let Some(spent) = hours[kind].get_mut(hour) {
            *spent += amount;
        }
    }

    /// Tells what the rest of the day of `now` is likely to cost of a kind; none before there is an
    /// earlier day to tell from. Days on which nothing was spent count from the first known day on.
    #[must_use]
    pub fn forecast(
        &self,
        kind: QuotaKind,
        allowance: Allowance,
        now: Timestamp,
    ) -> Option<Forecast> {
        let today = Day::of(now);
        let (first, _) = self.days.range(..today).next()?;
        let days = u64::try_from(today.number() - first.number()).unwrap_or(1).max(1);
        let known = || self.days.range(..today).map(|(_, hours)| &hours[kind]);
        let elapsed = now.since(today.start()).as_secs();
        let rest_of =
            |hours: &Hours| (0..).zip(hours).map(|(hour, spent)| rest(elapsed, hour, *spent)).sum();
        let total: u64 = known().map(rest_of).sum();
        let mut sum = [0_u64; HOURS];
        for hours in known() {
            for (sum, spent) in sum.iter_mut().zip(hours) {
                *sum += spent;
            }
        }
        Some(Forecast {
            expected: total.div_ceil(days),
            highest: known().map(rest_of).max().unwrap_or(0),
            runs_out: runs_out(&sum, days, allowance, now),
        })
    }

    /// Returns the most that any earlier day spent of each kind from this time of the day on.
    #[must_use]
    pub fn highest(&self, now: Timestamp) -> PerKind<u64> {
        let all = Allowance { limit: u64::MAX, used: 0 };
        PerKind::from_fn(|kind| self.forecast(kind, all, now).map_or(0, |told| told.highest))
    }
}

/// Returns what of an hour's spending comes after `elapsed` seconds of the day, rounded up.
fn rest(elapsed: u64, hour: u64, spent: u64) -> u64 {
    let left = ((hour + 1) * 3_600).saturating_sub(elapsed).min(3_600);
    (spent * left).div_ceil(3_600)
}

/// Returns when an allowance is spent, if each hour costs its part of `sum` over `days`.
fn runs_out(sum: &Hours, days: u64, allowance: Allowance, now: Timestamp) -> Option<Timestamp> {
    let start = Day::of(now).start();
    let elapsed = now.since(start).as_secs();
    // In parts of an ask, so that no rounding adds up.
    let mut left = allowance.left().saturating_mul(days);
    if left == 0 {
        return (allowance.limit > 0).then_some(now);
    }
    for (hour, spent) in (0_u64..).zip(sum) {
        let coming = rest(elapsed, hour, *spent);
        if coming >= left {
            let begin = (hour * 3_600).max(elapsed);
            let seconds = (hour + 1) * 3_600 - begin;
            let after = begin + seconds * left / coming;
            return Some(start.plus(std::time::Duration::from_secs(after)));
        }
        left -= coming;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: QuotaKind = QuotaKind::Url;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("valid")
    }

    /// Days that spent 10 in each hour, and 100 more in the last of them.
    fn history(days: i64, now: Timestamp) -> History {
        let mut history = History::default();
        for ago in 1..=days {
            let day = Day::from_number(Day::of(now).number() - ago);
            for hour in 0..HOURS {
                history.add(day, hour, URL, 10);
            }
        }
        history.add(Day::from_number(Day::of(now).number() - 1), 23, URL, 100);
        history
    }

    #[test]
    fn the_rest_of_a_day_is_told_from_the_same_hours_of_earlier_days() {
        // 12:30 of the CDN's day: eleven hours and a half are left.
        let now = at("2026-11-22T04:30:00Z");
        let plenty = Allowance { limit: 1_000, used: 0 };
        let told = history(10, now).forecast(URL, plenty, now).expect("there are days");
        assert_eq!(told, Forecast { expected: 125, highest: 215, runs_out: None });
        assert_eq!(history(10, now).highest(now)[URL], 215);
        assert_eq!(History::default().forecast(URL, plenty, now), None);
    }

    #[test]
    fn an_allowance_runs_out_within_the_hour_that_spends_it() {
        let now = at("2026-11-22T04:30:00Z");
        let left = |left: u64| Allowance { limit: 1_000, used: 1_000 - left };
        let out = |left_over| {
            let told = history(10, now).forecast(URL, left(left_over), now);
            told.expect("there are days").runs_out
        };
        assert_eq!(out(5), Some(at("2026-11-22T05:00:00Z")));
        assert_eq!(out(10), Some(at("2026-11-22T05:30:00Z")));
        assert_eq!(out(0), Some(now));
        assert_eq!(out(126), None);
    }

    #[test]
    fn days_on_which_nothing_was_spent_count() {
        let now = at("2026-11-21T16:00:00Z");
        let mut history = History::default();
        history.add(Day::from_number(Day::of(now).number() - 4), 3, URL, 100);
        history.add(Day::of(now), 0, URL, 1_000);
        let told = history.forecast(URL, Allowance { limit: 50, used: 0 }, now);
        assert_eq!(told, Some(Forecast { expected: 25, highest: 100, runs_out: None }));
    }
}
