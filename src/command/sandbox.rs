//! `refreshd sandbox`: a pretend CDN to try a configuration against.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::SharedClock;
use crate::domain::quota::QuotaKind;
use crate::sandbox::{Options, Sandbox};

use super::{Exit, Failed, Printer};

/// Runs a pretend CDN: a signed API and a caching edge in front of a web server of yours.
///
/// The first line on standard output, once both listen, is one JSON object with `api`, `edge`,
/// `access_key_id` and `access_key_secret`. It runs until SIGTERM or SIGINT.
///
/// Faults are scripted over HTTP: POST them to `/sandbox/faults` of `api`, as the README tells; GET
/// `/sandbox/log` says what was really accepted.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The web server behind the edge, such as `http://127.0.0.1:8080`
    #[arg(long, value_name = "URL")]
    pub origin: String,
    /// Where the API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub api: SocketAddr,
    /// Where the edge listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub edge: SocketAddr,
    /// Tasks ripen N times faster than in five minutes; nothing else is faster
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub time_scale: u32,
    /// What a day allows: `url=N,directory=N,regex=N,ignore_params=N,tag=N,prefetch=N`
    #[arg(long, value_name = "KIND=N", value_delimiter = ',', value_parser = allowance)]
    pub quota: Vec<(QuotaKind, u64)>,
    /// A domain that exists; any does when none is named
    #[arg(long, value_name = "NAME", value_parser = domain)]
    pub domain: Vec<String>,
    /// A domain that is switched off: it is listed so, and its refreshes are refused
    #[arg(long, value_name = "NAME", value_parser = domain)]
    pub offline: Vec<String>,
    /// Answer questions for the details of a prefetch, which the CDN does for chosen accounts only
    #[arg(long)]
    pub prefetch_detail: bool,
}

fn allowance(text: &str) -> Result<(QuotaKind, u64), String> {
    let (kind, number) = text.split_once('=').ok_or("KIND=N is wanted, like url=100")?;
    let kind = QuotaKind::parse(kind).ok_or_else(|| {
        let kinds = QuotaKind::ALL.map(QuotaKind::as_str).join(", ");
        format!("{kind:?} is no kind of quota; there are {kinds}")
    })?;
    let number = number.parse().map_err(|_| format!("{number:?} is no whole number"))?;
    Ok((kind, number))
}

/// Reads a domain's name.
pub(super) fn domain(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', ':', '*', '?', '#']) {
        return Err("a plain name is wanted, like www.example.com".to_owned());
    }
    Ok(text.to_owned())
}

/// Runs the sandbox until a signal ends it.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let io = |error: std::io::Error| Failed::new(Exit::Io, error);
    // Caught from here on: a signal that comes as soon as the line is read must end it well.
    let mut terminate = signal(SignalKind::terminate()).map_err(io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io)?;
    let listen = async |address: SocketAddr| {
        TcpListener::bind(address).await.map_err(|error| {
            Failed::new(Exit::Io, format!("nothing can listen on {address}: {error}"))
        })
    };
    let (api, edge) = (listen(args.api).await?, listen(args.edge).await?);
    let mut options = Options::new(args.origin);
    options.domains = args.domain;
    options.offline = args.offline;
    options.detail = args.prefetch_detail;
    options.time_scale = args.time_scale;
    for (kind, limit) in args.quota {
        options.quota[kind] = limit;
    }
    let running = Sandbox::start(options, api, edge, clock)
        .map_err(|error| Failed::new(Exit::Usage, error))?;
    printer.json(&json!({
        "api": format!("http://{}", running.api),
        "edge": format!("http://{}", running.edge),
        "access_key_id": running.access_key_id,
        "access_key_secret": running.access_key_secret,
    }));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_names_a_kind_and_a_number() {
        assert_eq!(allowance("ignore_params=7"), Ok((QuotaKind::IgnoreParams, 7)));
        for bad in ["url", "url=", "urls=3", "url=-1"] {
            assert!(allowance(bad).is_err(), "{bad}");
        }
    }
}
