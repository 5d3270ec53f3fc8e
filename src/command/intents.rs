//! `refreshd list`, `refreshd retry` and `refreshd cancel`: intents, once more, or called off.

use serde_json::{Value, json};

use crate::config::Config;
use crate::web::api::intents::Wanted;

use super::api::{self, text};
use super::table::Table;
use super::words::count;
use super::{ConfigArg, Exit, Failed, Printer, check};

/// What one request asks for at most.
const PAGE: usize = 500;
/// More than this are neither called off nor asked for once more without `--yes`.
const MANY: usize = 100;

/// Which intents.
#[derive(Clone, Debug, Default, clap::Args)]
struct Which {
    /// Those that stand so: pending, submitting, submitted or ended.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Those that wait for this: quota, hold, gate, inner, refresh, pause, stage or retry.
    #[arg(long, value_name = "WAIT")]
    wait: Option<String>,
    /// Those that ended so: done, failed, superseded, rejected or cancelled.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Refreshes or prefetches.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Those of targets of this kind: url, directory, regex, `ignore_params` or tag.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Those that came from this tree.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Those of this account.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Those that this deploy caused.
    #[arg(long, value_name = "DEPLOY")]
    deploy: Option<String>,
    /// Those whose target contains this.
    #[arg(long, value_name = "PART")]
    target: Option<String>,
}

impl Which {
    fn wanted(&self) -> Wanted {
        let which = self.clone();
        Wanted {
            state: which.state,
            wait: which.wait,
            outcome: which.outcome,
            action: which.action,
            kind: which.kind,
            origin: which.origin,
            account: which.account,
            deploy: which.deploy,
            q: which.target,
            ..Wanted::default()
        }
    }

    fn is_empty(&self) -> bool {
        let wanted = [&self.state, &self.wait, &self.outcome, &self.action, &self.kind];
        let named = [&self.origin, &self.account, &self.deploy, &self.target];
        wanted.into_iter().chain(named).all(Option::is_none)
    }

    /// Refuses to do something to many without `--yes`.
    async fn few(&self, config: &Config, yes: bool, what: &str) -> Result<(), Failed> {
        if yes {
            return Ok(());
        }
        let (found, more) = self.ask(config, MANY).await?;
        if !more && found.len() <= MANY {
            return Ok(());
        }
        let message = format!(
            "that would {what} more than {MANY} intents; add --yes, or see which they are with \
             the same options: refreshd list ..."
        );
        Err(Failed::new(Exit::No, message))
    }

    /// Asks for these until there are enough.
    async fn ask(&self, config: &Config, limit: usize) -> Result<(Vec<Value>, bool), Failed> {
        let (mut items, mut after) = (Vec::new(), None::<String>);
        loop {
            let number = limit.saturating_sub(items.len()).min(PAGE).to_string();
            let path = api::path(
                "intents",
                &[
                    ("state", self.state.as_deref()),
                    ("wait", self.wait.as_deref()),
                    ("outcome", self.outcome.as_deref()),
                    ("action", self.action.as_deref()),
                    ("kind", self.kind.as_deref()),
                    ("origin", self.origin.as_deref()),
                    ("account", self.account.as_deref()),
                    ("deploy", self.deploy.as_deref()),
                    ("q", self.target.as_deref()),
                    ("limit", Some(&number)),
                    ("after", after.as_deref()),
                ],
            );
            let answer = api::get(config, &path).await?;
            items.extend(answer["items"].as_array().into_iter().flatten().cloned());
            after = answer["next"].as_str().map(str::to_owned);
            if after.is_none() || items.len() >= limit {
                return Ok((items, after.is_some()));
            }
        }
    }
}

/// Arguments of `refreshd list`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    which: Which,
    /// How many at most, the newest.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = limit)]
    limit: usize,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a number from 1 on".to_owned()),
    }
}

/// Lists intents.
pub(super) async fn list(args: ListArgs, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let (items, more) = args.which.ask(&config, args.limit).await?;
    if args.json {
        printer.json(&json!({ "items": items, "more": more }));
        return Ok(Exit::Ok);
    }
    if items.is_empty() {
        printer.line("no intent is so");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["ID", "CREATED", "STANDS", "ACTION", "TARGET", "WHY"]);
    for item in &items {
        table.line(vec![
            item["id"].to_string(),
            second(text(item, "created_at")),
            stands(item).to_owned(),
            text(item, "action").to_owned(),
            target(item),
            text(item, "why").to_owned(),
        ]);
    }
    table.print(printer);
    if more {
        printer.line(&format!("there are more than these {}: --limit", items.len()));
    }
    Ok(Exit::Ok)
}

/// Cuts a time to the second.
pub(super) fn second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// Says where an intent stands in one word: what it waits for, how it ended, or its state.
pub(super) fn stands(intent: &Value) -> &str {
    let word = intent["wait"].as_str().or_else(|| intent["outcome"].as_str());
    word.unwrap_or_else(|| text(intent, "state"))
}

/// Names a target, with its kind where it is no URL.
pub(super) fn target(value: &Value) -> String {
    match text(value, "kind") {
        "url" => text(value, "target").to_owned(),
        kind => format!("{kind} {}", text(value, "target")),
    }
}

/// Arguments of `refreshd retry`.
#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The numbers of intents, as `list` shows them.
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    #[command(flatten)]
    which: Which,
    /// Really ask for more than 100 once more.
    #[arg(long)]
    yes: bool,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks for intents once more.
pub(super) async fn retry(args: RetryArgs, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    one_way(&args.ids, &args.which)?;
    if args.ids.is_empty() {
        args.which.few(&config, args.yes, "ask once more for").await?;
        let answer = api::post(&config, "/api/v1/intents/retry", &args.which.wanted()).await?;
        if args.json {
            printer.json(&answer);
            return Ok(Exit::Ok);
        }
        let number = |key: &str| answer[key].as_u64().unwrap_or_default();
        printer.line(&format!(
            "once more: {} as new intents, {} joined what is pending, {} due now, {} need none",
            number("made"),
            number("joined"),
            number("due"),
            number("needless")
        ));
        return Ok(Exit::Ok);
    }
    let (mut answers, mut exit) = (Vec::new(), Exit::Ok);
    for id in &args.ids {
        match api::post(&config, &format!("/api/v1/intents/{id}/retry"), &json!({})).await {
            Ok(answer) => {
                if !args.json {
                    let twin = &answer["intent"];
                    printer.line(&match () {
                        () if answer["made"] == 1 => {
                            format!("intent {id} is asked for once more as intent {twin}")
                        }
                        () if answer["joined"] == 1 => {
                            format!("intent {id}: pending intent {twin} asks for the same")
                        }
                        () => format!("intent {id} is due now"),
                    });
                }
                answers.push(answer);
            }
            Err(failed) if failed.exit == Exit::No => {
                printer.problem(&failed.message);
                exit = Exit::No;
            }
            Err(failed) => return Err(failed),
        }
    }
    if args.json {
        printer.json(&json!({ "retried": answers }));
    }
    Ok(exit)
}

/// Checks that intents are named by number or by what they have in common.
fn one_way(ids: &[u64], which: &Which) -> Result<(), Failed> {
    let problem = match (ids.is_empty(), which.is_empty()) {
        (true, true) => "name intents: numbers, or options such as --outcome failed",
        (false, false) => "name intents either by number or by options",
        _ => return Ok(()),
    };
    Err(Failed::new(Exit::Usage, problem))
}

/// Arguments of `refreshd cancel`.
#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The numbers of intents, as `list` shows them.
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    #[command(flatten)]
    which: Which,
    /// Really call off more than 100.
    #[arg(long)]
    yes: bool,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Calls pending intents off.
pub(super) async fn cancel(args: CancelArgs, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    one_way(&args.ids, &args.which)?;
    let (mut cancelled, mut spared, mut exit) = (0, 0, Exit::Ok);
    if args.ids.is_empty() {
        let state = args.which.state.clone().or_else(|| Some("pending".to_owned()));
        let which = Which { state, ..args.which };
        which.few(&config, args.yes, "call off").await?;
        let answer = api::post(&config, "/api/v1/intents/cancel", &which.wanted()).await?;
        cancelled = answer["cancelled"].as_u64().unwrap_or_default();
        spared = answer["spared"].as_u64().unwrap_or_default();
    }
    for id in &args.ids {
        match api::post(&config, &format!("/api/v1/intents/{id}/cancel"), &json!({})).await {
            Ok(_) => cancelled += 1,
            Err(failed) if failed.exit == Exit::No => {
                printer.problem(&failed.message);
                exit = Exit::No;
            }
            Err(failed) => return Err(failed),
        }
    }
    if args.json {
        printer.json(&json!({ "cancelled": cancelled, "spared": spared }));
    } else {
        printer.line(&format!("called off: {}", count(cancelled, "intent")));
        if spared > 0 {
            let spared = count(spared, "intent");
            printer
                .line(&format!("not called off: {spared} that others than the deploy want, too"));
        }
    }
    Ok(exit)
}
