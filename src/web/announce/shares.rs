//! The connections of a socket that every local user may open: each user has a share of them.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

use crate::web::who::Peer;

/// The most connections of one user at once: a push opens one, for a moment.
const MOST: usize = 16;

type Counts = Arc<Mutex<BTreeMap<Option<u32>, usize>>>;

/// A listener that closes what a user opens beyond its share. Whoever is shown out so leaves its
/// announcement in the spool.
pub(super) struct Shares {
    listener: UnixListener,
    counts: Counts,
}

impl Shares {
    pub(super) fn new(listener: UnixListener) -> Self {
        Self { listener, counts: Counts::default() }
    }
}

impl Listener for Shares {
    type Io = Shared;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Shared, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let peer = Peer::of(&stream);
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(peer.uid()).or_default();
            if *count < MOST {
                *count += 1;
                drop(counts);
                return (Shared { stream, peer, counts: self.counts.clone() }, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection within its user's share.
pub(super) struct Shared {
    stream: UnixStream,
    peer: Peer,
    counts: Counts,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.peer.uid()) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer.uid());
            }
        }
    }
}

impl Connected<IncomingStream<'_, Shares>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Shares>) -> Self {
        stream.io().peer
    }
}

impl AsyncRead for Shared {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Shared {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_user_has_a_share_of_connections_and_gets_back_what_it_closes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hook.sock");
        let mut shares = Shares::new(UnixListener::bind(&path).expect("a socket"));
        let (mut clients, mut served) = (Vec::new(), Vec::new());
        for _ in 0..MOST {
            clients.push(UnixStream::connect(&path).await.expect("connected"));
            served.push(shares.accept().await.0);
        }
        let mut beyond = UnixStream::connect(&path).await.expect("connected");
        let later = UnixStream::connect(&path).await.expect("connected");
        let end = async { beyond.read(&mut [0]).await.expect("closed") };
        tokio::select! {
            _ = shares.accept() => panic!("one too many"),
            read = end => assert_eq!(read, 0),
        }
        served.pop();
        clients.push(UnixStream::connect(&path).await.expect("connected"));
        served.push(shares.accept().await.0);
        assert_eq!(served.len(), MOST);
        drop(later);
        served.clear();
        assert!(shares.counts.lock().expect("counts").is_empty());
    }
}
