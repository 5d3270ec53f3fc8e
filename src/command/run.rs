//! `refreshd run`: the daemon and its doors.

use std::collections::BTreeMap;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Interval;

use crate::cdn::{Cdn, Client, ClientConfig, ClientError, Keyring, Surroundings};
use crate::clock::SharedClock;
use crate::config::{self, Account, Config, Origin};
use crate::database::{Database, LockError, StateLock};
use crate::domain::ask::{Kind, Target};
use crate::domain::names::{AccountName, OriginName};
use crate::engine::{Engine, EngineError, Parts};
use crate::journal::sqlite::SqliteJournal;
use crate::journal::{Journal, JournalError};
use crate::notice::{self, Poster};
use crate::source::HintSender;
use crate::store::{DATABASE, Store, StoreError};
use crate::telemetry::heart::{self, Heart};
use crate::telemetry::meters::Meters;
use crate::telemetry::{Form, Level};
use crate::web::announce::Announcements;
use crate::web::hooks::{Force, HookDesk};
use crate::web::page::{self, PageDesk};
use crate::web::reload::Asked;
use crate::web::{AccountDesk, Desk, Desks, GateDesk, OriginDesk, Served};

use super::control::SOCKET;
use super::doctor::who::entry;
use super::listen::{HandedOver, Listeners};
use super::{ConfigArg, Exit, Failed, Printer, check, listen};

/// Arguments of `refreshd run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

/// How long a beat takes to be made once its turn has come. Our choice.
const TURN: Duration = Duration::from_secs(2);
/// Where repositories tell of pushes, beside the control socket.
const HOOK_SOCKET: &str = "hook.sock";

/// Runs the daemon until SIGTERM or SIGINT.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let (form, level) = crate::telemetry::start(&config.log, clock.clone()).map_err(io)?;
    for risk in check::risks(&config).iter().flat_map(crate::config::Problems::rows) {
        let at = format!("{}:{}", risk.file, risk.line.unwrap_or_default());
        tracing::warn!("risky setting at {at}: {}; {}", risk.message, risk.help);
    }
    leave_no_core();
    // Signals are caught before anything is opened, so that a quick stop is a clean one.
    let mut terminate = signal(SignalKind::terminate()).map_err(io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(io)?;
    // An access key may take a minute to be had.
    let mut daemon = tokio::select! {
        daemon = Daemon::start(config, clock) => match daemon {
            Ok(daemon) => daemon,
            Err(failed) => return told(failed, form),
        },
        _ = terminate.recv() => return Ok(Exit::Ok),
        _ = interrupt.recv() => return Ok(Exit::Ok),
    };
    daemon.level = Some(level);
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let watchdog = sd_notify::watchdog_enabled();
    let mut ping =
        tokio::time::interval(watchdog.map_or(Duration::from_secs(3600), |every| every / 2));
    let ended = loop {
        let asked = tokio::select! {
            error = daemon.engine.ended() => break Some(error),
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = hangup.recv() => None,
            Some(asked) = daemon.asked.recv() => Some(asked),
            _ = ping.tick() => {
                beat(&daemon.heart, &daemon.clock).await;
                continue;
            }
        };
        // systemd wants both in one datagram.
        let since = NotifyState::monotonic_usec_now().ok();
        let reloading: Vec<_> = [NotifyState::Reloading].into_iter().chain(since).collect();
        let _ = sd_notify::notify(&reloading);
        let (heart, clock) = (daemon.heart.clone(), daemon.clock.clone());
        let meant = asked.as_ref().map(|asked| asked.path.as_path());
        let prepared = tokio::select! {
            prepared = beating(&mut ping, &heart, &clock, daemon.prepare(meant)) => prepared,
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
        };
        let renewed = beating(&mut ping, &heart, &clock, daemon.renew(asked, prepared)).await;
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        if let Err(error) = renewed {
            break Some(error);
        }
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    if ended.is_none() {
        tracing::info!(
            event = "stopping",
            "stopping as asked; what is open goes on at the next start"
        );
    }
    daemon.shut_down().await;
    ended.map_or(Ok(Exit::Ok), |error| told(ended_unasked(&error), form))
}

/// Tells of a failure once: where people read along as it is, else as a line of the log.
fn told(failed: Failed, form: Form) -> Result<Exit, Failed> {
    if matches!(form, Form::Text { .. }) {
        return Err(failed);
    }
    let message: Vec<&str> = failed.message.lines().map(str::trim).collect();
    tracing::error!(event = failed.event, exit = failed.exit as u8, "{}", message.join("; "));
    Ok(failed.exit)
}

/// Tells systemd that the daemon lives, if it wants to know and loops and writer go on: else it is to start
/// the daemon anew. After a suspend, through which the time since boot runs, they get their turn first.
async fn beat(heart: &Heart, clock: &SharedClock) {
    let mut hung = heart.hung(clock.boot());
    if !hung.is_empty() {
        tokio::time::sleep(heart::EVERY + TURN).await;
        hung = heart.hung(clock.boot());
    }
    if !hung.is_empty() {
        tracing::error!(?hung, "the daemon hangs; the watchdog is not told otherwise");
    } else if sd_notify::watchdog_enabled().is_some() {
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}

/// Does something that may last, and tells systemd meanwhile that the daemon lives.
async fn beating<T>(
    ping: &mut Interval,
    heart: &Heart,
    clock: &SharedClock,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = work.as_mut() => return done,
            _ = ping.tick() => beat(heart, clock).await,
        }
    }
}

/// Has the kernel keep this process's memory, in which the keys are, to itself: it dumps no core, and
/// nobody but root may trace it.
fn leave_no_core() {
    let nothing = rustix::process::DumpableBehavior::NotDumpable;
    if let Err(error) = rustix::process::set_dumpable_behavior(nothing) {
        tracing::warn!("core dumps can't be forbidden: {error}");
    }
}

fn ended_unasked(error: &EngineError) -> Failed {
    let message = format!(
        "refreshd stopped by itself: {error}\nwhat was recorded is kept and goes on at the next start"
    );
    let failed = Failed::new(Exit::Software, message);
    match error {
        EngineError::Store(StoreError::Database(error))
        | EngineError::Journal(JournalError::Database(error)) => failed.because(error),
        _ => failed,
    }
}

/// A running daemon: the engine, its doors, and the lock that makes it the only one.
pub(super) struct Daemon {
    pub(super) engine: Engine,
    pub(super) clock: SharedClock,
    heart: Heart,
    store: Store,
    sockets: [PathBuf; 2],
    /// What the doors go by; all of it follows the configuration in force.
    desk: watch::Sender<Desk>,
    hooks: watch::Sender<Force>,
    page: watch::Sender<page::Force>,
    announcements: watch::Sender<Announcements>,
    /// Whether repositories are listened to.
    hears: bool,
    /// What systemd handed over.
    handed_over: HandedOver,
    /// Who asks for another configuration.
    asked: mpsc::Receiver<Asked>,
    /// By which more or less is logged, where it is.
    pub(super) level: Option<Level>,
    /// Held until the end.
    _lock: StateLock,
}

impl Daemon {
    /// Opens everything a configuration names, and starts.
    pub(super) async fn start(config: Config, clock: SharedClock) -> Result<Self, Failed> {
        let lock = StateLock::take(&config.state_dir).map_err(|error| {
            let exit = match error {
                LockError::Held { .. } => Exit::Busy,
                LockError::Place(_) => Exit::Io,
            };
            Failed::new(exit, error)
        })?;
        let cdns = cdns(config.accounts.values(), &clock).await?;
        let database = Database::open(&config.state_dir.join(DATABASE))
            .map_err(|error| io(&error).because(&error))?;
        let (meters, heart) = (Meters::default(), Heart::default());
        database.show(clock.clone(), heart.clone(), meters.clone());
        let store = Store::open(database.clone(), clock.random()).await.map_err(io)?;
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(database));
        let socket = socket_path(&config);
        let listener = bind(&socket, control_mode())?;
        let handed_over = HandedOver::of_process();
        let listeners = Listeners::of(&config, None, &handed_over)?;
        let announcements = announcements(&config, &store, &clock);
        // Before anyone looks at the repositories: what stood between then and now counts, too.
        announcements.empty_spools().await;
        let hook_socket = hook_socket(&config, &socket);
        let (origins, state_dir) = (config.origins.len(), config.state_dir.clone());
        let engine = Engine::start(Parts {
            config,
            clock: clock.clone(),
            store: store.clone(),
            journal: journal.clone(),
            cdns,
            meters: meters.clone(),
            heart: heart.clone(),
        })
        .await
        .map_err(io)?;
        let (asks, asked) = mpsc::channel(1);
        let (hooks, page) = listen::closed(engine.config(), &clock);
        let desk = Desk {
            facts: engine.facts(),
            recorded: engine.recorded(),
            state_dir: state_dir.clone(),
            meters: meters.clone(),
            heart: heart.clone(),
            stopping: engine.stopping(),
            reload: asks,
            ..Desk::bare(store.clone(), journal, clock.clone())
        };
        let mut daemon = Self {
            desk: watch::channel(desk).0,
            hooks: watch::channel(hooks).0,
            page: watch::channel(page).0,
            announcements: watch::channel(announcements).0,
            clock,
            heart,
            store,
            engine,
            sockets: [socket, hook_socket],
            hears: false,
            handed_over,
            asked,
            level: None,
            _lock: lock,
        };
        let hook_listener = daemon.bind_hook_socket(daemon.engine.config())?;
        daemon.refit(listeners, hook_listener);
        let (store, clock) = (daemon.store.clone(), daemon.clock.clone());
        let force = daemon.hooks.subscribe();
        daemon.engine.open_hooks(HookDesk { store, clock, force, meters });
        let desks = Desks(daemon.desk.subscribe());
        let page = PageDesk { desks: desks.clone(), force: daemon.page.subscribe() };
        daemon.engine.open_page(page);
        daemon.post_notices().await.map_err(io)?;
        daemon.engine.open_door(listener, desks);
        tracing::info!(
            event = "started",
            version = env!("CARGO_PKG_VERSION"),
            origins,
            state_dir = %state_dir.display(),
            control = %daemon.sockets[0].display(),
            "refreshd started"
        );
        Ok(daemon)
    }

    /// Has alarms posted as the configuration in force has it.
    pub(super) async fn post_notices(&mut self) -> Result<(), EngineError> {
        let posters = posters(&self.engine.config().notices, &self.desk.borrow());
        self.engine.post_notices(posters, &Desks(self.desk.subscribe())).await
    }

    /// Binds the socket where repositories are listened to, if there are any and it isn't yet.
    pub(super) fn bind_hook_socket(&self, config: &Config) -> Result<Option<UnixListener>, Failed> {
        let has_repositories = config.origins.values().any(|origin| origin.repository().is_some());
        // Whoever may push may connect: the daemon asks who it is.
        let bind = || bind(&self.sockets[1], 0o666);
        (has_repositories && !self.hears).then(bind).transpose()
    }

    /// Returns where HTTP is spoken now.
    pub(super) fn listens(&self) -> Listeners {
        let (hooks, page) = (self.hooks.borrow(), self.page.borrow());
        Listeners { hooks: hooks.listener.clone(), page: page.listener.clone() }
    }

    /// Makes the listeners of another configuration: those there are, where they are the same.
    pub(super) fn listeners(&self, config: &Config) -> Result<Listeners, Failed> {
        let now = self.listens();
        Listeners::of(config, Some((self.engine.config(), &now)), &self.handed_over)
    }

    /// Has the doors go by the configuration in force: HTTP is spoken on `listeners`, and repositories are heard
    /// on `hook_socket`, if nobody listens to them yet.
    pub(super) fn refit(&mut self, listeners: Listeners, hook_socket: Option<UnixListener>) {
        let config = self.engine.config();
        self.hooks.send_replace(listen::force(&self.engine, listeners.hooks, &self.clock));
        self.page.send_replace(listen::page_force(&config.web, listeners.page, &self.clock));
        self.desk.send_modify(|desk| {
            desk.dispatchers = self.engine.dispatchers();
            desk.pushed = self.engine.pushed();
            desk.origins = origin_desks(config, &self.engine.doors());
            desk.accounts = desks(config);
            desk.gates = gate_desks(config, self.engine.gates());
        });
        let announcements = announcements(config, &self.store, &self.clock);
        let pushed = self.engine.pushed();
        self.announcements.send_replace(Announcements { pushed, ..announcements });
        if let (Some(level), log) = (&self.level, &config.log) {
            level.set(log.level);
        }
        if let Some(listener) = hook_socket {
            self.hears = true;
            self.engine.hear_announcements(listener, self.announcements.subscribe());
        }
    }

    /// Returns what the engine knows, as it changes.
    #[must_use]
    pub(super) fn facts(&self) -> tokio::sync::watch::Receiver<crate::domain::facts::Facts> {
        self.engine.facts()
    }

    /// Closes the door, lets every loop finish its turn, and ends.
    pub(super) async fn shut_down(mut self) {
        // Who waits for a reload is told that none comes.
        self.asked.close();
        while self.asked.try_recv().is_ok() {}
        // Nobody else is let in.
        self.handed_over = HandedOver::default();
        self.hooks.send_modify(|force| force.listener = None);
        self.page.send_modify(|force| force.listener = None);
        self.engine.shut_down().await;
        for socket in &self.sockets {
            let _ = std::fs::remove_file(socket);
        }
    }
}

fn io(error: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::Io, error)
}

/// Makes the client of every account, with its access key. A key that can't be had ends the start,
/// unless it may be had later.
pub(super) async fn cdns(
    accounts: impl Iterator<Item = &Account>,
    clock: &SharedClock,
) -> Result<BTreeMap<AccountName, Arc<dyn Cdn>>, Failed> {
    let mut cdns: BTreeMap<AccountName, Arc<dyn Cdn>> = BTreeMap::new();
    for account in accounts {
        let client = client(account, clock)?;
        if let (_, Err(error)) = client.begin().await
            && !error.may_pass
        {
            let message = format!("account `{}`: {error}", account.name);
            return Err(Failed::new(Exit::Credentials, message));
        }
        cdns.insert(account.name.clone(), Arc::new(client));
    }
    Ok(cdns)
}

/// Makes the client of an account, without an access key yet.
pub(super) fn client(account: &Account, clock: &SharedClock) -> Result<Client, Failed> {
    client_around(account, Surroundings::of_process(), clock)
}

/// Makes the client of an account that finds its key in these surroundings.
pub(super) fn client_around(
    account: &Account,
    around: Surroundings,
    clock: &SharedClock,
) -> Result<Client, Failed> {
    let client = ClientConfig {
        trusted: account.endpoint_is_trusted.clone(),
        proxy: account.proxy.clone(),
        timeout: account.timeout,
        limits: account.limits,
        ..ClientConfig::new(account.endpoint.clone())
    };
    let around = Surroundings { proxy: account.proxy.clone(), ..around };
    let keyring = Keyring::new(account.credentials.clone(), around, clock.clone());
    Client::new(&client, keyring, clock.clone()).map_err(|error| {
        let exit = match error {
            ClientError::Endpoint { .. } => Exit::Config,
            ClientError::Http(_) => Exit::Io,
        };
        Failed::new(exit, format!("account `{}`: {error}", account.name))
    })
}

/// Makes the client of an account for a command, which has nobody to fetch an access key later.
pub(super) async fn ready_client(account: &Account, clock: &SharedClock) -> Result<Client, Failed> {
    let client = client(account, clock)?;
    client.begin().await.1.map_err(|error| {
        Failed::new(Exit::Credentials, format!("account `{}`: {error}", account.name))
    })?;
    Ok(client)
}

/// Returns what the control socket knows of each account.
pub(super) fn desks(config: &Config) -> BTreeMap<AccountName, AccountDesk> {
    let hosts = |account: &Account| {
        config
            .origins
            .values()
            .filter(|origin| origin.account == account.name)
            .flat_map(|origin| origin.mapping.hosts())
            .map(str::to_owned)
            .collect()
    };
    config
        .accounts
        .values()
        .map(|account| {
            (
                account.name.clone(),
                AccountDesk {
                    quota: account.quota,
                    limits: account.limits,
                    rules: account.rules.clone(),
                    hosts: hosts(account),
                },
            )
        })
        .collect()
}

/// Returns what the control socket knows of each origin.
fn origin_desks(
    config: &Config,
    doors: &BTreeMap<OriginName, HintSender>,
) -> BTreeMap<OriginName, OriginDesk> {
    let desk = |origin: &Origin| {
        let bases = origin.mapping.bases().iter();
        let bases = bases.map(|base| Target::new(Kind::Directory, base.url().as_str())).collect();
        let (account, door) = (origin.account.clone(), doors.get(&origin.name)?.clone());
        let is_pushed = origin.repository().is_some();
        let (mapping, root) =
            (Arc::new(origin.mapping.clone()), origin.root().map(Path::to_path_buf));
        let desk = OriginDesk { account, bases, door, is_pushed, mapping, root };
        Some((origin.name.clone(), desk))
    };
    config.origins.values().filter_map(desk).collect()
}

/// Returns what the control socket knows of each gate.
fn gate_desks(
    config: &Config,
    gates: BTreeMap<OriginName, Arc<Notify>>,
) -> BTreeMap<OriginName, GateDesk> {
    let echo = |name: &OriginName| {
        config.origins.get(name).map_or(Duration::ZERO, |origin| origin.gate.echo)
    };
    gates
        .into_iter()
        .map(|(name, wake)| (name.clone(), GateDesk { echo: echo(&name), wake }))
        .collect()
}

/// Where the control socket is: as configured, else in the directory systemd made for it, else in
/// the state directory.
fn socket_path(config: &Config) -> PathBuf {
    let runtime = || std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    config
        .control_socket
        .clone()
        .unwrap_or_else(|| runtime().unwrap_or_else(|| config.state_dir.clone()).join(SOCKET))
}

/// Where repositories tell of pushes: as configured, else beside the control socket.
fn hook_socket(config: &Config, control: &Path) -> PathBuf {
    let beside = || control.with_file_name(HOOK_SOCKET);
    config.hooks.socket.clone().unwrap_or_else(beside)
}

/// Returns who takes what repositories tell of pushes.
fn announcements(config: &Config, store: &Store, clock: &SharedClock) -> Announcements {
    let mut repositories: BTreeMap<PathBuf, Vec<Served>> = BTreeMap::new();
    for origin in config.origins.values() {
        if let Some(repository) = origin.repository() {
            let served = Served { origin: origin.name.clone(), reference: origin.branch.clone() };
            repositories.entry(repository.path.clone()).or_default().push(served);
        }
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = |user: &String| {
        let field = || entry(&passwd, user)?.get(2)?.parse().ok();
        let uid = user.parse().ok().or_else(field);
        if uid.is_none() {
            tracing::error!(user, "`users` in [hooks] names nobody that /etc/passwd knows");
        }
        uid
    };
    Announcements {
        store: store.clone(),
        clock: clock.clone(),
        repositories,
        users: config.hooks.users.iter().filter_map(uid).collect(),
        pushed: BTreeMap::new(),
    }
}

/// Returns who posts to each receiver.
fn posters(notices: &BTreeMap<String, config::Notice>, desk: &Desk) -> Vec<Poster> {
    let poster = |notice: &config::Notice| {
        let settings = notice::Settings {
            name: notice.name.clone(),
            receiver: notice.receiver,
            url_file: notice.url_file.clone(),
            secret_file: notice.secret_file.clone(),
            alarms: notice.alarms.clone(),
            language: notice.language,
        };
        Poster::new(settings, desk.store.clone(), desk.clock.clone(), desk.meters.clone())
    };
    notices.values().map(poster).collect()
}

/// In the state directory the control socket is for its owner alone, elsewhere for its group too.
fn control_mode() -> u32 {
    if std::env::var_os("RUNTIME_DIRECTORY").is_some() { 0o660 } else { 0o600 }
}

/// Binds a socket in place of one that a dead daemon left; the state lock is held, so none lives.
fn bind(socket: &Path, mode: u32) -> Result<UnixListener, Failed> {
    let problem = |error: std::io::Error| {
        let message = format!(
            "the socket {} could not be made: {error}\ncheck that its directory exists and is writable, or set `control_socket`, or `socket` in [hooks]",
            socket.display()
        );
        Failed::new(Exit::Io, message)
    };
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(problem(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(problem)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode)).map_err(problem)?;
    Ok(listener)
}
