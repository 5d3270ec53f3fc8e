//! `refreshd deploy`: holding a deploy open, and what became of one.

use std::fmt::Write as _;

use serde_json::Value;

use crate::domain::deploy::DeployId;
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;
use crate::web::deploy::{Bound, Question, Request};

use super::wait::LATEST;
use super::words::{count, grouped};
use super::{ConfigArg, Exit, Failed, Printer, check, control, reasons};

/// Arguments of `refreshd deploy`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, clap::Subcommand)]
enum Step {
    /// Hold the deploy of an origin open, for at most 30 minutes: all until its end is one plan.
    Begin(Of),
    /// Let it close, once all that was written by now is seen.
    End(Of),
    /// Show what changed in a deploy, what the CDN was asked, and what became of that.
    Show(Show),
    /// List the newest deploys.
    List(List),
}

#[derive(Debug, clap::Args)]
struct Of {
    #[command(flatten)]
    config: ConfigArg,
    /// Of which origin.
    #[arg(value_name = "ORIGIN")]
    origin: String,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    config: ConfigArg,
    /// Which deploy; the newest if none is named.
    #[arg(value_name = "ID")]
    deploy: Option<String>,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    config: ConfigArg,
    /// Of which origin; of all if none is named.
    #[arg(value_name = "ORIGIN")]
    origin: Option<String>,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Tells the daemon, or asks it.
pub(super) async fn run(args: Args, printer: &mut Printer) -> Result<Exit, Failed> {
    match args.step {
        Step::Begin(of) => bound(of, Bound::Begin, printer).await,
        Step::End(of) => bound(of, Bound::End, printer).await,
        Step::Show(show) => {
            let deploy = match show.deploy {
                Some(deploy) if deploy != LATEST => DeployId::from_text(deploy),
                _ => newest(&show.config, printer).await?,
            };
            self::show(&show.config, deploy, show.json, printer).await
        }
        Step::List(list) => {
            let origin = list.origin.as_deref().map(OriginName::from);
            ask(&list.config, &Question { origin, deploy: None }, list.json, printer).await
        }
    }
}

/// Shows what became of a deploy.
pub(super) async fn show(
    config: &ConfigArg,
    deploy: DeployId,
    json: bool,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    ask(config, &Question { origin: None, deploy: Some(deploy) }, json, printer).await
}

async fn bound(of: Of, bound: Bound, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&of.config, printer)?;
    let request = Request { origin: OriginName::from(of.origin.as_str()), bound };
    let (code, answer) = control::ask(&config, "/deploy", Some(&request)).await?;
    let deploy = answer["deploy"].as_str().unwrap_or_default();
    if of.json {
        printer.json(&answer);
    } else if code != 202 {
        printer.problem(&control::problem(&answer));
    } else if bound == Bound::Begin {
        let until = answer["until"].as_i64().map(Timestamp::from_micros).unwrap_or_default();
        printer.line(&format!(
            "{deploy} is held open until {until} at the latest; end it: refreshd deploy end {}",
            request.origin
        ));
    } else {
        printer.line(&format!("{deploy} closes once all that was written by now is seen"));
    }
    Ok(exit(code))
}

const fn exit(code: u16) -> Exit {
    match code {
        200 | 202 => Exit::Ok,
        503 => Exit::Io,
        _ => Exit::No,
    }
}

/// Asks for the newest deploy of all origins.
async fn newest(config: &ConfigArg, printer: &mut Printer) -> Result<DeployId, Failed> {
    let config = check::load(config, printer)?;
    let question = Question { origin: None, deploy: None };
    let (code, answer) = control::ask(&config, "/deploys", Some(&question)).await?;
    if code != 200 {
        return Err(Failed::new(exit(code), control::problem(&answer)));
    }
    let id = answer["deploys"][0]["deploys"][0]["id"].as_str();
    let none = || Failed::new(Exit::No, "there was no deploy yet");
    id.map(|id| DeployId::from_text(id.to_owned())).ok_or_else(none)
}

async fn ask(
    config: &ConfigArg,
    question: &Question,
    json: bool,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(config, printer)?;
    let (code, answer) = control::ask(&config, "/deploys", Some(question)).await?;
    if json {
        printer.json(&answer);
    } else if code != 200 {
        printer.problem(&control::problem(&answer));
    } else if let Some(deploys) = answer["deploys"].as_array().filter(|_| question.deploy.is_none())
    {
        for report in deploys {
            let opened = report["deploys"][0]["opened_at"].as_i64().unwrap_or_default();
            let said = summary(report);
            let line = said.lines().next().unwrap_or_default();
            printer.line(&format!("{} {line}", Timestamp::from_micros(opened)));
        }
    } else {
        printer.line(shown(&answer).trim_end());
    }
    Ok(exit(code))
}

/// Says what became of deploys: a line, and one for each reason why intents are not done.
pub(super) fn summary(report: &Value) -> String {
    let deploys = report["deploys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let first = deploys.first().unwrap_or(&Value::Null);
    let (id, origin) = (first["id"].as_str(), first["origin"].as_str());
    let mut text = format!("{}: deploy {}", origin.unwrap_or_default(), id.unwrap_or_default());
    if deploys.len() > 1 {
        let before = count(deploys.len() as u64 - 1, "deploy");
        let _ = write!(text, ", with {before} it goes on from,");
    }
    let mut standing: Vec<String> = report["intents"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(stands, number)| {
            format!("{} {stands}", grouped(number.as_u64().unwrap_or_default()))
        })
        .collect();
    let is_done = report["done"] == true;
    let is_open = deploys.iter().any(|deploy| deploy["closed_at"].is_null());
    text.push_str(match (is_open, is_done) {
        (true, _) => " is open: ",
        (false, true) => " is done: ",
        (false, false) => " is not done: ",
    });
    let gate = &report["gate"];
    text.push_str(if standing.is_empty() && gate.is_null() { "nothing to ask for" } else { "" });
    if let Some(wishes) = gate["wishes"].as_u64() {
        standing.push(format!("{} at the gate", grouped(wishes)));
    }
    text.push_str(&standing.join(", "));
    let seconds = &report["seconds"];
    if let Some(seconds) = seconds["ended"].as_f64().filter(|_| is_done) {
        let _ = write!(text, ", after {seconds:.1} s");
    }
    if let Some(why) = gate["why"].as_str() {
        let _ = write!(text, "\n  at the gate: {why}");
    }
    let told = reasons::lines(&report["reasons"], Some(unfinished(report)));
    if !told.is_empty() {
        let _ = write!(text, "\n{}", told.trim_end());
    }
    text
}

/// Returns how many intents are neither done nor superseded.
fn unfinished(report: &Value) -> u64 {
    let standing = report["intents"].as_object().into_iter().flatten();
    standing
        .filter(|(stands, _)| !matches!(stands.as_str(), "done" | "superseded"))
        .filter_map(|(_, number)| number.as_u64())
        .sum()
}

/// Says all about one deploy.
fn shown(answer: &Value) -> String {
    let mut text = summary(answer);
    let deploy = &answer["deploys"][0];
    let time = |key: &str| deploy[key].as_i64().map(Timestamp::from_micros);
    let opened = time("opened_at").unwrap_or_default();
    let closed = time("closed_at").map_or("open still".to_owned(), |at| format!("closed {at}"));
    let _ = write!(text, "\nopened {opened}, {closed}");
    let seconds = &answer["seconds"];
    let after = [
        ("closed", "closed"),
        ("first_accepted", "first accepted"),
        ("last_accepted", "last accepted"),
        ("ended", "last ended"),
    ]
    .into_iter()
    .filter_map(|(key, said)| Some(format!("{said} {:.1} s", seconds[key].as_f64()?)));
    let after: Vec<String> = after.collect();
    if !after.is_empty() {
        let _ = write!(text, "\nafter its opening: {}", after.join(", "));
    }
    for asks in answer["asks"].as_array().into_iter().flatten() {
        let said = |key: &str| asks[key].as_str().unwrap_or_default().to_owned();
        let what = count(asks["asks"].as_u64().unwrap_or_default(), &said("action"));
        let what = what.replacen(' ', &format!(" {} ", said("kind")), 1);
        let _ = write!(text, "\nasked: {what}");
    }
    let number = answer["changed"].as_u64().unwrap_or_default();
    let changes = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let _ = write!(text, "\nchanged: {}", count(number, "path"));
    for change in changes {
        let said = |at: usize| change[at].as_str().unwrap_or_default().to_owned();
        let _ = write!(text, "\n  {} {}", said(0), said(1));
    }
    if number > changes.len() as u64 {
        let _ = write!(text, "\n  and {} more", grouped(number - changes.len() as u64));
    }
    text
}
