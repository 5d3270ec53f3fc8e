//! `refreshd plan`: what would be asked of the CDN, and why.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, IsTerminal};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::clock::SharedClock;
use crate::config::{Account, Config, Origin};
use crate::domain::ask::Target;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::cover::Recurrence;
use crate::domain::deploy::DeployId;
use crate::domain::guard::{self, Guard};
use crate::domain::hint::Witness;
use crate::domain::intent::{Action, Intent, IntentId, State, Wish};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::path::{RelPath, escape};
use crate::domain::plan::{self, Widening};
use crate::domain::time::Timestamp;

use answer::{Answer, HeldSet, Unmapped};
use today::{Source, Today};
use trees::Trees;

use super::branches::{Branches, NOWHERE};
use super::words::count;
use super::{ConfigArg, Exit, Failed, Printer, check};

mod answer;
mod show;
mod today;
mod trees;

/// Arguments of `refreshd plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Changed files: absolute, or relative to an origin's root. One that isn't there is taken as
    /// removed, the others as modified. `-`, or none, reads them from standard input, one a line.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Plan with the quota the CDN says is left now; without it, with a whole day's.
    #[arg(long, conflicts_with = "ledger")]
    live: bool,
    /// Plan with what the running daemon says is left today, and with what it keeps for whom.
    #[arg(long)]
    ledger: bool,
    /// Write the plan as one JSON object, every target named.
    #[arg(long)]
    json: bool,
}

/// What changed files come to, before anything is planned.
#[derive(Default)]
struct Mapped {
    wishes: BTreeMap<AccountName, Vec<Wish>>,
    /// Changed paths of each origin, each with whether it is gone.
    changed: BTreeMap<OriginName, BTreeMap<RelPath, bool>>,
    unmapped: Vec<Unmapped>,
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
    let source = match (args.live, args.ledger) {
        (true, _) => Source::Cdn,
        (_, true) => Source::Ledger,
        _ => Source::WholeDay,
    };
    let branches = Branches::of(config.origins.values()).await;
    let mapped = map(&paths, &config, &branches, now);
    let mut answer = Answer { unmapped: mapped.unmapped, ..Answer::default() };
    answer.notes.extend(gone(&mapped.changed));
    answer.notes.extend_from_slice(&branches.troubles);
    for (name, wishes) in mapped.wishes {
        let Some(account) = config.accounts.get(&name) else { continue };
        let today = Today::of(account, source, &config, &clock).await?;
        add_plan(&mut answer, &config, account, wishes, (&mapped.changed, &branches), &today, now);
    }
    if args.json {
        printer.json(&answer);
    } else {
        show::show(&answer, source, printer);
    }
    Ok(Exit::Ok)
}

/// Says which paths aren't there: whoever meant another folder sees it.
fn gone(changed: &BTreeMap<OriginName, BTreeMap<RelPath, bool>>) -> Option<String> {
    let mut gone = changed.iter().flat_map(|(origin, paths)| {
        paths.iter().filter(|(_, is_gone)| **is_gone).map(move |(path, _)| (origin, path))
    });
    let (origin, path) = gone.next()?;
    Some(match 1 + gone.count() {
        1 => format!("{path} isn't there in origin {origin}: taken as removed"),
        all => {
            let all = count(all as u64, "path");
            format!("{all} aren't there, such as {path} in origin {origin}: taken as removed")
        }
    })
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

/// Finds out what is wished for when these paths change.
fn map(paths: &[PathBuf], config: &Config, branches: &Branches, now: Timestamp) -> Mapped {
    let mut mapped = Mapped::default();
    let mut seen = BTreeSet::new();
    for path in paths.iter().filter(|path| seen.insert(*path)) {
        let mut reasons = Vec::new();
        let mut is_asked = false;
        let mut is_known = false;
        // A relative path is that of the origins that have it; of all when none does.
        let is_there =
            |origin: &Origin| origin.relative(path).is_some_and(|path| branches.has(origin, &path));
        let is_anywhere = config.origins.values().any(is_there);
        for (number, origin) in (0..).zip(config.origins.values()) {
            if is_anywhere && !is_there(origin) {
                continue;
            }
            let Some(relative) = origin.relative(path) else {
                continue;
            };
            is_known = true;
            let deploy = DeployId::new(now, number);
            match mapped.add(origin, &relative, branches, &deploy, now) {
                Ok(()) => is_asked = true,
                Err(why) => reasons.push(format!("origin {}: {why}", origin.name)),
            }
        }
        if !is_known {
            reasons.push(format!("it {NOWHERE}"));
        }
        if !is_asked {
            let path = escape(path.as_os_str().as_bytes());
            mapped.unmapped.push(Unmapped { path, why: reasons.join("; ") });
        }
    }
    mapped
}

impl Mapped {
    /// Adds a changed file of an origin, or says why nothing is asked for it.
    fn add(
        &mut self,
        origin: &Origin,
        path: &RelPath,
        branches: &Branches,
        deploy: &DeployId,
        now: Timestamp,
    ) -> Result<(), String> {
        if branches.has_directory(origin, path) {
            return Err("it is a directory; name the files in it".to_owned());
        }
        if let Some(glob) = origin.mapping.excluded(path, false) {
            return Err(format!("excluded by `{glob}`"));
        }
        let is_gone = !branches.has(origin, path);
        let known = self.changed.entry(origin.name.clone()).or_default();
        if known.insert(path.clone(), is_gone).is_some() {
            return Ok(());
        }
        let change = Change {
            path: path.clone(),
            kind: if is_gone { ChangeKind::Removed } else { ChangeKind::Modified },
            digest: None,
            force: is_gone,
        };
        let witness = Witness::Operator;
        let mapped = origin.mapping.wishes(&origin.name, &change, deploy, witness, now, now);
        if mapped.made.is_empty() {
            let why: Vec<String> = mapped.unmappable.iter().map(ToString::to_string).collect();
            return Err(match why.join("; ") {
                why if why.is_empty() => {
                    "its rules ask for nothing: `refreshd explain` shows them".to_owned()
                }
                why => why,
            });
        }
        self.wishes.entry(origin.account.clone()).or_default().extend(mapped.made);
        Ok(())
    }
}

fn add_plan(
    answer: &mut Answer,
    config: &Config,
    account: &Account,
    wishes: Vec<Wish>,
    (changed, branches): (&BTreeMap<OriginName, BTreeMap<RelPath, bool>>, &Branches),
    today: &Today,
    now: Timestamp,
) {
    let origins = config.origins.values().filter(|origin| origin.account == account.name);
    let origins: Vec<&Origin> = origins.collect();
    let guards = origins.iter().map(|origin| (origin.name.clone(), origin.guard)).collect();
    let trees = Trees::of(origins.clone(), branches);
    for origin in &origins {
        let changed = changed.get(&origin.name);
        let why = changed.and_then(|changed| held(&origin.guard, changed, &origin.name, &trees));
        answer.held.extend(why.map(|why| HeldSet { origin: origin.name.clone(), why }));
    }
    let intents = intents(wishes, now);
    let purse = today.purse(account, now);
    let plan = plan::plan(&plan::Input {
        now,
        intents: &intents,
        open_refreshes: &[],
        in_flight: &[],
        purse: &purse,
        batch: account.batch,
        limits: &account.limits,
        whole: false,
        widening: Widening {
            policy: account.cover.policy,
            census: &trees,
            spare: account.cover.spare,
            again: Recurrence::default().again(now),
            expressions: &account.cover.expressions,
        },
    });
    answer.hold(guard::judge(&plan, &intents, &purse, &guards), &intents);
    answer.add(plan, &intents, &today.allowances, account);
    answer.notes.extend_from_slice(trees.troubles());
}

/// Says why an origin's changes would be held for their number, if they would. The tree is walked only
/// where they are many enough.
fn held(
    guard: &Guard,
    changed: &BTreeMap<RelPath, bool>,
    origin: &OriginName,
    trees: &Trees<'_>,
) -> Option<String> {
    let removed = changed.values().filter(|is_gone| **is_gone).count() as u64;
    let changed = changed.len() as u64;
    if !guard.holds_removed(removed, 0) && !guard.holds_changed(changed, 0) {
        return None;
    }
    let files = trees.counts().get(origin).copied().unwrap_or(0) + removed;
    if guard.holds_removed(removed, files) {
        return Some(format!("{removed} of {files} files are gone"));
    }
    guard.holds_changed(changed, files).then(|| format!("{changed} of {files} files changed"))
}

/// Makes the intents that the journal would: one for each action and target, the most pressing first.
fn intents(wishes: Vec<Wish>, now: Timestamp) -> Vec<Intent> {
    let mut intents: Vec<Intent> = Vec::with_capacity(wishes.len());
    let mut places: HashMap<(Action, Target), usize> = HashMap::with_capacity(wishes.len());
    for wish in wishes {
        let at = *places.entry((wish.action, wish.target.clone())).or_insert(intents.len());
        if let Some(known) = intents.get_mut(at) {
            known.force |= wish.force;
            known.priority = known.priority.min(wish.priority);
            known.causes += 1;
            continue;
        }
        intents.push(Intent {
            id: IntentId(0),
            account: wish.account,
            action: wish.action,
            target: wish.target,
            force: wish.force,
            priority: wish.priority,
            created_at: now,
            deploy: wish.cause.deploy.clone(),
            approved: false,
            cause: wish.cause,
            causes: 1,
            state: State::Pending { not_before: now, attempt: 0, waiting: None },
        });
    }
    intents.sort_by_key(|intent| intent.priority);
    for (number, intent) in (0..).zip(&mut intents) {
        intent.id = IntentId(number);
    }
    intents
}
