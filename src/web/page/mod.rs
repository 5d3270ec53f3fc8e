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
    /// Who may read and change what now.
    pub settings: watch::Receiver<Settings>,
    /// The time.
    pub clock: SharedClock,
}

/// What every request is judged with.
struct Door {
    router: Router,
    tokens: Tokens,
    settings: watch::Receiver<Settings>,
    clock: SharedClock,
    stop: CancellationToken,
}

/// Serves the page until told to stop, then finishes what was begun.
pub async fn serve(listener: TcpListener, page: PageDesk, stop: CancellationToken) {
    let PageDesk { desks, settings, clock } = page;
    let router = assets::routes().nest("/api/v1", api::router()).with_state(desks.clone());
    let router = router.merge(metrics::routes(desks));
    let tokens = Tokens::new();
    // What is wrong with a file is said at the start, not when somebody needs it.
    tokens.of(&settings.borrow(), clock.boot());
    open(listener, Arc::new(Door { router, tokens, settings, clock, stop })).await;
}

/// Lets connections in until told to stop, and gives those that are in a farewell.
async fn open(listener: TcpListener, door: Arc<Door>) {
    let stop = door.stop.clone();
    let guests = Guests::new();
    guests.hold_to(CONNECTIONS, CONNECTIONS_PER_SOURCE);
    // They end with this: the engine's task is theirs.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
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
    drop((listener, door));
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
