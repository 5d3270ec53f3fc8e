//! Filling in the digests of a tree that was taken as it was, slowly, beside everything else.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Intake, Trouble, tree};
use crate::domain::hint::Witness;
use crate::domain::index::Entry;
use crate::domain::path::RelPath;
use crate::source::Unavailable;
use crate::source::look::Seen;
use crate::store::Record;

/// Files read, and recorded, at once.
const MOST: usize = 2_000;

/// What reading came to: each file as the index held it, and as it was seen.
type Read = Result<Vec<(RelPath, Entry, Seen)>, Unavailable>;

/// Files that are being read.
pub(super) struct Filling {
    news: oneshot::Receiver<Read>,
    task: JoinHandle<()>,
}

impl Intake {
    /// Takes the digests that were read since, and begins to read more.
    pub(super) async fn fill(&mut self, identity: tree::Identity) -> Result<bool, Trouble> {
        if let Some(mut filling) = self.filling.take() {
            match filling.news.try_recv() {
                Ok(seen) => {
                    self.take_digests(seen?).await?;
                    return Ok(true);
                }
                Err(oneshot::error::TryRecvError::Empty) => self.filling = Some(filling),
                Err(oneshot::error::TryRecvError::Closed) => filling.task.await?,
            }
        }
        let is_settled = self.state.as_ref().is_some_and(|state| state.baseline_done);
        let never = self.settings.digest_rate == 0;
        if never || self.filling.is_some() || self.comparing.is_some() || !is_settled {
            return Ok(false);
        }
        let Some(from) = self.fill_from.clone() else {
            return Ok(false);
        };
        let after = Some(&from).filter(|from| !from.is_root());
        let mut paths = Vec::new();
        let mut bytes = 0;
        {
            let index = self.held();
            for path in index.undigested_after(after, MOST) {
                let Some(entry) = index.get(&path) else {
                    continue;
                };
                bytes += entry.fingerprint.size;
                paths.push((path, entry));
                if bytes >= self.settings.digest_rate {
                    break;
                }
            }
        }
        // What could not be read is tried again after the next reconcile.
        self.fill_from = paths.last().map(|(path, _)| path.clone());
        if paths.is_empty() {
            return Ok(false);
        }
        let (tree, clock) = (self.tree.clone(), Arc::clone(&self.clock));
        let (rate, door) = (self.settings.digest_rate, self.door.0.clone());
        let (sender, news) = oneshot::channel();
        let task = spawn_blocking(move || {
            // Nobody listens any more if the intake has ended.
            let _ = sender.send(tree::digest_all(&tree, identity, paths, rate, &clock));
            door.knock();
        });
        self.filling = Some(Filling { news, task });
        Ok(true)
    }

    async fn take_digests(&mut self, seen: Vec<(RelPath, Entry, Seen)>) -> Result<(), Trouble> {
        let (now, fresh) = (self.clock.boot(), self.fresh());
        for (path, prior, seen) in seen {
            if self.held().get(&path) != Some(prior) {
                // It was looked at meanwhile.
                continue;
            }
            match seen {
                Seen::File(entry) if entry.fingerprint == prior.fingerprint => {
                    self.index_mut().apply(&path, Some(entry));
                }
                _ => self.settler.mark(&path, Witness::Scan, now, &fresh),
            }
        }
        let chunks = self.index_mut().take_writes();
        self.commit(Record { chunks, ..self.blank() }).await
    }
}
