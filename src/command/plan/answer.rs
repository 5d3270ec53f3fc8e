//! What a plan comes to, as it is written as JSON and shown to people.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Account;
use crate::domain::guard::Held;
use crate::domain::intent::{Intent, IntentId};
use crate::domain::names::OriginName;
use crate::domain::plan::{Plan, PlannedBatch};
use crate::domain::quota::{Allowance, PerKind, QuotaKind};
use crate::domain::time::Timestamp;

/// What would be asked.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    /// The calls, in order.
    pub(super) batches: Vec<Batch>,
    /// What would wait for a person first; the rest is planned as if that person had agreed.
    pub(super) held: Vec<HeldSet>,
    /// What finds no room.
    pub(super) waiting: Vec<Parked>,
    /// Paths for which nothing is asked.
    pub(super) unmapped: Vec<Unmapped>,
    /// Asks by kind, of all accounts.
    pub(super) cost: BTreeMap<&'static str, u64>,
    /// By account and kind.
    pub(super) quota: BTreeMap<String, BTreeMap<&'static str, Spent>>,
    /// What could not be found out.
    pub(super) notes: Vec<String>,
}

/// A call.
#[derive(Debug, Serialize)]
pub(super) struct Batch {
    pub(super) account: String,
    pub(super) action: &'static str,
    pub(super) kind: &'static str,
    pub(super) force: bool,
    pub(super) targets: Vec<String>,
    /// Of the targets those that stand for others.
    pub(super) wide: Vec<Wide>,
    pub(super) why: String,
    /// Whose changes these are.
    #[serde(skip)]
    pub(super) origins: Vec<OriginName>,
}

/// A target that stands for others.
#[derive(Debug, Serialize)]
pub(super) struct Wide {
    pub(super) target: String,
    pub(super) stands_for: Vec<String>,
    /// Live objects that it reaches though they did not change.
    pub(super) unchanged: u64,
}

/// Changes that a person would have to agree to.
#[derive(Debug, Serialize)]
pub(super) struct HeldSet {
    pub(super) origin: OriginName,
    pub(super) why: String,
}

/// A refresh or prefetch that waits.
#[derive(Debug, Serialize)]
pub(super) struct Parked {
    pub(super) account: String,
    pub(super) action: &'static str,
    pub(super) kind: &'static str,
    pub(super) url: String,
    pub(super) waits: Vec<&'static str>,
    pub(super) why: String,
    /// When it goes out or is planned again, as far as that is known.
    pub(super) until: Option<String>,
}

/// A path for which nothing is asked.
#[derive(Debug, Serialize)]
pub(super) struct Unmapped {
    pub(super) path: String,
    pub(super) why: String,
}

/// What a plan takes of a kind's day.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spent {
    /// What the day allows, and what was spent before.
    pub(super) limit: u64,
    pub(super) used: u64,
    /// What this plan spends.
    pub(super) cost: u64,
    /// What is left after it, and how much of that is kept for urgent work.
    pub(super) left: u64,
    pub(super) reserve: u64,
}

impl Answer {
    /// Adds one account's plan.
    pub(super) fn add(
        &mut self,
        plan: Plan,
        intents: &[Intent],
        allowances: &PerKind<Allowance>,
        account: &Account,
    ) {
        let name = account.name.to_string();
        let mut cost: PerKind<u64> = PerKind::default();
        for planned in plan.batches {
            cost[QuotaKind::of(planned.action, planned.kind)] += planned.asks.len() as u64;
            self.batches.push(batch(planned, intents, &name));
        }
        for (id, waiting) in plan.waiting {
            let Some(intent) = find(intents, id) else { continue };
            self.waiting.push(Parked {
                account: name.clone(),
                action: intent.action.as_str(),
                kind: intent.target.kind.as_str(),
                url: intent.target.text.clone(),
                waits: vec![waiting.wait.as_str()],
                why: waiting.why,
                until: waiting.until.as_ref().map(Timestamp::to_string),
            });
        }
        let mut spent = BTreeMap::new();
        for (kind, cost) in cost.iter().map(|(kind, cost)| (kind, *cost)) {
            if cost > 0 {
                *self.cost.entry(kind.as_str()).or_default() += cost;
            }
            let Allowance { limit, used } = allowances[kind];
            let left = allowances[kind].left().saturating_sub(cost);
            let reserve = account.rules.reserved(limit).min(left);
            spent.insert(kind.as_str(), Spent { limit, used, cost, left, reserve });
        }
        self.quota.insert(name, spent);
    }

    /// Adds what guards say of a plan.
    pub(super) fn hold(&mut self, held: Held, intents: &[Intent]) {
        let origin_of = |intent: &Intent| intent.cause.origin.clone();
        for (deploy, why) in held.deploys {
            let of_deploy = |intent: &&Intent| intent.deploy.as_ref() == Some(&deploy);
            let origin = intents.iter().find(of_deploy).and_then(origin_of);
            self.held.extend(origin.map(|origin| HeldSet { origin, why }));
        }
        for (id, waiting) in held.intents {
            let origin = find(intents, id).and_then(origin_of);
            self.held.extend(origin.map(|origin| HeldSet { origin, why: waiting.why }));
        }
        self.held.dedup_by(|one, other| (&one.origin, &one.why) == (&other.origin, &other.why));
    }
}

fn batch(planned: PlannedBatch, intents: &[Intent], account: &str) -> Batch {
    let mut wide = Vec::new();
    let mut targets = Vec::with_capacity(planned.asks.len());
    let mut origins = Vec::new();
    for (ask, unchanged) in planned.asks.into_iter().zip(planned.collateral) {
        let carried = || ask.intents.iter().filter_map(|id| find(intents, *id));
        origins.extend(carried().filter_map(|intent| intent.cause.origin.clone()));
        let others = carried().filter(|intent| intent.target != ask.target);
        let stands_for: Vec<String> = others.map(|intent| intent.target.text.clone()).collect();
        if !stands_for.is_empty() {
            wide.push(Wide { target: ask.target.text.clone(), stands_for, unchanged });
        }
        targets.push(ask.target.text);
    }
    origins.sort_unstable();
    origins.dedup();
    Batch {
        account: account.to_owned(),
        action: planned.action.as_str(),
        kind: planned.kind.as_str(),
        force: planned.force,
        targets,
        wide,
        why: planned.why,
        origins,
    }
}

/// Returns an intent by its number, which is its place.
fn find(intents: &[Intent], id: IntentId) -> Option<&Intent> {
    usize::try_from(id.0).ok().and_then(|place| intents.get(place))
}
