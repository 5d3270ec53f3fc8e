//! `refreshd refresh` and `refreshd prefetch`: asking by hand.

use serde_json::Value;

use crate::domain::ask::Kind;
use crate::domain::intent::Action;
use crate::domain::names::AccountName;
use crate::web::wishes::Request;

use super::sandbox::domain;
use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd refresh`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group(clap::ArgGroup::new("kind").args(["directory", "regex", "ignore_params", "tag"])))]
pub(super) struct RefreshArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// What to refresh: URLs, unless an option below says otherwise.
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// The targets are directories: everything below a prefix that ends in `/`.
    #[arg(long)]
    directory: bool,
    /// The targets are expressions of `[0-9]`, `[a-z]`, `[^/]*` and `.*`.
    #[arg(long)]
    regex: bool,
    /// Refresh every cached query variant of each URL.
    #[arg(long)]
    ignore_params: bool,
    /// The targets are cache tags: every object of --domain that the origin labelled with one.
    #[arg(long, requires = "domain")]
    tag: bool,
    /// Whose cache tags: a host.
    #[arg(long, requires = "tag", value_name = "HOST", value_parser = domain)]
    domain: Option<String>,
    /// Drop cached copies instead of only revalidating them (URLs are always dropped).
    #[arg(long)]
    force: bool,
    /// It is in no hurry: it goes last, by what the day's quota leaves over. Without this what is asked
    /// by hand goes first, and may spend what is kept for urgent work.
    #[arg(long)]
    backfill: bool,
    /// Really refresh everything that a domain serves.
    #[arg(long)]
    yes: bool,
    /// Whose CDN, if the host doesn't tell.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `refreshd prefetch`.
#[derive(Debug, clap::Args)]
pub(super) struct PrefetchArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The URLs to fetch and store before visitors ask.
    #[arg(required = true, value_name = "URL")]
    targets: Vec<String>,
    /// It is in no hurry: it goes last, by what the day's quota leaves over. Without this what is asked
    /// by hand goes first, and may spend what is kept for urgent work.
    #[arg(long)]
    backfill: bool,
    /// Whose CDN, if the host doesn't tell.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the daemon for a refresh.
pub(super) async fn refresh(args: RefreshArgs, printer: &mut Printer) -> Result<Exit, Failed> {
    let kinds = [
        (args.directory, Kind::Directory),
        (args.regex, Kind::Regex),
        (args.ignore_params, Kind::IgnoreParams),
        (args.tag, Kind::Tag),
    ];
    let kind = kinds.into_iter().find(|(chosen, _)| *chosen).map_or(Kind::Url, |(_, kind)| kind);
    let targets = match &args.domain {
        Some(domain) => args.targets.iter().map(|tag| format!("https://{domain}/#{tag}")).collect(),
        None => args.targets,
    };
    let request = Request {
        action: Action::Refresh,
        kind,
        targets,
        force: args.force,
        backfill: args.backfill,
        yes: args.yes,
        account: args.account.as_deref().map(AccountName::from),
    };
    ask(&args.config, &request, args.json, printer).await
}

/// Asks the daemon for a prefetch.
pub(super) async fn prefetch(args: PrefetchArgs, printer: &mut Printer) -> Result<Exit, Failed> {
    let request = Request {
        action: Action::Prefetch,
        kind: Kind::Url,
        targets: args.targets,
        force: false,
        backfill: args.backfill,
        yes: false,
        account: args.account.as_deref().map(AccountName::from),
    };
    ask(&args.config, &request, args.json, printer).await
}

async fn ask(
    config: &ConfigArg,
    request: &Request,
    json: bool,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(config, printer)?;
    let (status, answer) = control::ask(&config, "/wishes", Some(request)).await?;
    if json {
        printer.json(&answer);
    } else if status == 202 {
        for target in strings(&answer["recorded"]) {
            printer.line(&match request.kind {
                Kind::Url => format!("recorded: {} {target}", request.action),
                kind => format!("recorded: {} {kind} {target}", request.action),
            });
        }
        for note in strings(&answer["notes"]) {
            printer.line(note);
        }
    } else {
        printer.problem("nothing was recorded:");
        for problem in strings(&answer["problems"]) {
            printer.problem(&format!("  {problem}"));
        }
        if let Some(text) = answer.as_str() {
            printer.problem(&format!("  {text}"));
        }
    }
    Ok(match status {
        202 => Exit::Ok,
        503 => Exit::Io,
        _ => Exit::No,
    })
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}
