//! This room runs the daemon: the only one that spawns its tasks.
//!
//! Enters: a configuration and its collaborators. Leaves: work done, and [`Facts`] for whoever asks.
//! **Invariant:** every task is born in [`Crew`], named, and belongs to a part of the daemon; one that ends
//! unasked stops the process, and the service manager starts it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};

use tokio::net::UnixListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::cdn::Cdn;
use crate::clock::SharedClock;
use crate::config::{Account, Config, Origin};
use crate::domain::facts::{Facts, OriginFacts, OriginState};
use crate::domain::guard::Guard;
use crate::domain::index::Index;
use crate::domain::mapping::Mapping;
use crate::domain::names::{AccountName, OriginName};
use crate::journal::{Journal, JournalError};
use crate::notice::Poster;
use crate::probe::server::ServerError;
use crate::source::HintSender;
use crate::source::watch::auto;
use crate::store::{Store, StoreError};
use crate::telemetry::heart::{self, Heart};
use crate::telemetry::meters::Meters;
use crate::web::announce::Announcements;
use crate::web::hooks::HookDesk;
use crate::web::page::PageDesk;
use crate::web::{self, Desks};

pub mod account;
mod apply;
pub mod backoff;
pub mod census;
mod crew;
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
mod remap;
pub mod step;
mod turn;
mod wishes;

pub use apply::{Applied, ApplyError, Fresh};
pub use remap::Remapped;

use account::AccountBoard;
use census::Trees;
use crew::{Crew, Part};
use forward::Forward;
use gate::Gates;
use intake::{Intake, IntakeError};
use keys::Keys;
use metered::Metered;
use notices::Notices;
use poll::Poll;
use pushes::Pushes;
use pushes::told::ToldPushes;
use turn::{Candidate, Leader, Published, Spools, Turn, run};

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

/// What others need to know of an origin that runs.
struct Place {
    mapping: Arc<Mapping>,
    index: Arc<RwLock<Index>>,
    door: HintSender,
    /// Whether a repository holds its files.
    is_pushed: bool,
    /// Wakes its gate.
    gate: Option<Arc<Notify>>,
    /// Wakes who looks at its pushes.
    pushed: Arc<Notify>,
}

/// The running daemon, without its doors.
pub struct Engine {
    crew: Crew,
    /// What is in force.
    config: Config,
    clock: SharedClock,
    store: Store,
    journal: Arc<dyn Journal>,
    cdns: BTreeMap<AccountName, Arc<dyn Cdn>>,
    meters: Meters,
    facts: watch::Sender<Facts>,
    recorded: Arc<Notify>,
    boards: watch::Sender<BTreeMap<AccountName, AccountBoard>>,
    places: BTreeMap<OriginName, Place>,
}

impl Engine {
    /// Starts every loop.
    pub async fn start(parts: Parts) -> Result<Self, EngineError> {
        let Parts { config, clock, store, journal, cdns, meters, heart } = parts;
        let facts = watch::channel(Facts::default()).0;
        let mut engine = Self {
            crew: Crew::new(clock.clone(), facts.clone(), heart.clone()),
            config,
            clock: clock.clone(),
            store: store.clone(),
            journal: journal.clone(),
            cdns: BTreeMap::new(),
            meters: meters.clone(),
            facts,
            recorded: Arc::default(),
            boards: watch::channel(BTreeMap::new()).0,
            places: BTreeMap::new(),
        };
        engine.start_heart(heart);
        for pause in journal.pauses().await? {
            let of = pause.of();
            tracing::warn!(since = %pause.since, by = pause.by, "{of} is paused; `refreshd resume` ends that");
        }
        let config = engine.config.clone();
        let mut gates = engine.make_gates(config.origins.values())?;
        engine.forget_others().await?;
        engine.take_in(config.accounts.values(), &cdns);
        engine.facts.send_modify(|facts| {
            let unknown = |name: &OriginName| (name.clone(), OriginFacts::default());
            facts.origins.extend(config.origins.keys().map(unknown));
        });
        for origin in config.origins.values() {
            engine.start_origin(origin, gates.remove(&origin.name), None);
        }
        for account in config.accounts.values() {
            engine.start_account(account);
            engine.start_dispatch(account);
        }
        let boards = engine.boards.subscribe();
        let forward = Forward::new(store, journal, clock, boards).metered(meters);
        engine.crew.loops(Part::House, "forward".to_owned(), forward, engine.recorded.clone());
        Ok(engine)
    }

    /// Gives accounts their boards and their way to the CDN.
    fn take_in<'a>(
        &mut self,
        accounts: impl Iterator<Item = &'a Account>,
        cdns: &BTreeMap<AccountName, Arc<dyn Cdn>>,
    ) {
        let mut boards = self.boards.borrow().clone();
        for account in accounts {
            let Some(cdn) = cdns.get(&account.name).cloned() else { continue };
            let (clock, meters) = (self.clock.clone(), self.meters.clone());
            let cdn = Metered::new(cdn, account.clone(), clock, meters.clone());
            self.cdns.insert(account.name.clone(), Arc::new(cdn));
            let board = AccountBoard::new(account, self.facts.clone()).metered(meters);
            boards.insert(account.name.clone(), board);
        }
        self.boards.send_replace(boards);
    }

    /// Lets the loops beat, and the database's writer with them.
    fn start_heart(&mut self, heart: Heart) {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        self.crew.task(Part::House, "heart".to_owned(), |stop| async move {
            while !stop.is_cancelled() {
                heart.beat(heart::Part::Loops, clock.boot());
                store.knock();
                crate::telemetry::catch_up();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(heart::EVERY) => {}
                }
            }
            Ok(())
        });
    }

    /// Makes the gates of origins that have one; they do nothing yet.
    fn make_gates<'o>(
        &self,
        origins: impl Iterator<Item = &'o Origin>,
    ) -> Result<BTreeMap<OriginName, Gates>, ServerError> {
        let settings = origins.filter_map(gate::Settings::of);
        let gates = settings.map(|settings| {
            let (store, clock) = (self.store.clone(), self.clock.clone());
            let (recorded, facts) = (self.recorded.clone(), self.facts.clone());
            let name = settings.origin.clone();
            Ok((name, Gates::new(settings, store, clock, recorded, facts)?))
        });
        gates.collect()
    }

    /// Starts the loops of an origin, behind the door of who looked after it before.
    fn start_origin(&mut self, origin: &Origin, gates: Option<Gates>, before: Option<&Place>) {
        let (name, part) = (origin.name.clone(), Part::Origin(origin.name.clone()));
        let gate = gates.map(|gates| {
            let wake: Arc<Notify> = Arc::default();
            self.crew.loops(part.clone(), format!("gate {name}"), gates, wake.clone());
            wake
        });
        let recorded: Vec<_> = [self.recorded.clone()].into_iter().chain(gate.clone()).collect();
        let mapping = Arc::new(origin.mapping.clone());
        let (store, clock) = (self.store.clone(), self.clock.clone());
        if let Some(settings) = pushes::Settings::of(origin) {
            let stop = self.crew.stop_of(&part);
            let of = Pushes::new(settings, mapping.clone(), store, clock, recorded, stop);
            let of = of.metered(self.meters.clone());
            let of = match before.filter(|before| before.is_pushed) {
                Some(before) => of.behind(before.door.clone(), before.index.clone()),
                None => of,
            };
            let (index, door, pushed) = (of.index(), of.door(), of.bell());
            let place =
                Place { mapping, index, door, is_pushed: true, gate, pushed: pushed.clone() };
            self.places.insert(name.clone(), place);
            let published = Published(of, self.facts.clone());
            self.crew.loops(part, format!("pushes {name}"), published, pushed);
            return;
        }
        let Some(settings) = intake::Settings::of(origin) else {
            return;
        };
        let backend = auto::choose(origin.watch);
        let intake =
            Intake::new(settings, mapping.clone(), store.clone(), clock.clone(), backend, recorded);
        let intake = intake.metered(self.meters.clone());
        let intake = match before.filter(|before| !before.is_pushed) {
            Some(before) => intake.behind(before.door.clone(), before.index.clone()),
            None => intake,
        };
        let (index, door, pushed) = (intake.index(), intake.door(), Arc::<Notify>::default());
        let told = ToldPushes::new(origin, store, clock, door.clone(), self.facts());
        self.crew.loops(part.clone(), format!("pushes {name}"), told, pushed.clone());
        self.places
            .insert(name.clone(), Place { mapping, index, door, is_pushed: false, gate, pushed });
        let facts = self.facts.clone();
        self.crew.task(part, format!("intake {name}"), |stop| async move {
            let publish = |news: OriginFacts| publish(&facts, &name, news);
            intake.run(stop, publish).await.map_err(EngineError::Intake)
        });
    }

    /// Starts what an account has whatever it serves: who follows its jobs and keeps its key fresh.
    fn start_account(&mut self, account: &Account) {
        let (name, part) = (&account.name, Part::Account(account.name.clone()));
        let (Some(board), Some(cdn)) = (self.board(name), self.cdns.get(name).cloned()) else {
            return;
        };
        let (journal, clock) = (self.journal.clone(), self.clock.clone());
        let keys = Keys::new(cdn.clone(), clock.clone(), board.clone());
        let poll = Poll::new(account.clone(), journal, cdn, clock, board.clone());
        self.crew.loops(part.clone(), format!("poll {name}"), poll, board.poll());
        self.crew.loops(part, format!("keys {name}"), keys, board.key());
    }

    /// Starts what depends on the origins that an account serves: who plans and submits, and one look at
    /// whose its domains are.
    fn start_dispatch(&mut self, account: &Account) {
        let (name, part) = (&account.name, Part::Dispatch(account.name.clone()));
        let (Some(board), Some(cdn)) = (self.board(name), self.cdns.get(name).cloned()) else {
            return;
        };
        let mut trees = Trees::default();
        let origins = self.config.origins.values();
        for origin in origins.clone().filter(|origin| origin.account == *name) {
            if let Some(place) = self.places.get(&origin.name) {
                trees.add(place.mapping.clone(), place.index.clone());
            }
        }
        let guards: BTreeMap<OriginName, Guard> =
            origins.map(|origin| (origin.name.clone(), origin.guard)).collect();
        let candidate = Candidate {
            account: account.clone(),
            journal: self.journal.clone(),
            cdn: cdn.clone(),
            clock: self.clock.clone(),
            board: board.clone(),
            guards,
            prefetching: self.config.prefetching(name),
            trees,
        };
        let leader = Leader::Candidate(Box::new(candidate));
        self.crew.loops(part.clone(), format!("dispatch {name}"), leader, board.dispatch());
        let hosts = self.config.hosts(name);
        self.crew.task(part, format!("domains {name}"), |stop| async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = domains::ask(&hosts, &*cdn, &board) => stop.cancelled().await,
            }
            Ok(())
        });
    }

    /// Lets go what waits at gates that the configuration knows no more, and ends pushes that nobody will look
    /// at.
    async fn forget_others(&self) -> Result<(), EngineError> {
        let (config, now) = (&self.config, self.clock.server_now());
        let gated = config.origins.values().filter(|origin| origin.gate.is_there());
        gate::let_go_of_others(&self.store, gated.map(|origin| &origin.name), now).await?;
        let known: BTreeSet<OriginName> = config.origins.keys().cloned().collect();
        let ended = self.store.end_pushes_of_others(known, now).await?;
        if ended > 0 {
            tracing::error!(
                pushes = ended,
                "pushes failed whose origin the configuration has no more; see: refreshd hooks list --open"
            );
        }
        Ok(())
    }

    fn board(&self, account: &AccountName) -> Option<AccountBoard> {
        self.boards.borrow().get(account).cloned()
    }

    /// Answers questions on a control socket until the end.
    pub fn open_door(&mut self, listener: UnixListener, desks: Desks) {
        self.crew.task(Part::House, "door".to_owned(), |stop| async move {
            web::serve(listener, desks, stop).await.map_err(EngineError::Door)
        });
    }

    /// Has alarms posted by these, and by nobody who did before.
    pub async fn post_notices(
        &mut self,
        posters: Vec<Poster>,
        desks: &Desks,
    ) -> Result<(), EngineError> {
        self.crew.stop(&self.crew.notices()).await?;
        self.facts.send_modify(|facts| facts.notices.clear());
        for poster in posters {
            let name = poster.name().to_owned();
            let notices = Notices::new(poster, desks.clone(), self.facts.clone());
            let part = Part::Notice(name.clone());
            self.crew.loops(part, format!("notice {name}"), notices, Arc::default());
        }
        Ok(())
    }

    /// Takes deliveries of hooks until the end, on whichever listener there is.
    pub fn open_hooks(&mut self, desk: HookDesk) {
        self.crew.task(Part::House, "hooks".to_owned(), |stop| async move {
            web::hooks::serve(desk, stop).await.map_err(EngineError::Store)
        });
    }

    /// Serves the page until the end, on whichever listener there is.
    pub fn open_page(&mut self, page: PageDesk) {
        self.crew.task(Part::House, "page".to_owned(), |stop| async move {
            web::page::serve(page, stop).await;
            Ok(())
        });
    }

    /// Hears what repositories tell of pushes, and looks once a minute at what they could not tell.
    pub fn hear_announcements(
        &mut self,
        listener: UnixListener,
        announcements: watch::Receiver<Announcements>,
    ) {
        let spools = Spools(announcements.clone());
        self.crew.loops(Part::House, "spools".to_owned(), spools, Arc::default());
        self.crew.task(Part::House, "hook socket".to_owned(), |stop| async move {
            web::announce::serve(listener, announcements, stop).await.map_err(EngineError::Door)
        });
    }

    /// Returns what is cancelled once the daemon stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.crew.stopping()
    }

    /// Returns what the engine knows, as it changes.
    #[must_use]
    pub fn facts(&self) -> watch::Receiver<Facts> {
        self.facts.subscribe()
    }

    /// Returns where facts are published that the engine doesn't find out itself.
    #[must_use]
    pub fn publisher(&self) -> watch::Sender<Facts> {
        self.facts.clone()
    }

    /// Returns what is in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the wake-up for the forwarder, to be rung after something was recorded.
    #[must_use]
    pub fn recorded(&self) -> Arc<Notify> {
        self.recorded.clone()
    }

    /// Returns the wake-up of every gate, to be rung after something of its origin was recorded or let go.
    #[must_use]
    pub fn gates(&self) -> BTreeMap<OriginName, Arc<Notify>> {
        let gate = |(name, place): (&OriginName, &Place)| Some((name.clone(), place.gate.clone()?));
        self.places.iter().filter_map(gate).collect()
    }

    /// Returns the wake-ups of the dispatchers, to be rung after intents came free.
    #[must_use]
    pub fn dispatchers(&self) -> Vec<Arc<Notify>> {
        self.boards.borrow().values().map(AccountBoard::dispatch).collect()
    }

    /// Returns the door of every origin.
    #[must_use]
    pub fn doors(&self) -> BTreeMap<OriginName, HintSender> {
        let door = |(name, place): (&OriginName, &Place)| (name.clone(), place.door.clone());
        self.places.iter().map(door).collect()
    }

    /// Returns the wake-ups of those who look at the pushes of each origin.
    #[must_use]
    pub fn pushed(&self) -> BTreeMap<OriginName, Arc<Notify>> {
        let pushed = |(name, place): (&OriginName, &Place)| (name.clone(), place.pushed.clone());
        self.places.iter().map(pushed).collect()
    }

    /// Returns when a task has ended though nobody asked it to.
    pub async fn ended(&mut self) -> EngineError {
        self.crew.ended().await
    }

    /// Lets every loop finish its turn and end. What is not done is durable and goes on at the next
    /// start.
    pub async fn shut_down(self) {
        self.crew.shut_down().await;
    }
}

/// Returns whether every origin is watched or polled.
fn is_ready(facts: &Facts) -> bool {
    let mut origins = facts.origins.values();
    origins.all(|origin| matches!(origin.state, OriginState::Watching | OriginState::Polling))
}

/// Publishes what is known of an origin, if it is news.
fn publish(facts: &watch::Sender<Facts>, name: &OriginName, news: OriginFacts) {
    facts.send_if_modified(|facts| {
        if facts.origins.get(name) == Some(&news) {
            return false;
        }
        facts.origins.insert(name.clone(), news);
        facts.ready = is_ready(facts);
        true
    });
}
