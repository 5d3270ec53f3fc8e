//! The intake of an origin: the only writer of its index.
//!
//! Enters: hints through the door. Leaves: index deltas and the wishes that follow from them, each
//! chunk of looks in one transaction of the store.
//! **Invariant:** the index in memory never runs ahead of the store: what could not be recorded is
//! read back, and its marks are given back.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::config::Origin;
use crate::domain::deploy::{Bracket, Deploy, DeployId};
use crate::domain::facts::{FailingFacts, OriginFacts, OriginState};
use crate::domain::guard::{Guard, Rush};
use crate::domain::hint::{Hint, Reach, Witness};
use crate::domain::index::Index;
use crate::domain::intent::Wish;
use crate::domain::mapping::Mapping;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::settle::{Settler, Waits};
use crate::domain::stage::Stages;
use crate::source::mounts::Mount;
use crate::source::watch::way::Way;
use crate::source::watch::{Backend, Tree, Watch};
use crate::source::{DOOR_PATHS, Excluded, HintReceiver, HintSender, Unavailable, door};
use crate::store::{Gating, OriginRecord, Record, Store, StoreError};
use crate::telemetry::meters::Meters;

use super::wishes::Rules;

mod begin;
mod compare;
mod fill;
mod find;
mod judge;
mod links;
mod record;
mod returned;
mod see;
mod show;
mod tree;

use compare::Comparing;
use fill::Filling;
use links::Links;
use see::{Called, Seeing};

/// Paths looked at, and committed, at once: with their wishes about a thousand rows.
const CHUNK: usize = 500;
/// Paths that may be dirty at once before the whole tree is reconciled instead.
const MOST_DIRTY: usize = 200_000;
/// Suspects of a scan enter the settler only up to here, which leaves room for what the watch says.
const MOST_SUSPECTS: usize = 50_000;
/// How long to wait after a failure: doubling from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How often to make sure that the way to the root leads where it did: nothing tells of a file
/// system that is mounted over it.
const GLANCE_EVERY: Duration = Duration::from_secs(30);

/// What an intake is told about its origin.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origin's name.
    pub origin: OriginName,
    /// Its root, absolute.
    pub root: PathBuf,
    /// Which links are followed.
    pub links: crate::domain::watch::Links,
    /// How long things settle.
    pub waits: Waits,
    /// In which order a deploy goes.
    pub stages: Stages,
    /// How often the whole tree is compared with the index, give or take a tenth.
    pub reconcile_every: Duration,
    /// How often what sends no events is compared, if that takes less than a twentieth of the time.
    pub poll_every: Duration,
    /// How fast the digests of a new tree are filled in, in bytes a second; 0 for never.
    pub digest_rate: u64,
    /// What of it is held for a person.
    pub guard: Guard,
    /// Whether its deploys pass a gate.
    pub gated: bool,
}

impl Settings {
    /// Takes what the configuration says of an origin; none of one that has no root.
    #[must_use]
    pub fn of(origin: &Origin) -> Option<Self> {
        Some(Self {
            origin: origin.name.clone(),
            root: origin.root()?.to_owned(),
            links: origin.links,
            waits: Waits {
                settle: origin.settle,
                deploy_deadline: origin.deploy_deadline,
                unstable_after: origin.unstable_after,
                delete_settle: origin.delete_settle,
                transient: origin.transient,
            },
            reconcile_every: origin.reconcile_every,
            poll_every: origin.poll_every,
            digest_rate: origin.digest_rate,
            guard: origin.guard,
            stages: origin.stages.clone(),
            gated: origin.gate.is_there(),
        })
    }
}

/// What one turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whether anything was done: then there may be more to do at once.
    pub worked: bool,
    /// The boot time at which there is something to do though nothing knocks.
    pub wake_at: Option<Duration>,
    /// Whether something runs beside that will knock.
    pub awaits: bool,
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

/// The root that is being watched.
struct Armed {
    identity: tree::Identity,
    /// What the tree stood on just before.
    mounts: Vec<Mount>,
    watch: Arc<dyn Watch>,
    /// Whether no watch could be had: it is polled, and armed anew at each poll.
    is_makeshift: bool,
    /// The links that leave the root, as the watch was told of them.
    followed: Vec<(RelPath, PathBuf)>,
}

/// The intake of one origin.
pub struct Intake {
    settings: Settings,
    rules: Rules,
    tree: Tree,
    store: Store,
    clock: SharedClock,
    backend: Arc<dyn Backend>,
    recorded: Vec<Arc<Notify>>,
    door: (HintSender, HintReceiver),
    /// None until the store was read, and after a failure to write to it.
    state: Option<OriginRecord>,
    loaded: bool,
    /// Written by nobody else; comparisons read it.
    index: Arc<RwLock<Index>>,
    way: Option<Way>,
    armed: Option<Armed>,
    /// A watch that is not wanted any more. Its end waits for threads that may hang in a file system,
    /// so that it is dropped where waiting does no harm, before another watch needs the room.
    retired: Option<Arc<dyn Watch>>,
    settler: Settler,
    /// What is to be compared, by whom it was hinted at.
    subtrees: BTreeMap<RelPath, Witness>,
    comparing: Option<Comparing>,
    /// How many comparisons ran beside, or began to.
    comparisons: u64,
    /// Whether the whole tree was compared since the watch was armed.
    compared: bool,
    links: Links,
    /// Suspects that the settler has not been told of yet, and after them those that are missing.
    backlog: VecDeque<RelPath>,
    missing: VecDeque<RelPath>,
    filling: Option<Filling>,
    /// Where to go on filling in digests; none when there is nothing more to do for now.
    fill_from: Option<RelPath>,
    /// What an operator wants refreshed with the next baseline.
    refreshes: Vec<Wish>,
    /// How many removals are still to be held for a person, and why: so many files vanished at once.
    holding: Option<(usize, String)>,
    /// Since when files have been vanishing without a pause, and how many of these went unheld.
    vanishing: (Duration, usize),
    /// What has changed since the last quiet moment.
    rush: Rush,
    /// By which means the tree was last said to be watched, and how many subtrees to be polled.
    told: Option<(&'static str, usize)>,
    /// The open deploy, once its opening was recorded.
    announced: Option<DeployId>,
    /// The deploy that somebody holds open.
    bracket: Option<Bracket>,
    /// Who wants to be told that all was seen, and how far that is.
    called: Called,
    seeing: Option<Seeing>,
    /// Until when to wait after a failure, and how long that wait is.
    retry: Option<(Duration, Duration)>,
    next_reconcile: Option<Duration>,
    next_poll: Option<Duration>,
    next_glance: Option<Duration>,
    /// What a person should know: about the index, about what could not be read, about links that are
    /// not followed, and about a deploy that nobody ended.
    notes: [String; 4],
    facts: OriginFacts,
    meters: Meters,
}

/// A hint at everything below a path that the watch now hears of.
fn subtree(path: RelPath) -> Hint {
    Hint { path, reach: Reach::Subtree, witness: Witness::Watch }
}

impl Intake {
    /// Makes the intake of an origin; it does nothing until it is stepped. `recorded` are notified
    /// whenever something new is in the store's outbox or waits at a gate.
    #[must_use]
    pub fn new(
        settings: Settings,
        mapping: Arc<Mapping>,
        store: Store,
        clock: SharedClock,
        backend: Arc<dyn Backend>,
        recorded: Vec<Arc<Notify>>,
    ) -> Self {
        let by = Arc::clone(&mapping);
        let excluded: Excluded = Arc::new(move |path, is_dir| by.excluded(path, is_dir).is_some());
        let (origin, stages) = (settings.origin.clone(), settings.stages.clone());
        let settler = Settler::new(settings.waits, MOST_DIRTY);
        let tree = Tree { root: settings.root.clone(), links: settings.links, excluded };
        Self {
            settings,
            rules: Rules { origin, mapping, stages },
            tree,
            store,
            clock,
            backend,
            recorded,
            door: door(DOOR_PATHS),
            state: None,
            loaded: false,
            index: Arc::default(),
            way: None,
            armed: None,
            retired: None,
            settler,
            subtrees: BTreeMap::new(),
            comparing: None,
            comparisons: 0,
            compared: false,
            links: Links::default(),
            backlog: VecDeque::new(),
            missing: VecDeque::new(),
            filling: None,
            fill_from: None,
            refreshes: Vec::new(),
            holding: None,
            vanishing: (Duration::ZERO, 0),
            rush: Rush::default(),
            told: None,
            announced: None,
            bracket: None,
            called: Called::default(),
            seeing: None,
            retry: None,
            next_reconcile: None,
            next_poll: None,
            next_glance: None,
            notes: Default::default(),
            facts: OriginFacts::default(),
            meters: Meters::default(),
        }
    }

    /// Goes on behind the door of the intake before and with its index, so that whoever knows them needs no
    /// others.
    #[must_use]
    pub fn behind(self, door: HintSender, index: Arc<RwLock<Index>>) -> Self {
        let inside = door.take_over();
        Self { door: (door, inside), index, ..self }
    }

    /// Has hints and changes counted.
    #[must_use]
    pub fn metered(self, meters: Meters) -> Self {
        Self { meters, ..self }
    }

    /// Returns whose intake this is.
    #[must_use]
    pub const fn origin(&self) -> &OriginName {
        &self.settings.origin
    }

    /// Returns the outside of the door, for other witnesses than the watch.
    #[must_use]
    pub fn door(&self) -> HintSender {
        self.door.0.clone()
    }

    /// Returns the index, to be read: whoever holds its lock long holds the intake up.
    #[must_use]
    pub fn index(&self) -> Arc<RwLock<Index>> {
        Arc::clone(&self.index)
    }

    /// Waits until a hint may have come.
    pub async fn knocked(&self) {
        self.door.1.knocked().await;
    }

    fn held(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
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
            // After a failure to store, what the watch says can wait; a root that returns can't.
            let is_late = |(until, _): (Duration, _)| until > self.clock.boot();
            let is_resting = self.armed.is_some() && self.retry.is_some_and(is_late);
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = self.knocked(), if !is_resting => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        Ok(())
    }

    /// Does one turn. What fails for a reason outside is tried again later and shown in the facts.
    pub async fn step(&mut self) -> Result<Step, IntakeError> {
        let now = self.clock.boot();
        let waiting = self.retry.filter(|(until, _)| now < *until);
        if let Some((until, _)) = waiting.filter(|_| !self.door.1.is_called()) {
            return Ok(Step { worked: false, wake_at: Some(until), awaits: false });
        }
        match self.turn().await {
            Ok(worked) => {
                self.facts.failing = None;
                // That it could be armed says little: it may be empty.
                if self.compared && self.retry.take().is_some() {
                    self.facts.note.clear();
                    tracing::info!(origin = %self.settings.origin, "the origin is well again");
                }
                match &mut self.retry {
                    // It goes on at once; if it fails again it waits longer.
                    Some((until, _)) => *until = now,
                    None => self.facts.state = self.origin_state(),
                }
                let awaits = self.comparing.is_some() || self.filling.is_some();
                Ok(Step { worked, wake_at: self.wake_at(), awaits })
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
            self.disarm();
            if matches!(why, Unavailable::Replaced(_)) && self.retry.is_none() {
                // It is another directory now: it is opened, watched and compared at once.
                tracing::info!(
                    origin = %self.settings.origin, root = %self.tree.root.display(),
                    "the root is another directory now: it is compared with the one before"
                );
                return Step { worked: true, wake_at: None, awaits: false };
            }
            self.facts.state = OriginState::Unavailable;
        }
        let note = trouble.to_string();
        if let Trouble::Store(error) = trouble {
            let since = self.clock.server_now();
            let failing = self
                .facts
                .failing
                .get_or_insert_with(|| FailingFacts { since, why: String::new() });
            failing.why = error.to_string();
        }
        if self.facts.note != note {
            tracing::warn!(origin = %self.settings.origin, error = %note, "the intake waits");
            self.facts.note = note;
        }
        let wait = self.retry.map_or(BACKOFF.0, |(_, wait)| (wait * 2).min(BACKOFF.1));
        let until = self.clock.boot() + wait;
        self.retry = Some((until, wait));
        Step { worked: false, wake_at: Some(until), awaits: false }
    }

    fn wake_at(&self) -> Option<Duration> {
        // What is due while a comparison runs waits for its end, which knocks.
        let idle = self.comparing.is_none();
        let due = [self.next_reconcile, self.next_poll].map(|at| at.filter(|_| idle));
        due.into_iter().chain([self.settler.next(), self.next_glance]).flatten().min()
    }

    async fn turn(&mut self) -> Result<bool, Trouble> {
        if !self.loaded {
            self.load().await?;
        }
        let hints = self.door.1.drain();
        if let Some(refreshes) = &hints.anew {
            self.notes[0].clear();
            self.refreshes.extend_from_slice(refreshes);
            self.forget();
        }
        self.called.ticket = hints.ticket.or(self.called.ticket);
        if hints.bracket
            && let Err(trouble) = self.take_bracket().await
        {
            self.door.0.bracket();
            return Err(trouble);
        }
        let now = self.clock.boot();
        if hints.root || self.next_glance.is_some_and(|at| at <= now) {
            self.glance().await?;
        }
        // Perhaps a watch can be had by now.
        let is_due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if is_due(self.next_poll) || is_due(self.next_reconcile) {
            self.armed.take_if(|armed| armed.is_makeshift);
        }
        let mut worked = self.take_hints(hints);
        let Some(identity) = self.armed.as_ref().map(|armed| armed.identity) else {
            // Arming asks for a comparison of everything.
            (self.next_poll, self.next_reconcile) = (None, None);
            self.arm().await?;
            return Ok(true);
        };
        worked |= self.begin_seeing().await?;
        worked |= self.compare_hinted(identity).await?;
        self.schedule(identity);
        worked |= self.advance_comparing().await?;
        worked |= self.mark_suspects();
        worked |= self.look(identity).await?;
        worked |= self.fill(identity).await?;
        worked |= self.go_on_seeing();
        Ok(worked)
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
            gate: self.settings.gated.then(Gating::default),
            ..Record::blank(self.settings.origin.clone(), self.clock.server_now())
        }
    }

    fn known(&self, path: &RelPath) -> tree::Known {
        (path.clone(), self.held().get(path))
    }
}
