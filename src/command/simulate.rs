//! `refreshd simulate`: a recorded history gone through in virtual time, nothing asked of anybody.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::config::{Config, read_duration};
use crate::domain::names::OriginName;
use crate::domain::plan::Policy;
use crate::domain::simulate::{Report, Terms, simulate};

use super::{ConfigArg, Exit, Failed, Printer, check};

mod history;
mod plot;
mod table;

/// Arguments of `refreshd simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = FORM)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The history, plain or compressed by gzip.
    #[arg(long, value_name = "FILE")]
    history: PathBuf,
    /// Whose rules and times hold, and whose account's quota; may be left out when there is one
    /// origin.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// What is done where URLs run short. `cover`: directories and regexes that reach the fewest
    /// unchanged objects. `per-url`: wait. `threshold:N`: a directory for every N changed URLs in it,
    /// as a simple script would. Several, one after the other, separated by commas.
    #[arg(long, value_name = "POLICY", default_value = "cover", value_parser = policy, value_delimiter = ',')]
    policy: Vec<(String, Policy)>,
    /// Go through the history under `cover` once for each of these values of `spare`, instead of the
    /// configuration's: how long a changed URL may stay stale to spare one unchanged object.
    #[arg(long, value_name = "TIME,…", value_parser = spare, value_delimiter = ',')]
    spare: Vec<(String, Duration)>,
    /// Draw the results into this file, as SVG: mean lag against unchanged objects hit.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write a JSON object for each result; of several a list. Times are in seconds.
    #[arg(long)]
    json: bool,
}

const FORM: &str = "\
A line of the history is a change set, the oldest first:
  {\"time\": 1762000000, \"changes\": [[\"M\", \"docs/a.html\"], [\"D\", \"old.html\"]]}
time in Unix seconds; A for added, M for modified, D for deleted; paths below the origin's root.
`refreshd history` writes what the daemon recorded in this form.

Limits, reserve, rules and times are the configuration's; no root, key or endpoint is looked at.
Every ask counts as accepted at once, and what a guard would hold as approved at once.";

/// A result.
#[derive(Debug, Serialize)]
struct Answer {
    policy: String,
    /// The value of `spare`, where the command line gave it, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    spare: Option<u64>,
    #[serde(flatten)]
    report: Report,
    /// `spare` as it was typed.
    #[serde(skip)]
    typed: Option<String>,
}

impl Answer {
    fn label(&self) -> String {
        match &self.typed {
            Some(typed) => format!("{} {typed}", self.policy),
            None => self.policy.clone(),
        }
    }
}

fn policy(text: &str) -> Result<(String, Policy), String> {
    let policy = match text.split_once(':') {
        None if text == "cover" => Policy::Cover,
        None if text == "per-url" => Policy::PerUrl,
        Some(("threshold", least)) => match least.parse() {
            Ok(least) if least > 0 => Policy::Threshold(least),
            _ => return Err("write a number of URLs after `threshold:`, as `threshold:50`".into()),
        },
        _ => return Err("write `cover`, `per-url` or `threshold:N`".into()),
    };
    Ok((text.to_owned(), policy))
}

fn spare(text: &str) -> Result<(String, Duration), String> {
    let time = read_duration(text).map_err(|why| format!("the time {why}; write it as `3h`"))?;
    Ok((text.to_owned(), time))
}

/// Goes through a history under each policy.
pub(super) fn run(args: &Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let origin = origin(&config, args.origin.as_deref())?;
    let Some(account) = config.accounts.get(&origin.account) else {
        return Err(Failed::new(Exit::Config, "the origin names no account of the file"));
    };
    let history = history::read(&args.history)?;
    let terms = Terms {
        origin: &origin.name,
        mapping: &origin.mapping,
        settle: origin.settle,
        deadline: origin.deploy_deadline,
        limits: &account.quota,
        takes: &account.limits,
        rules: &account.rules,
        guard: &origin.guard,
        spare: account.cover.spare,
        expressions: &account.cover.expressions,
    };
    let mut answers = Vec::new();
    for (name, policy) in &args.policy {
        let mut add = |typed: Option<&(String, Duration)>| {
            let spare = typed.map_or(terms.spare, |(_, spare)| *spare);
            answers.push(Answer {
                policy: name.clone(),
                spare: typed.map(|(_, spare)| spare.as_secs()),
                report: simulate(&history, Terms { spare, ..terms }, *policy),
                typed: typed.map(|(text, _)| text.clone()),
            });
        };
        if *policy == Policy::Cover && !args.spare.is_empty() {
            for spare in &args.spare {
                add(Some(spare));
            }
        } else {
            add(None);
        }
    }
    if let Some(file) = &args.plot {
        std::fs::write(file, plot::draw(&answers)).map_err(|error| {
            Failed::new(Exit::Io, format!("{} could not be written: {error}", file.display()))
        })?;
    }
    match (args.json, answers.as_slice()) {
        (true, [one]) => printer.json(one),
        (true, several) => printer.json(&several),
        (false, several) => table::show(several, &history, origin, account, printer),
    }
    Ok(Exit::Ok)
}

fn origin<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c crate::config::Origin, Failed> {
    let known = || config.origins.keys().map(OriginName::as_str).collect::<Vec<_>>().join(", ");
    let mut all = config.origins.values();
    match name {
        Some(name) => config.origins.get(&OriginName::from(name)).ok_or_else(|| {
            Failed::new(Exit::Usage, format!("there is no origin `{name}`; known: {}", known()))
        }),
        None => match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Failed::new(Exit::Usage, format!("name one with --origin: {}", known()))),
        },
    }
}
