//! `refreshd check`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::config::{self, Config, Effective, Problems};

use super::words::count;
use super::{ConfigArg, Exit, Failed, Printer};

/// Arguments of `refreshd check`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Write the problems, or what --explain shows, as one JSON array: of problems file, line, column,
    /// message and help.
    #[arg(long)]
    json: bool,
    /// Exit 1 if something is risky, though it is allowed.
    #[arg(long)]
    strict: bool,
    /// Show the value of every key, or of those that begin so, and where each comes from.
    #[arg(long, value_name = "KEY", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
    /// Write the schema of the file, for editors (JSON Schema); no file is read.
    #[arg(long, conflicts_with_all = ["explain", "keys"])]
    schema: bool,
    /// Write the table of all keys, in Markdown; no file is read.
    #[arg(long, conflicts_with_all = ["explain", "schema"])]
    keys: bool,
}

/// Checks a configuration file.
pub(super) fn run(args: &Args, printer: &mut Printer) -> Result<Exit, Failed> {
    if args.schema {
        let schema = serde_json::to_string_pretty(&config::schema());
        printer.line(&schema.map_err(|error| Failed::new(Exit::Software, error))?);
        return Ok(Exit::Ok);
    }
    if args.keys {
        printer.line(config::table().trim_end());
        return Ok(Exit::Ok);
    }
    let path = &args.config.config;
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(problems) if args.json => {
            printer.json(&problems.rows());
            return Ok(Exit::Config);
        }
        Err(problems) => {
            return Err(Failed::new(Exit::Config, problems.render(printer.colour())));
        }
    };
    if let Some(prefix) = &args.explain {
        return explain(path, prefix, args.json, printer);
    }
    let risks = risks(&config);
    if args.json {
        printer.json(&risks.as_ref().map(Problems::rows).unwrap_or_default());
    } else {
        if let Some(risks) = &risks {
            printer.problem(&risks.render(printer.colour()));
        }
        let number = risks.as_ref().map_or(0, |risks| risks.rows().len() as u64);
        let more = if number == 0 {
            String::new()
        } else {
            format!("; {}", count(number, "risky setting"))
        };
        printer.line(&format!(
            "{} is a good configuration: {} and {}{more}",
            path.display(),
            count(config.accounts.len() as u64, "account"),
            count(config.origins.len() as u64, "origin"),
        ));
    }
    Ok(if args.strict && risks.is_some() { Exit::No } else { Exit::Ok })
}

/// Returns what is risky in a configuration, and what of its files others may read.
pub(super) fn risks(config: &Config) -> Option<Problems> {
    let text = std::fs::read_to_string(&config.path).ok()?;
    config.risks(&text, &mode)
}

/// Returns the mode of a file, if it can be looked at.
pub(super) fn mode(path: &Path) -> Option<u32> {
    path.metadata().ok().map(|metadata| metadata.mode())
}

/// Shows every value, aligned, with its place.
fn explain(path: &Path, prefix: &str, json: bool, printer: &mut Printer) -> Result<Exit, Failed> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::new(Exit::Io, format!("{}: {error}", path.display())))?;
    let mut rows = config::effective(&text);
    rows.retain(|row| row.key.starts_with(prefix));
    if rows.is_empty() {
        let message =
            format!("no key begins with `{prefix}`; all of them: refreshd check --explain");
        return Err(Failed::new(Exit::No, message));
    }
    if json {
        printer.json(&rows);
        return Ok(Exit::Ok);
    }
    let from = |row: &Effective| match (row.line, &row.why) {
        (Some(line), _) => format!("line {line}"),
        (None, Some(why)) => format!("{}: {why}", row.from),
        (None, None) => row.from.to_owned(),
    };
    let keys = rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
    let places = rows.iter().map(|row| from(row).len()).max().unwrap_or(0);
    for row in &rows {
        let value = row.value.as_deref().unwrap_or("-");
        printer.line(&format!("{:keys$}  {:places$}  {value}", row.key, from(row)));
    }
    Ok(Exit::Ok)
}

/// Loads a configuration for a command that needs one.
pub(super) fn load(config: &ConfigArg, printer: &Printer) -> Result<Config, Failed> {
    Config::load(&config.config)
        .map_err(|problems| Failed::new(Exit::Config, problems.render(printer.colour())))
}
