//! `refreshd hooks`: what was told of pushes, and what became of it.

use serde_json::Value;

use crate::store::DeliveryId;
use crate::web::deliveries::{Answer, Replay, Request, Shown, ShownPush};

use super::words::{count, size};
use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd hooks`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, clap::Subcommand)]
enum Which {
    /// List deliveries, the newest first; each is kept seven days after its end.
    List(List),
    /// Show all of one: what it told, for which origins, and what became of that.
    Show(Show),
    /// Do what one told once more, whatever was done before.
    Replay(One),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    config: ConfigArg,
    /// Only those that are open or failed.
    #[arg(long)]
    open: bool,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    one: One,
    /// Show its body, too.
    #[arg(long)]
    body: bool,
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    config: ConfigArg,
    /// The number of the delivery.
    #[arg(value_name = "DELIVERY")]
    delivery: i64,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Lists, shows or replays.
pub(super) async fn run(args: Args, printer: &mut Printer) -> Result<Exit, Failed> {
    match args.which {
        Which::List(args) => {
            let request = Request { only: None, attention: args.open, limit: args.limit };
            let told = ask(&args.config, &request, args.json, printer).await?;
            for shown in told.iter().flat_map(|answer| &answer.deliveries) {
                printer.line(&line(shown));
            }
            if told.is_some_and(|answer| answer.deliveries.is_empty()) {
                printer.line(if args.open { "none is open or failed" } else { "none came yet" });
            }
        }
        Which::Show(Show { one, body }) => {
            let only = Some(DeliveryId(one.delivery));
            let request = Request { only, attention: false, limit: 1 };
            let told = ask(&one.config, &request, one.json, printer).await?;
            for shown in told.iter().flat_map(|answer| &answer.deliveries) {
                show(shown, body, printer);
            }
        }
        Which::Replay(one) => return replay(&one, printer).await,
    }
    Ok(Exit::Ok)
}

/// Asks the daemon; as JSON the answer is printed, and there is nothing more to say.
async fn ask(
    config: &ConfigArg,
    request: &Request,
    json: bool,
    printer: &mut Printer,
) -> Result<Option<Answer>, Failed> {
    let config = check::load(config, printer)?;
    let (code, answer) = control::ask(&config, "/deliveries", Some(request)).await?;
    refused(code, &answer)?;
    if json {
        printer.json(&answer);
        return Ok(None);
    }
    serde_json::from_value(answer).map(Some).map_err(|error| {
        let message =
            format!("the daemon's answer can't be read ({error}): is it another version?");
        Failed::new(Exit::Io, message)
    })
}

fn refused(code: u16, answer: &Value) -> Result<(), Failed> {
    match code {
        200 => Ok(()),
        503 => Err(Failed::new(Exit::Io, control::problem(answer))),
        _ => Err(Failed::new(Exit::No, control::problem(answer))),
    }
}

async fn replay(one: &One, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&one.config, printer)?;
    let request = Replay { delivery: DeliveryId(one.delivery) };
    let (code, answer) = control::ask(&config, "/replay", Some(&request)).await?;
    refused(code, &answer)?;
    if one.json {
        printer.json(&answer);
    } else {
        let pushes = count(answer["pushes"].as_u64().unwrap_or_default(), "push");
        printer.line(&format!("{pushes} of delivery {} looked at once more", one.delivery));
    }
    Ok(Exit::Ok)
}

fn word(fate: Option<crate::domain::push::Fate>) -> &'static str {
    fate.map_or("open", crate::domain::push::Fate::as_str)
}

/// Says a delivery in one line.
fn line(shown: &Shown) -> String {
    let open = shown.pushes.iter().find(|push| push.fate.is_none() && !push.why.is_empty());
    let why = open.map_or(&shown.why, |push| &push.why);
    let (id, hook, event) = (shown.id.0, shown.hook.as_str(), plain(&shown.event));
    let text = format!("{id:>6}  {}  {hook:<12}  {event:<10}  {:<7}", shown.at, word(shown.fate));
    format!("{text}  {}", plain(why)).trim_end().to_owned()
}

fn show(shown: &Shown, body: bool, printer: &mut Printer) {
    printer.line(&line(shown));
    let from = if shown.source.is_empty() { "an unknown sender" } else { &shown.source };
    printer.line(&format!(
        "        id {}, {} from {}, came {}",
        plain(&shown.key),
        size(shown.bytes),
        plain(from),
        match shown.repeats {
            0 => "once".to_owned(),
            again => format!("{} times", again + 1),
        }
    ));
    for push in &shown.pushes {
        printer.line(&told(push));
        let next = match push.fate {
            Some(_) => String::new(),
            None if push.attempts == 0 => " (its turn is soon)".to_owned(),
            None => format!(
                " (tried {}, again {})",
                count(u64::from(push.attempts), "time"),
                push.not_before
            ),
        };
        let deploy = push.deploy.as_ref().map(|deploy| format!(", deploy {deploy}"));
        printer.line(&format!(
            "          {}{next}: {}{}",
            word(push.fate),
            plain(&push.why),
            deploy.unwrap_or_default()
        ));
    }
    if let Some(text) = shown.body.as_ref().filter(|_| body) {
        printer.line("");
        for line in text.lines() {
            printer.line(&plain(line));
        }
    }
}

fn told(push: &ShownPush) -> String {
    let short = |commit: &Option<crate::domain::push::CommitId>| {
        commit.as_ref().map_or("nothing", |commit| commit.short()).to_owned()
    };
    let paths = match &push.cut {
        None => count(push.listed, "path"),
        Some(why) => format!("{} named: {}", count(push.listed, "path"), plain(why)),
    };
    let again = if push.again { ", once more" } else { "" };
    let (origin, reference) = (&push.origin, plain(&push.reference));
    let (before, after) = (short(&push.before), short(&push.after));
    format!("        origin {origin}: {reference} {before} → {after}, {paths}{again}")
}

/// Shows text of others: no control character reaches the terminal.
fn plain(text: &str) -> String {
    let is_safe = |c: char| !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c);
    text.chars()
        .flat_map(|c| if is_safe(c) { vec![c] } else { c.escape_default().collect::<Vec<char>>() })
        .collect()
}
