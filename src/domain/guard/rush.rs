//! Counting what changes without a quiet moment between.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::Guard;
use crate::domain::change::{Change, ChangeKind};

/// A rush lasts no longer than this: one file that never rests must not make a day's work a rush.
const LONGEST: Duration = Duration::from_secs(600);

/// What of a tree has changed since its last quiet moment. A deploy that goes on beyond its deadline
/// is several deploys and one rush.
#[derive(Debug, Default)]
pub struct Rush {
    /// When it began, by the boot clock; none while nothing has changed.
    since: Option<Duration>,
    /// The most files that the tree had meanwhile.
    files: u64,
    /// How many files were removed.
    removed: u64,
    /// The files that changed, by the hash of their path, until there are enough to hold them.
    changed: HashSet<u64>,
    held: Option<String>,
}

impl Rush {
    /// Counts a change; `files` are in the tree now. New files don't count: nobody has an old copy of
    /// them. Returns, once, whether what the rush brought is to be held from now on: then [`held`](Self::held) says why.
    pub fn changed(&mut self, guard: &Guard, change: &Change, files: u64, now: Duration) -> bool {
        if self.held.is_some() || change.kind == ChangeKind::Created {
            return false;
        }
        self.since.get_or_insert(now);
        self.removed += u64::from(change.kind == ChangeKind::Removed);
        self.files = self.files.max(files + self.removed);
        let mut hasher = DefaultHasher::new();
        change.path.hash(&mut hasher);
        self.changed.insert(hasher.finish());
        let (changed, files) = (self.changed.len() as u64, self.files);
        if guard.holds_changed(changed, files) {
            self.held = Some(format!("at least {changed} of {files} files changed at once"));
        }
        self.held.is_some()
    }

    /// Returns why what changes now is held, if it is.
    #[must_use]
    pub fn held(&self) -> Option<&str> {
        self.held.as_deref()
    }

    /// Takes back that it is held: that could not be written down, and is found again at the next
    /// change.
    pub fn unhold(&mut self) {
        self.held = None;
    }

    /// A deploy was closed: ends the rush if that was a quiet moment, or if it has lasted long enough.
    pub fn closed(&mut self, is_quiet: bool, now: Duration) {
        let is_over = |since: Duration| now.saturating_sub(since) > LONGEST;
        if is_quiet || self.since.is_some_and(is_over) {
            *self = Self::default();
        }
    }
}
