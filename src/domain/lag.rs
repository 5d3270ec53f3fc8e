//! Lag: how long refreshes took, in parts of the time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::time::Timestamp;

/// How long the time is that one point tells of, in microseconds.
const PART: i64 = 10 * 60 * 1_000_000;

/// How long what ended in ten minutes took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When these ten minutes began.
    pub at: Timestamp,
    /// How many ended.
    pub number: u64,
    /// The longest.
    pub worst: Duration,
    /// The one in the middle; of an even number the longer one.
    pub median: Duration,
}

/// Returns a point for each ten minutes in which something ended, the oldest first, from pairs of when it
/// was created and when it ended.
#[must_use]
pub fn points(ended: &[(Timestamp, Timestamp)]) -> Vec<Point> {
    let mut parts: BTreeMap<i64, Vec<Duration>> = BTreeMap::new();
    for (created_at, ended_at) in ended {
        let part = ended_at.as_micros().div_euclid(PART);
        parts.entry(part).or_default().push(ended_at.since(*created_at));
    }
    let point = |(part, mut lags): (i64, Vec<Duration>)| {
        lags.sort_unstable();
        Point {
            at: Timestamp::from_micros(part * PART),
            number: lags.len() as u64,
            worst: lags.last().copied().unwrap_or_default(),
            median: lags.get(lags.len() / 2).copied().unwrap_or_default(),
        }
    };
    parts.into_iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ten_minutes_have_their_worst_and_their_middle() {
        let at = Timestamp::from_seconds;
        let ended = [(at(600), at(601)), (at(0), at(600)), (at(1190), at(1199)), (at(0), at(1200))];
        let seconds = Duration::from_secs;
        let found = points(&ended);
        let first = Point { at: at(600), number: 3, worst: seconds(600), median: seconds(9) };
        let second = Point { at: at(1200), number: 1, worst: seconds(1200), median: seconds(1200) };
        assert_eq!(found, [first, second]);
        assert_eq!(points(&[]), []);
    }
}
