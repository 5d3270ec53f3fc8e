//! What the account may still ask for: the day's quota and each domain's minute.

use std::collections::HashMap;

use crate::domain::limits::Limits;
use crate::domain::quota::{PerKind, QuotaKind};
use crate::domain::time::{Day, Timestamp};

use super::call::Refusal;

/// The counters; a day turns at 00:00 UTC+8, a minute when the wall clock's does.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: PerKind<u64>,
    used: PerKind<u64>,
    day: Day,
    minute: i64,
    in_minute: HashMap<(QuotaKind, String), u64>,
}

impl Meter {
    pub(crate) fn new(limits: PerKind<u64>, now: Timestamp) -> Self {
        Self {
            limits,
            used: PerKind::default(),
            day: Day::of(now),
            minute: 0,
            in_minute: HashMap::new(),
        }
    }

    fn turn(&mut self, now: Timestamp) {
        if Day::of(now) != self.day {
            self.day = Day::of(now);
            self.used = PerKind::default();
        }
        let minute = now.as_seconds().div_euclid(60);
        if minute != self.minute {
            self.minute = minute;
            self.in_minute.clear();
        }
    }

    /// Debits one unit for each of `hosts`, all or none. Only refreshes of urls and directories
    /// have a limit per minute; the day's is looked at first, for waiting a minute won't help there.
    pub(crate) fn debit(
        &mut self,
        kind: QuotaKind,
        hosts: &[&str],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.turn(now);
        let used = self.used[kind] + hosts.len() as u64;
        if used > self.limits[kind] {
            return Err(exceeded(kind));
        }
        let mut minutes = HashMap::new();
        if let Some(limit) = Limits::DOCUMENTED.per_minute()[kind] {
            for host in hosts {
                let key = (kind, (*host).to_owned());
                let before = self.in_minute.get(&key).copied().unwrap_or(0);
                let count = minutes.entry(key).or_insert(before);
                *count += 1;
                if *count > limit {
                    let text = format!("The domain {host} is refreshed too often in this minute.");
                    return Err(Refusal::new(400, "QuotaPerMinuteExceeded.Refresh", text));
                }
            }
        }
        self.used[kind] = used;
        self.in_minute.extend(minutes);
        Ok(())
    }

    pub(crate) fn limit(&self, kind: QuotaKind) -> u64 {
        self.limits[kind]
    }

    pub(crate) fn remaining(&mut self, kind: QuotaKind, now: Timestamp) -> u64 {
        self.turn(now);
        self.limits[kind].saturating_sub(self.used[kind])
    }

    /// Sets what is left today; more than the limit raises the limit.
    pub(crate) fn set_remaining(&mut self, kind: QuotaKind, remaining: u64, now: Timestamp) {
        self.turn(now);
        self.limits[kind] = self.limits[kind].max(remaining);
        self.used[kind] = self.limits[kind] - remaining;
    }
}

/// All kinds of refresh are refused under one code (API reference 2.2).
fn exceeded(kind: QuotaKind) -> Refusal {
    let code = match kind {
        QuotaKind::Prefetch => "QuotaExceeded.Preload",
        _ => "QuotaExceeded.Refresh",
    };
    Refusal::new(400, code, "The daily quota is used up.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes when, no day gives more than its limit, and what is left is exact.
        #[test]
        fn no_day_is_overspent(
            calls in prop::collection::vec((0_u64..20_000, 1_usize..8), 1..60),
        ) {
            let kind = QuotaKind::Directory;
            let mut now = Timestamp::parse("2026-11-22T12:00:00Z").expect("valid");
            let mut meter = Meter::new(PerKind::from_fn(|_| 10), now);
            let mut spent = BTreeMap::<Day, u64>::new();
            for (seconds, lines) in calls {
                now = now.plus(Duration::from_secs(seconds));
                let used = spent.entry(Day::of(now)).or_default();
                let accepted = meter.debit(kind, &vec!["a.example"; lines], now).is_ok();
                prop_assert_eq!(accepted, *used + lines as u64 <= 10);
                *used += if accepted { lines as u64 } else { 0 };
                prop_assert_eq!(meter.remaining(kind, now), 10 - *used);
            }
        }
    }
}
