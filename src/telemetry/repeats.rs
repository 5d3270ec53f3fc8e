//! Which lines are repetitions: of each sort one passes in ten seconds.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a sort of line is silent after one. Our choice: a person sees that it goes on, and a failure
/// of every second writes 8,640 lines a day and not 86,400.
const QUIET: Duration = Duration::from_secs(10);
/// How many sorts of one place are told apart; all others of it are one. A batch has 100 URLs.
const MOST: usize = 128;
/// How often it is looked for what was left out, at most.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// What makes lines repetitions of each other: the place in the code, and whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sort {
    /// File and line.
    pub(super) place: (&'static str, u32),
    /// A hash of what it tells; none of what is told apart no more.
    pub(super) whose: Option<u64>,
}

struct Said<L> {
    at: Duration,
    left_out: u64,
    last: Option<L>,
}

/// What was said lately: nothing stays longer than it is silent.
pub(super) struct Repeats<L> {
    said: BTreeMap<Sort, Said<L>>,
    look_at: Duration,
}

impl<L> Default for Repeats<L> {
    fn default() -> Self {
        Self { said: BTreeMap::new(), look_at: Duration::ZERO }
    }
}

impl<L> Repeats<L> {
    /// Returns a line that may be written now, and how many of its sort were left out before it; keeps one
    /// that may not. The time is that since boot.
    pub(super) fn judge(&mut self, sort: Sort, line: L, now: Duration) -> Option<(L, u64)> {
        let mut sort = sort;
        if !self.said.contains_key(&sort) {
            let all = Sort { whose: None, ..sort }..=Sort { whose: Some(u64::MAX), ..sort };
            if self.said.range(all).count() >= MOST {
                sort.whose = None;
            }
        }
        let Some(said) = self.said.get_mut(&sort) else {
            self.said.insert(sort, Said { at: now, left_out: 0, last: None });
            return Some((line, 0));
        };
        if now < said.at + QUIET {
            said.left_out += 1;
            said.last = Some(line);
            return None;
        }
        (said.at, said.last) = (now, None);
        Some((line, std::mem::take(&mut said.left_out)))
    }

    /// Returns the last line of each sort that was left out and is silent long enough, with how many were
    /// left out before it.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(L, u64)> {
        let mut due = Vec::new();
        if now < self.look_at {
            return due;
        }
        self.look_at = now + LOOKED_EVERY;
        self.said.retain(|_, said| {
            if now < said.at + QUIET {
                return true;
            }
            let Some(last) = said.last.take() else { return false };
            due.push((last, std::mem::take(&mut said.left_out).saturating_sub(1)));
            said.at = now;
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(whose: u64) -> Sort {
        Sort { place: ("a.rs", 1), whose: Some(whose) }
    }

    #[test]
    fn one_line_passes_in_ten_seconds_and_the_next_counts_what_was_left_out() {
        let mut repeats = Repeats::default();
        let at = Duration::from_millis;
        assert_eq!(repeats.judge(sort(1), "a", at(0)), Some(("a", 0)));
        for now in [0, 1, 5_000, 9_999] {
            assert_eq!(repeats.judge(sort(1), "b", at(now)), None, "{now}");
        }
        assert_eq!(repeats.judge(sort(2), "c", at(5_000)), Some(("c", 0)), "another's passes");
        assert_eq!(repeats.judge(sort(1), "d", at(10_000)), Some(("d", 4)));
        assert_eq!(repeats.judge(sort(1), "e", at(20_000)), Some(("e", 0)));
    }

    #[test]
    fn the_last_that_was_left_out_is_told_without_a_next() {
        let mut repeats = Repeats::default();
        let at = Duration::from_secs;
        for line in ["a", "b", "c"] {
            repeats.judge(sort(1), line, at(0));
        }
        assert_eq!(repeats.due(at(9)), []);
        assert_eq!(repeats.due(at(10)), [("c", 1)]);
        assert_eq!(repeats.judge(sort(1), "d", at(19)), None, "it is a line like others");
        assert_eq!(repeats.due(at(20)), [("d", 0)]);
        assert_eq!(repeats.due(at(30)), []);
        assert!(repeats.said.is_empty(), "what is silent is forgotten");
    }

    #[test]
    fn whatever_comes_it_is_bounded_and_so_is_what_is_written() {
        let mut repeats = Repeats::default();
        let now = Duration::ZERO;
        let passed = (0..10_000).filter(|at| repeats.judge(sort(*at), *at, now).is_some());
        assert_eq!(passed.count(), MOST + 1, "those that are told apart, and one for all others");
        assert_eq!(repeats.said.len(), MOST + 1);
        assert_eq!(repeats.due(now + QUIET), [(9_999, 9_870)]);
        assert_eq!(repeats.judge(sort(7), 7, now + QUIET), Some((7, 0)), "there is room again");
        assert_eq!(repeats.said.len(), 2);
    }
}
