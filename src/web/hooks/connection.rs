//! One connection: its time-outs, and its end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Door, answer, body};
use crate::web::guests::Place;

/// The most bytes of headers: senders' have 2 KB.
const HEADERS: usize = 32 << 10;

/// What is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client, which may say nothing.
    Idle,
    /// The rest of its headers.
    Head,
    /// Us.
    Asked,
}

/// Answers what comes on a connection until it ends, is overdue or is shown out, or until the daemon stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: std::net::IpAddr,
    door: Arc<Door>,
    place: Place,
    stop: CancellationToken,
) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    // Whoever comes has something to say: it gets no longer than for its headers.
    let (phase, seen) = watch::channel(Phase::Head);
    let (rests, thrown) = mpsc::unbounded_channel();
    let service = service_fn(|request| {
        let (phase, rests) = (phase.clone(), rests.clone());
        let (door, place) = (&door, &place);
        async move {
            phase.send_replace(Phase::Asked);
            let answer = answer::answer(door, place, peer, request, &rests).await;
            phase.send_replace(Phase::Idle);
            Ok::<_, Infallible>(answer)
        }
    });
    let stream = TokioIo::new(Heard { stream, phase: phase.clone(), place: &place });
    let served = http1::Builder::new().max_buf_size(HEADERS).serve_connection(stream, service);
    let (mut served, mut ends) = (pin!(served), pin!(ends(seen, thrown, &door)));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // What goes wrong on a connection is its client's affair.
            _ = served.as_mut() => return,
            () = ends.as_mut() => return,
            () = place.out().cancelled() => return,
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Returns once the client was too slow, or sent too much in vain.
async fn ends(
    phase: watch::Receiver<Phase>,
    mut thrown: mpsc::UnboundedReceiver<Incoming>,
    door: &Door,
) {
    let throw_away = async {
        while let Some(rest) = thrown.recv().await {
            if !body::throw_away(rest).await {
                return;
            }
        }
    };
    tokio::select! {
        () = overdue(phase, door) => {}
        () = throw_away => {}
    }
}

async fn overdue(mut phase: watch::Receiver<Phase>, door: &Door) {
    loop {
        let terms = door.terms();
        let limit = match *phase.borrow_and_update() {
            Phase::Idle => terms.settings.idle_timeout,
            Phase::Head => terms.settings.header_timeout,
            // Reading the body has its own, and whatever else it takes is ours.
            Phase::Asked => Duration::MAX,
        };
        match tokio::time::timeout(limit, phase.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// A stream that tells when a request begins, and when its client keeps us waiting.
struct Heard<'a> {
    stream: TcpStream,
    phase: watch::Sender<Phase>,
    place: &'a Place,
}

impl AsyncRead for Heard<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            self.place.keeps_waiting();
        }
        if buffer.filled().len() > before {
            self.phase.send_if_modified(|phase| {
                let begins = *phase == Phase::Idle;
                if begins {
                    *phase = Phase::Head;
                }
                begins
            });
        }
        read
    }
}

impl AsyncWrite for Heard<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
