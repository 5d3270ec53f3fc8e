//! Where deliveries of hooks are taken, and whose; where the page is served, and to whom.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

use super::{Exit, Failed};
use crate::clock::SharedClock;
use crate::config::{Config, Hooks, Listen, Readers, Web};
use crate::engine::Engine;
use crate::web::Served;
use crate::web::hooks::{Force, Hook, Settings, Terms};
use crate::web::page;

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

/// Returns who may read and change what on the page.
pub(super) fn page(web: &Web) -> page::Settings {
    page::Settings {
        token_files: web.token_files.clone(),
        is_private: web.read == Readers::Token,
        hosts: web.hosts.clone(),
    }
}

/// The sockets that systemd hands over, each under its name.
pub(super) struct Sockets {
    sockets: Mutex<ListenFd>,
    names: Vec<String>,
}

impl Sockets {
    /// Takes them from the environment: once, for they leave it.
    pub(super) fn of_process() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self {
            sockets: Mutex::new(ListenFd::from_env()),
            names: names.split(':').map(str::to_owned).collect(),
        }
    }

    /// Takes the one socket of a name.
    fn take(&self, name: &str, unit: &str) -> Result<TcpListener, Failed> {
        let problem = |why: &str| {
            let section = if name == "web" { "[web]" } else { "[hooks]" };
            let message = format!(
                "`listen = \"systemd\"` in `{section}`: {why}\nenable {unit}, and start refreshd as a \
                 service; or set `listen` to an address"
            );
            Failed::new(Exit::Io, message)
        };
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let named =
            (0..sockets.len()).filter(|at| self.names.get(*at).is_some_and(|it| it == name));
        let named: Vec<usize> = named.collect();
        let [at] = named.as_slice() else {
            let why = match named.len() {
                0 => format!("systemd handed over no socket named `{name}`"),
                sockets => format!("systemd handed over {sockets} sockets named `{name}`, not one"),
            };
            return Err(problem(&why));
        };
        let socket: StdListener = sockets
            .take_tcp_listener(*at)
            .map_err(|error| {
                problem(&format!("what systemd handed over is no TCP socket: {error}"))
            })?
            .ok_or_else(|| problem("systemd's socket is taken already"))?;
        let ready = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
        ready.map_err(|error| problem(&error.to_string()))
    }
}

/// Returns the listener of `[hooks]`, if it has one.
pub(super) fn hooks_listener(
    config: &Config,
    sockets: &Sockets,
) -> Result<Option<TcpListener>, Failed> {
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
        Listen::Systemd => sockets.take("hooks", "refreshd.socket")?,
    };
    let address = listener.local_addr().map_err(|error| Failed::new(Exit::Io, error))?;
    tracing::info!(hooks = config.senders.len(), "hooks are taken at {address}");
    Ok(Some(listener))
}

/// Returns the listener of `[web]`, if it has one.
pub(super) fn page_listener(
    config: &Config,
    sockets: &Sockets,
) -> Result<Option<TcpListener>, Failed> {
    let listener = match config.web.listen {
        Listen::Nowhere => return Ok(None),
        Listen::At(address) => bind(address).map_err(|error| {
            let message = format!(
                "the page can't be served at {address}: {error}\nset `listen` in `[web]` to an address of \
                 this machine that is free"
            );
            Failed::new(Exit::Io, message)
        })?,
        Listen::Systemd => sockets.take("web", "refreshd-web.socket")?,
    };
    let address = listener.local_addr().map_err(|error| Failed::new(Exit::Io, error))?;
    tracing::info!("the page is served at http://{address}/");
    if !address.ip().is_loopback() {
        tracing::warn!(
            "the page is served to other machines without TLS, and tokens with it: have a web server in \
             front of it, and set `listen` in `[web]` to \"127.0.0.1:{}\"",
            address.port()
        );
    }
    Ok(Some(listener))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The next daemon may listen though connections of the last one linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
