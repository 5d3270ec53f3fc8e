//! Where deliveries of hooks are taken, and whose; where the page is served, and to whom.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

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

/// Where HTTP is spoken, as the configuration in force has it.
#[derive(Clone)]
pub(super) struct Listeners {
    /// Where deliveries are taken.
    pub(super) hooks: Option<Arc<TcpListener>>,
    /// Where the page is served.
    pub(super) page: Option<Arc<TcpListener>>,
}

impl Listeners {
    /// Makes what a configuration names; what is the same as before stays.
    pub(super) fn of(
        config: &Config,
        before: Option<(&Config, &Self)>,
        handed: &HandedOver,
    ) -> Result<Self, Failed> {
        let hooks = match before {
            Some((old, now)) if old.hooks.listen == config.hooks.listen => now.hooks.clone(),
            _ => hooks_listener(config, handed)?,
        };
        let page = match before {
            Some((old, now)) if old.web.listen == config.web.listen => now.page.clone(),
            _ => page_listener(config, handed)?,
        };
        Ok(Self { hooks, page })
    }
}

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

/// Returns that nothing is taken and served yet.
pub(super) fn closed(config: &Config, clock: &SharedClock) -> (Force, page::Force) {
    let terms = Terms::new(Vec::new(), settings(&config.hooks), BTreeMap::new(), clock);
    let hooks = Force { listener: None, terms: Arc::new(terms) };
    (hooks, page_force(&Web::default(), None, clock))
}

/// Returns where and to whom the page is served by the configuration in force.
pub(super) fn page_force(
    web: &Web,
    listener: Option<Arc<TcpListener>>,
    clock: &SharedClock,
) -> page::Force {
    let settings = page::Settings {
        token_files: web.token_files.clone(),
        is_private: web.read == Readers::Token,
        hosts: web.hosts.clone(),
    };
    page::Force { listener, terms: Arc::new(page::Terms::new(settings, clock)) }
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

/// The sockets that systemd handed over, each under its name. It does so once, so they are kept though the
/// configuration may leave them for a while.
#[derive(Default)]
pub(super) struct HandedOver(Vec<(String, Result<Arc<TcpListener>, String>)>);

impl HandedOver {
    /// Takes them from the environment.
    pub(super) fn of_process() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut sockets = ListenFd::from_env();
        let handed = (0..sockets.len()).map(|at| {
            let name = names.get(at).copied().unwrap_or_default().to_owned();
            let socket = sockets.take_tcp_listener(at).and_then(|socket| {
                socket.ok_or_else(|| io::Error::other("it is taken already")).and_then(ready)
            });
            (name, socket.map(Arc::new).map_err(|error| error.to_string()))
        });
        Self(handed.collect())
    }

    /// Returns the one socket of a name.
    fn named(&self, name: &str, unit: &str) -> Result<Arc<TcpListener>, Failed> {
        let named: Vec<_> = self.0.iter().filter(|(of, _)| of == name).collect();
        let why = match named.as_slice() {
            [(_, Ok(socket))] => return Ok(socket.clone()),
            [(_, Err(why))] => format!("what systemd handed over is no TCP socket: {why}"),
            [] => format!("systemd handed over no socket named `{name}`"),
            more => format!("systemd handed over {} sockets named `{name}`, not one", more.len()),
        };
        let message = format!(
            "`listen = \"systemd\"` in `[{name}]`: {why}\nenable {unit}, and start refreshd as a service; \
             or set `listen` to an address"
        );
        Err(Failed::new(Exit::Io, message))
    }
}

fn ready(socket: StdListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Returns the listener of `[hooks]`, if it has one.
fn hooks_listener(
    config: &Config,
    handed: &HandedOver,
) -> Result<Option<Arc<TcpListener>>, Failed> {
    let listener = match config.hooks.listen {
        Listen::Nowhere => {
            if !config.senders.is_empty() {
                tracing::warn!(
                    "hooks are configured, and taken nowhere; set `listen` in `[hooks]`"
                );
            }
            return Ok(None);
        }
        Listen::At(address) => bind(address, "hooks can't be taken", "hooks")?,
        Listen::Systemd => handed.named("hooks", "refreshd.socket")?,
    };
    let address = listener.local_addr().map_err(|error| Failed::new(Exit::Io, error))?;
    tracing::info!(hooks = config.senders.len(), "hooks are taken at {address}");
    Ok(Some(listener))
}

/// Returns the listener of `[web]`, if it has one.
fn page_listener(config: &Config, handed: &HandedOver) -> Result<Option<Arc<TcpListener>>, Failed> {
    let listener = match config.web.listen {
        Listen::Nowhere => return Ok(None),
        Listen::At(address) => bind(address, "the page can't be served", "web")?,
        Listen::Systemd => handed.named("web", "refreshd-web.socket")?,
    };
    let address = listener.local_addr().map_err(|error| Failed::new(Exit::Io, error))?;
    tracing::info!("the page is served at http://{address}/");
    Ok(Some(listener))
}

fn bind(address: SocketAddr, what: &str, section: &str) -> Result<Arc<TcpListener>, Failed> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // The next daemon may listen though connections of the last one linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map(Arc::new).map_err(|error: io::Error| {
        let message = format!(
            "{what} at {address}: {error}\nset `listen` in `[{section}]` to an address of this machine \
             that is free"
        );
        Failed::new(Exit::Io, message)
    })
}
