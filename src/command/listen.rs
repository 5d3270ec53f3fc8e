//! Where deliveries of hooks are taken, and whose.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

use super::{Exit, Failed};
use crate::clock::SharedClock;
use crate::config::{Config, Hooks, Listen};
use crate::engine::Engine;
use crate::web::Served;
use crate::web::hooks::{Force, Hook, Settings, Terms};

/// Connections that the kernel keeps until they are let in, as far as `net.core.somaxconn` allows: where
/// they are too few, whoever comes in a crowd waits for a second before it knocks again.
const BACKLOG: u32 = 4096;

/// Returns where and how deliveries are taken by the configuration in force.
pub(super) fn force(
    engine: &Engine,
    listener: Option<Arc<TcpListener>>,
    clock: &SharedClock,
) -> Force {
    let config = engine.config();
    let terms = Terms::new(hooks(config), settings(&config.hooks), engine.pushed(), clock);
    Force { listener, terms: Arc::new(terms) }
}

/// Returns the hooks as the door knows them.
fn hooks(config: &Config) -> Vec<Hook> {
    let hook = |hook: &crate::config::Hook| {
        let origins = hook.origins.iter().filter_map(|name| config.origins.get(name));
        let served = |origin: &crate::config::Origin| Served {
            origin: origin.name.clone(),
            reference: origin.branch.clone(),
        };
        Hook {
            name: hook.name.clone(),
            provider: hook.provider.clone(),
            secret_files: hook.secret_files.clone(),
            origins: origins.map(served).collect(),
            sources: hook.sources.clone(),
        }
    };
    config.senders.values().map(hook).collect()
}

/// Returns what clients may cost.
fn settings(hooks: &Hooks) -> Settings {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Settings {
        body_bytes: number(hooks.body_bytes),
        header_timeout: hooks.header_timeout,
        body_timeout: hooks.body_timeout,
        idle_timeout: hooks.idle_timeout,
        connections: number(hooks.connections),
        connections_per_source: number(hooks.connections_per_source),
        trusted_proxies: hooks.trusted_proxies.clone(),
    }
}

/// Returns the listener of `[hooks]`, if it has one.
pub(super) fn listener(config: &Config) -> Result<Option<TcpListener>, Failed> {
    let listener = match config.hooks.listen {
        Listen::Nowhere => {
            if !config.senders.is_empty() {
                tracing::warn!(
                    "hooks are configured, and taken nowhere; set `listen` in `[hooks]`"
                );
            }
            return Ok(None);
        }
        Listen::At(address) => bind(address).map_err(|error| {
            let message = format!(
                "hooks can't be taken at {address}: {error}\nset `listen` in `[hooks]` to an address of \
                 this machine that is free"
            );
            Failed::new(Exit::Io, message)
        })?,
        Listen::Systemd => handed_over()?,
    };
    let address = listener.local_addr().map_err(|error| Failed::new(Exit::Io, error))?;
    tracing::info!(hooks = config.senders.len(), "hooks are taken at {address}");
    Ok(Some(listener))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The next daemon may listen though connections of the last one linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes the one socket that systemd hands over.
fn handed_over() -> Result<TcpListener, Failed> {
    let problem = |why: &str| {
        let message = format!(
            "`listen = \"systemd\"` in `[hooks]`: {why}\nenable refreshd.socket, and start refreshd as a \
             service; or set `listen` to an address"
        );
        Failed::new(Exit::Io, message)
    };
    let mut sockets = ListenFd::from_env();
    if sockets.len() > 1 {
        return Err(problem(&format!("systemd handed over {} sockets, not one", sockets.len())));
    }
    let socket: StdListener = sockets
        .take_tcp_listener(0)
        .map_err(|error| problem(&format!("what systemd handed over is no TCP socket: {error}")))?
        .ok_or_else(|| problem("systemd handed over no socket"))?;
    let ready = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
    ready.map_err(|error| problem(&error.to_string()))
}
