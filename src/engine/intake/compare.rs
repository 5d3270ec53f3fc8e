//! Comparing the tree, or parts of it, with the index: the same for every source of doubt.
//!
//! A comparison of what may be large runs beside the intake, which goes on looking at what the watch
//! brings up; a subtree that the watch hinted at is compared at once. What a comparison saw is looked
//! at again before anything follows from it, but for the files of a first baseline, which are taken
//! as they are if they are older than it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, spawn_blocking};

use super::judge::changed_since;
use super::{Intake, MOST_SUSPECTS, Trouble, tree};
use crate::domain::hint::Witness;
use crate::domain::index::{Entry, Fingerprint};
use crate::domain::path::RelPath;
use crate::source::Unavailable;
use crate::source::root::LinkTarget;
use crate::source::scan::{DirectoryLink, Scan, Suspect};
use crate::store::Record;

/// Suspects taken over in one turn.
const TURN: usize = 20_000;
/// Files of a baseline that are committed at once.
const BASELINE_CHUNK: usize = 5_000;
/// Comparing what sends no events takes at most this share of the time: one part of so many.
const POLL_SHARE: u32 = 20;

/// A comparison that runs beside.
pub(super) struct Comparing {
    whole: bool,
    subtrees: Vec<RelPath>,
    news: UnboundedReceiver<Suspect>,
    task: JoinHandle<Result<Scan, Unavailable>>,
    /// What is missing is believed only when the comparison ends well.
    missing: Vec<RelPath>,
    began: Duration,
    seen: Arc<AtomicU64>,
    /// Files of a baseline that are in the index and not in the store.
    unrecorded: usize,
}

impl Comparing {
    /// Returns how many files it has seen.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Intake {
    /// Begins what is due and has no hint: the reconcile, or a turn of polling.
    pub(super) fn schedule(&mut self, identity: tree::Identity) {
        if self.comparing.is_some() {
            return;
        }
        let now = self.clock.boot();
        if self.next_poll.is_none() && !self.polled().is_empty() {
            // A directory came for which no watch was left.
            self.next_poll = Some(now + self.settings.poll_every);
        }
        if self.next_reconcile.is_some_and(|at| at <= now) {
            self.subtrees.insert(RelPath::root(), Witness::Schedule);
        }
        if self.subtrees.remove(&RelPath::root()).is_some() {
            (self.next_poll, self.next_reconcile) = (None, None);
            self.begin_comparing(identity, vec![RelPath::root()]);
        } else if self.next_poll.is_some_and(|at| at <= now) || self.must_compare() {
            self.next_poll = None;
            let polled = self.polled();
            if !polled.is_empty() {
                self.begin_comparing(identity, polled);
            }
        }
    }

    /// Returns what the kernel does not tell of.
    pub(super) fn polled(&self) -> Vec<RelPath> {
        let polled = self.armed.as_ref().map(|armed| armed.watch.coverage().polled);
        polled.into_iter().flatten().map(|polled| polled.path).collect()
    }

    fn comparison(&self, identity: tree::Identity, subtrees: Vec<RelPath>) -> tree::Comparison {
        tree::Comparison {
            tree: self.tree.clone(),
            expected: identity,
            subtrees,
            index: Arc::clone(&self.index),
            device: self.state.as_ref().map(|state| state.device),
            seen: Arc::default(),
        }
    }

    fn begin_comparing(&mut self, identity: tree::Identity, subtrees: Vec<RelPath>) {
        let whole = subtrees.iter().any(RelPath::is_root);
        // What still waits there is found once more.
        self.backlog.retain(|path| !is_within_any(path, &subtrees));
        self.missing.retain(|path| !is_within_any(path, &subtrees));
        let mut what = self.comparison(identity, subtrees.clone());
        let (sender, news) = unbounded_channel();
        // Once nobody listens any more, because it was called off, nothing is left to walk.
        let (listener, excluded) = (sender.clone(), Arc::clone(&what.tree.excluded));
        what.tree.excluded =
            Arc::new(move |path, is_dir| listener.is_closed() || excluded(path, is_dir));
        let (door, seen) = (self.door.0.clone(), Arc::clone(&what.seen));
        let watch = self.armed.as_ref().map(|armed| Arc::clone(&armed.watch));
        let task = spawn_blocking(move || {
            if let Some(watch) = watch {
                // What can be watched by now is, before it is compared.
                watch.retry();
                watch.catch_up();
            }
            let result = tree::compare(&what, &|suspect| {
                if sender.send(suspect).is_ok() {
                    door.knock();
                }
            });
            drop((what, sender));
            door.knock();
            result
        });
        self.comparisons += 1;
        self.comparing = Some(Comparing {
            whole,
            subtrees,
            news,
            task,
            missing: Vec::new(),
            began: self.clock.boot(),
            seen,
            unrecorded: 0,
        });
    }

    /// Compares, at once, the subtrees that were hinted at.
    pub(super) async fn compare_hinted(
        &mut self,
        identity: tree::Identity,
    ) -> Result<bool, Trouble> {
        // What lies within another one is walked with it.
        let mut widest: Vec<RelPath> = Vec::new();
        for path in self.subtrees.keys().filter(|path| !path.is_root()) {
            if !is_within_any(path, &widest) {
                widest.push(path.clone());
            }
        }
        if widest.is_empty() {
            return Ok(false);
        }
        let what = self.comparison(identity, widest.clone());
        let watch = self.armed.as_ref().map(|armed| Arc::clone(&armed.watch));
        let (found, suspects) = spawn_blocking(move || {
            // Files made in a new directory before it was watched were not heard of.
            if let Some(watch) = watch {
                watch.catch_up();
            }
            let suspects = Mutex::new(Vec::new());
            let found = tree::compare(&what, &|suspect| {
                suspects.lock().unwrap_or_else(PoisonError::into_inner).push(suspect);
            });
            let suspects = suspects.into_inner().unwrap_or_else(PoisonError::into_inner);
            found.map(|found| (found, suspects))
        })
        .await??;
        let (now, fresh) = (self.clock.boot(), self.fresh());
        for suspect in suspects {
            let witness = self.witness(&suspect.path);
            self.settler.mark(&suspect.path, witness, now, &fresh);
        }
        self.subtrees.retain(|path, _| path.is_root());
        self.take_findings(&widest, found);
        Ok(true)
    }

    /// Who hinted at the subtree that a path lies in.
    fn witness(&self, path: &RelPath) -> Witness {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if let Some(witness) = self.subtrees.get(&path) {
                return *witness;
            }
            at = path.parent();
        }
        Witness::Scan
    }

    /// Takes over what the comparison under way has found since, and its end.
    pub(super) async fn advance_comparing(&mut self) -> Result<bool, Trouble> {
        let Some(mut comparing) = self.comparing.take() else {
            return Ok(false);
        };
        let baseline =
            self.state.as_ref().filter(|state| !state.baseline_done).map(|state| state.baseline_at);
        let is_little = comparing.news.len() < BASELINE_CHUNK && !comparing.news.is_closed();
        if baseline.is_some() && is_little {
            self.comparing = Some(comparing);
            return Ok(false);
        }
        let mut suspects = Vec::new();
        let ended = loop {
            match comparing.news.try_recv() {
                Ok(suspect) => suspects.push(suspect),
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
            if suspects.len() >= TURN {
                break false;
            }
        };
        let mut worked = !suspects.is_empty();
        if worked && baseline.is_some() {
            self.hear_all().await?;
        }
        for suspect in suspects {
            match (suspect.seen, baseline) {
                (Some(_), Some(_)) if self.is_walked_next(&suspect.path) => {}
                (None, _) => comparing.missing.push(suspect.path),
                (Some((seen, linked)), Some(baseline)) => {
                    let entry = unread(seen, linked);
                    let is_older = !changed_since(&entry, baseline);
                    let is_dirty = self.settler.is_dirty(&suspect.path);
                    if is_older && !is_dirty && self.take(&suspect.path, entry) {
                        comparing.unrecorded += 1;
                    } else {
                        self.backlog.push_back(suspect.path);
                    }
                }
                (Some(_), None) => self.backlog.push_back(suspect.path),
            }
        }
        if comparing.unrecorded >= BASELINE_CHUNK || ended && comparing.unrecorded > 0 {
            comparing.unrecorded = 0;
            let chunks = self.index_mut().take_writes();
            self.commit(Record { chunks, ..self.blank() }).await?;
        }
        if ended {
            self.end_comparing(comparing).await?;
            worked = true;
        } else {
            self.comparing = Some(comparing);
        }
        Ok(worked)
    }

    /// Takes a file of a baseline into the index, unless it is known.
    fn take(&mut self, path: &RelPath, entry: Entry) -> bool {
        let mut index = self.index_mut();
        let is_new = index.get(path).is_none();
        if is_new {
            index.apply(path, Some(entry));
        }
        is_new
    }

    /// Takes the hints of all that happened until now: what a baseline met may have been moved there
    /// since it began, however old it looks.
    async fn hear_all(&mut self) -> Result<(), Trouble> {
        if let Some(watch) = self.armed.as_ref().map(|armed| Arc::clone(&armed.watch)) {
            spawn_blocking(move || watch.catch_up()).await?;
        }
        let hints = self.door.1.drain_paths();
        self.take_hints(hints);
        Ok(())
    }

    /// Whether a path lies in a subtree that was hinted at: it is walked for its own sake.
    fn is_walked_next(&self, path: &RelPath) -> bool {
        let mut at = Some(path.clone());
        while let Some(path) = at.filter(|at| !at.is_root()) {
            if self.subtrees.contains_key(&path) {
                return true;
            }
            at = path.parent();
        }
        false
    }

    async fn end_comparing(&mut self, comparing: Comparing) -> Result<(), Trouble> {
        let found = match comparing.task.await? {
            Ok(found) => found,
            Err(why) => {
                if self.state.as_ref().is_some_and(|state| !state.baseline_done) {
                    // What was taken may be another tree's.
                    self.state = None;
                }
                return Err(why.into());
            }
        };
        // Those that wait already are looked at anyway.
        let waits = |path: &RelPath| self.settler.is_dirty(path);
        self.missing.extend(comparing.missing.into_iter().filter(|path| !waits(path)));
        let took = self.clock.boot().saturating_sub(comparing.began);
        let every = self.settings.poll_every.max(took * POLL_SHARE);
        self.next_poll = (!self.polled().is_empty()).then(|| self.clock.boot() + every);
        self.facts.reconciles += 1;
        if comparing.whole {
            self.note_findings(&found);
        }
        self.take_findings(&comparing.subtrees, found);
        if comparing.whole { self.end_of_whole().await } else { Ok(()) }
    }

    fn note_findings(&mut self, found: &Scan) {
        self.notes[1] = found.unknown.first().map_or_else(String::new, |(path, why)| {
            format!(
                "not everything could be read ({} in all), first {path:?}: {why}",
                found.unknown.len()
            )
        });
        self.notes[2] = found.leaving.first().map_or_else(String::new, |path| {
            format!(
                "links that leave the root are not followed ({} in all), first {path:?}; to follow \
                 them: links = \"anywhere\"",
                found.leaving.len()
            )
        });
    }

    async fn end_of_whole(&mut self) -> Result<(), Trouble> {
        self.compared = true;
        self.next_reconcile = Some(self.next_reconcile());
        self.fill_from = Some(RelPath::root());
        self.store.prune_changes(&self.settings.origin, self.clock.server_now()).await?;
        let Some(mut state) = self.state.clone() else {
            return Ok(());
        };
        if let Some(armed) = &self.armed {
            state.device = armed.identity.0;
        }
        let was_done = std::mem::replace(&mut state.baseline_done, true);
        if self.state.as_ref() == Some(&state) {
            return Ok(());
        }
        self.commit(Record { origin_record: Some(state), ..self.blank() }).await?;
        if !was_done {
            tracing::info!(
                origin = %self.settings.origin,
                files = self.held().files(),
                "the baseline is complete: changes from now on are refreshed"
            );
        }
        Ok(())
    }

    /// Takes what a comparison found beside suspects.
    fn take_findings(&mut self, subtrees: &[RelPath], found: Scan) {
        for (path, why) in found.unknown.iter().take(10) {
            tracing::warn!(origin = %self.settings.origin, ?path, %why, "cannot be read");
        }
        let links: Vec<DirectoryLink> =
            found.links.into_iter().map(|link| self.unless_excluded(link)).collect();
        self.links.dangling.retain(|path| !is_within_any(path, subtrees));
        self.links.dangling.extend(found.dangling);
        self.links.found(|path| is_within_any(path, subtrees), links);
        let outside = self.links.outside();
        if let Some(armed) = self.armed.as_mut().filter(|armed| armed.followed != outside) {
            armed.followed.clone_from(&outside);
            let (watch, door, links) = (Arc::clone(&armed.watch), self.door.0.clone(), outside);
            // What changed there before it was watched is found by comparing once more.
            drop(spawn_blocking(move || {
                watch.follow(&links);
                for (link, _) in links {
                    door.send(super::subtree(link));
                }
            }));
        }
    }

    /// A directory that is no concern of the origin under its own name is watched for its links'.
    fn unless_excluded(&self, link: DirectoryLink) -> DirectoryLink {
        match link.to {
            LinkTarget::Inside(directory) if (self.tree.excluded)(&directory, true) => {
                let to = LinkTarget::Outside(directory.under(&self.tree.root));
                DirectoryLink { at: link.at, to }
            }
            to => DirectoryLink { at: link.at, to },
        }
    }

    /// Tells the settler of suspects, as many as it has room for.
    pub(super) fn mark_suspects(&mut self) -> bool {
        let room = MOST_SUSPECTS.saturating_sub(self.settler.dirty());
        let (now, fresh) = (self.clock.boot(), self.fresh());
        let mut marked = false;
        for _ in 0..room {
            let Some(path) = self.backlog.pop_front().or_else(|| self.missing.pop_front()) else {
                break;
            };
            // Polls that are more frequent than paths settle must not put a look off.
            if !self.settler.is_marked(&path) {
                self.settler.mark(&path, Witness::Scan, now, &fresh);
            }
            marked = true;
        }
        marked
    }

    fn next_reconcile(&self) -> Duration {
        let tenths = u32::try_from(self.clock.random() % 201).unwrap_or(100);
        self.clock.boot() + self.settings.reconcile_every * (900 + tenths) / 1_000
    }
}

/// What is held of a file that was not read.
const fn unread(fingerprint: Fingerprint, linked: bool) -> Entry {
    Entry { fingerprint, digest: None, doubtful: false, linked }
}

/// Whether a path lies within one of these, of which none lies within another.
fn is_within_any(path: &RelPath, subtrees: &[RelPath]) -> bool {
    let mut at = Some(path.clone());
    while let Some(path) = at {
        if subtrees.binary_search(&path).is_ok() {
            return true;
        }
        at = path.parent();
    }
    false
}
