//! How an intake begins: what the store holds, the watch, the baseline.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Armed, Intake, Trouble};
use crate::domain::hint::Witness;
use crate::domain::index::Index;
use crate::domain::path::RelPath;
use crate::source::Unavailable;
use crate::source::root::Root;
use crate::source::watch::ground;
use crate::source::watch::way::Way;
use crate::store::{OriginRecord, Record, StoreError};

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
        self.compared = false;
        if let Some(why) = afresh {
            tracing::warn!(origin = %self.settings.origin, note = %why, "a new baseline is taken");
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
            self.retired = armed.watch;
        }
        self.comparing = None;
        self.filling = None;
        self.compared = false;
        self.backlog.clear();
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
            let record =
                Record { forget: true, origin_record: Some(state.clone()), ..self.blank() };
            self.store.record(record).await?;
            *self.index_mut() = Index::new();
            self.state = Some(state);
        }
        let watch = match watch {
            Ok(watch) => Some(Arc::from(watch)),
            Err(error) => {
                let why = format!("polling: {error}");
                if self.facts.watch != why {
                    tracing::warn!(
                        origin = %self.settings.origin, %error, "no watch; the tree is polled"
                    );
                    self.facts.watch = why;
                }
                None
            }
        };
        self.armed = Some(Armed { identity: root.identity(), mounts, watch });
        self.settler.restart_absences(self.clock.boot());
        self.subtrees.insert(RelPath::root(), Witness::Scan);
        self.next_glance = Some(self.clock.boot() + super::GLANCE_EVERY);
        Ok(())
    }
}
