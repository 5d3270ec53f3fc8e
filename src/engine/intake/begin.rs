//! How an intake begins: what the store holds, the watch, the baseline.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Armed, Intake, Trouble};
use crate::domain::hint::Witness;
use crate::domain::index::Index;
use crate::domain::path::RelPath;
use crate::domain::watch::Links;
use crate::source::Unavailable;
use crate::source::root::Root;
use crate::store::{OriginRecord, Record, StoreError};

impl Intake {
    /// Reads state and index from the store.
    pub(super) async fn load(&mut self) -> Result<(), Trouble> {
        let origin = &self.settings.origin;
        let state = self.store.origin(origin).await?;
        let index = if state.is_some() {
            match self.store.chunks(origin).await {
                Ok(chunks) => Index::load(chunks).map_err(|error| error.to_string()),
                Err(StoreError::Inconsistent(why)) => Err(why),
                Err(error) => return Err(error.into()),
            }
        } else {
            Ok(Index::new())
        };
        let afresh = match (&state, &index) {
            (Some(state), _) if state.root != self.settings.root => Some(format!(
                "the root was {} before; a new baseline was taken, changes before it are unknown",
                state.root.display()
            )),
            (_, Err(why)) => Some(format!(
                "the stored index was damaged ({why}); a new baseline was taken, changes before it \
                 are unknown"
            )),
            _ => None,
        };
        if let Some(why) = afresh {
            tracing::warn!(%origin, note = %why, "a new baseline is taken");
            self.notes[0] = why;
            self.state = None;
            self.index = Arc::default();
            // Arming begins the baseline.
            self.armed = None;
        } else {
            self.state = state;
            self.index = Arc::new(index.unwrap_or_default());
        }
        self.loaded = true;
        Ok(())
    }

    /// Arms the watch, begins a baseline if there is none, and asks for a scan of the whole tree.
    pub(super) async fn arm(&mut self) -> Result<(), Trouble> {
        let (backend, path) = (Arc::clone(&self.backend), self.settings.root.clone());
        let (sender, excluded) = (self.door.0.clone(), Arc::clone(&self.excluded));
        let (root, watch) = spawn_blocking(move || {
            let root = Root::open(&path, Links::default())?;
            let watch = backend.arm(&path, sender, excluded);
            root.is_still_there()?;
            Ok::<_, Unavailable>((root, watch))
        })
        .await??;
        if self.state.is_none() {
            let state = OriginRecord {
                root: self.settings.root.clone(),
                device: root.device(),
                baseline_at: self.clock.now(),
                baseline_done: false,
            };
            let record =
                Record { forget: true, origin_record: Some(state.clone()), ..self.blank() };
            self.store.record(record).await?;
            self.state = Some(state);
        }
        let watch = match watch {
            Ok(watch) => {
                self.facts.watch = self.backend.name().into();
                Some(Arc::from(watch))
            }
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
        self.armed = Some(Armed { identity: root.identity(), watch });
        self.settler.restart_absences(self.clock.boot());
        self.subtrees.insert(RelPath::root(), Witness::Scan);
        // That scan is a reconcile; without this, a watch that can't be had would be tried for ever.
        self.next_reconcile = Some(self.next_reconcile());
        Ok(())
    }
}
