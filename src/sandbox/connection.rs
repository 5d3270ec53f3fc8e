//! Connections that can be told to break: a listener for axum whose streams obey [`Breaker`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const WHOLE: u8 = 0;
const RESET: u8 = 1;
const HALF: u8 = 2;
const ENDED: u8 = 3;

/// Breaks the connection that a request came on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker(Arc<AtomicU8>);

impl Breaker {
    /// Resets the connection in place of the answer.
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::SeqCst);
    }

    /// Ends the connection in the middle of the answer's body.
    pub(crate) fn halve(&self) {
        self.0.store(HALF, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, Breakable>> for Breaker {
    fn connect_info(stream: IncomingStream<'_, Breakable>) -> Self {
        stream.io().breaker.clone()
    }
}

/// A TCP listener whose connections can be broken.
pub(crate) struct Breakable(pub(crate) TcpListener);

impl Listener for Breakable {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Small answers must not wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        let breaker = Breaker::default();
        (Stream { stream, breaker }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection that can be broken.
pub(crate) struct Stream {
    stream: TcpStream,
    breaker: Breaker,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.breaker.0.load(Ordering::SeqCst) {
            WHOLE => Pin::new(&mut self.stream).poll_write(context, buffer),
            HALF => {
                // hyper writes head and body of a small answer at once: it sees no vectored
                // writes here.
                let head = buffer.windows(4).position(|four| four == b"\r\n\r\n");
                let head = head.map_or(0, |at| at + 4);
                let end = head + (buffer.len() - head) / 2;
                let written = Pin::new(&mut self.stream).poll_write(context, &buffer[..end]);
                if written.is_ready() {
                    self.breaker.0.store(ENDED, Ordering::SeqCst);
                }
                written
            }
            ENDED => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            _ => {
                // Lets the kernel send a reset once the stream is dropped.
                let _ = self.stream.set_zero_linger();
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
