//! This room takes deliveries of hooks over HTTP, on a listener of its own.
//!
//! Enters: connections of anybody. Leaves: deliveries that were proved, each answered only once it is
//! written down, and wake-ups for whom they concern.
//! **Invariant:** nobody's slowness, and no flood of refused requests, keeps a proved delivery out.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc};
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
use super::guests::Guests;
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
    /// Who may deliver.
    pub hooks: Vec<Hook>,
    /// What clients may cost.
    pub settings: Settings,
    /// Wake whoever looks at an origin's pushes.
    pub wakes: BTreeMap<OriginName, Arc<Notify>>,
    /// Where requests are counted.
    pub meters: Meters,
}

/// A hook with the secrets that guard it.
struct Guarded {
    hook: Hook,
    keys: Keys,
}

/// What every request is judged with.
struct Door {
    hooks: BTreeMap<String, Guarded>,
    settings: Settings,
    clock: SharedClock,
    guests: Arc<Guests>,
    room: Arc<Semaphore>,
    letters: mpsc::Sender<Letter>,
    quiet: Arc<Quiet>,
    meters: Meters,
    stop: CancellationToken,
}

impl Door {
    fn hook(&self, path: &str) -> Option<&Guarded> {
        self.hooks.get(path.strip_prefix("/hooks/")?)
    }
}

/// Takes deliveries until told to stop, then answers what was begun. Ends with an error when nothing can
/// be written down any more.
pub async fn serve(
    listener: TcpListener,
    desk: HookDesk,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    let HookDesk { store, clock, hooks, settings, wakes, meters } = desk;
    let (letters, letters_in) = mpsc::channel(QUEUE);
    let quiet = Arc::new(Quiet::new(clock.clone()));
    let guarded = |hook: Hook| {
        let keys = Keys::new();
        keys.of(&hook, clock.boot());
        (hook.name.to_string(), Guarded { hook, keys })
    };
    let door = Arc::new(Door {
        hooks: hooks.into_iter().map(guarded).collect(),
        guests: Guests::new(settings.connections, settings.connections_per_source),
        settings,
        room: Arc::new(Semaphore::new(body::ROOM)),
        letters,
        quiet: quiet.clone(),
        meters,
        stop,
        clock,
    });
    let take = async {
        open(listener, door).await;
        Ok(())
    };
    tokio::try_join!(take, clerk::write_down(store, letters_in, wakes, quiet)).map(|_| ())
}

/// Lets connections in until told to stop, and gives those that are in a farewell.
async fn open(listener: TcpListener, door: Arc<Door>) {
    let stop = door.stop.clone();
    // They end with this: the engine's task is theirs.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    let is_proxy = source::is_in(&door.settings.trusted_proxies, peer);
                    let place = tokio::select! {
                        place = door.guests.enter((!is_proxy).then_some(peer)) => place,
                        () = stop.cancelled() => break,
                    };
                    let (door, stop) = (door.clone(), stop.clone());
                    connections.spawn(connection::serve(stream, peer, door, place, stop));
                }
                Err(error) => rest(&door, &error).await,
            }
        }
    }
    drop((listener, door));
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
    connections.shutdown().await;
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
