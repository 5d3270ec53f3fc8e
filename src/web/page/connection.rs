//! One connection: its time-outs, and its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::{Door, answer};
use crate::web::guests::Place;

/// The most bytes of headers: a browser's have 1 KB, and a proxy adds to them.
const HEADERS: usize = 32 << 10;
/// How long a client may take for its headers, and how long a connection is kept while nothing comes: the
/// threat model's figure for slow clients.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers what comes on a connection until it ends, is overdue or is shown out, or until the daemon stops.
pub(super) async fn serve(stream: TcpStream, door: Arc<Door>, place: Place) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let Ok(address) = stream.local_addr() else { return };
    // Whoever has an answer, or listens to events, goes before who still waits for one.
    place.keeps_waiting();
    let service = service_fn(|request| {
        let (door, place) = (&door, &place);
        async move {
            place.is_served();
            let answer = answer::answer(door, address, request).await;
            place.is_answered(!answer.status().is_client_error());
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // What goes wrong on a connection is its client's affair.
            _ = served.as_mut() => return,
            () = place.out().cancelled() => return,
            () = door.stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}
