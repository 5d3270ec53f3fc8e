//! `refreshd plan`: what would be asked of the CDN, and why.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::clock::SharedClock;
use crate::config::Config;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::deploy::DeployId;
use crate::domain::hint::Witness;
use crate::domain::intent::{Intent, IntentId, State, Wish};
use crate::domain::names::AccountName;
use crate::domain::path::{RelPath, escape};
use crate::domain::plan::{self, Limits};
use crate::domain::quota::purse::Purse;
use crate::domain::quota::{Allowance, PerKind, QuotaKind};

use super::{ConfigArg, Exit, Failed, Printer, check, run};

/// Arguments of `refreshd plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Changed files: absolute, or relative to an origin's root. `-`, or none, reads them from
    /// standard input, one a line.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Plan with the quota the CDN says is left now; without it, with a whole day's.
    #[arg(long)]
    live: bool,
    /// Write the plan as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What would be asked.
#[derive(Debug, Default, Serialize)]
struct Answer {
    batches: Vec<Batch>,
    waiting: Vec<Parked>,
    unmapped: Vec<Unmapped>,
    cost: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct Batch {
    account: String,
    action: &'static str,
    kind: &'static str,
    force: bool,
    targets: Vec<String>,
    why: String,
}

#[derive(Debug, Serialize)]
struct Parked {
    url: String,
    waits: Vec<&'static str>,
    why: String,
}

#[derive(Debug, Serialize)]
struct Unmapped {
    path: String,
    why: String,
}

/// Plans the refresh of some paths; asks nothing of the CDN, but its quota when `--live`.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let now = clock.server_now();
    let paths = read_paths(&args.paths).map_err(|error| Failed::new(Exit::Usage, error))?;
    let mut answer = Answer::default();
    let mut wishes: BTreeMap<AccountName, Vec<Wish>> = BTreeMap::new();
    let deploy = DeployId::new(now, 0);
    for path in &paths {
        match wishes_of(path, &config, &deploy, now) {
            Ok(more) => {
                for wish in more {
                    wishes.entry(wish.account.clone()).or_default().push(wish);
                }
            }
            Err(why) => {
                let path = escape(path.as_os_str().as_bytes());
                answer.unmapped.push(Unmapped { path, why });
            }
        }
    }
    for (account, wishes) in &wishes {
        let allowances = allowances(&config, account, args.live, &clock).await?;
        let batch = config.accounts.get(account).map_or(100, |account| account.batch);
        add_plan(&mut answer, account, wishes, &allowances, batch, now);
    }
    if args.json {
        printer.json(&answer);
    } else {
        print(&answer, printer);
    }
    Ok(Exit::Ok)
}

fn read_paths(arguments: &[PathBuf]) -> std::io::Result<Vec<PathBuf>> {
    if !arguments.is_empty() && arguments != [PathBuf::from("-")] {
        return Ok(arguments.to_vec());
    }
    if arguments.is_empty() && std::io::stdin().is_terminal() {
        return Err(std::io::Error::other("no path was named; `-` reads them from the terminal"));
    }
    let lines = std::io::stdin().lock().split(b'\n');
    lines
        .filter(|line| line.as_ref().is_ok_and(|line| !line.is_empty()) || line.is_err())
        .map(|line| line.map(|line| PathBuf::from(std::ffi::OsString::from_vec(line))))
        .collect()
}

fn wishes_of(
    path: &Path,
    config: &Config,
    deploy: &DeployId,
    now: crate::domain::time::Timestamp,
) -> Result<Vec<Wish>, String> {
    let mut all = Vec::new();
    let mut reasons = Vec::new();
    let mut known = false;
    for origin in config.origins.values() {
        // Joining keeps an absolute path as it is; the parts leave out `.` and a slash at the end.
        let full: PathBuf = origin.root.join(path).components().collect();
        let Some(relative) = RelPath::below(&origin.root, &full) else {
            continue;
        };
        known = true;
        if full.is_dir() {
            reasons
                .push(format!("origin {}: it is a directory; name the files in it", origin.name));
            continue;
        }
        if let Some(glob) = origin.mapping.excluded(&relative, false) {
            reasons.push(format!("origin {}: excluded by `{glob}`", origin.name));
            continue;
        }
        let change = Change {
            path: relative.clone(),
            kind: if full.exists() { ChangeKind::Modified } else { ChangeKind::Removed },
            digest: None,
            force: false,
        };
        let mapped =
            origin.mapping.wishes(&origin.name, &change, deploy, Witness::Operator, now, now);
        if mapped.made.is_empty() && mapped.unmappable.is_empty() {
            reasons.push(format!(
                "origin {}: its rules ask for nothing: `refreshd explain` shows them",
                origin.name
            ));
        }
        all.extend(mapped.made);
        reasons.extend(mapped.unmappable.into_iter().map(|unmappable| unmappable.to_string()));
    }
    if !known {
        return Err("it lies below no origin's root".to_owned());
    }
    if all.is_empty() { Err(reasons.join("; ")) } else { Ok(all) }
}

async fn allowances(
    config: &Config,
    account: &AccountName,
    live: bool,
    clock: &SharedClock,
) -> Result<PerKind<Allowance>, Failed> {
    let configured = config.accounts.get(account).map(|account| account.quota).unwrap_or_default();
    if !live {
        return Ok(PerKind::from_fn(|kind| Allowance { limit: configured[kind], used: 0 }));
    }
    let cdns = run::cdns(config, clock)?;
    let Some(cdn) = cdns.get(account) else {
        return Ok(PerKind::default());
    };
    let reported = cdn.quota().await.map_err(|failure| {
        Failed::new(Exit::No, format!("the CDN did not tell its quota: {}", failure.message))
    })?;
    Ok(PerKind::from_fn(|kind| match reported[kind] {
        Some(told) => Allowance {
            limit: configured[kind].min(told.quota),
            used: configured[kind].min(told.quota).saturating_sub(told.remain),
        },
        None => Allowance { limit: configured[kind], used: 0 },
    }))
}

fn add_plan(
    answer: &mut Answer,
    account: &AccountName,
    wishes: &[Wish],
    allowances: &PerKind<Allowance>,
    batch: usize,
    now: crate::domain::time::Timestamp,
) {
    let intents: Vec<Intent> = (0..)
        .zip(wishes)
        .map(|(number, wish)| Intent {
            id: IntentId(number),
            account: account.clone(),
            action: wish.action,
            target: wish.target.clone(),
            force: wish.force,
            priority: wish.priority,
            created_at: now,
            deploy: wish.cause.deploy.clone(),
            approved: false,
            cause: wish.cause.clone(),
            causes: 1,
            state: State::Pending { not_before: now, attempt: 0, waiting: None },
        })
        .collect();
    let plan = plan::plan(&plan::Input {
        now,
        intents: &intents,
        open_refreshes: &[],
        in_flight: &[],
        purse: &Purse::plain(now, allowances),
        limits: Limits { batch },
        widening: plan::Widening::NEVER,
    });
    for planned in plan.batches {
        let kind = QuotaKind::of(planned.action, planned.kind);
        *answer.cost.entry(kind.as_str()).or_default() += planned.asks.len() as u64;
        answer.batches.push(Batch {
            account: account.to_string(),
            action: planned.action.as_str(),
            kind: planned.kind.as_str(),
            force: planned.force,
            targets: planned.asks.into_iter().map(|ask| ask.target.text).collect(),
            why: planned.why,
        });
    }
    for (id, waiting) in plan.waiting {
        let intent = usize::try_from(id.0).ok().and_then(|number| intents.get(number));
        answer.waiting.push(Parked {
            url: intent.map(|intent| intent.target.text.clone()).unwrap_or_default(),
            waits: vec![waiting.wait.as_str()],
            why: waiting.why,
        });
    }
}

fn print(answer: &Answer, printer: &mut Printer) {
    for batch in &answer.batches {
        let force = if batch.force { ", forced" } else { "" };
        printer.line(&format!(
            "{} {}{force} (account {}): {}",
            batch.action, batch.kind, batch.account, batch.why
        ));
        for target in &batch.targets {
            printer.line(&format!("  {target}"));
        }
    }
    for waits in &answer.waiting {
        printer.line(&format!("waits: {}: {}", waits.url, waits.why));
    }
    for unmapped in &answer.unmapped {
        printer.line(&format!("no URL: {}: {}", unmapped.path, unmapped.why));
    }
    let cost: Vec<String> =
        answer.cost.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    let cost = if cost.is_empty() { "nothing".to_owned() } else { cost.join(", ") };
    printer.line(&format!("cost: {cost}"));
}
