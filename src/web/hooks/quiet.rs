//! What is said of requests that were refused: a line now and then, however many there are.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::SharedClock;

/// How long nothing more is said of the same.
const SILENCE: Duration = Duration::from_secs(10);

/// Remembers what was said when.
pub(super) struct Quiet {
    clock: SharedClock,
    said: Mutex<BTreeMap<(String, &'static str), Said>>,
}

struct Said {
    at: Duration,
    silent: u64,
}

impl Quiet {
    /// Makes one that has said nothing yet.
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, said: Mutex::default() }
    }

    /// Returns how often nothing was said of this since the last time, if something may be said now.
    pub(super) fn may_speak(&self, hook: &str, word: &'static str) -> Option<u64> {
        let now = self.clock.boot();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = said.get_mut(&(hook.to_owned(), word)) else {
            said.insert((hook.to_owned(), word), Said { at: now, silent: 0 });
            return Some(0);
        };
        if now.saturating_sub(last.at) < SILENCE {
            last.silent += 1;
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::Timestamp;

    #[test]
    fn of_each_reason_a_line_in_ten_seconds_and_a_count_of_the_rest() {
        let clock = ManualClock::new(Timestamp::from_micros(0), 1);
        let quiet = Quiet::new(clock.clone());
        assert_eq!(quiet.may_speak("a", "mismatch"), Some(0));
        assert_eq!(quiet.may_speak("a", "stale"), Some(0));
        assert_eq!(quiet.may_speak("b", "mismatch"), Some(0));
        assert_eq!(quiet.may_speak("a", "mismatch"), None);
        clock.advance(Duration::from_millis(9_999));
        assert_eq!(quiet.may_speak("a", "mismatch"), None);
        clock.advance(Duration::from_millis(1));
        assert_eq!(quiet.may_speak("a", "mismatch"), Some(2));
        assert_eq!(quiet.may_speak("a", "mismatch"), None);
    }
}
