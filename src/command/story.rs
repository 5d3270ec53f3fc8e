//! `refreshd show` and `refreshd why`: the story of an intent, of a deploy, of a path or a URL.

use std::path::Path;

use serde_json::Value;

use crate::domain::deploy::DeployId;
use crate::domain::time::Timestamp;

use super::api::{self, text};
use super::intents::{second, stands, target};
use super::words::span;
use super::{ConfigArg, Exit, Failed, Printer, check, deploy};

/// Arguments of `refreshd show`.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The number of an intent, or the name of a deploy.
    #[arg(value_name = "ID|DEPLOY")]
    what: String,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows an intent or a deploy.
pub(super) async fn show(args: ShowArgs, printer: &mut Printer) -> Result<Exit, Failed> {
    let is_number = args.what.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        let id = DeployId::from_text(args.what);
        return deploy::show(&args.config, id, args.json, printer).await;
    }
    let config = check::load(&args.config, printer)?;
    let story = api::get(&config, &format!("/api/v1/intents/{}", args.what)).await?;
    if args.json {
        printer.json(&story);
    } else {
        print_story(&story, "", printer);
    }
    Ok(Exit::Ok)
}

/// Arguments of `refreshd why`.
#[derive(Debug, clap::Args)]
pub(super) struct WhyArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// A URL, or a file: its path, or its path from an origin's root on.
    #[arg(value_name = "URL|PATH")]
    what: String,
    /// The origin that a path is of, if several have it.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows what became of a URL or a path, or why nothing did.
pub(super) async fn why(args: WhyArgs, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let path = Path::new(&args.what);
    // What is there is meant as it is seen from here.
    let here = std::path::absolute(path).ok().filter(|path| path.exists());
    let what = match here {
        Some(here) if !args.what.contains("://") => here.display().to_string(),
        _ => args.what,
    };
    let parameters = [("q", Some(what.as_str())), ("origin", args.origin.as_deref())];
    let answer = api::get(&config, &api::path("why", &parameters)).await?;
    let found = answer["targets"].as_array().is_some_and(|targets| !targets.is_empty());
    if args.json {
        printer.json(&answer);
    } else {
        print_why(&answer, printer);
    }
    Ok(if found { Exit::Ok } else { Exit::No })
}

fn print_why(answer: &Value, printer: &mut Printer) {
    for file in answer["files"].as_array().into_iter().flatten() {
        let known = if file["known"] == true { "" } else { ", not known" };
        printer.line(&format!("{} of origin {}{known}", text(file, "path"), text(file, "origin")));
        let rules = file["rules"].as_array().into_iter().flatten();
        for rule in rules.filter(|rule| rule["fired"] == true) {
            printer.line(&format!("  {}: {}", text(rule, "rule"), text(rule, "why")));
        }
    }
    for reason in answer["reasons"].as_array().into_iter().flatten() {
        printer.line(reason.as_str().unwrap_or_default());
    }
    for named in answer["targets"].as_array().into_iter().flatten() {
        printer.line(&format!("{} {}", text(named, "action"), target(named)));
        for story in named["intents"].as_array().into_iter().flatten() {
            print_story(story, "  ", printer);
        }
    }
}

/// A step of a story.
struct Step {
    at: Option<Timestamp>,
    what: String,
}

fn step(value: &Value, key: &str, what: String) -> Step {
    Step { at: value[key].as_str().and_then(Timestamp::parse), what }
}

/// Writes what happened one after the other, with the time between.
fn print_story(story: &Value, margin: &str, printer: &mut Printer) {
    let intent = &story["intent"];
    let why = intent["why"].as_str().map_or_else(String::new, |why| format!(": {why}"));
    let id = &intent["id"];
    printer.line(&format!(
        "{margin}intent {id}, {} {}: {}{why}",
        text(intent, "action"),
        target(intent),
        stands(intent)
    ));
    if let Some(until) = intent["until"].as_str() {
        printer.line(&format!("{margin}  looked at again at {}", second(until)));
    }
    if let Some(twin) = intent["superseded_by"].as_i64() {
        printer.line(&format!("{margin}  intent {twin} stands for it: refreshd show {twin}"));
    }
    let mut last = None;
    for step in steps(story).into_iter().filter(|step| step.at.is_some()) {
        let at = step.at.unwrap_or_default();
        let since = match last {
            Some(before) => format!("+{}", span_of(at, before)),
            None => String::new(),
        };
        printer.line(&format!("{margin}  {at}  {since:>12}  {}", step.what));
        last = Some(at);
    }
}

/// Says how much time lies between, to the millisecond where it is short.
fn span_of(at: Timestamp, before: Timestamp) -> String {
    let between = at.since(before);
    if between.as_secs() < 10 {
        format!("{}.{:03} s", between.as_secs(), between.subsec_millis())
    } else {
        span(between.as_secs())
    }
}

fn steps(story: &Value) -> Vec<Step> {
    let intent = &story["intent"];
    let mut steps = Vec::new();
    for cause in story["causes"].as_array().into_iter().flatten() {
        let happened = match cause["change"].as_str() {
            Some("A") => "created",
            Some("M") => "modified",
            Some("D") => "removed",
            _ => "asked for",
        };
        let path = cause["path"].as_str().map_or_else(String::new, |path| format!("{path} "));
        let deploy =
            cause["deploy"].as_str().map_or_else(String::new, |id| format!(", deploy {id}"));
        let what = format!("{path}{happened}, seen by {}{deploy}", text(cause, "witness"));
        steps.push(step(cause, "at", what));
    }
    steps.push(step(intent, "created_at", "intent".to_owned()));
    for ask in story["asks"].as_array().into_iter().flatten() {
        let same = ask["target"] == intent["target"] && ask["kind"] == intent["kind"];
        let other = if same { String::new() } else { format!(" as {}", target(ask)) };
        let batch = text(ask, "batch");
        steps.push(step(ask, "staged_at", format!("asked{other}, batch {batch}")));
        if text(ask, "batch_state") == "refused" {
            let what = format!("refused: {}", text(ask, "why"));
            steps.push(step(ask, "settled_at", what));
        }
        let tasks: Vec<&str> =
            ask["tasks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let request =
            ask["request_id"].as_str().map_or_else(String::new, |id| format!(", request {id}"));
        let accepted = format!("accepted, task {}{request}", tasks.join(", "));
        steps.push(step(ask, "accepted_at", accepted));
        let ended = match (text(ask, "status"), text(ask, "why")) {
            ("failed", why) => format!("task failed: {why}"),
            (status, _) => format!("task ended: {status}"),
        };
        steps.push(step(ask, "ended_at", ended));
    }
    steps.push(step(intent, "ended_at", stands(intent).to_owned()));
    steps.sort_by_key(|step| step.at);
    steps
}
