//! `refreshd run`: the daemon and its doors.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::cdn::{Cdn, Client, ClientConfig, ClientError, Keyring, Surroundings};
use crate::clock::SharedClock;
use crate::config::{self, Account, Config, Origin};
use crate::database::{Database, LockError, StateLock};
use crate::domain::ask::{Kind, Target};
use crate::domain::names::{AccountName, OriginName};
use crate::engine::{Engine, EngineError, Parts};
use crate::journal::Journal;
use crate::journal::sqlite::SqliteJournal;
use crate::notice::{self, Poster};
use crate::source::HintSender;
use crate::store::{DATABASE, Store};
use crate::telemetry::heart::Heart;
use crate::telemetry::meters::Meters;
use crate::web::announce::Announcements;
use crate::web::health;
use crate::web::hooks::HookDesk;
use crate::web::{AccountDesk, Desk, GateDesk, OriginDesk, Served};

use super::control::SOCKET;
use super::doctor::who::entry;
use super::{ConfigArg, Exit, Failed, Printer, check, listen};

/// Arguments of `refreshd run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

/// Where repositories tell of pushes, beside the control socket.
const HOOK_SOCKET: &str = "hook.sock";

/// Runs the daemon until SIGTERM or SIGINT.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    crate::telemetry::start(&config.log).map_err(io)?;
    leave_no_core();
    // Signals are caught before anything is opened, so that a quick stop is a clean one.
    let mut terminate = signal(SignalKind::terminate()).map_err(io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io)?;
    // An access key may take a minute to be had.
    let mut daemon = tokio::select! {
        daemon = Daemon::start(config, clock.clone()) => daemon?,
        _ = terminate.recv() => return Ok(Exit::Ok),
        _ = interrupt.recv() => return Ok(Exit::Ok),
    };
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let watchdog = sd_notify::watchdog_enabled();
    let mut ping =
        tokio::time::interval(watchdog.map_or(Duration::from_secs(3600), |every| every / 2));
    let ended = loop {
        tokio::select! {
            error = daemon.engine.ended() => break Some(error),
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = ping.tick() => {
                if watchdog.is_some() && daemon.goes_on(&clock) {
                    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                }
            }
        }
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    daemon.shut_down().await;
    match ended {
        None => {
            tracing::info!("stopped as asked; what was open goes on at the next start");
            Ok(Exit::Ok)
        }
        Some(error) => Err(ended_unasked(&error)),
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
    tracing::error!("{error}");
    Failed::new(Exit::Software, message)
}

/// A running daemon: the engine, its control socket, and the lock that makes it the only one.
pub(super) struct Daemon {
    engine: Engine,
    heart: Heart,
    sockets: [PathBuf; 2],
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
        let cdns = cdns(&config, &clock).await?;
        let database = Database::open(&config.state_dir.join(DATABASE)).map_err(io)?;
        let (meters, heart) = (Meters::default(), Heart::default());
        database.show(clock.clone(), heart.clone(), meters.clone());
        let store = Store::open(database.clone(), clock.random()).await.map_err(io)?;
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(database));
        let socket = socket_path(&config);
        let listener = bind(&socket, control_mode())?;
        let accounts = desks(&config);
        let (hooks, hook_settings) = (listen::hooks(&config), listen::settings(&config.hooks));
        let hooks_listener = listen::listener(&config)?;
        let origins: Vec<Origin> = config.origins.values().cloned().collect();
        let notices = config.notices.clone();
        let state_dir = config.state_dir.clone();
        let mut announcements = announcements(&config, &store, &clock);
        // Before anyone looks at the repositories: what stood between then and now counts, too.
        announcements.empty_spools().await;
        let hook_socket = hook_socket(&config, &socket);
        let mut engine = Engine::start(Parts {
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
        if let Some(listener) = hooks_listener {
            let desk = HookDesk {
                store: store.clone(),
                clock: clock.clone(),
                hooks,
                settings: hook_settings,
                wakes: engine.pushed(),
                meters: meters.clone(),
            };
            engine.open_hooks(listener, desk);
        }
        let desk = Desk {
            store,
            journal,
            facts: engine.facts(),
            clock,
            recorded: engine.recorded(),
            dispatchers: engine.dispatchers(),
            pushed: engine.pushed(),
            origins: origin_desks(&origins, &engine.doors()),
            accounts,
            gates: gate_desks(&origins, engine.gates()),
            state_dir: state_dir.clone(),
            seen: Arc::default(),
            meters,
            heart: heart.clone(),
            stopping: engine.stopping(),
            told: health::Told::default(),
        };
        engine.post_notices(posters(&notices, &desk), &desk);
        engine.open_door(listener, desk);
        if !announcements.repositories.is_empty() {
            announcements.pushed = engine.pushed();
            // Whoever may push may connect: the daemon asks who it is.
            engine.hear_announcements(bind(&hook_socket, 0o666)?, announcements);
        }
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            origins = origins.len(),
            state_dir = %state_dir.display(),
            control = %socket.display(),
            "refreshd started"
        );
        Ok(Self { engine, heart, sockets: [socket, hook_socket], _lock: lock })
    }

    /// Returns whether loops and writer go on: else the service manager is to start the daemon anew.
    fn goes_on(&self, clock: &SharedClock) -> bool {
        let hung = self.heart.hung(clock.boot());
        if !hung.is_empty() {
            tracing::error!(?hung, "the daemon hangs; the watchdog is not told otherwise");
        }
        hung.is_empty()
    }

    /// Returns what the engine knows, as it changes.
    #[must_use]
    pub(super) fn facts(&self) -> tokio::sync::watch::Receiver<crate::domain::facts::Facts> {
        self.engine.facts()
    }

    /// Closes the door, lets every loop finish its turn, and ends.
    pub(super) async fn shut_down(self) {
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
async fn cdns(
    config: &Config,
    clock: &SharedClock,
) -> Result<BTreeMap<AccountName, Arc<dyn Cdn>>, Failed> {
    let mut cdns: BTreeMap<AccountName, Arc<dyn Cdn>> = BTreeMap::new();
    for account in config.accounts.values() {
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
    let client = ClientConfig {
        trusted: account.endpoint_is_trusted.clone(),
        proxy: account.proxy.clone(),
        timeout: account.timeout,
        limits: account.limits,
        ..ClientConfig::new(account.endpoint.clone())
    };
    let (source, around) = (
        account.credentials.clone(),
        Surroundings { proxy: account.proxy.clone(), ..Surroundings::of_process() },
    );
    let keyring = Keyring::new(source, around, clock.clone());
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
    origins: &[Origin],
    doors: &BTreeMap<OriginName, HintSender>,
) -> BTreeMap<OriginName, OriginDesk> {
    let desk = |origin: &Origin| {
        let bases = origin.mapping.bases().iter();
        let bases = bases.map(|base| Target::new(Kind::Directory, base.url().as_str())).collect();
        let (account, door) = (origin.account.clone(), doors.get(&origin.name)?.clone());
        let is_pushed = origin.repository().is_some();
        Some((origin.name.clone(), OriginDesk { account, bases, door, is_pushed }))
    };
    origins.iter().filter_map(desk).collect()
}

/// Returns what the control socket knows of each gate.
fn gate_desks(
    origins: &[Origin],
    gates: BTreeMap<OriginName, Arc<Notify>>,
) -> BTreeMap<OriginName, GateDesk> {
    let echo = |name: &OriginName| {
        let origin = origins.iter().find(|origin| origin.name == *name);
        origin.map_or(Duration::ZERO, |origin| origin.gate.echo)
    };
    let desk = |(name, wake)| {
        let desk = GateDesk { echo: echo(&name), wake };
        (name, desk)
    };
    gates.into_iter().map(desk).collect()
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
