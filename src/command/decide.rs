//! `refreshd approve` and `refreshd reject`: deciding on what is held.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::Config;
use crate::domain::deploy::DeployId;
use crate::domain::intent::IntentId;
use crate::domain::time::Timestamp;
use crate::journal::Decision;
use crate::web::decide::Request;

use super::words::{config_option, count};
use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd approve` and `refreshd reject`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The deploys, as `status` names them: `DEPLOY:NUMBER` is about what it showed and leaves alone
    /// what came since, `DEPLOY` is about all that is held of it.
    #[arg(value_name = "DEPLOY", required = true)]
    deploys: Vec<String>,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Tells the daemon what a person decided.
pub(super) async fn run(
    args: Args,
    decision: Decision,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let (mut decided, mut exit) = (0, Exit::Ok);
    for deploy in &args.deploys {
        let request = request(deploy, decision)?;
        let (code, answer) = control::ask(&config, "/decide", Some(&request)).await?;
        if code == 200 {
            let intents = answer["decided"].as_u64().unwrap_or_default();
            decided += intents;
            let number = count(intents, "intent");
            if !args.json {
                printer.line(&match decision {
                    Decision::Approve => {
                        format!("approved: {number} of {} will go out", request.deploy)
                    }
                    Decision::Reject => format!("rejected: {number} of {} ended", request.deploy),
                });
            }
            continue;
        }
        printer.problem(&control::problem(&answer));
        if code == 404 {
            let (_, status) = control::ask(&config, "/status", None::<&()>).await?;
            let held = held(&status, &config);
            printer.problem(if held.is_empty() { "nothing is held at all" } else { &held });
        }
        exit = if code == 503 { Exit::Io } else { Exit::No };
    }
    if args.json {
        printer.json(&json!({ "decided": decided }));
    }
    Ok(exit)
}

/// Reads `DEPLOY` or `DEPLOY:NUMBER`.
fn request(text: &str, decision: Decision) -> Result<Request, Failed> {
    let (deploy, through) = match text.split_once(':') {
        None => (text, None),
        Some((deploy, number)) => {
            let number = number.parse().map_err(|_| {
                let message = format!("`{text}`: what stands after the colon is no number");
                Failed::new(Exit::Usage, message)
            })?;
            (deploy, Some(IntentId(number)))
        }
    };
    Ok(Request { deploy: DeployId::from_text(deploy.to_owned()), through, decision })
}

/// Writes what waits for a person, with the commands that decide; empty when nothing does.
pub(super) fn held(status: &Value, config: &Config) -> String {
    let mut text = String::new();
    let option = config_option(&config.path);
    for set in status["held"].as_array().into_iter().flatten() {
        let number = count(set["intents"].as_u64().unwrap_or_default(), "intent");
        let since = set["since"].as_i64().map_or_else(String::new, |micros| {
            format!(" since {}", Timestamp::from_micros(micros))
        });
        let origin = set["origin"].as_str();
        let origin = origin.map_or_else(String::new, |name| format!(" of origin {name}"));
        let why = set["why"].as_str().unwrap_or_default();
        let deploy = set["deploy"].as_str().unwrap_or_default();
        let seen = format!("{deploy}:{}", set["through"]);
        let _ = writeln!(text, "held for a person: {number}{origin}{since}: {why}");
        for target in set["sample"].as_array().into_iter().flatten() {
            let _ = writeln!(text, "  such as {}", target.as_str().unwrap_or_default());
        }
        let _ = writeln!(text, "  to let them go out:  refreshd approve {seen}{option}");
        let _ = writeln!(text, "  to drop them:        refreshd reject {seen}{option}");
    }
    text
}
