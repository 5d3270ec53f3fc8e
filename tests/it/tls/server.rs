//! What stands on the way: a server that ends TLS, and a proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::authority::shown;
use crate::world::listener;

/// Ends TLS, and hands what comes over it to an address. It stops when it is dropped.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<Mutex<JoinSet<()>>>,
    goodbye: Arc<Mutex<CancellationToken>>,
    _accepting: JoinSet<()>,
}

impl Front {
    /// Shows the certificate of `name` in `folder`.
    pub(super) async fn new(folder: &Path, name: &str, behind: SocketAddr) -> Self {
        let acceptor = TlsAcceptor::from(shown(folder, name));
        let listener = listener().await;
        let address = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::default());
        let open: Arc<Mutex<JoinSet<()>>> = Arc::default();
        let goodbye: Arc<Mutex<CancellationToken>> = Arc::default();
        let mut accepting = JoinSet::new();
        let (count, tasks, ending) = (accepted.clone(), open.clone(), goodbye.clone());
        accepting.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let goodbye = ending.lock().expect("not poisoned").clone();
                let one = connection(acceptor.clone(), stream, behind, goodbye);
                tasks.lock().expect("not poisoned").spawn(one);
            }
        });
        Self { address, accepted, open, goodbye, _accepting: accepting }
    }

    /// Returns how many connections there were.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Closes every connection; one that is polite says so over TLS before.
    pub(super) async fn close_all(&self, is_polite: bool) {
        let mut open = std::mem::take(&mut *self.open.lock().expect("not poisoned"));
        if is_polite {
            std::mem::take(&mut *self.goodbye.lock().expect("not poisoned")).cancel();
            while open.join_next().await.is_some() {}
        } else {
            open.shutdown().await;
        }
    }
}

async fn connection(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    behind: SocketAddr,
    goodbye: CancellationToken,
) {
    // A client that does not like the certificate leaves.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut behind = TcpStream::connect(behind).await.expect("somebody listens");
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut behind) => {}
        () = goodbye.cancelled() => {
            let _ = stream.shutdown().await;
        }
    }
}

/// Connects to what it is asked for, as far as it knows the way; else it wants a password.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn new(ways: &[(&str, SocketAddr)]) -> Self {
        let ways = ways.iter().map(|(host, to)| ((*host).to_owned(), *to)).collect();
        let listener = listener().await;
        let address = listener.local_addr().expect("an address");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(lead(listener, ways, heads.clone()));
        Self { address, heads, _tasks: tasks }
    }

    /// Returns what it was asked.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("not poisoned").clone()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn lead(
    listener: TcpListener,
    ways: BTreeMap<String, SocketAddr>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut tunnels = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("text");
        let host = head.split(' ').nth(1).unwrap_or_default().to_owned();
        heads.lock().expect("not poisoned").push(head);
        let Some(to) = ways.get(&host).copied() else {
            let refusal =
                b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(refusal).await.expect("written");
            continue;
        };
        tunnels.spawn(async move {
            let mut to = TcpStream::connect(to).await.expect("somebody listens");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
            let _ = copy_bidirectional(&mut stream, &mut to).await;
        });
    }
}

/// Answers every request alike, over plain http; it stops when the tasks are dropped.
pub(super) async fn answering(
    answer: impl Fn() -> Response + Clone + Send + Sync + 'static,
) -> (SocketAddr, JoinSet<()>) {
    let listener = listener().await;
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(move || std::future::ready(answer()));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    (address, tasks)
}
