//! `refreshd history`: the daemon's recorded days, as `refreshd simulate` reads them.

use std::time::Duration;

use serde_json::Value;

use crate::clock::SharedClock;
use crate::config::{Config, read_duration};
use crate::domain::deploy::DeployId;
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;
use crate::web::history::Request;

use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd history`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Of which origin; may be left out when there is one.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Since when: how long ago (30d), or an instant (2026-11-22T00:00:00Z). All 90 days that are kept
    /// by default.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// Writes a line of JSON for each deploy, the oldest first.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let origin = origin(&config, args.origin.as_deref())?;
    let since = match &args.since {
        None => Timestamp::EPOCH,
        Some(text) => since(text, clock.now())?,
    };
    let mut request = Request { origin, since, after: None };
    loop {
        let (code, answer) = control::ask(&config, "/history", Some(&request)).await?;
        if code != 200 {
            let exit = if code == 503 { Exit::Io } else { Exit::No };
            return Err(Failed::new(exit, control::problem(&answer)));
        }
        for line in answer["lines"].as_array().into_iter().flatten() {
            printer.json(line);
        }
        match &answer["after"] {
            Value::String(after) => request.after = Some(DeployId::from_text(after.clone())),
            _ => return Ok(Exit::Ok),
        }
    }
}

fn origin(config: &Config, named: Option<&str>) -> Result<OriginName, Failed> {
    let mut known = config.origins.keys();
    match (named, known.next(), known.next()) {
        (Some(name), _, _) => Ok(OriginName::from(name)),
        (None, Some(only), None) => Ok(only.clone()),
        _ => {
            let known: Vec<&str> = config.origins.keys().map(OriginName::as_str).collect();
            let message = format!("name the origin with --origin ({})", known.join(", "));
            Err(Failed::new(Exit::Usage, message))
        }
    }
}

pub(super) fn since(text: &str, now: Timestamp) -> Result<Timestamp, Failed> {
    let ago = |ago: Duration| now.minus(ago);
    Timestamp::parse(text).or_else(|| read_duration(text).ok().map(ago)).ok_or_else(|| {
        let message = format!("--since `{text}`: write it like 30d or 2026-11-22T00:00:00Z");
        Failed::new(Exit::Usage, message)
    })
}
