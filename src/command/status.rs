//! `refreshd status`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::Value;

use crate::config::Config;
use crate::domain::time::Timestamp;

use super::terminal::{INTERRUPT, Silence};
use super::words::{config_option, count, grouped, size, span};
use super::{
    ConfigArg, Exit, Failed, Printer, check, control, decide, gate, pause, reasons, treasury,
};

/// Arguments of `refreshd status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Write the answer as one JSON object.
    #[arg(long)]
    json: bool,
    /// Show it anew each second, on a terminal, until q or Ctrl-C.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

/// How often the status is shown anew.
const EVERY: Duration = Duration::from_secs(1);
/// Polled subtrees that a person is told of one by one.
const MOST_POLLED: usize = 10;

/// Asks the daemon how it is: exit 0 once every origin is watched.
pub(super) async fn run(args: Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let status = look(&config).await?;
    if args.watch {
        if printer.terminal() && std::io::stdin().is_terminal() {
            return watch(&config, status, printer).await;
        }
        printer.problem("there is no terminal to watch on: this is how it is now");
    }
    if args.json {
        printer.json(&status);
    } else {
        printer.line(render(&status, &config).trim_end());
    }
    Ok(if status["ready"] == true { Exit::Ok } else { Exit::No })
}

/// Writes how deliveries of hooks stand, where any is open or failed.
fn deliveries(text: &mut String, status: &Value, config: &Config) {
    let (open, failed) = (&status["deliveries"]["open"], &status["deliveries"]["failed"]);
    if [open, failed].iter().any(|number| number.as_u64().is_some_and(|number| number > 0)) {
        let (open, failed) = (number(open), number(failed));
        let option = config_option(&config.path);
        let _ = writeln!(
            text,
            "deliveries of hooks: {open} open, {failed} failed; which: refreshd hooks list --open{option}"
        );
    }
}

/// Asks the daemon.
async fn look(config: &Config) -> Result<Value, Failed> {
    let (code, status) = control::ask(config, "/status", None::<&()>).await?;
    if code != 200 {
        return Err(Failed::new(Exit::Io, format!("the daemon could not answer: {status}")));
    }
    Ok(status)
}

/// Shows the status anew each second, until a person has seen enough.
async fn watch(config: &Config, first: Value, printer: &mut Printer) -> Result<Exit, Failed> {
    let _silence = Silence::begin()?;
    let mut enough = tokio::task::spawn_blocking(wait_for_enough);
    let (mut shown, mut above) = (render(&first, config), 0);
    let mut every = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
    loop {
        let all: Vec<String> = shown.lines().map(str::to_owned).collect();
        // What scrolled away could not be written over: what is wrong stands last, and stays.
        let room = printer.height().unwrap_or(usize::MAX).saturating_sub(1);
        let lines = &all[all.len().saturating_sub(room)..];
        printer.lines(lines, above);
        above = lines.len();
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Ok),
            _ = &mut enough => return Ok(Exit::Ok),
            _ = every.tick() => {}
        }
        // A daemon that is started anew is shown as soon as it answers.
        shown = match look(config).await {
            Ok(status) => render(&status, config),
            Err(failed) => failed.message,
        };
    }
}

/// Reads keys until one ends the watching.
fn wait_for_enough() {
    let mut key = [0];
    while rustix::io::read(std::io::stdin(), &mut key).is_ok_and(|bytes| bytes > 0) {
        if [b'q', INTERRUPT].contains(&key[0]) {
            return;
        }
    }
}

/// Writes the status for a person: what is wrong comes last, where the eye rests.
fn render(status: &Value, config: &Config) -> String {
    let mut text = String::new();
    let ready = if status["ready"] == true { "ready" } else { "not ready yet" };
    let _ = writeln!(text, "refreshd {}: {ready}", word(&status["version"]));
    if let Some(why) = status["reload"]["refused"].as_str().filter(|why| !why.is_empty()) {
        let _ = writeln!(
            text,
            "the configuration before is in force, for the last reload was refused: {why}"
        );
    }
    for (name, origin) in entries(&status["origins"]) {
        let _ = writeln!(
            text,
            "origin {name}: {} ({}), {} in {}{}",
            word(&origin["state"]),
            word(&origin["watch"]),
            count(origin["files"].as_u64().unwrap_or_default(), "file"),
            count(origin["directories"].as_u64().unwrap_or_default(), "directory"),
            baseline(&origin["baseline_at"]),
        );
        if let Some(until) = origin["held_open_until"].as_i64().map(Timestamp::from_micros) {
            let deploy = word(&origin["deploy"]);
            let _ = writeln!(
                text,
                "  deploy {deploy} is held open until {until} at the latest; end it: refreshd deploy \
                 end {name}{}",
                config_option(&config.path)
            );
        }
        shortcomings(&mut text, origin);
        if let Some(note) = origin["note"].as_str().filter(|note| !note.is_empty()) {
            let _ = writeln!(text, "  note: {note}");
        }
    }
    deliveries(&mut text, status, config);
    let intents = &status["intents"];
    let _ = writeln!(
        text,
        "intents: {} pending, {} submitting, {} submitted, {} done, {} failed",
        number(&intents["pending"]),
        number(&intents["submitting"]),
        number(&intents["submitted"]),
        number(&intents["done"]),
        number(&intents["failed"])
    );
    if intents["rejected"].as_u64().is_some_and(|rejected| rejected > 0) {
        let _ = writeln!(text, "  rejected by a person: {}", intents["rejected"]);
    }
    for (wait, waiting) in entries(&intents["waiting"]) {
        let _ = writeln!(text, "  waiting for {wait}: {}", number(waiting));
    }
    if status["intents"]["unknown"].as_u64().is_some_and(|batches| batches > 0) {
        let _ = writeln!(
            text,
            "  calls whose answer was lost, to be looked up: {}",
            status["intents"]["unknown"]
        );
    }
    for (account, kinds) in entries(&status["quota"]) {
        let parts: Vec<String> = entries(kinds)
            .map(|(kind, quota)| format!("{kind} {}/{}", quota["left"], quota["limit"]))
            .collect();
        let _ = writeln!(text, "quota left today, {account}: {}", parts.join(", "));
    }
    text.push_str(&treasury::lines(status));
    for (account, facts) in entries(&status["accounts"]) {
        text.push_str(&key(account, &facts["key"]));
        if let Some(note) = facts["note"].as_str().filter(|note| !note.is_empty()) {
            let _ = writeln!(text, "account {account}: {note}");
        }
        let domains = &facts["domains"];
        if let Some(why) = domains["unchecked"].as_str().filter(|why| !why.is_empty()) {
            let _ = writeln!(text, "account {account}: its domains could not be checked: {why}");
        }
        for one in domains["unserved"].as_array().into_iter().flatten() {
            let [origin, domain, what, mend] =
                ["origin", "domain", "what", "mend"].map(|key| word(&one[key]));
            let _ =
                writeln!(text, "account {account}: {domain} of origin {origin}: {what}; {mend}");
        }
    }
    if let Some(seconds) = status["oldest_open_seconds"].as_u64().filter(|seconds| *seconds > 0) {
        let _ = writeln!(text, "oldest open intent: {} old", span(seconds));
    }
    text.push_str(&gate::waiting(status, config));
    text.push_str(&pause::paused(status, config));
    text.push_str(&decide::held(status, config));
    let told = reasons::lines(&status["reasons"], None);
    if !told.is_empty() {
        let _ = write!(text, "to know:\n{told}");
    }
    text.push_str(&alarms(&status["alarms"]));
    for (name, origin) in entries(&status["origins"]) {
        for unmapped in origin["unmapped"].as_array().into_iter().flatten() {
            let _ =
                writeln!(text, "  {name}: {}: {}", word(&unmapped["path"]), word(&unmapped["why"]));
        }
    }
    text
}

/// Writes which access key an account uses, and why there is no newer one.
fn key(account: &str, key: &Value) -> String {
    let mut text = String::new();
    let source = word(&key["source"]);
    if !source.is_empty() {
        let expiry = key["expires_at"].as_i64().map(Timestamp::from_micros);
        let expiry = expiry.map_or_else(String::new, |at| format!(", expires {at}"));
        let _ = writeln!(text, "key of {account}: {} from {source}{expiry}", word(&key["key_id"]));
    }
    if let Some(trouble) = key["trouble"].as_str().filter(|trouble| !trouble.is_empty()) {
        let _ = writeln!(text, "key of {account}: no new one could be had: {trouble}");
    }
    text
}

/// Writes what a person should know of or do.
fn alarms(alarms: &Value) -> String {
    let mut text = String::new();
    for alarm in alarms.as_array().into_iter().flatten() {
        let since = alarm["since"].as_i64().map_or_else(String::new, |micros| {
            format!(", since {}", Timestamp::from_micros(micros))
        });
        let [severity, what, remedy, see] =
            ["severity", "what", "remedy", "see"].map(|key| word(&alarm[key]));
        let _ = writeln!(
            text,
            "{severity}: {what} [{key}{since}]\n  to do: {remedy}\n  more:  docs/troubleshooting.md#{see}",
            key = word(&alarm["key"]),
        );
    }
    text
}

/// Writes what an origin's index and watch are short of.
fn shortcomings(text: &mut String, origin: &Value) {
    let undigested = origin["undigested"].as_u64().unwrap_or_default();
    if undigested > 0 {
        let _ = writeln!(
            text,
            "  without a digest yet: {} ({}); `refreshd index` shows how long it takes",
            count(undigested, "file"),
            size(origin["undigested_bytes"].as_u64().unwrap_or_default()),
        );
    }
    let polled = origin["polled"].as_array().map(Vec::as_slice).unwrap_or_default();
    for polled in polled.iter().take(MOST_POLLED) {
        let _ = writeln!(text, "  polled: {}: {}", word(&polled["path"]), word(&polled["why"]));
    }
    if polled.len() > MOST_POLLED {
        let more = polled.len() - MOST_POLLED;
        let _ = writeln!(text, "  polled: {more} more, which --json names");
    }
    if let Some(advice) = origin["advice"].as_str().filter(|advice| !advice.is_empty()) {
        let _ = writeln!(text, "  advice: {advice}");
    }
}

fn baseline(micros: &Value) -> String {
    micros.as_i64().map_or_else(String::new, |micros| {
        format!(", baseline at {}, changes before unknown", Timestamp::from_micros(micros))
    })
}

fn number(value: &Value) -> String {
    grouped(value.as_u64().unwrap_or_default())
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
