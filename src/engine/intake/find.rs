//! From hints to marks.

use super::{Intake, MOST_DIRTY, Trouble};
use crate::domain::hint::{Hint, Reach, Witness};
use crate::domain::path::RelPath;
use crate::source::root::Root;
use crate::source::watch::ground;
use crate::source::{Hints, Unavailable};
use crate::telemetry::meters::Meter;
use tokio::task::spawn_blocking;

impl Intake {
    /// Takes what came through the door; returns whether anything did.
    pub(super) fn take_hints(&mut self, hints: Hints) -> bool {
        let came = hints.overflowed || !hints.hints.is_empty();
        let mut collapsed = self.settler.take_collapse();
        for hint in hints.hints {
            let of = [self.settings.origin.as_str(), hint.witness.as_str()];
            self.meters.count(Meter::Hints, &of);
            for hint in self.links.expand(hint) {
                self.take_hint(hint);
            }
            collapsed |= self.settler.take_collapse() || self.subtrees.len() > MOST_DIRTY;
            if collapsed {
                // What is left, times the links that lead there, is compared with everything.
                self.subtrees.clear();
                break;
            }
        }
        if collapsed {
            // Marks are forgotten that somebody may wait for.
            self.see_again();
        }
        if hints.overflowed || collapsed {
            tracing::warn!(
                event = "overflow", origin = %self.settings.origin,
                "more changed than is kept track of; the whole tree is compared"
            );
            self.subtrees.insert(RelPath::root(), Witness::Watch);
        }
        came
    }

    fn take_hint(&mut self, hint: Hint) {
        // Where a directory, or a link to one, was there is more than the name to look at.
        let was_directory = || self.held().directories_below(&hint.path).next().is_some();
        if hint.reach == Reach::Subtree || was_directory() {
            self.subtrees.insert(hint.path, hint.witness);
        } else {
            let (now, fresh) = (self.clock.boot(), self.fresh());
            self.settler.mark(&hint.path, hint.witness, now, &fresh);
        }
    }

    /// Makes sure that the way to the root still leads to what is watched, and that nothing else is
    /// mounted there: if not, it is armed anew. Mounts wait until a comparison under way has ended, so
    /// that some may come and go all the time.
    pub(super) async fn glance(&mut self) -> Result<(), Trouble> {
        self.next_glance = Some(self.clock.boot() + super::GLANCE_EVERY);
        let Some(armed) = &self.armed else {
            return Ok(());
        };
        let tree = self.tree.clone();
        let look = move || {
            Root::open(&tree.root, tree.links).map(|root| (root.identity(), ground::mounts(&tree)))
        };
        let (identity, mounts) = spawn_blocking(look).await??;
        let is_ground = mounts == armed.mounts || self.comparing.is_some();
        if identity == armed.identity && is_ground {
            return Ok(());
        }
        Err(Unavailable::Replaced(self.tree.root.clone()).into())
    }
}
