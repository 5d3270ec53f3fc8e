//! Which lines are repetitions: of each sort one passes in ten seconds.

use std::collections::HashMap;
use std::time::Duration;

/// How long a sort of line is silent after one. Our choice: a person sees that it goes on, and a failure
/// of every second writes 8,640 lines a day and not 86,400.
const QUIET: Duration = Duration::from_secs(10);
/// How many sorts are told apart; more are one for each place in the code.
const MOST: usize = 1024;

/// What makes lines repetitions of each other: the place in the code, and whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sort {
    /// File and line.
    pub(super) place: (&'static str, u32),
    /// The value of the first field.
    pub(super) whose: String,
}

struct Said {
    at: Duration,
    left_out: u64,
}

/// What was said lately.
#[derive(Default)]
pub(super) struct Repeats {
    said: HashMap<Sort, Said>,
}

impl Repeats {
    /// Returns how many lines of its sort were left out since the last, if a line may be written now; the
    /// time is that since boot.
    pub(super) fn judge(&mut self, sort: Sort, now: Duration) -> Option<u64> {
        let mut sort = sort;
        if self.said.len() >= MOST && !self.said.contains_key(&sort) {
            // What has something to tell is kept, so that no count is lost.
            self.said.retain(|_, said| said.left_out > 0 || now < said.at + QUIET);
            if self.said.len() >= MOST {
                sort.whose.clear();
            }
        }
        let Some(said) = self.said.get_mut(&sort) else {
            self.said.insert(sort, Said { at: now, left_out: 0 });
            return Some(0);
        };
        if now < said.at + QUIET {
            said.left_out += 1;
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(whose: &str) -> Sort {
        Sort { place: ("a.rs", 1), whose: whose.to_owned() }
    }

    #[test]
    fn one_line_passes_in_ten_seconds_and_the_next_counts_what_was_left_out() {
        let mut repeats = Repeats::default();
        let at = Duration::from_millis;
        assert_eq!(repeats.judge(sort("www"), at(0)), Some(0));
        for now in [0, 1, 5_000, 9_999] {
            assert_eq!(repeats.judge(sort("www"), at(now)), None, "{now}");
        }
        assert_eq!(repeats.judge(sort("blog"), at(5_000)), Some(0), "another's line passes");
        assert_eq!(repeats.judge(sort("www"), at(10_000)), Some(4));
        assert_eq!(repeats.judge(sort("www"), at(20_000)), Some(0));
    }

    #[test]
    fn whatever_comes_it_is_bounded_and_so_is_what_is_written() {
        let mut repeats = Repeats::default();
        let now = Duration::ZERO;
        let passed = (0..100_000).filter(|at| repeats.judge(sort(&at.to_string()), now).is_some());
        assert_eq!(passed.count(), MOST + 1, "those that are told apart, and one for all others");
        assert!(repeats.said.len() <= MOST + 1);
        let later = now + QUIET;
        assert_eq!(repeats.judge(sort("new"), later), Some(0), "there is room again");
        assert_eq!(repeats.judge(sort(""), later), Some(98_975));
        assert!(repeats.said.len() < 5);
    }
}
