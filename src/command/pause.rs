//! `refreshd pause` and `refreshd resume`: freezing submission.

use std::fmt::Write as _;

use serde_json::Value;

use crate::config::Config;
use crate::domain::names::{AccountName, OriginName};
use crate::domain::time::Timestamp;
use crate::web::pause::Request;

use super::words::{config_option, count};
use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd pause` and `refreshd resume`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Which origin; without one, every account.
    #[arg(value_name = "ORIGIN", conflicts_with = "account")]
    origin: Option<String>,
    /// Only this account.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Tells the daemon to pause, or to go on.
pub(super) async fn run(args: Args, pause: bool, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let request = Request {
        pause,
        origin: args.origin.as_deref().map(OriginName::from),
        account: args.account.as_deref().map(AccountName::from),
    };
    let (code, answer) = control::ask(&config, "/pause", Some(&request)).await?;
    if args.json {
        printer.json(&answer);
    } else if code == 200 {
        printer.line(match (pause, answer["changed"] == true) {
            (true, true) => {
                "paused: nothing of it is asked of the CDN; changes are still collected"
            }
            (true, false) => "it was paused already",
            (false, true) => "resumed",
            (false, false) => "it was not paused",
        });
        printer.line(paused(&answer, &config).trim_end());
    } else {
        printer.problem(&control::problem(&answer));
    }
    Ok(match code {
        200 => Exit::Ok,
        503 => Exit::Io,
        _ => Exit::No,
    })
}

/// Writes what is paused, with the commands that end it; empty when nothing is.
pub(super) fn paused(answer: &Value, config: &Config) -> String {
    let mut text = String::new();
    let option = config_option(&config.path);
    for pause in answer["paused"].as_array().into_iter().flatten() {
        let account = pause["account"].as_str().unwrap_or_default();
        let (what, scope) = match pause["origin"].as_str() {
            Some(origin) => (format!("origin {origin}"), origin.to_owned()),
            None => (format!("account {account}"), format!("--account {account}")),
        };
        let since = pause["since"].as_i64().map_or_else(String::new, |micros| {
            format!(" since {}", Timestamp::from_micros(micros))
        });
        let _ = writeln!(
            text,
            "paused: {what}{since} by {}: {} waiting\n  to go on:  refreshd resume {scope}{option}",
            pause["by"].as_str().unwrap_or_default(),
            count(pause["waiting"].as_u64().unwrap_or_default(), "intent"),
        );
    }
    text
}
