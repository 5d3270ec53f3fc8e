//! `refreshd simulate`: a recorded history gone through in virtual time, nothing asked of anybody.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::domain::change::ChangeKind;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::plan::Policy;
use crate::domain::simulate::{Line, Report, Terms, simulate};
use crate::domain::time::Timestamp;

use super::words::grouped;
use super::{ConfigArg, Exit, Failed, Printer, check};

/// Arguments of `refreshd simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The history: a line of JSON for each change set, oldest first; may be compressed by gzip.
    #[arg(long, value_name = "FILE")]
    history: PathBuf,
    /// Whose mapping and times hold; may be left out when there is one origin.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// How URLs are widened: cover, per-url or threshold:N (a directory for N URLs in it). May be
    /// given several times.
    #[arg(long, value_name = "POLICY", default_value = "cover", value_parser = policy)]
    policy: Vec<(String, Policy)>,
    /// Write a JSON object for each policy; of several a list.
    #[arg(long)]
    json: bool,
}

/// One policy's result.
#[derive(Debug, Serialize)]
struct Answer {
    policy: String,
    #[serde(flatten)]
    report: Report,
}

/// A line of a history file.
#[derive(Debug, Deserialize)]
struct Recorded {
    time: i64,
    changes: Vec<(String, String)>,
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

/// Goes through a history under each policy.
pub(super) fn run(args: &Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let origin = origin(&config, args.origin.as_deref())?;
    let Some(account) = config.accounts.get(&origin.account) else {
        return Err(Failed::new(Exit::Config, "the origin names no account of the file"));
    };
    let history = read(&args.history)?;
    let terms = Terms {
        origin: &origin.name,
        mapping: &origin.mapping,
        settle: origin.settle,
        deadline: origin.deploy_deadline,
        limits: &account.quota,
        rules: &account.rules,
        guard: &origin.guard,
        spare: account.cover.spare,
        expressions: &account.cover.expressions,
    };
    let answer = |(name, policy): &(String, Policy)| Answer {
        policy: name.clone(),
        report: simulate(&history, terms, *policy),
    };
    let answers: Vec<Answer> = args.policy.iter().map(answer).collect();
    match (args.json, answers.as_slice()) {
        (true, [one]) => printer.json(one),
        (true, several) => printer.json(&several),
        (false, several) => print(several, printer),
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

/// Reads a history; a bad line is named with its number.
fn read(path: &Path) -> Result<Vec<Line>, Failed> {
    let unreadable = |error: std::io::Error| {
        Failed::new(Exit::Io, format!("{} could not be read: {error}", path.display()))
    };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let is_compressed = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read> = if is_compressed {
        Box::new(flate2::bufread::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut lines: Vec<Line> = Vec::new();
    for (number, text) in (1..).zip(BufReader::new(plain).lines()) {
        let text = text.map_err(unreadable)?;
        if text.trim().is_empty() {
            continue;
        }
        let refuse = |why: String| {
            let place = format!("{}, line {number}", path.display());
            Failed::new(
                Exit::Io,
                format!(
                    "{place}: {why}; a line is {{\"time\": unix seconds, \"changes\": \
                    [[\"A\", \"M\" or \"D\", path], …]}}"
                ),
            )
        };
        let recorded: Recorded =
            serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let time = Timestamp::from_seconds(recorded.time);
        if lines.last().is_some_and(|last| last.time > time) {
            return Err(refuse("it is older than the line before; sort the file by time".into()));
        }
        let changes: Result<Vec<_>, String> = recorded.changes.iter().map(change).collect();
        lines.push(Line { time, changes: changes.map_err(refuse)? });
    }
    Ok(lines)
}

fn change((kind, path): &(String, String)) -> Result<(ChangeKind, RelPath), String> {
    let kind = match kind.as_str() {
        "A" => ChangeKind::Created,
        "M" => ChangeKind::Modified,
        "D" => ChangeKind::Removed,
        other => return Err(format!("`{other}` is no kind of change")),
    };
    let path = RelPath::new(path.as_str()).map_err(|error| format!("`{path}`: {error}"))?;
    Ok((kind, path))
}

fn print(answers: &[Answer], printer: &mut Printer) {
    printer.line(&format!(
        "{:<16}{:>9}{:>11}{:>7}{:>15}{:>8}{:>10}{:>9}{:>9}{:>9}{:>11}",
        "policy",
        "urls",
        "directories",
        "regex",
        "ignore_params",
        "parked",
        "lag mean",
        "p90",
        "p99",
        "max",
        "unchanged",
    ));
    for Answer { policy, report } in answers {
        let spent = |kind: &str| grouped(report.spent.get(kind).copied().unwrap_or(0));
        let lag = &report.lag_seconds;
        printer.line(&format!(
            "{:<16}{:>9}{:>11}{:>7}{:>15}{:>8}{:>10}{:>9}{:>9}{:>9}{:>11}",
            policy,
            spent("url"),
            spent("directory"),
            spent("regex"),
            spent("ignore_params"),
            grouped(report.parked_max),
            format!("{:.0} s", lag.mean),
            grouped(lag.p90),
            grouped(lag.p99),
            grouped(lag.max),
            grouped(report.collateral.soft + report.collateral.forced),
        ));
    }
    if let Some(Answer { report, .. }) = answers.first() {
        printer.line(&format!(
            "{} changes and {} URLs in {} days; `parked`: paths that waited for quota at once; \
            `unchanged`: objects hit though they did not change",
            grouped(report.changes),
            grouped(report.targets),
            grouped(report.days.unsigned_abs()),
        ));
    }
    for Answer { policy, report } in answers {
        if report.overspent_days + report.uncovered > 0 {
            printer.line(&format!(
                "{policy}: {} days overspent, {} changes never accepted",
                report.overspent_days, report.uncovered
            ));
        }
    }
}
