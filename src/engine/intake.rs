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
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::config::Origin;
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::facts::{OriginFacts, OriginState, Unmapped};
use crate::domain::hint::Witness;
use crate::domain::index::{Entry, Index};
use crate::domain::mapping::Mapping;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::settle::{Settler, Waits};
use crate::source::watch::{Backend, Gap, Watch};
use crate::source::{DOOR_PATHS, Excluded, HintReceiver, HintSender, Unavailable, door};
use crate::store::{OriginRecord, Record, Store, StoreError};

mod begin;
mod find;
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

impl From<&Origin> for Settings {
    fn from(origin: &Origin) -> Self {
        Self {
            origin: origin.name.clone(),
            root: origin.root.clone(),
            waits: Waits {
                settle: origin.settle,
                deploy_deadline: origin.deploy_deadline,
                unstable_after: origin.unstable_after,
                delete_settle: origin.delete_settle,
            },
            reconcile_every: origin.reconcile_every,
        }
    }
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
    watch: Option<Arc<dyn Watch>>,
}

impl Armed {
    fn gap(&self) -> Option<Gap> {
        self.watch.as_ref().and_then(|watch| watch.gap())
    }
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
        cancelled: CancellationToken,
        publish: impl Fn(OriginFacts),
    ) -> Result<(), IntakeError> {
        /// Boot time runs on during a suspension, a timer may not: sleep no longer than this.
        const LONGEST: Duration = Duration::from_secs(60);
        while !cancelled.is_cancelled() {
            let step = self.step().await?;
            publish(self.facts());
            if step.worked {
                continue;
            }
            let sleep = step
                .wake_at
                .map_or(LONGEST, |at| at.saturating_sub(self.clock.boot()).min(LONGEST));
            tokio::select! {
                () = cancelled.cancelled() => {}
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
            return Ok(Step { worked: false, wake_at: Some(until) });
        }
        match self.turn().await {
            Ok(worked) => {
                // That it could be armed says little: it may be empty.
                let compared = !self.subtrees.contains_key(&RelPath::root());
                if compared && self.retry.take().is_some() {
                    self.facts.note.clear();
                    tracing::info!(origin = %self.settings.origin, "the origin is well again");
                }
                if self.retry.is_none() {
                    self.facts.state = self.origin_state();
                }
                Ok(Step { worked, wake_at: self.wake_at() })
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
                return Step { worked: true, wake_at: None };
            }
            self.facts.state = OriginState::Unavailable;
            self.facts.watch = "none while the root is unavailable".into();
        }
        let note = trouble.to_string();
        if self.facts.note != note {
            tracing::warn!(origin = %self.settings.origin, error = %note, "the intake waits");
            self.facts.note = note;
        }
        let wait = self.retry.map_or(BACKOFF.0, |(_, wait)| (wait * 2).min(BACKOFF.1));
        let until = self.clock.boot() + wait;
        self.retry = Some((until, wait));
        Step { worked: false, wake_at: Some(until) }
    }

    fn origin_state(&self) -> OriginState {
        let watched = self.armed.as_ref().is_some_and(|armed| armed.watch.is_some());
        // Armed, but not compared with the index since: nobody knows yet what changed meanwhile.
        let compared = !self.subtrees.contains_key(&RelPath::root());
        match &self.state {
            Some(state) if state.baseline_done && compared && watched => OriginState::Watching,
            Some(state) if state.baseline_done && compared => OriginState::Polling,
            _ => OriginState::Baseline,
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        self.settler.next().into_iter().chain(self.next_reconcile).min()
    }

    async fn turn(&mut self) -> Result<bool, Trouble> {
        if !self.loaded {
            self.load().await?;
        }
        let is_reconcile_due = self.next_reconcile.is_none_or(|at| at <= self.clock.boot());
        if is_reconcile_due {
            // Perhaps a watch can be had by now, or one that hears of more.
            self.armed.take_if(|armed| armed.watch.is_none() || armed.gap().is_some());
        }
        let Some(identity) = self.armed.as_ref().map(|armed| armed.identity) else {
            self.arm().await?;
            return Ok(true);
        };
        let mut worked = self.take_hints();
        if is_reconcile_due {
            self.subtrees.insert(RelPath::root(), Witness::Schedule);
        }
        if !self.subtrees.is_empty() {
            self.scan(identity).await?;
            worked = true;
        }
        if self.state.as_ref().is_some_and(|state| !state.baseline_done) {
            worked |= self.continue_baseline(identity).await?;
        } else {
            worked |= self.mark_suspects();
        }
        worked |= self.look(identity).await?;
        // After the work, so that it goes on though events are dropped again and again.
        let broken = self.armed.take_if(|armed| armed.gap() == Some(Gap::Lost)).is_some();
        Ok(worked || broken)
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
        tracing::warn!(origin = %self.settings.origin, ?path, "something is wrong with a changed file: {why}");
        let shown = Unmapped { path: path.to_string(), why };
        self.facts.unmapped.retain(|known| known.path != shown.path);
        self.facts.unmapped.insert(0, shown);
        self.facts.unmapped.truncate(MOST_UNMAPPED);
    }
}
