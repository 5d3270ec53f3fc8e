//! From hints and scans to marks.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::{Intake, MOST_SUSPECTS, POLL_EVERY, Trouble, tree};
use crate::domain::hint::{Reach, Witness};
use crate::domain::path::RelPath;

impl Intake {
    /// Takes what came through the door.
    pub(super) fn take_hints(&mut self) -> bool {
        let hints = self.door.1.drain();
        let came = hints.overflowed || !hints.hints.is_empty();
        let (now, fresh) = (self.clock.boot(), self.fresh());
        for hint in hints.hints {
            match hint.reach {
                Reach::Path => self.settler.mark(&hint.path, hint.witness, now, &fresh),
                Reach::Subtree => {
                    self.subtrees.insert(hint.path, hint.witness);
                }
            }
        }
        if hints.overflowed || self.settler.take_collapse() {
            tracing::warn!(
                origin = %self.settings.origin,
                "more changed than is kept track of; the whole tree is compared"
            );
            self.subtrees.insert(RelPath::root(), Witness::Watch);
        }
        came
    }

    pub(super) async fn scan(&mut self, identity: tree::Identity) -> Result<(), Trouble> {
        let whole = self.subtrees.contains_key(&RelPath::root());
        let subtrees: Vec<RelPath> = if whole {
            vec![RelPath::root()]
        } else {
            // What lies within another one is walked with it.
            let mut widest: Vec<RelPath> = Vec::new();
            for path in self.subtrees.keys() {
                if !path_is_within_any(path, &widest) {
                    widest.push(path.clone());
                }
            }
            widest
        };
        let device = self.state.as_ref().map(|state| state.device);
        let (path, index) = (self.settings.root.clone(), Arc::clone(&self.index));
        let excluded = Arc::clone(&self.excluded);
        let watch = self.armed.as_ref().and_then(|armed| armed.watch.clone());
        let (suspects, found) = spawn_blocking(move || {
            // Files made in a new directory before it was watched were not heard of.
            if let Some(watch) = watch {
                watch.catch_up();
            }
            tree::scan_all(&path, identity, &subtrees, &index, device, &excluded)
        })
        .await??;
        let witness = |path: &RelPath| {
            let mut at = Some(path.clone());
            while let Some(path) = at {
                if let Some(witness) = self.subtrees.get(&path) {
                    return *witness;
                }
                at = path.parent();
            }
            Witness::Scan
        };
        if whole {
            // It has seen all that waited, too.
            self.backlog = suspects.into();
            self.next_reconcile = Some(self.next_reconcile());
            self.notes[1] = found.unknown.first().map_or_else(String::new, |(path, why)| {
                format!(
                    "not everything could be read ({} in all), first {path:?}: {why}",
                    found.unknown.len()
                )
            });
            if let Some(state) = &mut self.state {
                state.device = identity.0;
            }
        } else {
            let (now, fresh) = (self.clock.boot(), self.fresh());
            let marks: Vec<_> = suspects.into_iter().map(|path| (witness(&path), path)).collect();
            for (witness, path) in marks {
                self.settler.mark(&path, witness, now, &fresh);
            }
        }
        for (path, why) in found.unknown.iter().take(10) {
            tracing::warn!(origin = %self.settings.origin, ?path, %why, "cannot be read");
        }
        self.subtrees.clear();
        Ok(())
    }

    /// Tells the settler of suspects, as many as it has room for.
    pub(super) fn mark_suspects(&mut self) -> bool {
        let room = MOST_SUSPECTS.saturating_sub(self.settler.dirty());
        let (now, fresh) = (self.clock.boot(), self.fresh());
        let suspects: Vec<RelPath> = self.backlog.drain(..room.min(self.backlog.len())).collect();
        for path in &suspects {
            self.settler.mark(path, Witness::Scan, now, &fresh);
        }
        !suspects.is_empty()
    }

    pub(super) fn next_reconcile(&self) -> Duration {
        let watched = self.armed.as_ref().is_some_and(|armed| armed.watch.is_some());
        let every = if watched {
            self.settings.reconcile_every
        } else {
            self.settings.reconcile_every.min(POLL_EVERY)
        };
        let tenths = u32::try_from(self.clock.random() % 201).unwrap_or(100);
        self.clock.boot() + every * (900 + tenths) / 1_000
    }
}

/// Whether a path lies within one of these, of which none lies within another.
fn path_is_within_any(path: &RelPath, subtrees: &[RelPath]) -> bool {
    let mut at = Some(path.clone());
    while let Some(path) = at {
        if subtrees.binary_search(&path).is_ok() {
            return true;
        }
        at = path.parent();
    }
    false
}
