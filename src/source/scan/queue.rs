//! The directories that wait to be walked.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::domain::path::RelPath;

/// A directory to be walked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) path: RelPath,
    /// How many parts of the path are links.
    pub(super) links: u8,
}

/// What the threads of a scan share. The last to come is the first to be walked, so that few wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    waiting: Vec<Way>,
    /// How many directories are being walked: more may come of each.
    walked: usize,
}

/// A directory that is being walked until this is dropped, by a panic too.
#[derive(Debug)]
pub(super) struct Turn<'queue> {
    queue: &'queue Queue,
    pub(super) way: Way,
}

impl Queue {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, ways: Vec<Way>) {
        if !ways.is_empty() {
            self.held().waiting.extend(ways);
            self.changed.notify_all();
        }
    }

    /// Takes a directory, waiting until there is one; none when all are walked.
    pub(super) fn take(&self) -> Option<Turn<'_>> {
        let mut held = self.held();
        loop {
            if let Some(way) = held.waiting.pop() {
                held.walked += 1;
                return Some(Turn { queue: self, way });
            }
            if held.walked == 0 {
                return None;
            }
            held = self.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut held = self.queue.held();
        held.walked -= 1;
        if held.walked == 0 && held.waiting.is_empty() {
            self.queue.changed.notify_all();
        }
    }
}
