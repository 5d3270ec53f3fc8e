//! This room runs the daemon: the only one that spawns its tasks.
//!
//! Enters: a configuration and its collaborators. Leaves: work done, and [`Facts`] for whoever asks.
//! **Invariant:** every task is born in [`Engine::start`], named; one that ends unasked stops the
//! process, and the service manager starts it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cdn::Cdn;
use crate::clock::SharedClock;
use crate::config::{Config, Origin};
use crate::domain::facts::{Facts, FailingFacts, OriginFacts, OriginState};
use crate::domain::guard::Guard;
use crate::domain::names::{AccountName, OriginName};
use crate::journal::{Journal, JournalError};
use crate::notice::Poster;
use crate::probe::server::ServerError;
use crate::source::HintSender;
use crate::source::watch::auto;
use crate::store::{Store, StoreError};
use crate::telemetry::heart::{self, Heart, Part};
use crate::telemetry::meters::Meters;
use crate::web::announce::Announcements;
use crate::web::hooks::HookDesk;
use crate::web::{self, Desk};

pub mod account;
pub mod backoff;
pub mod census;
pub mod dispatch;
mod domains;
pub mod forward;
pub mod gate;
pub mod intake;
pub mod keys;
pub mod metered;
pub mod notices;
pub mod poll;
pub mod pushes;
pub mod step;
mod wishes;

use account::AccountBoard;
use census::Trees;
use dispatch::Dispatch;
use forward::Forward;
use gate::Gates;
use intake::{Intake, IntakeError};
use keys::Keys;
use metered::Metered;
use notices::Notices;
use poll::Poll;
use pushes::Pushes;
use pushes::told::ToldPushes;
use step::Step;

/// An idle loop looks again after this long at the latest: the wall clock may have stepped.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What ended a task of the daemon.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Intake failed.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// A web server of a gate can't be asked.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The control socket failed.
    #[error("the control socket failed: {0}")]
    Door(std::io::Error),
    /// A task ended though nobody asked it to.
    #[error("the task `{0}` ended unasked")]
    Ended(String),
}

impl EngineError {
    /// Returns whether the trouble may pass by itself: the disk is full, or another process
    /// holds the database's lock. Everything else ends the process, for a database that fails must not be written on.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Store(StoreError::Database(error))
            | Self::Journal(JournalError::Database(error)) => error.may_pass(),
            _ => false,
        }
    }
}

/// One loop of the daemon, a turn at a time.
#[async_trait]
trait Turn: Send + 'static {
    /// Whether a turn may be cut short at the end: it may last, and what it writes down is whole wherever
    /// it is cut.
    const MAY_BE_CUT: bool = false;

    async fn turn(&mut self) -> Result<Step, EngineError>;
}

#[async_trait]
impl Turn for Forward {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        self.step().await
    }
}

#[async_trait]
impl Turn for Dispatch {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        Ok(self.step().await?)
    }
}

#[async_trait]
impl Turn for Poll {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        Ok(self.step().await?)
    }
}

#[async_trait]
impl Turn for Keys {
    const MAY_BE_CUT: bool = true;

    async fn turn(&mut self) -> Result<Step, EngineError> {
        Ok(self.step().await)
    }
}

/// Looks at what repositories could not tell while they were not listened to.
struct Spools(Announcements);

#[async_trait]
impl Turn for Spools {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        self.0.empty_spools().await;
        Ok(Step::Idle { until: Some(self.0.clock.server_now().plus(LONGEST_SLEEP)) })
    }
}

#[async_trait]
impl Turn for Gates {
    const MAY_BE_CUT: bool = true;

    async fn turn(&mut self) -> Result<Step, EngineError> {
        self.step().await
    }
}

/// The pushes of an origin, and where what is known of it is published.
struct Published(Pushes, watch::Sender<Facts>);

#[async_trait]
impl Turn for Published {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        let step = self.0.step().await;
        publish(&self.1, self.0.origin(), self.0.facts());
        step
    }
}

#[async_trait]
impl Turn for ToldPushes {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        self.step().await
    }
}

/// What the engine works with.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The time.
    pub clock: SharedClock,
    /// This machine's memory.
    pub store: Store,
    /// The accounts' memory.
    pub journal: Arc<dyn Journal>,
    /// The CDN, by account.
    pub cdns: BTreeMap<AccountName, Arc<dyn Cdn>>,
    /// Where it is counted what happens.
    pub meters: Meters,
    /// Where it is told that the loops go on.
    pub heart: Heart,
}

/// The running daemon, without its doors.
pub struct Engine {
    tasks: JoinSet<(String, Result<(), EngineError>)>,
    stop: CancellationToken,
    facts: watch::Receiver<Facts>,
    recorded: Arc<Notify>,
    dispatchers: Vec<Arc<Notify>>,
    doors: BTreeMap<OriginName, HintSender>,
    gates: BTreeMap<OriginName, Arc<Notify>>,
    pushed: BTreeMap<OriginName, Arc<Notify>>,
    told: watch::Sender<Facts>,
}

impl Engine {
    /// Takes the lead of every account and starts every loop.
    pub async fn start(parts: Parts) -> Result<Self, EngineError> {
        let Parts { config, clock, store, journal, cdns, meters, heart } = parts;
        let (facts, facts_seen) = watch::channel(Facts::default());
        let recorded = Arc::new(Notify::new());
        let accepted: Vec<AccountBoard> = config
            .accounts
            .values()
            .map(|account| AccountBoard::new(account, facts.clone()).metered(meters.clone()))
            .collect();
        let mut engine = Self {
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            facts: facts_seen,
            recorded: recorded.clone(),
            dispatchers: accepted.iter().map(AccountBoard::dispatch).collect(),
            doors: BTreeMap::new(),
            gates: BTreeMap::new(),
            pushed: BTreeMap::new(),
            told: facts.clone(),
        };
        engine.start_heart(heart, store.clone(), clock.clone());
        for pause in journal.pauses().await? {
            let of = pause.of();
            tracing::warn!(since = %pause.since, by = pause.by, "{of} is paused; `refreshd resume` ends that");
        }
        engine.start_gates(&config, &store, &clock, &facts).await?;
        end_pushes_of_others(&config, &store, &clock).await?;
        let mut intakes: Vec<Intake> = Vec::new();
        let mut pushes: Vec<Pushes> = Vec::new();
        let mut trees: BTreeMap<&AccountName, Trees> = BTreeMap::new();
        for origin in config.origins.values() {
            let mapping = Arc::new(origin.mapping.clone());
            if let Some(settings) = pushes::Settings::of(origin) {
                let (store, clock) = (store.clone(), clock.clone());
                let (recorded, stop) = (engine.recorders(&origin.name), engine.stop.clone());
                let of = Pushes::new(settings, mapping.clone(), store, clock, recorded, stop)
                    .metered(meters.clone());
                trees.entry(&origin.account).or_default().add(mapping, of.index());
                pushes.push(of);
                continue;
            }
            let Some(settings) = intake::Settings::of(origin) else {
                continue;
            };
            let intake = Intake::new(
                settings,
                mapping.clone(),
                store.clone(),
                clock.clone(),
                auto::choose(origin.watch),
                engine.recorders(&origin.name),
            )
            .metered(meters.clone());
            trees.entry(&origin.account).or_default().add(mapping, intake.index());
            intakes.push(intake);
        }
        let guards: BTreeMap<OriginName, Guard> =
            config.origins.values().map(|origin| (origin.name.clone(), origin.guard)).collect();
        for (account, board) in config.accounts.values().zip(&accepted) {
            let Some(cdn) = cdns.get(&account.name).cloned() else {
                continue;
            };
            let cdn = Metered::new(cdn, account.clone(), clock.clone(), meters.clone());
            let cdn: Arc<dyn Cdn> = Arc::new(cdn);
            let dispatch = Dispatch::lead(
                account.clone(),
                journal.clone(),
                cdn.clone(),
                clock.clone(),
                board.clone(),
            )
            .await?
            .guarded(guards.clone())
            .prefetching(config.prefetching(&account.name))
            .over(trees.remove(&account.name).unwrap_or_default());
            engine.ask_domains(config.hosts(&account.name), cdn.clone(), board.clone());
            let keys = Keys::new(cdn.clone(), clock.clone(), board.clone());
            let poll =
                Poll::new(account.clone(), journal.clone(), cdn, clock.clone(), board.clone());
            engine.spawn(format!("dispatch {}", account.name), dispatch, board.dispatch(), &clock);
            engine.spawn(format!("poll {}", account.name), poll, board.poll(), &clock);
            engine.spawn(format!("keys {}", account.name), keys, board.key(), &clock);
        }
        let forward =
            Forward::new(store.clone(), journal.clone(), clock.clone(), accepted).metered(meters);
        engine.spawn("forward".to_owned(), forward, recorded.clone(), &clock);
        facts.send_modify(|facts| {
            let unknown = |name: &OriginName| (name.clone(), OriginFacts::default());
            facts.origins.extend(config.origins.keys().map(unknown));
        });
        for of in pushes {
            engine.start_pushes(of, &facts, &clock);
        }
        for intake in intakes {
            if let Some(origin) = config.origins.get(intake.origin()) {
                engine.start_told(origin, store.clone(), intake.door(), &clock);
            }
            engine.start_intake(intake, &facts);
        }
        Ok(engine)
    }

    /// Lets the loops beat, and the database's writer with them.
    fn start_heart(&mut self, heart: Heart, store: Store, clock: SharedClock) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            while !stop.is_cancelled() {
                heart.beat(Part::Loops, clock.boot());
                store.knock();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(heart::EVERY) => {}
                }
            }
            ("heart".to_owned(), Ok(()))
        });
    }

    /// Starts the gate of every origin that has one.
    async fn start_gates(
        &mut self,
        config: &Config,
        store: &Store,
        clock: &SharedClock,
        facts: &watch::Sender<Facts>,
    ) -> Result<(), EngineError> {
        for origin in config.origins.values() {
            let Some(settings) = gate::Settings::of(origin) else {
                continue;
            };
            let (store, facts) = (store.clone(), facts.clone());
            let gates = Gates::new(settings, store, clock.clone(), self.recorded.clone(), facts)?;
            let wake = Arc::new(Notify::new());
            self.gates.insert(origin.name.clone(), wake.clone());
            self.spawn(format!("gate {}", origin.name), gates, wake, clock);
        }
        Ok(gate::let_go_of_others(store, self.gates.keys(), clock.server_now()).await?)
    }

    /// Starts the loop of an origin that a repository holds.
    fn start_pushes(&mut self, of: Pushes, facts: &watch::Sender<Facts>, clock: &SharedClock) {
        let (name, bell) = (of.origin().clone(), of.bell());
        self.doors.insert(name.clone(), of.door());
        self.pushed.insert(name.clone(), bell.clone());
        self.spawn(format!("pushes {name}"), Published(of, facts.clone()), bell, clock);
    }

    /// Starts the loop of the pushes that an origin with a directory is told of.
    fn start_told(&mut self, origin: &Origin, store: Store, door: HintSender, clock: &SharedClock) {
        let bell = Arc::new(Notify::new());
        let told = ToldPushes::new(origin, store, clock.clone(), door, self.facts());
        self.pushed.insert(origin.name.clone(), bell.clone());
        self.spawn(format!("pushes {}", origin.name), told, bell, clock);
    }

    fn start_intake(&mut self, intake: Intake, facts: &watch::Sender<Facts>) {
        let name = intake.origin().clone();
        self.doors.insert(name.clone(), intake.door());
        let (stop, facts) = (self.stop.clone(), facts.clone());
        self.tasks.spawn(async move {
            let publish = |news: OriginFacts| publish(&facts, &name, news);
            let result = intake.run(stop, publish).await;
            (format!("intake {name}"), result.map_err(EngineError::Intake))
        });
    }

    fn spawn<T: Turn>(&mut self, name: String, work: T, wake: Arc<Notify>, clock: &SharedClock) {
        let (stop, clock, told) = (self.stop.clone(), clock.clone(), self.told.clone());
        self.tasks.spawn(async move {
            let result = tokio::select! {
                result = run(&name, work, &wake, &clock, &stop, &told) => result,
                () = stop.cancelled(), if T::MAY_BE_CUT => Ok(()),
            };
            (name, result)
        });
    }

    /// Asks once, beside everything else, whether the hosts are the account's.
    fn ask_domains(
        &mut self,
        hosts: BTreeSet<(OriginName, String)>,
        cdn: Arc<dyn Cdn>,
        board: AccountBoard,
    ) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = domains::ask(&hosts, &*cdn, &board) => stop.cancelled().await,
            }
            ("domains".to_owned(), Ok(()))
        });
    }

    /// Answers questions on a control socket until the end.
    pub fn open_door(&mut self, listener: UnixListener, desk: Desk) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let served = web::serve(listener, desk, stop).await;
            ("door".to_owned(), served.map_err(EngineError::Door))
        });
    }

    /// Has alarms posted.
    pub fn post_notices(&mut self, posters: Vec<Poster>, desk: &Desk) {
        for poster in posters {
            let name = format!("notice {}", poster.name());
            let notices = Notices::new(poster, desk.clone(), self.told.clone());
            self.spawn(name, notices, Arc::new(Notify::new()), &desk.clock);
        }
    }

    /// Takes deliveries of hooks on a listener until the end.
    pub fn open_hooks(&mut self, listener: TcpListener, desk: HookDesk) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let served = web::hooks::serve(listener, desk, stop).await;
            ("hooks".to_owned(), served.map_err(EngineError::Store))
        });
    }

    /// Hears what repositories tell of pushes, and looks once a minute at what they could not tell.
    pub fn hear_announcements(&mut self, listener: UnixListener, announcements: Announcements) {
        let clock = announcements.clock.clone();
        let spools = Spools(announcements.clone());
        self.spawn("spools".to_owned(), spools, Arc::new(Notify::new()), &clock);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let served = web::announce::serve(listener, announcements, stop).await;
            ("hook socket".to_owned(), served.map_err(EngineError::Door))
        });
    }

    /// Returns what is cancelled once the loops are to end.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Returns what the engine knows, as it changes.
    #[must_use]
    pub fn facts(&self) -> watch::Receiver<Facts> {
        self.facts.clone()
    }

    /// Returns the wake-up for the forwarder, to be rung after something was recorded.
    #[must_use]
    pub fn recorded(&self) -> Arc<Notify> {
        self.recorded.clone()
    }

    /// Returns the wake-ups that whoever records something of an origin rings: the forwarder's, and that of
    /// its gate.
    fn recorders(&self, origin: &OriginName) -> Vec<Arc<Notify>> {
        let gate = self.gates.get(origin).cloned();
        [self.recorded.clone()].into_iter().chain(gate).collect()
    }

    /// Returns the wake-up of every gate, to be rung after something of its origin was recorded or let go.
    #[must_use]
    pub fn gates(&self) -> BTreeMap<OriginName, Arc<Notify>> {
        self.gates.clone()
    }

    /// Returns the wake-ups of the dispatchers, to be rung after intents came free.
    #[must_use]
    pub fn dispatchers(&self) -> Vec<Arc<Notify>> {
        self.dispatchers.clone()
    }

    /// Returns the door of every origin.
    #[must_use]
    pub fn doors(&self) -> BTreeMap<OriginName, HintSender> {
        self.doors.clone()
    }

    /// Returns the wake-ups of those who look at the pushes of each origin.
    #[must_use]
    pub fn pushed(&self) -> BTreeMap<OriginName, Arc<Notify>> {
        self.pushed.clone()
    }

    /// Returns when a task has ended though nobody asked it to.
    pub async fn ended(&mut self) -> EngineError {
        match self.tasks.join_next().await {
            Some(Ok((_, Err(error)))) => error,
            Some(Ok((name, Ok(())))) => EngineError::Ended(name),
            Some(Err(panic)) => EngineError::Ended(panic.to_string()),
            None => EngineError::Ended("all".to_owned()),
        }
    }

    /// Lets every loop finish its turn and end. What is not done is durable and goes on at the next
    /// start.
    pub async fn shut_down(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok((name, Err(error))) = ended {
                tracing::error!(task = name, "{error}");
            }
        }
    }
}

/// Ends the pushes that nobody will look at: the configuration has their origin no more.
async fn end_pushes_of_others(
    config: &Config,
    store: &Store,
    clock: &SharedClock,
) -> Result<(), StoreError> {
    let known = config.origins.keys().cloned().collect();
    let ended = store.end_pushes_of_others(known, clock.server_now()).await?;
    if ended > 0 {
        tracing::error!(
            pushes = ended,
            "pushes failed whose origin the configuration has no more; see: refreshd hooks list --open"
        );
    }
    Ok(())
}

/// Publishes what is known of an origin, if it is news.
fn publish(facts: &watch::Sender<Facts>, name: &OriginName, news: OriginFacts) {
    facts.send_if_modified(|facts| {
        if facts.origins.get(name) == Some(&news) {
            return false;
        }
        facts.origins.insert(name.clone(), news);
        facts.ready = facts
            .origins
            .values()
            .all(|origin| matches!(origin.state, OriginState::Watching | OriginState::Polling));
        true
    });
}

/// Takes turns until told to stop; a wake-up is armed before each look, so none is lost.
async fn run(
    name: &str,
    mut work: impl Turn,
    wake: &Notify,
    clock: &SharedClock,
    stop: &CancellationToken,
    told: &watch::Sender<Facts>,
) -> Result<(), EngineError> {
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        let mut woken = std::pin::pin!(wake.notified());
        woken.as_mut().enable();
        let turn = work.turn().await;
        if failures > 0 && turn.is_ok() {
            failures = 0;
            told.send_modify(|facts| drop(facts.failing.remove(name)));
        }
        let rest = match turn {
            Ok(Step::Worked) => continue,
            Ok(Step::Idle { until }) => until
                .map_or(LONGEST_SLEEP, |until| until.since(clock.server_now()))
                .min(LONGEST_SLEEP),
            Err(error) if error.may_pass() => {
                failures = failures.saturating_add(1);
                let (since, why) = (clock.server_now(), error.to_string());
                told.send_modify(|facts| {
                    let failing = facts.failing.entry(name.to_owned());
                    failing.or_insert(FailingFacts { since, why: String::new() }).why = why;
                });
                tracing::error!(task = name, failures, "{error}");
                Duration::from_secs(u64::from(failures.min(30)))
            }
            Err(error) => return Err(error),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = woken => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
    Ok(())
}
