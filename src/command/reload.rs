//! `refreshd reload`: the running daemon reads its configuration again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::control::{self, Whose};
use super::words::{config_option, count};
use super::{ConfigArg, Exit, Failed, Printer};
use crate::config::{Config, Problems, read_duration};
use crate::web::reload::{Request, Sort};

/// Arguments of `refreshd reload`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Wait until it is in force or refused, and say which.
    #[arg(long)]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = read_duration)]
    timeout: Duration,
    /// Only say what would change, and which URLs a new mapping would have held for you.
    #[arg(long)]
    dry_run: bool,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Tells the daemon to read its configuration again. The daemon reads it as itself and judges it, so that it
/// is told also of a file that is wrong.
pub(super) async fn run(args: Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let path = &args.config.config;
    let (whose, wrong) = whose(path);
    let wait = args.wait || args.dry_run;
    let of = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let request = Request { path: of, wait, dry_run: args.dry_run };
    let asked = control::ask_within(&whose, "/reload", Some(&request), args.timeout).await;
    let (code, answer) = asked.map_err(|nobody| match wrong {
        Some(problems) => Failed::new(Exit::Config, problems.render(printer.colour())),
        None => nobody,
    })?;
    if args.json && !answer.is_null() {
        printer.json(&answer);
    } else if code == 200 {
        printer.line(told(&answer, args.dry_run, path).trim_end());
    } else if code == 202 {
        printer.line("the daemon reads its configuration; its log says what came of that");
    } else {
        let why = control::problem(&answer);
        let what = if args.dry_run { "it would be refused" } else { "refused" };
        printer.problem(&format!("{what}, the configuration before stays in force:\n{why}"));
    }
    let sort: Option<Sort> = serde_json::from_value(answer["sort"].clone()).ok();
    Ok(match (code, sort) {
        (200 | 202, _) => Exit::Ok,
        (_, Some(Sort::Configuration)) => Exit::Config,
        (_, Some(Sort::Credentials)) => Exit::Credentials,
        (_, Some(Sort::Io)) => Exit::Io,
        (503, None) => Exit::Unavailable,
        (_, Some(Sort::Restart) | None) => Exit::No,
    })
}

/// Writes what changed or would change.
fn told(answer: &Value, is_dry: bool, path: &Path) -> String {
    let lines = |key: &str| answer[key].as_array().into_iter().flatten();
    let changed: Vec<&str> = lines("changed").filter_map(Value::as_str).collect();
    let mut text = match (changed.is_empty(), is_dry) {
        (true, true) => "nothing would change".to_owned(),
        (true, false) => "in force; nothing is different".to_owned(),
        (false, true) => format!("it would change: {}", changed.join(", ")),
        (false, false) => format!("in force: {}", changed.join(", ")),
    };
    for held in lines("held") {
        let urls = count(held["urls"].as_u64().unwrap_or_default(), "URL");
        let origin = held["origin"].as_str().unwrap_or_default();
        let waits = if is_dry { "would be held for you" } else { "held for you" };
        let _ = write!(
            text,
            "\norigin {origin} is mapped otherwise: {urls} it had not before, {waits}"
        );
        let sample = held["sample"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for url in sample {
            let _ = write!(text, "\n  {url}");
        }
        if let Some(deploy) = held["deploy"].as_str() {
            let option = config_option(path);
            for decision in ["approve", "reject"] {
                let _ = write!(text, "\n  refreshd {decision} {deploy}{option}");
            }
        }
    }
    text
}

/// Finds the daemon of a configuration, also of one that is wrong, by the lines that say where it is; with what
/// is wrong. The daemon itself says whether it is its own.
fn whose(path: &Path) -> (Whose, Option<Problems>) {
    let problems = match Config::load(path) {
        Ok(config) => return (Whose { is_checked: false, ..Whose::of(&config) }, None),
        Err(problems) => problems,
    };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let top = text.lines().take_while(|line| !line.trim_start().starts_with('['));
    let value = |key: &str| {
        let values = top.clone().filter_map(|line| line.parse::<toml::Table>().ok());
        let mut values = values.filter_map(|table| Some(table.get(key)?.as_str()?.to_owned()));
        values.next().map(PathBuf::from)
    };
    let (state_dir, control_socket) = (value("state_dir"), value("control_socket"));
    let path = path.to_owned();
    (Whose { path, state_dir, is_checked: false, control_socket }, Some(problems))
}
