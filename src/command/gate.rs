//! `refreshd gate`: what waits until web servers serve it, and letting it go.

use std::fmt::Write as _;

use serde_json::Value;

use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::web::gate::Request;

use super::words::{config_option, count};
use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd gate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    #[command(subcommand)]
    what: Option<What>,
    /// Write the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Let go what waits, though the origin is not ready.
    Open {
        /// An origin, for all of it that is complete, or a deploy.
        #[arg(value_name = "ORIGIN|DEPLOY")]
        what: String,
        #[command(flatten)]
        config: ConfigArg,
    },
}

/// Lists what waits at gates, or lets it go.
pub(super) async fn run(args: Args, printer: &mut Printer) -> Result<Exit, Failed> {
    match args.what {
        None => list(&check::load(&args.config, printer)?, args.json, printer).await,
        Some(What::Open { what, config }) => {
            open(&check::load(&config, printer)?, what, args.json, printer).await
        }
    }
}

async fn list(config: &Config, json: bool, printer: &mut Printer) -> Result<Exit, Failed> {
    let (code, answer) = control::ask(config, "/gates", None::<&()>).await?;
    if code != 200 {
        return Err(Failed::new(Exit::Io, control::problem(&answer)));
    }
    if json {
        printer.json(&answer);
        return Ok(Exit::Ok);
    }
    let gated = answer["gated"].as_array().map(Vec::as_slice).unwrap_or_default();
    if gated.is_empty() {
        printer.line("nothing waits at a gate");
    }
    for one in gated {
        printer.line(line(one, config).trim_end());
    }
    Ok(Exit::Ok)
}

fn line(one: &Value, config: &Config) -> String {
    let said = |key: &str| one[key].as_str().unwrap_or_default();
    let at = Timestamp::from_micros(one["ready_at"].as_i64().unwrap_or_default());
    let wishes = count(one["wishes"].as_u64().unwrap_or_default(), "wish");
    let (origin, deploy) = (said("origin"), said("deploy"));
    let commit = one["commit"].as_str().map_or_else(String::new, |name| format!(" of {name}"));
    let why = said("why");
    let mut text = format!("{origin}: deploy {deploy}{commit}: {wishes}");
    if one["complete"] == true {
        let _ = writeln!(text, ", complete since {at}: {why}");
        for line in said("output").split("\\x0a").filter(|line| !line.is_empty()) {
            let _ = writeln!(text, "  it wrote: {line}");
        }
        let option = config_option(&config.path);
        let _ = writeln!(text, "  to let it go all the same:  refreshd gate open {deploy}{option}");
    } else {
        let _ = writeln!(text, " so far, complete at {at} at the latest: {why}");
    }
    text
}

async fn open(
    config: &Config,
    what: String,
    json: bool,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let (code, answer) = control::ask(config, "/gate", Some(&Request { what })).await?;
    if json {
        printer.json(&answer);
    } else if code == 200 {
        let deploys = answer["deploys"].as_array().map(Vec::len).unwrap_or_default() as u64;
        let wishes = count(answer["wishes"].as_u64().unwrap_or_default(), "wish");
        printer.line(&format!("opened: {} with {wishes} will go out", count(deploys, "deploy")));
    } else {
        printer.problem(&control::problem(&answer));
    }
    Ok(match code {
        200 => Exit::Ok,
        503 => Exit::Io,
        _ => Exit::No,
    })
}

/// Writes what waits at gates, with the command that shows more; empty when nothing does.
pub(super) fn waiting(status: &Value, config: &Config) -> String {
    let mut text = String::new();
    for (origin, gate) in status["gates"].as_object().into_iter().flatten() {
        let deploys = count(gate["deploys"].as_u64().unwrap_or_default(), "deploy");
        let wishes = count(gate["wishes"].as_u64().unwrap_or_default(), "wish");
        let since = Timestamp::from_micros(gate["since"].as_i64().unwrap_or_default());
        let why = gate["why"].as_str().unwrap_or_default();
        let alarm = if gate["alarmed"] == true { "the gate stays closed" } else { "at the gate" };
        let option = config_option(&config.path);
        let _ = writeln!(
            text,
            "{alarm}, origin {origin}: {deploys} with {wishes} since {since}: {why}\n  \
             to see more:  refreshd gate{option}"
        );
    }
    text
}
