//! The pushes of an origin whose files a repository holds: which of them changed what is served.
//!
//! Enters: what the inbox holds for the origin, and the repository. Leaves: for each push a fate, and
//! wishes for what it changed, in the transaction that moves the tip.
//! **Invariant:** the tip is the last commit whose changes are recorded; what the branch holds beyond it
//! is found by comparing, whether or not anybody tells of it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::config::{Origin, Repository};
use crate::domain::facts::{OriginFacts, OriginState};
use crate::domain::guard::Guard;
use crate::domain::hint::Witness;
use crate::domain::index::Index;
use crate::domain::intent::{Outgoing, Wish};
use crate::domain::mapping::Mapping;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::push::CommitId;
use crate::domain::stage::Stages;
use crate::source::git::{Git, GitError};
use crate::source::{HintReceiver, HintSender, door};
use crate::store::{OriginRecord, PushEnd, Store, StoreError, Tip};
use crate::telemetry::meters::Meters;

use super::EngineError;
use super::step::Step;
use super::wishes::Rules;

mod decide;
mod record;
mod states;
pub mod told;

use record::Cause;
use states::Changes;

/// How long to wait after git failed: doubling from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Steps of the tip that are remembered, for pushes that are told of late.
const MOST_STEPS: usize = 64;

/// What the loop is told about its origin.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origin's name.
    pub origin: OriginName,
    /// The repository.
    pub repository: Repository,
    /// The whole name of the branch that is served.
    pub branch: String,
    /// The directory of it that is served.
    pub prefix: RelPath,
    /// In which order a deploy goes.
    pub stages: Stages,
    /// What of it is held for a person.
    pub guard: Guard,
    /// Whether its deploys pass a gate.
    pub gated: bool,
    /// How often the branch is compared with the tip.
    pub reconcile_every: Duration,
}

impl Settings {
    /// Takes what the configuration says of an origin; none of one that has no repository.
    #[must_use]
    pub fn of(origin: &Origin) -> Option<Self> {
        Some(Self {
            origin: origin.name.clone(),
            repository: origin.repository()?.clone(),
            branch: origin.branch.clone()?,
            prefix: origin.prefix.clone(),
            stages: origin.stages.clone(),
            guard: origin.guard,
            gated: origin.gate.is_there(),
            reconcile_every: origin.reconcile_every,
        })
    }

    /// Names what a tip is the tip of.
    fn place(&self) -> String {
        let (path, branch) = (self.repository.path.display(), &self.branch);
        format!("{path} {branch} {}", self.prefix.shown())
    }
}

/// What stops a turn; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the daemon ends")]
    Stopping,
}

/// One step of the tip, or of a push that was told of late: what differs between its ends was asked
/// for.
type Done = (Option<CommitId>, CommitId);

/// The pushes of one origin.
pub struct Pushes {
    settings: Settings,
    rules: Rules,
    store: Store,
    clock: SharedClock,
    recorded: Vec<Arc<Notify>>,
    stop: CancellationToken,
    git: Git,
    /// The ref that is compared: the branch, or where it is fetched to.
    reference: String,
    door: (HintSender, HintReceiver),
    /// The files of the tip; `known` once they were listed, and `tried` so that they are listed once.
    index: Arc<RwLock<Index>>,
    known: Option<CommitId>,
    tried: Option<CommitId>,
    /// The newest steps that were taken since the start.
    /// Each with the tip by then.
    done: VecDeque<(Done, CommitId)>,
    /// When to compare next; none for now.
    compare_at: Option<Duration>,
    /// Who wants to be told that the branch was compared.
    ticket: Option<u64>,
    /// Until when to wait after a failure, and how long that wait is.
    retry: Option<(Duration, Duration)>,
    /// What a person should know: about the baseline, and about a tip that is gone.
    notes: [String; 2],
    facts: OriginFacts,
    meters: Meters,
}

impl Pushes {
    /// Makes the loop of an origin; it does nothing until it is stepped. All of `recorded` are notified
    /// whenever something new is in the store for the journal; `stop` ends what
    /// git is asked for.
    #[must_use]
    pub fn new(
        settings: Settings,
        mapping: Arc<Mapping>,
        store: Store,
        clock: SharedClock,
        recorded: Vec<Arc<Notify>>,
        stop: CancellationToken,
    ) -> Self {
        let (origin, stages) = (settings.origin.clone(), settings.stages.clone());
        let reference = match settings.repository.fetch_from {
            Some(_) => format!("refs/refreshd/{origin}"),
            None => settings.branch.clone(),
        };
        let git = Git::new(&settings.repository.path);
        let facts = OriginFacts { watch: "git".to_owned(), ..OriginFacts::default() };
        Self {
            settings,
            rules: Rules { origin, mapping, stages },
            store,
            clock,
            recorded,
            stop,
            git,
            reference,
            door: door(1),
            index: Arc::default(),
            known: None,
            tried: None,
            done: VecDeque::new(),
            compare_at: None,
            ticket: None,
            retry: None,
            notes: Default::default(),
            facts,
            meters: Meters::default(),
        }
    }

    /// Goes on behind the door of who looked at the pushes before, and with the files that were listed.
    #[must_use]
    pub fn behind(self, door: HintSender, index: Arc<RwLock<Index>>) -> Self {
        let inside = door.take_over();
        Self { door: (door, inside), index, ..self }
    }

    /// Has changes counted.
    #[must_use]
    pub fn metered(self, meters: Meters) -> Self {
        Self { meters, ..self }
    }

    /// Returns whose pushes these are.
    #[must_use]
    pub const fn origin(&self) -> &OriginName {
        &self.settings.origin
    }

    /// Returns the outside of the door: by it the branch is compared now.
    #[must_use]
    pub fn door(&self) -> HintSender {
        self.door.0.clone()
    }

    /// Returns what wakes the loop.
    #[must_use]
    pub fn bell(&self) -> Arc<Notify> {
        self.door.1.bell()
    }

    /// Returns the files of the tip, to be read: whoever holds its lock long holds the loop up.
    #[must_use]
    pub fn index(&self) -> Arc<RwLock<Index>> {
        Arc::clone(&self.index)
    }

    /// Returns what is known of the origin now.
    #[must_use]
    pub fn facts(&self) -> OriginFacts {
        let notes = std::iter::once(&self.facts.note).chain(&self.notes);
        let notes: Vec<&str> = notes.map(String::as_str).filter(|note| !note.is_empty()).collect();
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        OriginFacts {
            files: index.files(),
            directories: index.directories(),
            note: notes.join("; "),
            ..self.facts.clone()
        }
    }

    /// Takes the next push, or compares the branch with the tip when that is due. What fails for a
    /// reason outside is tried again later and shown in the facts.
    pub async fn step(&mut self) -> Result<Step, EngineError> {
        let step = match self.turn().await {
            Ok(step) => step,
            Err(Trouble::Git(error)) => self.fail(error.to_string()),
            Err(Trouble::Store(error)) => return Err(error.into()),
            Err(Trouble::Stopping) => return Ok(Step::Idle { until: None }),
        };
        let (open, next) = self.store.next_push(&self.settings.origin).await?;
        self.facts.dirty = open;
        let Step::Idle { until } = step else {
            return Ok(step);
        };
        Ok(Step::Idle { until: until.into_iter().chain(next).min() })
    }

    fn fail(&mut self, note: String) -> Step {
        self.facts.state = OriginState::Unavailable;
        if self.facts.note != note {
            tracing::warn!(origin = %self.settings.origin, error = %note, "the repository can't be used");
            self.facts.note = note;
        }
        let wait = self.retry.map_or(BACKOFF.0, |(_, wait)| (wait * 2).min(BACKOFF.1));
        self.retry = Some((self.clock.boot() + wait, wait));
        Step::Idle { until: Some(self.clock.server_now().plus(wait)) }
    }

    async fn turn(&mut self) -> Result<Step, Trouble> {
        let hints = self.door.1.drain();
        let is_called = hints.ticket.is_some() || hints.overflowed || !hints.hints.is_empty();
        self.ticket = hints.ticket.or(self.ticket);
        let now = self.clock.boot();
        let waits = self.retry.map(|(until, _)| until).filter(|until| *until > now && !is_called);
        let tip = self.store.tip(&self.settings.origin).await?;
        let place = self.settings.place();
        let tip = match (tip, hints.anew) {
            (Some(tip), None) if tip.place == place => tip,
            (tip, anew) => {
                if let Some(tip) = tip.filter(|tip| tip.place != place) {
                    self.notes[0] = format!(
                        "it was {} before, and is {place} now; a new baseline was taken, changes \
                         before it are unknown; to refresh what may have changed: refreshd baseline \
                         --refresh {}",
                        tip.place, self.settings.origin
                    );
                }
                let (ready, wishes) = (waits.is_none() || anew.is_some(), anew.unwrap_or_default());
                return if ready { self.begin(wishes).await } else { Ok(self.idle(waits)) };
            }
        };
        let stop = self.stop.clone();
        let listed = async {
            self.list(tip.commit.as_ref()).await;
            Ok(())
        };
        unless_stopped(&stop, listed).await?;
        let at = self.clock.server_now();
        if let Some(open) = self.store.open_pushes(&self.settings.origin, at, 1).await?.pop() {
            self.push(&tip, open).await?;
            return Ok(Step::Worked);
        }
        let is_due = is_called || self.compare_at.is_none_or(|due| due <= now);
        if waits.is_none() && is_due || is_called {
            self.compare(&tip).await?;
            return Ok(Step::Worked);
        }
        Ok(self.idle(waits))
    }

    fn idle(&self, waits: Option<Duration>) -> Step {
        let due = waits.or(self.compare_at).unwrap_or_default();
        let rest = due.saturating_sub(self.clock.boot());
        Step::Idle { until: Some(self.clock.server_now().plus(rest)) }
    }

    /// Takes the branch as it is: nothing of it is refreshed.
    async fn begin(&mut self, wishes: Vec<Wish>) -> Result<Step, Trouble> {
        let asked = !wishes.is_empty();
        let found = self.look().await;
        if found.is_err() && asked {
            self.door.0.begin_anew(wishes.clone());
        }
        let (commit, now) = (found?, self.clock.server_now());
        let state = OriginRecord {
            root: self.settings.repository.path.clone(),
            device: 0,
            baseline_at: self.clock.now(),
            baseline_done: true,
            files: 0,
        };
        // One that may have been asked for by now came too early.
        let early = wishes.into_iter().filter(|wish| wish.not_before <= now);
        let again = early.map(|wish| Outgoing::Wish(Wish { not_before: now, ..wish }));
        let tip = Tip { place: self.settings.place(), commit };
        let mut record = self.blank();
        record.forget = true;
        record.origin_record = Some(state);
        record.outgoing = again.collect();
        record.push = Some(PushEnd { ends: Vec::new(), tip: Some(tip) });
        self.store.record(record).await?;
        self.recorded.iter().for_each(|recorded| recorded.notify_one());
        self.done.clear();
        tracing::info!(origin = %self.settings.origin, "the branch is taken as it is");
        Ok(Step::Worked)
    }

    /// Returns where the branch is, fetched if somebody else has it.
    async fn look(&self) -> Result<Option<CommitId>, Trouble> {
        let look = async {
            self.fetch().await?;
            Ok(self.git.tip(&self.reference).await?)
        };
        unless_stopped(&self.stop, look).await
    }

    async fn fetch(&self) -> Result<(), Trouble> {
        let Some(from) = &self.settings.repository.fetch_from else {
            return Ok(());
        };
        Ok(self.git.fetch(from, &self.settings.branch, &self.reference).await?)
    }

    /// Compares the branch with the tip, and records what differs.
    async fn compare(&mut self, tip: &Tip) -> Result<(), Trouble> {
        let (origin, branch) = (self.settings.origin.clone(), self.settings.branch.clone());
        let now = self.clock.server_now();
        let found = self.look().await?;
        if self.facts.baseline_at.is_none() {
            self.facts.baseline_at =
                self.store.origin(&origin).await?.map(|state| state.baseline_at);
        }
        let mut state = OriginState::Watching;
        let mut note = String::new();
        match (&tip.commit, found) {
            (Some(commit), None) => {
                state = OriginState::Unavailable;
                note = format!(
                    "the repository has no {branch} any more; what is served is unknown until it is \
                     back (the last commit was {commit})"
                );
            }
            (None, None) => note = format!("the repository has no {branch} yet"),
            (before, Some(after)) if *before != Some(after.clone()) => {
                let step: Done = (before.clone(), after.clone());
                let mut changes = Changes::default();
                let ends = self.stop.clone();
                unless_stopped(&ends, Box::pin(self.add(&mut changes, &step))).await?;
                let cause = Cause { witness: Witness::Schedule, commit: Some(after.clone()) };
                let tip = Tip { place: tip.place.clone(), commit: Some(after.clone()) };
                let deploy = self.record(changes, &cause, Some(tip), None).await?;
                tracing::info!(
                    %origin, %branch, commit = %after, deploy = deploy.map(tracing::field::display),
                    "the branch had moved, and nobody told of it"
                );
                self.remember(step, after);
            }
            (_, Some(_)) => {}
        }
        if state == OriginState::Watching {
            self.facts.seen = self.ticket.take().unwrap_or(self.facts.seen);
        }
        if self.facts.note != note && !note.is_empty() {
            tracing::warn!(%origin, "{note}");
        }
        (self.facts.state, self.facts.note, self.retry) = (state, note, None);
        self.facts.reconciles += 1;
        self.compare_at = Some(self.clock.boot() + self.settings.reconcile_every);
        self.store.prune_changes(&origin, now).await?;
        Ok(self.store.prune_deliveries(now).await?)
    }

    /// Remembers a step that is done, and the tip by then.
    fn remember(&mut self, step: Done, tip: CommitId) {
        self.done.push_back((step, tip));
        if self.done.len() > MOST_STEPS {
            self.done.pop_front();
        }
    }
}

/// Asks git until the daemon ends.
async fn unless_stopped<T>(
    stop: &CancellationToken,
    asked: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::select! {
        answer = asked => answer,
        () = stop.cancelled() => Err(Trouble::Stopping),
    }
}
