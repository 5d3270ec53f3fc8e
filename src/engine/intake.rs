//! The intake of an origin: the only writer of its index.
//!
//! Enters: hints through the door. Leaves: index deltas and the wishes that follow from them, each
//! chunk of looks in one transaction of the store.
//! **Invariant:** the index in memory never runs ahead of the store: what could not be recorded is
//! read back, and its marks are given back.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::facts::{OriginFacts, OriginState, Unmapped};
use crate::domain::hint::{Reach, Witness};
use crate::domain::index::{Entry, Index};
use crate::domain::mapping::Mapping;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::settle::{Settler, Waits};
use crate::source::root::Root;
use crate::source::watch::{Backend, Watch};
use crate::source::{DOOR_PATHS, Excluded, HintReceiver, HintSender, Unavailable, door};
use crate::store::{OriginRecord, Record, Store, StoreError};

mod judge;
mod record;
mod tree;

/// Paths looked at, and committed, at once: with their wishes about a thousand rows.
const CHUNK: usize = 500;
/// Paths that may be dirty at once before the whole tree is reconciled instead.
const MOST_DIRTY: usize = 200_000;
/// Suspects of a scan enter the settler only up to here, which leaves room for what the watch says.
const MOST_SUSPECTS: usize = 50_000;
/// Unmapped paths that are shown.
const MOST_UNMAPPED: usize = 100;
/// How long to wait after a failure: doubling from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// Without a watch the tree is compared at least this often.
const POLL_EVERY: Duration = Duration::from_secs(60);

/// What an intake is told about its origin.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origin's name.
    pub origin: OriginName,
    /// Its root, absolute.
    pub root: PathBuf,
    /// How long things settle.
    pub waits: Waits,
    /// How often the whole tree is compared with the index, give or take a tenth.
    pub reconcile_every: Duration,
}

/// What one turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whether anything was done: then there may be more to do at once.
    pub worked: bool,
    /// The boot time at which there is something to do though nothing knocks.
    pub wake_at: Option<Duration>,
}

/// What stops an intake for good.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// A task that looks at the tree did not end by itself.
    #[error("looking at the tree of origin `{origin}` failed: {source}")]
    Task {
        /// Whose.
        origin: OriginName,
        /// How it ended.
        source: JoinError,
    },
}

/// What stops a turn; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("what was found cannot be stored, and is tried again: {0}")]
    Store(#[from] StoreError),
    #[error("the stored index is damaged: {0}")]
    Index(#[from] crate::domain::index::IndexError),
    #[error("looking at the tree failed: {0}")]
    Task(#[from] JoinError),
}

/// The root that is being watched, or polled if no watch could be had.
struct Armed {
    identity: tree::Identity,
    watch: Option<Box<dyn Watch>>,
}

/// The intake of one origin.
pub struct Intake {
    settings: Settings,
    mapping: Arc<Mapping>,
    excluded: Excluded,
    store: Store,
    clock: SharedClock,
    backend: Arc<dyn Backend>,
    recorded: Arc<Notify>,
    door: (HintSender, HintReceiver),
    /// None until the store was read, and after a failure to write to it.
    state: Option<OriginRecord>,
    loaded: bool,
    index: Arc<Index>,
    armed: Option<Armed>,
    settler: Settler,
    subtrees: BTreeMap<RelPath, Witness>,
    /// Suspects of scans that the settler has not been told of yet.
    backlog: VecDeque<RelPath>,
    /// The open deploy, once its opening was recorded.
    announced: Option<DeployId>,
    /// Until when to wait after a failure, and how long that wait is.
    retry: Option<(Duration, Duration)>,
    next_reconcile: Option<Duration>,
    /// What a person should know: about the index, and about what could not be read.
    notes: [String; 2],
    facts: OriginFacts,
}

impl Intake {
    /// Makes the intake of an origin; it does nothing until it is stepped. `recorded` is notified
    /// whenever something new is in the store's outbox.
    #[must_use]
    pub fn new(
        settings: Settings,
        mapping: Arc<Mapping>,
        store: Store,
        clock: SharedClock,
        backend: Arc<dyn Backend>,
        recorded: Arc<Notify>,
    ) -> Self {
        let rules = Arc::clone(&mapping);
        let excluded: Excluded =
            Arc::new(move |path, is_dir| rules.excluded(path, is_dir).is_some());
        let settler = Settler::new(settings.waits, MOST_DIRTY);
        Self {
            settings,
            mapping,
            excluded,
            store,
            clock,
            backend,
            recorded,
            door: door(DOOR_PATHS),
            state: None,
            loaded: false,
            index: Arc::default(),
            armed: None,
            settler,
            subtrees: BTreeMap::new(),
            backlog: VecDeque::new(),
            announced: None,
            retry: None,
            next_reconcile: None,
            notes: Default::default(),
            facts: OriginFacts::default(),
        }
    }

    /// Returns the outside of the door, for other witnesses than the watch.
    #[must_use]
    pub fn door(&self) -> HintSender {
        self.door.0.clone()
    }

    /// Waits until a hint may have come.
    pub async fn knocked(&self) {
        self.door.1.knocked().await;
    }

    /// Returns what is known of the origin now.
    #[must_use]
    pub fn facts(&self) -> OriginFacts {
        let notes: Vec<&str> = [self.facts.note.as_str(), &self.notes[0], &self.notes[1]]
            .into_iter()
            .filter(|note| !note.is_empty())
            .collect();
        OriginFacts {
            files: self.index.files(),
            directories: self.index.directories(),
            baseline_at: self.state.as_ref().map(|state| state.baseline_at),
            dirty: (self.settler.dirty() + self.backlog.len()) as u64,
            note: notes.join("; "),
            ..self.facts.clone()
        }
    }

    /// Steps until it is told to stop; `publish` is given the facts after every step.
    pub async fn run(
        mut self,
        stop: CancellationToken,
        publish: impl Fn(OriginFacts),
    ) -> Result<(), IntakeError> {
        /// Boot time runs on during a suspension, a timer may not: sleep no longer than this.
        const LONGEST: Duration = Duration::from_secs(60);
        while !stop.is_cancelled() {
            let step = self.step().await?;
            publish(self.facts());
            if step.worked {
                continue;
            }
            let sleep = step.wake_at.map_or(LONGEST, |at| {
                at.saturating_sub(self.clock.boot()).min(LONGEST)
            });
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.knocked(), if self.retry.is_none() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        Ok(())
    }

    /// Does one turn. What fails for a reason outside is tried again later and shown in the facts.
    pub async fn step(&mut self) -> Result<Step, IntakeError> {
        let now = self.clock.boot();
        if let Some((until, _)) = self.retry.filter(|(until, _)| now < *until) {
            return Ok(Step {
                worked: false,
                wake_at: Some(until),
            });
        }
        match self.turn().await {
            Ok(worked) => {
                if self.retry.take().is_some() {
                    self.facts.note.clear();
                    tracing::info!(origin = %self.settings.origin, "the origin is well again");
                }
                self.facts.state = self.origin_state();
                Ok(Step {
                    worked,
                    wake_at: self.wake_at(),
                })
            }
            Err(Trouble::Task(source)) => {
                let origin = self.settings.origin.clone();
                Err(IntakeError::Task { origin, source })
            }
            Err(trouble) => Ok(self.fail(&trouble)),
        }
    }

    fn fail(&mut self, trouble: &Trouble) -> Step {
        if let Trouble::Unavailable(why) = trouble {
            self.armed = None;
            if matches!(why, Unavailable::Replaced(_)) && self.retry.is_none() {
                // It is another directory now: it is opened, watched and compared at once.
                return Step {
                    worked: true,
                    wake_at: None,
                };
            }
            self.facts.state = OriginState::Unavailable;
            self.facts.watch = "none while the root is unavailable".to_owned();
        }
        let note = trouble.to_string();
        if self.facts.note != note {
            tracing::warn!(origin = %self.settings.origin, error = %note, "the intake waits");
            self.facts.note = note;
        }
        let wait = self
            .retry
            .map_or(BACKOFF.0, |(_, wait)| (wait * 2).min(BACKOFF.1));
        let until = self.clock.boot() + wait;
        self.retry = Some((until, wait));
        Step {
            worked: false,
            wake_at: Some(until),
        }
    }

    fn origin_state(&self) -> OriginState {
        let watched = self
            .armed
            .as_ref()
            .is_some_and(|armed| armed.watch.is_some());
        match &self.state {
            Some(state) if state.baseline_done && watched => OriginState::Watching,
            Some(state) if state.baseline_done => OriginState::Polling,
            _ => OriginState::Baseline,
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        self.settler
            .next()
            .into_iter()
            .chain(self.next_reconcile)
            .min()
    }

    async fn turn(&mut self) -> Result<bool, Trouble> {
        if !self.loaded {
            self.load().await?;
        }
        let Some(identity) = self.armed.as_ref().map(|armed| armed.identity) else {
            self.arm().await?;
            return Ok(true);
        };
        let mut worked = self.take_hints();
        if self.next_reconcile.is_none_or(|at| at <= self.clock.boot()) {
            self.subtrees.insert(RelPath::root(), Witness::Schedule);
        }
        if !self.subtrees.is_empty() {
            self.scan(identity).await?;
            worked = true;
        }
        if self
            .state
            .as_ref()
            .is_some_and(|state| !state.baseline_done)
        {
            worked |= self.continue_baseline(identity).await?;
        } else {
            worked |= self.mark_suspects();
        }
        Ok(self.look(identity).await? || worked)
    }

    /// Reads state and index from the store.
    async fn load(&mut self) -> Result<(), Trouble> {
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
    async fn arm(&mut self) -> Result<(), Trouble> {
        let (backend, path) = (Arc::clone(&self.backend), self.settings.root.clone());
        let (sender, excluded) = (self.door.0.clone(), Arc::clone(&self.excluded));
        let (root, watch) = spawn_blocking(move || {
            let root = Root::open(&path)?;
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
            let record = Record {
                forget: true,
                origin_record: Some(state.clone()),
                ..self.blank()
            };
            self.store.record(record).await?;
            self.state = Some(state);
        }
        let watch = match watch {
            Ok(watch) => {
                self.backend.name().clone_into(&mut self.facts.watch);
                Some(watch)
            }
            Err(error) => {
                tracing::warn!(
                    origin = %self.settings.origin, %error, "no watch; the tree is polled"
                );
                self.facts.watch = format!("polling: {error}");
                None
            }
        };
        self.armed = Some(Armed {
            identity: root.identity(),
            watch,
        });
        self.subtrees.insert(RelPath::root(), Witness::Scan);
        Ok(())
    }

    /// Takes what came through the door.
    fn take_hints(&mut self) -> bool {
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

    async fn scan(&mut self, identity: tree::Identity) -> Result<(), Trouble> {
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
        let found = spawn_blocking(move || {
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
            self.backlog = found.suspects.into();
            self.next_reconcile = Some(self.next_reconcile());
            self.notes[1] = found
                .unknown
                .first()
                .map_or_else(String::new, |(path, why)| {
                    format!(
                        "{} places could not be read, first {path:?}: {why}",
                        found.unknown.len()
                    )
                });
            if let Some(state) = &mut self.state {
                state.device = identity.0;
            }
        } else {
            let (now, fresh) = (self.clock.boot(), self.fresh());
            let marks: Vec<_> = found
                .suspects
                .into_iter()
                .map(|path| (witness(&path), path))
                .collect();
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
    fn mark_suspects(&mut self) -> bool {
        let room = MOST_SUSPECTS.saturating_sub(self.settler.dirty());
        let (now, fresh) = (self.clock.boot(), self.fresh());
        let suspects: Vec<RelPath> = self.backlog.drain(..room.min(self.backlog.len())).collect();
        for path in &suspects {
            self.settler.mark(path, Witness::Scan, now, &fresh);
        }
        !suspects.is_empty()
    }

    fn next_reconcile(&self) -> Duration {
        let watched = self
            .armed
            .as_ref()
            .is_some_and(|armed| armed.watch.is_some());
        let every = if watched {
            self.settings.reconcile_every
        } else {
            self.settings.reconcile_every.min(POLL_EVERY)
        };
        let tenths = u32::try_from(self.clock.random() % 201).unwrap_or(100);
        self.clock.boot() + every * (900 + tenths) / 1_000
    }

    /// Names a deploy, in case one opens now.
    fn fresh(&self) -> Arc<Deploy> {
        let opened_at = self.clock.server_now();
        Arc::new(Deploy {
            id: DeployId::new(opened_at, self.clock.random()),
            origin: self.settings.origin.clone(),
            opened_at,
            closed_at: None,
        })
    }

    fn blank(&self) -> Record {
        Record {
            origin: self.settings.origin.clone(),
            forget: false,
            chunks: Vec::new(),
            origin_record: None,
            outgoing: Vec::new(),
        }
    }

    fn prior(&self, path: &RelPath) -> (RelPath, Option<Entry>) {
        (path.clone(), self.index.get(path))
    }

    fn show_unmapped(&mut self, path: &RelPath, why: String) {
        tracing::warn!(origin = %self.settings.origin, ?path, %why, "cannot be refreshed");
        let shown = Unmapped {
            path: path.to_string(),
            why,
        };
        self.facts.unmapped.retain(|known| known.path != shown.path);
        self.facts.unmapped.insert(0, shown);
        self.facts.unmapped.truncate(MOST_UNMAPPED);
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
