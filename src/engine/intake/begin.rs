//! How an intake begins: what the store holds, the watch, the baseline.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Armed, Intake, Trouble};
use crate::domain::hint::Witness;
use crate::domain::index::Index;
use crate::domain::intent::{Outgoing, Wish};
use crate::domain::path::RelPath;
use crate::source::Unavailable;
use crate::source::root::Root;
use crate::source::watch::ground;
use crate::source::watch::polling::Polling;
use crate::source::watch::way::Way;
use crate::source::watch::{Coverage, Watch};
use crate::store::{OriginRecord, Record, StoreError};

/// Polled subtrees that the log names; `status` names more.
const MOST_NAMED: usize = 5;

impl Intake {
    /// Reads state and index from the store.
    pub(super) async fn load(&mut self) -> Result<(), Trouble> {
        let state = self.store.origin(&self.settings.origin).await?;
        let index = if state.is_some() { self.stored_index().await? } else { Ok(Index::new()) };
        let afresh = match (&state, &index) {
            (Some(state), _) if state.root != self.tree.root => {
                Some(format!("the root was {} before", state.root.display()))
            }
            (_, Err(why)) => Some(format!("the stored index was damaged ({why})")),
            (Some(state), Ok(index)) if state.files != index.files() => Some(format!(
                "the stored index was damaged ({} of {} files are in it)",
                index.files(),
                state.files
            )),
            _ => None,
        };
        if let Some(why) = afresh {
            let is_damage = state.is_some_and(|state| state.root == self.tree.root);
            let event = is_damage.then_some("database-damaged");
            tracing::warn!(event, origin = %self.settings.origin, note = %why, "a new baseline is taken");
            self.notes[0] = format!(
                "{why}; a new baseline was taken, changes before it are unknown; to refresh what \
                 may have changed: refreshd baseline --refresh {}",
                self.settings.origin
            );
            self.forget();
        } else {
            self.state = state;
            *self.index_mut() = index.unwrap_or_default();
        }
        self.take_bracket().await?;
        self.loaded = true;
        Ok(())
    }

    /// Reads the stored index; the inner error says how it is damaged.
    async fn stored_index(&self) -> Result<Result<Index, String>, StoreError> {
        match self.store.chunks(&self.settings.origin).await {
            Ok(chunks) => Ok(Index::load(chunks).map_err(|error| error.to_string())),
            Err(StoreError::Inconsistent(why)) => Ok(Err(why)),
            Err(error) => Err(error),
        }
    }

    /// Makes the index what the store holds; if that fails too, the next turn begins with it.
    pub(super) async fn read_back(&mut self) {
        if self.state.as_ref().is_some_and(|state| !state.baseline_done) {
            // What a baseline took since it was last recorded is gone again: it is found anew.
            self.comparing = None;
            self.subtrees.insert(RelPath::root(), Witness::Scan);
        }
        self.loaded = false;
        if let Ok(Ok(index)) = self.stored_index().await {
            *self.index_mut() = index;
            self.loaded = true;
        }
    }

    /// Forgets what the tree was: arming begins a baseline.
    pub(super) fn forget(&mut self) {
        self.state = None;
        *self.index_mut() = Index::new();
        self.disarm();
    }

    /// Lets go of the watch and of all that was under way in the tree it watched.
    pub(super) fn disarm(&mut self) {
        if let Some(armed) = self.armed.take() {
            self.retired = Some(armed.watch);
        }
        self.comparing = None;
        self.filling = None;
        self.see_again();
        self.compared = false;
        self.backlog.clear();
        self.missing.clear();
    }

    /// Arms the watch, begins a baseline if there is none, and asks for a scan of the whole tree.
    pub(super) async fn arm(&mut self) -> Result<(), Trouble> {
        let (backend, tree, door) =
            (Arc::clone(&self.backend), self.tree.clone(), self.door.0.clone());
        let old = (self.way.take(), self.retired.take());
        let (way, armed) = spawn_blocking(move || {
            drop(old);
            // First of all: a root that is not there is heard of when it comes.
            let way = Way::watch(&tree.root, door.clone());
            let armed = Root::open(&tree.root, tree.links).and_then(|root| {
                let mounts = ground::mounts(&tree);
                let watch = backend.arm(&tree, door);
                root.is_still_there()?;
                Ok::<_, Unavailable>((root, mounts, watch))
            });
            (way, armed)
        })
        .await?;
        match way {
            Ok(way) => self.way = Some(way),
            Err(error) => {
                self.way = None;
                tracing::debug!(origin = %self.settings.origin, %error, "the way is not watched");
            }
        }
        let (root, mounts, watch) = armed?;
        if self.state.is_none() {
            let state = OriginRecord {
                root: self.tree.root.clone(),
                device: root.device(),
                baseline_at: self.clock.now(),
                baseline_done: false,
                files: 0,
            };
            // One that may have been asked for by now came too early.
            let now = self.clock.server_now();
            let early = self.refreshes.iter().filter(|wish| wish.not_before <= now);
            let again = |wish: &Wish| Outgoing::Wish(Wish { not_before: now, ..wish.clone() });
            let record = Record {
                forget: true,
                origin_record: Some(state.clone()),
                outgoing: early.map(again).collect(),
                ..self.blank()
            };
            self.store.record(record).await?;
            self.recorded.iter().for_each(|wake| wake.notify_one());
            self.refreshes.clear();
            *self.index_mut() = Index::new();
            self.state = Some(state);
        }
        let is_makeshift = watch.is_err();
        let watch: Arc<dyn Watch> = match watch {
            Ok(watch) => Arc::from(watch),
            Err(error) => Arc::new(Polling { why: error.to_string() }),
        };
        self.tell(&watch.coverage());
        let (identity, followed) = (root.identity(), Vec::new());
        self.armed = Some(Armed { identity, mounts, watch, is_makeshift, followed });
        if !self.compared {
            self.settler.restart_absences(self.clock.boot());
        }
        self.subtrees.insert(RelPath::root(), Witness::Scan);
        self.next_glance = Some(self.clock.boot() + super::GLANCE_EVERY);
        Ok(())
    }

    /// Logs how the tree is watched, unless that was said last.
    fn tell(&mut self, coverage: &Coverage) {
        let news = (coverage.means, coverage.polled.len());
        if self.told == Some(news) {
            return;
        }
        self.told = Some(news);
        let (root, watches) = (self.tree.root.display(), coverage.watches);
        tracing::info!(
            origin = %self.settings.origin, %root,
            watch.means = coverage.means, watch.watches = watches,
            watch.polled = coverage.polled.len(), "the tree is watched or polled"
        );
        for polled in coverage.polled.iter().take(MOST_NAMED) {
            let path = polled.path.shown();
            tracing::info!(origin = %self.settings.origin, %path, why = %polled.why, "polled");
        }
    }
}
