//! `refreshd baseline`: taking an origin's tree as it is, anew.

use crate::domain::names::OriginName;
use crate::web::baseline::Request;

use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd baseline`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Of which origin.
    #[arg(value_name = "ORIGIN")]
    origin: String,
    /// Also refresh, by directory, everything the origin serves: it may have changed.
    #[arg(long)]
    refresh: bool,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the daemon for a new baseline.
pub(super) async fn run(args: Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let origin = OriginName::from(args.origin.as_str());
    let request = Request { origin, refresh: args.refresh };
    let (code, answer) = control::ask(&config, "/baseline", Some(&request)).await?;
    if args.json {
        printer.json(&answer);
    } else if code == 202 {
        for target in answer["recorded"].as_array().into_iter().flatten() {
            let target = target.as_str().unwrap_or_default();
            printer.line(&format!("recorded: refresh directory {target}"));
        }
        printer.line(&format!(
            "a new baseline of {} begins: its files are taken as they are now, and only later \
             changes are refreshed",
            request.origin
        ));
    } else {
        printer.problem(&control::problem(&answer));
    }
    Ok(match code {
        202 => Exit::Ok,
        503 => Exit::Io,
        _ => Exit::No,
    })
}
