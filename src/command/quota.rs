//! `refreshd quota`: how the day of each account stands.

use serde_json::Value;

use super::api::{self, text};
use super::intents::second;
use super::table::Table;
use super::words::grouped;
use super::{ConfigArg, Exit, Failed, Printer, check};

/// Arguments of `refreshd quota`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows limits, what is spent and kept, and what is likely to come.
pub(super) async fn run(args: Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let answer = api::get(&config, "/api/v1/quota").await?;
    if args.json {
        printer.json(&answer);
        return Ok(Exit::Ok);
    }
    for account in answer["items"].as_array().into_iter().flatten() {
        let (name, turns) = (text(account, "account"), second(text(account, "turns_at")));
        printer.line(&format!("account {name}; the day turns at {turns}"));
        let head = ["KIND", "LIMIT", "USED", "LEFT", "RESERVE", "OTHERS", "EXPECTED", "SPENT BY"];
        let mut table = Table::new(&head);
        for kind in account["kinds"].as_array().into_iter().flatten() {
            let number = |key: &str| kind[key].as_u64().map_or_else(|| "-".to_owned(), grouped);
            let numbers = ["limit", "used", "left", "reserve", "foreign", "expected"].map(number);
            let runs_out = kind["runs_out"].as_str().map_or_else(|| "-".to_owned(), second);
            let mut cells = vec![text(kind, "kind").to_owned()];
            cells.extend(numbers);
            cells.push(runs_out);
            table.line(cells);
        }
        table.print(printer);
        for share in account["shares"].as_array().into_iter().flatten() {
            printer.line(&line(share));
        }
    }
    Ok(Exit::Ok)
}

fn line(share: &Value) -> String {
    let number = |key: &str| grouped(share[key].as_u64().unwrap_or_default());
    let (origin, kind) = (text(share, "origin"), text(share, "kind"));
    match share["share"].as_u64() {
        Some(1..) => {
            format!(
                "origin {origin}, {kind}: {} of its share of {}",
                number("used"),
                number("share")
            )
        }
        _ => format!("origin {origin}, {kind}: {}", number("used")),
    }
}
