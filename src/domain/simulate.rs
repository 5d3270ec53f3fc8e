//! A simulation: the planner driven through a recorded history, in virtual time.
//!
//! Enters: a history, a mapping and an account's terms. Leaves: what would have been spent, how late
//! changes would have reached the edge, and what would have been hit besides. Acceptance is
//! immediate, what would be held is taken as approved at once and counted, and prefetches are left
//! out: they make nothing fresh.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;

use super::ask::{Kind, Target};
use super::change::{Change, ChangeKind};
use super::cover::{Census, Recurrence, Visit};
use super::deploy::DeployId;
use super::guard::{self, Guard, Rush};
use super::hint::Witness;
use super::intent::{Action, Intent, IntentId, State, Wait, Wish};
use super::limits::Limits;
use super::mapping::Mapping;
use super::names::OriginName;
use super::path::RelPath;
use super::plan::{self, BATCH, Policy, Widening};
use super::quota::purse::{MINUTE, Purse, Recent, Rules, Spending};
use super::quota::{Allowance, PerKind, QuotaKind};
use super::time::{Day, Timestamp};

/// What changed at once, as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub time: Timestamp,
    /// What.
    pub changes: Vec<(ChangeKind, RelPath)>,
}

/// Under which terms a history is gone through.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Whose changes.
    pub origin: &'a OriginName,
    /// Which URLs they have.
    pub mapping: &'a Mapping,
    /// How long a deploy must be quiet before it closes …
    pub settle: Duration,
    /// … and when it closes though it isn't quiet.
    pub deadline: Duration,
    /// What a day allows.
    pub limits: &'a PerKind<u64>,
    /// What the CDN takes in a request and a minute.
    pub takes: &'a Limits,
    /// Reserve, shares and cap.
    pub rules: &'a Rules,
    /// What would be held for a person.
    pub guard: &'a Guard,
    /// How long a changed URL may stay stale to spare one unchanged object.
    pub spare: Duration,
    /// Expressions that an operator thinks useful.
    pub expressions: &'a [Target],
}

/// How late changes were accepted, in seconds after they were recorded.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
pub struct Lag {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: u64,
    /// The ninth decile.
    pub p90: u64,
    /// The last percentile.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// Live, unchanged files that directory and regex refreshes hit, summed over these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Collateral {
    /// To be revalidated.
    pub soft: u64,
    /// Dropped.
    pub forced: u64,
}

/// What came of a history.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
pub struct Report {
    /// Days of the CDN from the first line to the last acceptance.
    pub days: i64,
    /// Changed paths.
    pub changes: u64,
    /// Of these, such as the mapping excludes or gives no URL: nothing is asked for them.
    pub unmapped: u64,
    /// URLs that had to become fresh; one that changed again while it waited counts again.
    pub targets: u64,
    /// Asks by kind.
    pub spent: BTreeMap<&'static str, u64>,
    /// The most paths that waited for quota at once.
    pub parked_max: u64,
    /// Days on which more was asked than allowed.
    pub overspent_days: u64,
    /// Changes that were never accepted.
    pub uncovered: u64,
    /// How late changes were accepted.
    pub lag_seconds: Lag,
    /// What was hit besides.
    pub collateral: Collateral,
    /// Change sets that would have been held for a person.
    pub held: u64,
}

/// What lives, with its URLs.
#[derive(Debug, Default)]
struct Live(BTreeMap<RelPath, Vec<String>>);

impl Census for Live {
    fn visit(&self, visit: Visit<'_>) {
        for urls in self.0.values() {
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            visit(&urls, 1);
        }
    }
}

/// A change on its way.
struct Travelling {
    time: Timestamp,
    /// How many of its URLs are not accepted yet.
    open: u32,
}

struct World<'a> {
    terms: Terms<'a>,
    policy: Policy,
    now: Timestamp,
    live: Live,
    removed: BTreeSet<RelPath>,
    recurrence: Recurrence,
    changes: Vec<Travelling>,
    lags: Vec<u64>,
    /// Intents not accepted yet, each with the changes that wait for it.
    pending: BTreeMap<IntentId, (Intent, Vec<usize>)>,
    by_target: HashMap<Target, IntentId>,
    next: i64,
    used: BTreeMap<Day, PerKind<u64>>,
    recent: Vec<Recent>,
    /// Deploys that would have been held.
    held: BTreeSet<DeployId>,
    report: Report,
}

/// Goes through a history, oldest line first, under a policy.
#[must_use]
pub fn simulate(history: &[Line], terms: Terms<'_>, policy: Policy) -> Report {
    let start = history.first().map_or(Timestamp::EPOCH, |line| line.time);
    let mut world = World {
        terms,
        policy,
        now: start,
        live: Live::default(),
        removed: BTreeSet::new(),
        recurrence: Recurrence::default(),
        changes: Vec::new(),
        lags: Vec::new(),
        pending: BTreeMap::new(),
        by_target: HashMap::new(),
        next: 0,
        used: BTreeMap::new(),
        recent: Vec::new(),
        held: BTreeSet::new(),
        report: Report::default(),
    };
    let mut again = None;
    let mut lines = history.iter().peekable();
    while let Some(first) = lines.next() {
        let closes = |last: Timestamp| {
            last.plus(terms.settle).min(first.time.plus(terms.deadline.max(terms.settle)))
        };
        let mut close = closes(first.time);
        let mut deploy = vec![first];
        while let Some(line) = lines.next_if(|line| line.time < close) {
            close = closes(line.time);
            deploy.push(line);
        }
        world.run_until(again, close);
        world.deploy(&deploy, close);
        again = world.plan(close);
    }
    // A year is more than any day's quota needs: what is left then is never accepted.
    let end = world.now.plus(Duration::from_secs(365 * 86_400));
    world.run_until(again, end);
    world.finish(start)
}

impl World<'_> {
    /// Plans whenever something comes free before `end`; returns when the next plan is due.
    fn run_until(&mut self, mut again: Option<Timestamp>, end: Timestamp) -> Option<Timestamp> {
        while let Some(at) = again.filter(|at| *at < end) {
            again = self.plan(at);
        }
        again
    }

    /// Takes in a deploy's changes.
    fn deploy(&mut self, lines: &[&Line], close: Timestamp) {
        let before = self.report.targets;
        let deploy = DeployId::new(close, 0);
        let mut rush = Rush::default();
        for line in lines {
            for (kind, path) in &line.changes {
                let Some(change) = self.change(*kind, path, line.time, &deploy, close) else {
                    continue;
                };
                let files = self.live.0.len() as u64;
                if rush.changed(self.terms.guard, &change, files, Duration::ZERO) {
                    self.held.insert(deploy.clone());
                }
            }
        }
        let urls = self.report.targets - before;
        self.recurrence.note(close, &deploy, urls, self.terms.limits[QuotaKind::Url]);
    }

    /// Takes in a change, unless nothing is asked for it.
    fn change(
        &mut self,
        kind: ChangeKind,
        path: &RelPath,
        time: Timestamp,
        deploy: &DeployId,
        now: Timestamp,
    ) -> Option<Change> {
        self.report.changes += 1;
        let mapping = self.terms.mapping;
        if mapping.excluded(path, false).is_some() {
            self.report.unmapped += 1;
            return None;
        }
        // What never changes under its name is new to everybody, unless it was there before.
        let is_back = kind == ChangeKind::Created
            && mapping.is_immutable(path)
            && self.removed.contains(path);
        let force = kind == ChangeKind::Removed || is_back;
        if kind == ChangeKind::Removed {
            self.live.0.remove(path);
            self.removed.insert(path.clone());
        } else {
            let urls = mapping.urls(path).made;
            let urls = urls.iter().map(|url| url.as_str().to_owned()).collect();
            self.live.0.insert(path.clone(), urls);
        }
        let change = Change { path: path.clone(), kind, digest: None, force };
        let wishes =
            mapping.wishes(self.terms.origin, &change, deploy, Witness::Scan, time, now).made;
        let wishes: Vec<Wish> =
            wishes.into_iter().filter(|wish| wish.action == Action::Refresh).collect();
        if wishes.is_empty() {
            self.report.unmapped += 1;
            return None;
        }
        let number = self.changes.len();
        self.report.targets += wishes.len() as u64;
        let open = u32::try_from(wishes.len()).unwrap_or(u32::MAX);
        self.changes.push(Travelling { time, open });
        for wish in wishes {
            self.enter(wish, now, number);
        }
        Some(change)
    }

    /// Lets a wish join the pending intent of its target, or makes it one.
    fn enter(&mut self, wish: Wish, now: Timestamp, change: usize) {
        let known = self.by_target.get(&wish.target).and_then(|id| self.pending.get_mut(id));
        if let Some((intent, changes)) = known {
            intent.force |= wish.force;
            intent.priority = intent.priority.min(wish.priority);
            changes.push(change);
            return;
        }
        self.next += 1;
        let id = IntentId(self.next);
        self.by_target.insert(wish.target.clone(), id);
        let intent = Intent {
            id,
            account: wish.account,
            action: wish.action,
            target: wish.target,
            force: wish.force,
            priority: wish.priority,
            deploy: wish.cause.deploy.clone(),
            approved: false,
            created_at: now,
            cause: wish.cause,
            causes: 1,
            state: State::Pending { not_before: now, attempt: 0, waiting: None },
        };
        self.pending.insert(id, (intent, vec![change]));
    }

    /// Plans what is pending and takes all of the plan as accepted; returns when to plan again.
    fn plan(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.now = now;
        if self.pending.is_empty() {
            return None;
        }
        let mut intents: Vec<Intent> =
            self.pending.values().map(|(intent, _)| intent.clone()).collect();
        intents.sort_by_key(|intent| (intent.priority, intent.id));
        self.recent.retain(|recent| now.since(recent.at) < Duration::from_secs(3_600));
        let used = self.used.get(&Day::of(now)).copied().unwrap_or_default();
        let limits = self.terms.limits;
        let allowances =
            PerKind::from_fn(|kind| Allowance { limit: limits[kind], used: used[kind] });
        let spending = Spending {
            origins: BTreeMap::from([(self.terms.origin.clone(), used)]),
            recent: self.recent.clone(),
            ..Spending::default()
        };
        let Terms { rules, takes, .. } = self.terms;
        let purse = Purse::new(now, &allowances, rules, takes, &spending, &PerKind::default());
        let plan = plan::plan(&plan::Input {
            now,
            intents: &intents,
            open_refreshes: &[],
            in_flight: &[],
            purse: &purse,
            batch: BATCH,
            limits: takes,
            whole: false,
            widening: Widening {
                policy: self.policy,
                census: &self.live,
                spare: self.terms.spare,
                again: self.recurrence.again(now),
                expressions: self.terms.expressions,
            },
        });
        let guards = BTreeMap::from([(self.terms.origin.clone(), *self.terms.guard)]);
        let held = guard::judge(&plan, &intents, &purse, &guards);
        let of_root =
            intents.iter().filter(|intent| held.intents.iter().any(|(id, _)| *id == intent.id));
        self.held.extend(of_root.filter_map(|intent| intent.deploy.clone()));
        self.held.extend(held.deploys.into_iter().map(|(deploy, _)| deploy));
        for batch in &plan.batches {
            let kind = QuotaKind::of(batch.action, batch.kind);
            if matches!(batch.kind, Kind::Directory | Kind::Regex) {
                let hit = &mut self.report.collateral;
                *if batch.force { &mut hit.forced } else { &mut hit.soft } +=
                    batch.collateral.iter().sum::<u64>();
            }
            for ask in &batch.asks {
                let host = ask.target.host().to_owned();
                self.recent.push(Recent { at: now, kind, host, amount: 1 });
                self.used.entry(Day::of(now)).or_default()[kind] += 1;
                for id in &ask.intents {
                    self.accept(*id);
                }
            }
        }
        let parked: BTreeSet<_> = plan
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.wait == Wait::Quota)
            .filter_map(|(id, _)| self.pending.get(id)?.0.cause.path.clone())
            .collect();
        self.report.parked_max = self.report.parked_max.max(parked.len() as u64);
        let untils = plan.waiting.iter().filter_map(|(_, waiting)| waiting.until);
        untils.min().map(|until| until.max(now.plus(MINUTE / 60)))
    }

    fn accept(&mut self, id: IntentId) {
        let Some((intent, changes)) = self.pending.remove(&id) else {
            return;
        };
        self.by_target.remove(&intent.target);
        for number in changes {
            let change = &mut self.changes[number];
            change.open -= 1;
            if change.open == 0 {
                self.lags.push(self.now.since(change.time).as_secs());
            }
        }
    }

    fn finish(mut self, start: Timestamp) -> Report {
        let mut report = self.report;
        let last = self.used.keys().next_back().copied().unwrap_or_else(|| Day::of(start));
        report.days = last.number() - Day::of(start).number() + 1;
        report.spent = QuotaKind::ALL.into_iter().map(|kind| (kind.as_str(), 0)).collect();
        for used in self.used.values() {
            let mut is_over = false;
            for (kind, used) in used.iter() {
                *report.spent.entry(kind.as_str()).or_default() += used;
                is_over |= *used > self.terms.limits[kind];
            }
            report.overspent_days += u64::from(is_over);
        }
        report.held = self.held.len() as u64;
        report.uncovered = self.changes.iter().filter(|change| change.open > 0).count() as u64;
        self.lags.sort_unstable();
        report.lag_seconds = lag(&self.lags);
        report
    }
}

/// Returns mean and percentiles (by nearest rank) of sorted figures.
fn lag(sorted: &[u64]) -> Lag {
    let count = sorted.len();
    let rank = |percent: usize| {
        let at = (count * percent).div_ceil(100).max(1) - 1;
        sorted.get(at).copied().unwrap_or(0)
    };
    #[expect(clippy::cast_precision_loss, reason = "a mean is shown, not reckoned with")]
    let mean = sorted.iter().sum::<u64>() as f64 / count.max(1) as f64;
    Lag {
        mean: (mean * 10.0).round() / 10.0,
        p50: rank(50),
        p90: rank(90),
        p99: rank(99),
        max: sorted.last().copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
