//! `refreshd doctor`: what is wrong, what it costs, and the command that repairs it.
//!
//! Looks at this machine, asks the running daemon if there is one, and makes two signed calls that
//! change nothing. Each check returns [`Finding`]s; their words are written in one place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cdn::{Cdn, Client};
use crate::clock::SharedClock;
use crate::config::{Account, Config};
use crate::domain::credentials::Place;
use crate::domain::names::OriginName;
use crate::domain::watch::Means;

use super::words::count;
use super::{ConfigArg, Exit, Failed, Printer, control, run};
use finding::Finding;
use unit::Unit;
use who::Who;

mod cdn;
mod clock;
pub(super) mod finding;
mod gates;
mod hooks;
mod kernel;
mod mounts;
mod place;
mod repository;
mod tree;
pub(super) mod unit;
pub(super) mod who;

#[cfg(test)]
mod tests;

/// Arguments of `refreshd doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Write the findings as one JSON object: `ok`, and `findings` with `about`, `level` (`ok`,
    /// `not_checked`, `advice`, `broken`), `what`, `costs` and `mend`.
    #[arg(long)]
    json: bool,
}

/// What helps when the daemon may read what this process may not.
const AS_ROOT: &str = "ask again as root";
/// Where systemd puts the credentials of the unit; root may look there.
const CREDENTIALS: &str = "/run/credentials/refreshd.service";

/// Checks everything; exit 1 if something is broken.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let mut findings = Vec::new();
    if let Some(config) = configuration(&args.config.config, &mut findings) {
        look(&config, &clock, &mut findings).await;
    }
    let broken = finding::is_broken(&findings);
    if args.json {
        printer.json(&serde_json::json!({ "ok": !broken, "findings": findings }));
    } else {
        printer.line(finding::render(&findings).trim_end());
    }
    Ok(if broken { Exit::No } else { Exit::Ok })
}

/// Reads the configuration as the daemon would, with the unit's credentials where they can be seen.
fn configuration(path: &Path, findings: &mut Vec<Finding>) -> Option<Config> {
    let about = "configuration";
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let credentials = credentials.or_else(|| {
        let unit = PathBuf::from(CREDENTIALS);
        unit.is_dir().then_some(unit)
    });
    let (problem, mend) = match std::fs::read_to_string(path) {
        Err(error) => (format!("{}: {error}", path.display()), "name another one with --config"),
        Ok(text) => match Config::parse(&text, path, credentials.as_deref()) {
            Ok(config) => {
                let accounts = count(config.accounts.len() as u64, "account");
                let origins = count(config.origins.len() as u64, "origin");
                let what = format!("{}: {accounts}, {origins}", path.display());
                findings.push(Finding::ok(about, what));
                return Some(config);
            }
            Err(problems) => (problems.render(false), "correct it; then ask again"),
        },
    };
    let costs = "the daemon does not start; nothing else could be checked";
    findings.push(Finding::broken(about, problem).costs(costs).mend(mend));
    None
}

async fn look(config: &Config, clock: &SharedClock, findings: &mut Vec<Finding>) {
    let status = control::ask(config, "/status", None::<&()>).await;
    let pid = status.as_ref().ok().and_then(|(_, status)| status["pid"].as_u64());
    let unit = Unit::installed().filter(|unit| unit.is_about(config));
    let who = who(pid, unit.as_ref());
    match &status {
        Ok((_, status)) => findings.extend(daemon(status, pid)),
        Err(failed) => findings.push(
            Finding::advice("daemon", failed.message.lines().next().unwrap_or_default())
                .costs("changes are found at its next start, not before")
                .mend("systemctl start refreshd"),
        ),
    }
    if who.uid == 0 && !who.own {
        findings.push(
            Finding::advice("user", "the daemon runs as root")
                .costs("a flaw in it, or in what it reads, has all the rights there are")
                .mend("run it by systemd/refreshd.service, which needs no privilege"),
        );
    }
    findings.extend(unit.iter().flat_map(|unit| unit.findings(config)));
    let mut directories = 0;
    for origin in config.origins.values() {
        let (found, watched) = tree::look(origin, &who);
        findings.extend(found);
        directories += watched;
    }
    findings.extend(limits(config, directories));
    findings.extend(repository::look(config, &who).await);
    findings.extend(gates::look(config, &who).await);
    findings.extend(place::state(&config.state_dir, &who));
    findings.extend(hooks::look(config, &who));
    findings.push(clock::look());
    for account in config.accounts.values() {
        if let Place::Files(files) = &account.credentials.place {
            findings.extend(place::keys(&account.name, files, &who));
        }
        let in_use = status
            .as_ref()
            .ok()
            .map(|(_, status)| &status["accounts"][account.name.as_str()]["key"]["source"]);
        let has_key = in_use.is_some_and(|source| source.as_str().is_some_and(|it| !it.is_empty()));
        let hosts = config.hosts(&account.name);
        findings.extend(key(account, &hosts, clock, &who, has_key).await);
    }
}

/// Fetches the account's key as the daemon would, and asks the CDN whether it takes it, and whether the
/// `hosts` are domains of the account. The daemon may have another environment: it is no fault that a key
/// isn't found here if the daemon `has_key`.
async fn key(
    account: &Account,
    hosts: &BTreeSet<(OriginName, String)>,
    clock: &SharedClock,
    who: &Who,
    has_key: bool,
) -> Vec<Finding> {
    let name = account.name.as_str();
    match run::client(account, clock) {
        Ok(client) => try_key(account, hosts, (clock, &client), who, has_key).await,
        Err(failed) => vec![credential(name, &failed.message, who, false)],
    }
}

/// Tries the key that a client finds.
pub(super) async fn try_key(
    account: &Account,
    hosts: &BTreeSet<(OriginName, String)>,
    (clock, client): (&SharedClock, &Client),
    who: &Who,
    has_key: bool,
) -> Vec<Finding> {
    let name = account.name.as_str();
    let key = match client.begin().await {
        (renewed, Ok(())) => renewed.facts,
        (_, Err(error)) if has_key => {
            let about = format!("credential of {name}");
            let what = format!("the daemon has a key, and this process finds none: {error}");
            let mend = "ask again as the daemon's user and with its environment";
            return vec![Finding::not_checked(about, what).mend(mend)];
        }
        (_, Err(error)) => {
            return vec![credential(name, &error.to_string(), who, error.may_pass)];
        }
    };
    let about = format!("key of {name}");
    let expiry = key.expires_at.map_or_else(String::new, |at| format!(", expires {at}"));
    let mut findings =
        vec![Finding::ok(about, format!("{} from {}{expiry}", key.key_id, key.source))];
    findings.extend(cdn::ask(account, client, || clock.offset()).await);
    if !hosts.is_empty() {
        findings.extend(cdn::domains(&account.name, hosts, &client.domains().await));
    }
    findings
}

/// Says why no call could be made. Key files that are known inside the unit only are no fault.
fn credential(account: &str, why: &str, who: &Who, may_pass: bool) -> Finding {
    let about = format!("credential of {account}");
    if why.contains("CREDENTIALS_DIRECTORY") {
        return Finding::not_checked(about, "the key files are known inside the unit only");
    }
    if who.sees_more() {
        return Finding::not_checked(about, why).mend(AS_ROOT);
    }
    Finding::broken(about, why).costs(if may_pass {
        "nothing is submitted until there is a key; the daemon asks for one each minute"
    } else {
        "the daemon does not start"
    })
}

/// Returns as whom the daemon looks: the running one, else the unit's, else who asks.
pub(super) fn who(pid: Option<u64>, unit: Option<&Unit>) -> Who {
    let running = pid.and_then(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Who::of_process(&status)
    });
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    running
        .or_else(|| Who::of_unit(unit?, &read("/etc/passwd"), &read("/etc/group")))
        .unwrap_or_else(Who::own)
}

/// Says what a running daemon says of itself.
fn daemon(status: &Value, pid: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (own, version) =
        (env!("CARGO_PKG_VERSION"), status["version"].as_str().unwrap_or_default());
    let what = format!("version {version} runs, process {}", pid.unwrap_or_default());
    findings.push(if version == own {
        Finding::ok("daemon", what)
    } else {
        Finding::advice("daemon", format!("{what}; this is version {own}"))
            .costs("what was installed does not run yet")
            .mend("systemctl restart refreshd")
    });
    for (name, origin) in status["origins"].as_object().into_iter().flatten() {
        let about = format!("origin {name}");
        let said = |key: &str| origin[key].as_str().unwrap_or_default();
        let (state, note, advice) = (said("state"), said("note"), said("advice"));
        if state == "unavailable" {
            findings.push(
                Finding::broken(&about, format!("unavailable: {note}"))
                    .costs("nothing of it is refreshed until it is back"),
            );
        } else if !note.is_empty() {
            findings.push(Finding::advice(&about, note));
        }
        if !advice.is_empty() {
            findings.push(Finding::advice(&about, advice));
        }
        let polled = origin["polled"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(first) = polled.first() {
            let text = |key: &str| first[key].as_str().unwrap_or_default();
            let number = count(polled.len() as u64, "subtree");
            let what = format!("{number} polled, first {}: {}", text("path"), text("why"));
            let costs = "changes there are found every `poll_every`";
            findings.push(Finding::advice(&about, what).costs(costs));
        }
    }
    for (name, account) in status["accounts"].as_object().into_iter().flatten() {
        let key = &account["key"];
        let said = |what: &str| key[what].as_str().unwrap_or_default();
        if !said("trouble").is_empty() {
            let costs = "the old key is used while it lasts; without one what is due waits";
            let what = format!("no new one could be had: {}", said("trouble"));
            findings.push(Finding::advice(format!("key of {name} in use"), what).costs(costs));
        } else if !said("source").is_empty() {
            let what = format!("{} from {}", said("key_id"), said("source"));
            findings.push(Finding::ok(format!("key of {name} in use"), what));
        }
        if let Some(note) = account["note"].as_str().filter(|note| !note.is_empty()) {
            let costs = "what is due waits";
            findings.push(Finding::advice(format!("account {name}"), note).costs(costs));
        }
    }
    let held = status["held"].as_array().map_or(0, Vec::len) as u64;
    if held > 0 {
        findings.push(
            Finding::advice("held", format!("a person is to decide on {}", count(held, "deploy")))
                .costs("until then what is held stays stale")
                .mend("refreshd status   # shows them, and the commands that decide"),
        );
    }
    findings
}

/// Judges the kernel's limits, if anything is to be watched by inotify.
fn limits(config: &Config, directories: u64) -> Vec<Finding> {
    let by_inotify = |means| matches!(means, Means::Auto | Means::Inotify);
    let watched = config.origins.values().filter(|origin| origin.root().is_some());
    let origins = watched.filter(|origin| by_inotify(origin.watch)).count() as u64;
    match kernel::Limits::read() {
        _ if origins == 0 => Vec::new(),
        Some(limits) => limits.findings(directories, origins),
        None => vec![Finding::not_checked("inotify", "/proc/sys/fs/inotify can't be read")],
    }
}
