//! The heartbeat: that the daemon's loops and the database's writer go on.
//!
//! The loops' beat is a task among them, so that it fails when they don't come to their turn. Neither the
//! CDN nor a full disk stops a beat: a restart would mend neither.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the loops beat, and have the writer beat: each beat wakes two threads of a daemon at rest, and
/// the shortest time after which something hangs is 30 s.
pub const EVERY: Duration = Duration::from_secs(5);
/// Loops that did not beat for so long hang.
const LOOPS_HANG: Duration = Duration::from_secs(30);
/// A writer that did not end a transaction for so long hangs: it waits 5 s for a lock, and a slow disk takes
/// seconds.
const WRITER_HANGS: Duration = Duration::from_secs(120);

/// A turn that lasts for longer is told of. Calls, commands and transactions end within minutes.
const TURN_LASTS: Duration = Duration::from_secs(15 * 60);

/// Who beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The loops.
    Loops,
    /// The database's writer.
    Writer,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Loops, Self::Writer];

    /// Returns its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loops => "loops",
            Self::Writer => "writer",
        }
    }

    const fn hangs_after(self) -> Duration {
        match self {
            Self::Loops => LOOPS_HANG,
            Self::Writer => WRITER_HANGS,
        }
    }
}

/// When each part beat last, and since when turns last; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Heart(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    beats: [AtomicU64; 2],
    /// By loop, when the turn began that it takes.
    turns: Mutex<BTreeMap<String, Duration>>,
}

/// A turn that a loop takes, until it is dropped.
#[derive(Debug)]
pub struct Turning<'h>(&'h Heart, &'h str);

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        self.0.turns().remove(self.1);
    }
}

impl Heart {
    /// Beats, at a time since boot.
    pub fn beat(&self, part: Part, boot: Duration) {
        self.0.beats[part as usize].store(micros(boot), Ordering::Relaxed);
    }

    /// Returns how long ago a part beat last; none before its first beat, for it begins then.
    #[must_use]
    pub fn since(&self, part: Part, boot: Duration) -> Option<Duration> {
        let last = self.0.beats[part as usize].load(Ordering::Relaxed);
        (last > 0).then(|| Duration::from_micros(micros(boot).saturating_sub(last)))
    }

    /// Notes that a loop's turn begins, at a time since boot.
    #[must_use]
    pub fn turn<'h>(&'h self, name: &'h str, boot: Duration) -> Turning<'h> {
        self.turns().insert(name.to_owned(), boot);
        Turning(self, name)
    }

    /// Returns the loops whose turn lasts for too long, and for how long.
    #[must_use]
    pub fn stuck(&self, boot: Duration) -> Vec<(String, Duration)> {
        let turns = self.turns();
        let ages = turns.iter().map(|(name, began)| (name.clone(), boot.saturating_sub(*began)));
        ages.filter(|(_, age)| *age >= TURN_LASTS).collect()
    }

    fn turns(&self) -> MutexGuard<'_, BTreeMap<String, Duration>> {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the parts that hang.
    #[must_use]
    pub fn hung(&self, boot: Duration) -> Vec<Part> {
        let hangs =
            |part: &Part| self.since(*part, boot).is_some_and(|since| since >= part.hangs_after());
        Part::ALL.into_iter().filter(hangs).collect()
    }
}

/// Never zero, which says that there was no beat.
fn micros(boot: Duration) -> u64 {
    u64::try_from(boot.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_hangs_once_it_has_not_beaten_for_its_time() {
        let heart = Heart::default();
        let second = |seconds| Duration::from_secs(seconds);
        assert_eq!(heart.hung(second(1_000)), [], "nothing has begun");
        heart.beat(Part::Loops, second(1_000));
        heart.beat(Part::Writer, second(1_000));
        assert_eq!(heart.hung(second(1_029)), []);
        assert_eq!(heart.hung(second(1_030)), [Part::Loops]);
        assert_eq!(heart.hung(second(1_120)), Part::ALL);
        heart.beat(Part::Loops, second(1_120));
        assert_eq!(heart.hung(second(1_120)), [Part::Writer]);
        assert_eq!(heart.since(Part::Loops, second(1_125)), Some(second(5)));
    }

    #[test]
    fn a_turn_that_does_not_end_is_told_of() {
        let heart = Heart::default();
        let second = |seconds| Duration::from_secs(seconds);
        drop(heart.turn("forward", second(1)));
        let turn = heart.turn("poll", second(100));
        assert_eq!(heart.stuck(second(999)), []);
        assert_eq!(heart.stuck(second(1_000)), [("poll".to_owned(), second(900))]);
        drop(turn);
        assert_eq!(heart.stuck(second(1_000)), []);
    }
}
