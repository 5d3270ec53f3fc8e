//! Whether as large a change set will come again before the day turns: judged by those that came.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::deploy::DeployId;
use crate::domain::time::{Day, Timestamp};

/// A set is large that needs this part of a day's URLs by itself, in tenths.
const LARGE: u64 = 4;
/// Before anything is known, so many sets are taken to have come …
const ASSUMED: u64 = 4;
/// … of which so many tenths were followed by another on the same day.
const ASSUMED_FOLLOWED: u64 = 3;
/// The part of the rest of the day that is left when the next comes, where none is known, in
/// thousandths.
const USUAL_REST: u64 = 600;

/// The large change sets of late.
#[derive(Clone, Debug, Default)]
pub struct Recurrence {
    sets: VecDeque<(Timestamp, DeployId)>,
}

impl Recurrence {
    /// How many large change sets are remembered.
    pub const REMEMBERED: usize = 41;

    /// Returns how many URLs a large change set has at least, of so many allowed a day.
    #[must_use]
    pub const fn least(limit: u64) -> u64 {
        limit.saturating_mul(LARGE) / 10 + 1
    }

    /// Makes it of earlier large sets and when they closed, the oldest first.
    #[must_use]
    pub fn of(sets: Vec<(Timestamp, DeployId)>) -> Self {
        Self { sets: sets.into() }
    }

    /// Takes a change set in that closed at `at` and has so many URLs, of so many allowed a day; one
    /// that it knows, it doesn't count twice. They must come in the order of time.
    pub fn note(&mut self, at: Timestamp, deploy: &DeployId, urls: u64, limit: u64) {
        let is_known = self.sets.iter().any(|(_, known)| known == deploy);
        if urls >= Self::least(limit) && !is_known {
            self.sets.push_back((at, deploy.clone()));
            if self.sets.len() > Self::REMEMBERED {
                self.sets.pop_front();
            }
        }
    }

    /// Returns how likely a large set comes before the day turns, if the newest is of now, in
    /// thousandths; and which part of the rest of the day will be left then, in thousandths.
    ///
    /// Of the past sets those count that had another on their day within what is left of this one,
    /// against those that had as much time for it.
    #[must_use]
    pub fn again(&self, now: Timestamp) -> (u64, u64) {
        let rest_of_day = |at: Timestamp| Day::of(at).next().start().since(at);
        let rest = rest_of_day(now);
        let (mut followed, mut judged, mut left) = (0, 0, 0);
        for ((at, _), (next, _)) in self.sets.iter().zip(self.sets.iter().skip(1)) {
            let gap = next.since(*at);
            let same_day = gap <= rest_of_day(*at);
            if same_day && gap <= rest {
                followed += 1;
                judged += 1;
                left += share(rest.saturating_sub(gap), rest);
            } else if rest_of_day(*at) >= rest {
                judged += 1;
            }
        }
        let chance = (followed * 1_000 + ASSUMED * ASSUMED_FOLLOWED * 100) / (judged + ASSUMED);
        (chance, left.checked_div(followed).unwrap_or(USUAL_REST))
    }
}

fn share(part: Duration, whole: Duration) -> u64 {
    let thousandths = part.as_millis().saturating_mul(1_000) / whole.as_millis().max(1);
    u64::try_from(thousandths).unwrap_or(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64, hour: u64) -> Timestamp {
        Day::from_number(day).start().plus(Duration::from_secs(hour * 3_600))
    }

    #[test]
    fn what_came_in_pairs_is_expected_in_pairs() {
        let (mut pairs, mut lone) = (Recurrence::default(), Recurrence::default());
        assert_eq!(pairs.again(at(1, 10)), (300, 600));
        for day in 0..20 {
            pairs.note(at(day, 10), &DeployId::new(at(day, 10), 0), 5_000, 10_000);
            pairs.note(at(day, 12), &DeployId::new(at(day, 12), 0), 5_000, 10_000);
            lone.note(at(day, 10), &DeployId::new(at(day, 10), 0), 5_000, 10_000);
            lone.note(at(day, 12), &DeployId::new(at(day, 12), 0), 4_000, 10_000);
        }
        assert!(pairs.again(at(30, 10)).0 > 450, "every other set was the second of its day");
        assert!(lone.again(at(30, 10)).0 < 100);
        assert!(pairs.again(at(30, 23)).0 < 100, "none came within an hour");
    }

    #[test]
    fn a_set_that_was_remembered_is_not_its_own_second() {
        let deploy = DeployId::new(at(1, 10), 0);
        let mut known = Recurrence::of(vec![(at(1, 10), deploy.clone())]);
        let before = known.again(at(1, 11));
        known.note(at(1, 11), &deploy, 5_000, 10_000);
        assert_eq!(known.again(at(1, 11)), before, "parked over a restart");
    }
}
