//! This room takes deliveries of hooks over HTTP, on a listener of its own.
//!
//! Enters: connections of anybody. Leaves: deliveries that were proved, each answered only once it is
//! written down, and wake-ups for whom they concern.
//! **Invariant:** nobody's slowness, and no flood of refused requests, keeps a proved delivery out.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod answer;
mod body;
mod clerk;
mod connection;
mod quiet;
mod secrets;
mod source;

use self::clerk::Letter;
use self::quiet::Quiet;
use self::secrets::Keys;
use super::guests::{Guests, Place};
use super::{FAREWELL, Served};
use crate::clock::SharedClock;
use crate::domain::hook::{Network, Provider};
use crate::domain::names::{HookName, OriginName};
use crate::store::{Store, StoreError};
use crate::telemetry::meters::Meters;

/// Deliveries that wait for the clerk before their requests wait too.
const QUEUE: usize = 256;
/// How long nobody is let in after a connection could not be taken, for want of descriptors.
const BREATH: Duration = Duration::from_secs(1);

/// Who may tell of pushes, at `/hooks/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: HookName,
    /// Whose deliveries it takes.
    pub provider: Provider,
    /// Files that hold a secret each.
    pub secret_files: Vec<PathBuf>,
    /// The origins that its pushes may concern.
    pub origins: Vec<Served>,
    /// From where; anywhere when empty.
    pub sources: Vec<Network>,
}

/// What clients may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a body may be, in bytes.
    pub body_bytes: usize,
    /// How long a client may take for its headers.
    pub header_timeout: Duration,
    /// How long it may take for its body.
    pub body_timeout: Duration,
    /// How long a connection is kept while nothing comes.
    pub idle_timeout: Duration,
    /// How many connections there are at once.
    pub connections: usize,
    /// How many of them one address has, unless it is a trusted proxy.
    pub connections_per_source: usize,
    /// Who is believed when it says for whom it asks.
    pub trusted_proxies: Vec<Network>,
}

/// All that deliveries are taken with.
pub struct HookDesk {
    /// Where deliveries are written down.
    pub store: Store,
    /// The time.
    pub clock: SharedClock,
    /// What is in force.
    pub force: watch::Receiver<Force>,
    /// Where requests are counted.
    pub meters: Meters,
}

/// Where and how deliveries are taken, as the configuration in force has it.
#[derive(Clone)]
pub struct Force {
    /// Where; nowhere without one. It closes once another takes its place.
    pub listener: Option<Arc<TcpListener>>,
    /// How.
    pub terms: Arc<Terms>,
}

/// How deliveries are taken. A request goes by those that were in force when it came.
pub struct Terms {
    hooks: BTreeMap<String, Arc<Guarded>>,
    settings: Settings,
    /// Wake whoever looks at an origin's pushes.
    wakes: BTreeMap<OriginName, Arc<Notify>>,
}

impl Terms {
    /// Makes the terms, and reads the secrets of the hooks.
    #[must_use]
    pub fn new(
        hooks: Vec<Hook>,
        settings: Settings,
        wakes: BTreeMap<OriginName, Arc<Notify>>,
        clock: &SharedClock,
    ) -> Self {
        let guarded = |hook: Hook| {
            let keys = Keys::new();
            keys.of(&hook, clock.boot());
            (hook.name.to_string(), Arc::new(Guarded { hook, keys }))
        };
        Self { hooks: hooks.into_iter().map(guarded).collect(), settings, wakes }
    }

    fn hook(&self, path: &str) -> Option<Arc<Guarded>> {
        self.hooks.get(path.strip_prefix("/hooks/")?).cloned()
    }
}

/// A hook with the secrets that guard it.
struct Guarded {
    hook: Hook,
    keys: Keys,
}

/// What every request is judged with.
struct Door {
    force: watch::Receiver<Force>,
    clock: SharedClock,
    guests: Arc<Guests>,
    room: Arc<Semaphore>,
    letters: mpsc::Sender<Letter>,
    quiet: Arc<Quiet>,
    meters: Meters,
    stop: CancellationToken,
}

impl Door {
    /// Returns what is in force now.
    fn terms(&self) -> Arc<Terms> {
        self.force.borrow().terms.clone()
    }
}

/// Takes deliveries until told to stop, then answers what was begun. Ends with an error when nothing can
/// be written down any more.
pub async fn serve(desk: HookDesk, stop: CancellationToken) -> Result<(), StoreError> {
    let HookDesk { store, clock, force, meters } = desk;
    let (letters, letters_in) = mpsc::channel(QUEUE);
    let quiet = Arc::new(Quiet::new(clock.clone()));
    let door = Arc::new(Door {
        force: force.clone(),
        guests: Guests::new(),
        room: Arc::new(Semaphore::new(body::ROOM)),
        letters,
        quiet: quiet.clone(),
        meters,
        stop,
        clock,
    });
    let take = async {
        open(door).await;
        Ok(())
    };
    tokio::try_join!(take, clerk::write_down(store, letters_in, force, quiet)).map(|_| ())
}

/// Lets connections in until told to stop, and gives those that are in a farewell. Where another listener
/// takes the place of this one, who is in stays.
async fn open(door: Arc<Door>) {
    let (stop, mut force) = (door.stop.clone(), door.force.clone());
    // They end with this: the engine's task is theirs.
    let mut connections = JoinSet::new();
    while !stop.is_cancelled() {
        let Force { listener, terms } = force.borrow_and_update().clone();
        hold_to(&door, &terms);
        let comes = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Ok(()) = force.changed() => {}
            Some(_) = connections.join_next() => {}
            accepted = comes => match accepted {
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    let is_proxy = source::is_in(&terms.settings.trusted_proxies, peer);
                    let place = tokio::select! {
                        place = enter(&door, (!is_proxy).then_some(peer), &mut force) => place,
                        () = stop.cancelled() => break,
                    };
                    let (door, stop) = (door.clone(), stop.clone());
                    connections.spawn(connection::serve(stream, peer, door, place, stop));
                }
                Err(error) => rest(&door, &error).await,
            }
        }
    }
    drop(door);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
    connections.shutdown().await;
}

fn hold_to(door: &Door, terms: &Terms) {
    door.guests.hold_to(terms.settings.connections, terms.settings.connections_per_source);
}

/// Lets a connection in, as soon as there is a place for it by then.
async fn enter(door: &Door, source: Option<IpAddr>, force: &mut watch::Receiver<Force>) -> Place {
    let mut place = pin!(door.guests.enter(source));
    loop {
        tokio::select! {
            place = place.as_mut() => return place,
            Ok(()) = force.changed() => hold_to(door, &door.terms()),
        }
    }
}

/// A client that went before it was let in is nothing; without a descriptor there is nothing to be done.
async fn rest(door: &Door, error: &io::Error) {
    let is_clients = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    if is_clients.contains(&error.kind()) {
        return;
    }
    if let Some(silent) = door.quiet.may_speak("", "accept") {
        tracing::error!(silent, "a connection to the hooks could not be taken: {error}");
    }
    tokio::time::sleep(BREATH).await;
}
