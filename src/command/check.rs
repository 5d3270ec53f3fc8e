//! `refreshd check`.

use crate::config::Config;

use super::words::count;
use super::{ConfigArg, Exit, Failed, Printer};

/// Arguments of `refreshd check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Write the problems as one JSON array: file, line, column, message, help.
    #[arg(long)]
    json: bool,
}

/// Checks a configuration file.
pub(super) fn run(args: &Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let path = &args.config.config;
    match Config::load(path) {
        Ok(config) => {
            if args.json {
                printer.json(&serde_json::json!([]));
            } else {
                printer.line(&format!(
                    "{} is a good configuration: {} and {}",
                    path.display(),
                    count(config.accounts.len() as u64, "account"),
                    count(config.origins.len() as u64, "origin"),
                ));
            }
            Ok(Exit::Ok)
        }
        Err(problems) if args.json => {
            printer.json(&problems.rows());
            Ok(Exit::Config)
        }
        Err(problems) => Err(Failed::new(Exit::Config, problems.render(printer.colour()))),
    }
}

/// Loads a configuration for a command that needs one.
pub(super) fn load(config: &ConfigArg, printer: &Printer) -> Result<Config, Failed> {
    Config::load(&config.config)
        .map_err(|problems| Failed::new(Exit::Config, problems.render(printer.colour())))
}
