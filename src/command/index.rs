//! `refreshd index`: how far the index of each origin is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::config::Config;

use super::words::{bar, count, size, span};
use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd index`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Of which origin; of all if none is named.
    #[arg(value_name = "ORIGIN")]
    origin: Option<String>,
    /// Write the answer as one JSON object, once.
    #[arg(long)]
    json: bool,
}

/// How often a terminal is told.
const EVERY: Duration = Duration::from_secs(1);

/// How far the index of an origin is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Progress {
    state: String,
    files: u64,
    directories: u64,
    undigested: u64,
    undigested_bytes: u64,
    /// How many files a comparison under way has seen.
    comparing: Option<u64>,
    bytes_per_second: u64,
    seconds_left: u64,
}

/// Shows the index: on a terminal until all is digested, else once.
pub(super) async fn run(args: Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let wanted = args.origin.as_deref();
    let mut shown = look(&config, wanted).await?;
    if args.json {
        printer.json(&serde_json::json!({ "origins": shown }));
        return Ok(Exit::Ok);
    }
    let live = printer.terminal();
    printer.lines(&render(&shown, live), 0);
    while live && shown.values().any(Progress::is_open) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
        let above = shown.len();
        shown = look(&config, wanted).await?;
        printer.lines(&render(&shown, live), above);
    }
    Ok(Exit::Ok)
}

/// Asks the daemon how far it is.
async fn look(config: &Config, wanted: Option<&str>) -> Result<BTreeMap<String, Progress>, Failed> {
    let (code, status) = control::ask(config, "/status", None::<&()>).await?;
    if code != 200 {
        return Err(Failed::new(Exit::Io, format!("the daemon could not answer: {status}")));
    }
    let origins = || status["origins"].as_object().into_iter().flatten();
    let rate_of = |name: &str| {
        let mut known = config.origins.values();
        known.find(|origin| origin.name.as_str() == name).map_or(1, |origin| origin.digest_rate)
    };
    let shown: BTreeMap<String, Progress> = origins()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
        .map(|(name, facts)| (name.clone(), Progress::of(facts, rate_of(name))))
        .collect();
    if let (true, Some(wanted)) = (shown.is_empty(), wanted) {
        let known: Vec<&str> = origins().map(|(name, _)| name.as_str()).collect();
        let known = known.join(", ");
        let problem = format!("there is no origin `{wanted}`; the daemon has: {known}");
        return Err(Failed::new(Exit::No, problem));
    }
    Ok(shown)
}

impl Progress {
    fn of(facts: &Value, bytes_per_second: u64) -> Self {
        let number = |key: &str| facts[key].as_u64().unwrap_or_default();
        Self {
            state: facts["state"].as_str().unwrap_or_default().to_owned(),
            files: number("files"),
            directories: number("directories"),
            undigested: number("undigested"),
            undigested_bytes: number("undigested_bytes"),
            comparing: facts["comparing"].as_u64(),
            bytes_per_second,
            seconds_left: number("undigested_bytes").div_ceil(bytes_per_second.max(1)),
        }
    }

    /// Whether there is something to wait for.
    fn is_open(&self) -> bool {
        self.undigested > 0 || self.state == "baseline"
    }

    /// Draws how many of the files have a digest.
    fn bar(&self) -> String {
        let done = self.files.saturating_sub(self.undigested);
        bar(done, self.files)
    }
}

/// Writes one line an origin; a bar has to fit into 80 columns.
fn render(shown: &BTreeMap<String, Progress>, bars: bool) -> Vec<String> {
    let line = |(name, progress): (&String, &Progress)| {
        let mut line = format!("{name}: ");
        if bars && progress.is_open() {
            let _ = write!(line, "{} ", progress.bar());
            let _ = match progress.comparing {
                Some(seen) => write!(line, "comparing: {} seen", count(seen, "file")),
                None => write!(
                    line,
                    "of {} have a digest, {} left",
                    count(progress.files, "file"),
                    span(progress.seconds_left)
                ),
            };
            return line;
        }
        let files = count(progress.files, "file");
        let _ = write!(line, "{files} in {}", count(progress.directories, "directory"));
        if let Some(seen) = progress.comparing {
            let _ = write!(line, ", comparing: {} seen", count(seen, "file"));
        }
        if progress.undigested > 0 {
            let _ = write!(
                line,
                ", {} ({}) without a digest yet: {} left at {} a second",
                count(progress.undigested, "file"),
                size(progress.undigested_bytes),
                span(progress.seconds_left),
                size(progress.bytes_per_second),
            );
        } else if progress.state == "baseline" {
            line.push_str(", the baseline is being taken");
        } else {
            line.push_str(", all digested");
        }
        line
    };
    shown.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
