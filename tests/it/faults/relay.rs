//! A port on the way to the sandbox that can refuse connections, and take them again.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Passes connections on while it is open.
pub(super) struct Relay {
    /// Bound and never listening: the port stays ours while nobody listens.
    _port: TcpSocket,
    pub(super) address: SocketAddr,
    to: SocketAddr,
    /// Empty while connections are refused.
    tasks: JoinSet<()>,
}

impl Relay {
    pub(super) fn open_to(to: SocketAddr) -> Self {
        let port = socket((Ipv4Addr::LOCALHOST, 0).into());
        let address = port.local_addr().expect("an address");
        let mut relay = Self { _port: port, address, to, tasks: JoinSet::new() };
        relay.open();
        relay
    }

    pub(super) fn open(&mut self) {
        let listener = socket(self.address).listen(64).expect("the port is ours");
        self.tasks.spawn(pass_on(listener, self.to));
    }

    /// Refuses connections from now on.
    pub(super) async fn close(&mut self) {
        self.tasks.shutdown().await;
    }
}

fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("the port can be shared");
    socket.bind(address).expect("a free port");
    socket
}

async fn pass_on(listener: TcpListener, to: SocketAddr) {
    let mut under_way = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        while under_way.try_join_next().is_some() {}
        under_way.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(to).await {
                // Either side may end it.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
