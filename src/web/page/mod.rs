//! The page's listener: the page itself, and the same answers as on the control socket, over HTTP.
//!
//! Enters: connections of anybody. Leaves: answers; what changes something needs a token.
//! **Invariant:** nothing is answered that was asked under a name that is not ours, and nothing is changed
//! without a token.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod answer;
mod assets;
mod connection;
mod host;
mod tokens;

use self::tokens::Tokens;
use super::guests::Guests;
use super::{Desks, FAREWELL, api, metrics};
use crate::clock::SharedClock;

/// How many connections there are at once, those of listeners to events among them; of too many the one
/// goes that has been longest without asking. The page works without events.
const CONNECTIONS: usize = 64;
/// How many of them another machine has. This machine's own may be a web server's in front of the page.
const CONNECTIONS_PER_SOURCE: usize = 16;
/// How long nobody is let in after a connection could not be taken, for want of descriptors.
const BREATH: Duration = Duration::from_secs(1);

/// Who may read and change what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Files that hold a token each: whoever sends one may change things, under the file's name.
    pub token_files: Vec<PathBuf>,
    /// Whether reading needs a token, too.
    pub is_private: bool,
    /// Names under which it may be asked besides its address and `localhost`.
    pub hosts: Vec<String>,
}

/// All that the page is served with.
pub struct PageDesk {
    /// What answers are made from.
    pub desks: Desks,
    /// What is in force.
    pub force: watch::Receiver<Force>,
}

/// Where and to whom the page is served, as the configuration in force has it.
#[derive(Clone)]
pub struct Force {
    /// Where; nowhere without one. It closes once another takes its place.
    pub listener: Option<Arc<TcpListener>>,
    /// To whom.
    pub terms: Arc<Terms>,
}

/// To whom the page is served. A request goes by the terms that were in force when it came.
pub struct Terms {
    tokens: Tokens,
    settings: Settings,
}

impl Terms {
    /// Makes the terms, and reads the tokens: what is wrong with a file is said at once, not when somebody
    /// needs it.
    #[must_use]
    pub fn new(settings: Settings, clock: &SharedClock) -> Self {
        let tokens = Tokens::new();
        tokens.of(&settings, clock.boot());
        Self { tokens, settings }
    }
}

/// What every request is judged with.
struct Door {
    router: Router,
    force: watch::Receiver<Force>,
    clock: SharedClock,
    stop: CancellationToken,
}

impl Door {
    /// Returns what is in force now.
    fn terms(&self) -> Arc<Terms> {
        self.force.borrow().terms.clone()
    }
}

/// Serves the page until told to stop, then finishes what was begun.
pub async fn serve(page: PageDesk, stop: CancellationToken) {
    let PageDesk { desks, force } = page;
    let clock = desks.0.borrow().clock.clone();
    let router = assets::routes().nest("/api/v1", api::router()).with_state(desks.clone());
    let router = router.merge(metrics::routes(desks));
    open(Arc::new(Door { router, force, clock, stop })).await;
}

/// Lets connections in until told to stop, and gives those that are in a farewell. Where another listener
/// takes the place of this one, who is in stays.
async fn open(door: Arc<Door>) {
    let (stop, mut force) = (door.stop.clone(), door.force.clone());
    let guests = Guests::new();
    guests.hold_to(CONNECTIONS, CONNECTIONS_PER_SOURCE);
    // They end with this: the engine's task is theirs.
    let mut connections = JoinSet::new();
    while !stop.is_cancelled() {
        let listener = force.borrow_and_update().listener.clone();
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
                    let source = peer.ip().to_canonical();
                    let place = tokio::select! {
                        place = guests.enter((!source.is_loopback()).then_some(source)) => place,
                        () = stop.cancelled() => break,
                    };
                    connections.spawn(connection::serve(stream, door.clone(), place));
                }
                Err(error) => rest(&error).await,
            }
        }
    }
    drop(door);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
    connections.shutdown().await;
}

/// A client that went before it was let in is nothing; without a descriptor there is nothing to be done.
async fn rest(error: &io::Error) {
    let is_clients = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    if !is_clients.contains(&error.kind()) {
        tracing::error!("a connection to the page could not be taken: {error}");
        tokio::time::sleep(BREATH).await;
    }
}
