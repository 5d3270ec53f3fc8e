//! Guards: which change sets are held for a person before they are asked of the CDN.
//!
//! They stand in two places. How much of a tree changed, only the intake knows, and it counts as it
//! records: [`Rush`]. What that costs, only a plan knows: [`judge`] looks at each plan before any
//! batch of it is staged.
//! **Invariant:** what a person asked for or approved is not held.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ask::{Kind, Target};
use super::deploy::DeployId;
use super::intent::{Action, Intent, IntentId, Wait, Waiting};
use super::names::OriginName;
use super::plan::Plan;
use super::quota::QuotaKind;
use super::quota::purse::Purse;
use super::url::literal_start;

mod rush;

pub use rush::Rush;

#[cfg(test)]
mod tests;

/// Returns how many asks of a kind may be an accident: fewer are an ordinary deploy, whatever part of
/// a small quota they take.
const fn many(kind: QuotaKind) -> u64 {
    match kind {
        QuotaKind::Url | QuotaKind::Prefetch => 100,
        QuotaKind::Directory | QuotaKind::Regex | QuotaKind::IgnoreParams | QuotaKind::Tag => 10,
    }
}

/// What of an origin is held for a person: `[origin.NAME.hold]`. A share of 0 never holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Changes, in one rush, of so large a part of the files there were, in percent.
    pub changed_percent: u64,
    /// Removals, at once, of so large a part of the files there were, in percent.
    pub removed_percent: u64,
    /// Fewer files are never held for their number.
    pub least_files: u64,
    /// A deploy that would take so large a part of what a day allows of a kind, in percent.
    pub quota_percent: u64,
    /// A refresh of everything below a domain's root.
    pub root: bool,
}

impl Default for Guard {
    /// The reasons stand in `config.example.toml`, for operators.
    fn default() -> Self {
        Self {
            changed_percent: 95,
            removed_percent: 20,
            least_files: 500,
            quota_percent: 200,
            root: true,
        }
    }
}

impl Guard {
    /// Returns whether so many changed files of so many are held.
    #[must_use]
    pub const fn holds_changed(&self, changed: u64, files: u64) -> bool {
        self.are_many(changed, files, self.changed_percent)
    }

    /// Returns whether so many removed files of so many are held.
    #[must_use]
    pub const fn holds_removed(&self, removed: u64, files: u64) -> bool {
        self.are_many(removed, files, self.removed_percent)
    }

    const fn are_many(&self, number: u64, of: u64, percent: u64) -> bool {
        number >= self.least_files && is_share(number, of, percent)
    }

    const fn holds_cost(&self, kind: QuotaKind, asks: u64, limit: u64) -> bool {
        // Without a limit there is nothing to take: the quota says so itself.
        asks >= many(kind) && limit > 0 && is_share(asks, limit, self.quota_percent)
    }
}

/// Returns whether `number` is at least so many percent of `of`; 0 percent is none.
const fn is_share(number: u64, of: u64, percent: u64) -> bool {
    percent > 0 && number.saturating_mul(100) >= of.saturating_mul(percent)
}

/// Returns whether a target is everything that a domain serves: its root directory, or an expression
/// that says the same.
#[must_use]
pub fn is_root(target: &Target) -> bool {
    let path = |text: &str| {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        rest.find('/').map(|slash| rest[slash..].to_owned())
    };
    match target.kind {
        Kind::Directory => path(&target.text).is_some_and(|path| path == "/"),
        Kind::Regex => {
            let forms = &target.text[literal_start(&target.text).len()..];
            path(literal_start(&target.text)).is_some_and(|path| path == "/")
                && forms.contains(".*")
                && forms.replace(".*", "").replace("[^/]*", "").is_empty()
        }
        // What a tag reaches is not known.
        Kind::Url | Kind::IgnoreParams | Kind::Tag => false,
    }
}

/// What a plan must not do before a person agrees.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Held {
    /// Deploys that would cost too much, and why: all that they wish for is held.
    pub deploys: Vec<(DeployId, String)>,
    /// Intents whose refresh would be that of a domain's root.
    pub intents: Vec<(IntentId, Waiting)>,
}

impl Held {
    /// Returns whether the plan may be followed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.deploys.is_empty() && self.intents.is_empty()
    }
}

/// Judges a plan made from these intents. What the day can't pay counts as if it were asked: it is
/// the same deploy tomorrow. Prefetches cost no visitor anything when they wait, and don't count. An
/// origin without a guard holds nothing.
#[must_use]
pub fn judge(
    plan: &Plan,
    intents: &[Intent],
    purse: &Purse,
    guards: &BTreeMap<OriginName, Guard>,
) -> Held {
    if guards.is_empty() {
        return Held::default();
    }
    let by_id: HashMap<IntentId, &Intent> =
        intents.iter().map(|intent| (intent.id, intent)).collect();
    let carried = |ids: &[IntentId]| -> Vec<&Intent> {
        ids.iter().filter_map(|id| by_id.get(id).copied()).collect()
    };
    let mut costs: BTreeMap<(&DeployId, &'static str), (QuotaKind, u64, Guard)> = BTreeMap::new();
    let mut held = Held::default();
    for batch in plan.batches.iter().filter(|batch| batch.action == Action::Refresh) {
        let kind = QuotaKind::of(batch.action, batch.kind);
        for ask in &batch.asks {
            let carried = carried(&ask.intents);
            if let Some((deploy, guard)) = carried.iter().find_map(|one| guarded(one, guards)) {
                costs.entry((deploy, kind.as_str())).or_insert((kind, 0, guard)).1 += 1;
                if guard.root && is_root(&ask.target) {
                    held.intents.extend(of_root(&ask.target, &carried, guards));
                }
            }
        }
    }
    for (id, waiting) in &plan.waiting {
        if waiting.wait == Wait::Quota
            && let Some(intent) = by_id.get(id)
            && intent.action == Action::Refresh
            && let Some((deploy, guard)) = guarded(intent, guards)
        {
            let kind = QuotaKind::of(intent.action, intent.target.kind);
            costs.entry((deploy, kind.as_str())).or_insert((kind, 0, guard)).1 += 1;
        }
    }
    let mut dear = BTreeSet::new();
    for ((deploy, word), (kind, asks, guard)) in costs {
        let limit = purse.limit(kind);
        if guard.holds_cost(kind, asks, limit) && dear.insert(deploy) {
            let why = format!("it would take {asks} of the {limit} {word} refreshes of a day");
            held.deploys.push((deploy.clone(), why));
        }
    }
    held
}

/// Returns the deploy and the guard that may hold an intent.
fn guarded<'a>(
    intent: &'a Intent,
    guards: &BTreeMap<OriginName, Guard>,
) -> Option<(&'a DeployId, Guard)> {
    let deploy = intent.deploy.as_ref().filter(|_| !intent.approved)?;
    let guard = guards.get(intent.cause.origin.as_ref()?)?;
    Some((deploy, *guard))
}

/// Returns what of a root's refresh is held: nothing if a person wants that refresh itself, or most
/// of what a plan would do by it. Else what nobody approved; the rest is planned without it.
fn of_root<'a>(
    root: &Target,
    carried: &[&'a Intent],
    guards: &BTreeMap<OriginName, Guard>,
) -> Vec<(IntentId, Waiting)> {
    let unapproved: Vec<&'a Intent> =
        carried.iter().copied().filter(|one| guarded(one, guards).is_some()).collect();
    let is_wanted =
        carried.iter().filter(|one| one.target == *root).any(|one| guarded(one, guards).is_none());
    if is_wanted || unapproved.len() * 2 < carried.len() {
        return Vec::new();
    }
    let waiting = Waiting {
        wait: Wait::Hold,
        why: format!("it would refresh all that {} serves", root.host()),
        until: None,
    };
    unapproved.into_iter().map(|one| (one.id, waiting.clone())).collect()
}
