//! The plan: which asks go to the CDN now, in which batches, and what waits and why.
//!
//! **Invariant:** every intent handed in is in exactly one ask, or waits with a reason, or is left
//! for the next turn because a batch of its action and kind is in flight; and no kind's asks are
//! more than its purse has.

use std::time::Duration;

use super::ask::{Kind, Target};
use super::cover::{Census, Visit};
use super::intent::{Action, Intent, IntentId, Waiting};
use super::limits::Limits;
use super::quota::purse::Purse;
use super::task::Ask;
use super::time::Timestamp;

use planner::Planner;

mod below;
mod cut;
mod planner;
mod say;
mod widen;

#[cfg(test)]
mod tests;

/// The most asks of a batch unless the operator says otherwise, whatever the CDN takes: it bounds how
/// much can be in doubt at once.
pub const BATCH: usize = 100;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Now, as the CDN's clock has it.
    pub now: Timestamp,
    /// Due intents of one account: the most pressing first, and among equals the oldest.
    pub intents: &'a [Intent],
    /// Targets of open refreshes that could delay a prefetch (rule 9).
    pub open_refreshes: &'a [Target],
    /// Action and kind of each batch in flight or in doubt: there is one a kind.
    pub in_flight: &'a [(Action, Kind)],
    /// What may be spent.
    pub purse: &'a Purse,
    /// The most asks of a batch, whatever the CDN takes.
    pub batch: usize,
    /// What the CDN takes.
    pub limits: &'a Limits,
    /// Whether what was refused once goes as it is, and not in ever smaller batches: the caller halves.
    pub whole: bool,
    /// When and how wide asks stand for URLs.
    pub widening: Widening<'a>,
}

impl Input<'_> {
    /// Returns the most asks of one request.
    fn per_request(&self, action: Action, kind: Kind) -> usize {
        self.batch.min(self.limits.per_request(action, kind)).max(1)
    }
}

/// How URLs are widened when they run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Never: each URL is asked for, or waits.
    PerUrl,
    /// By directory and expression, at the least price.
    Cover,
    /// A directory stands for as many URLs in it as this, whatever it hits besides: what a simple
    /// script does. For comparison.
    Threshold(u64),
}

/// What widening is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Widening<'a> {
    /// How.
    pub policy: Policy,
    /// What lives beside what changed.
    pub census: &'a dyn Census,
    /// How long a changed URL may stay stale to spare one unchanged object a revalidation.
    pub spare: Duration,
    /// How likely as large a change set comes later today, in thousandths, and which part of the rest
    /// of the day is left then, in thousandths.
    pub again: (u64, u64),
    /// Expressions that an operator thinks useful.
    pub expressions: &'a [Target],
}

impl Widening<'_> {
    /// Never widens.
    pub const NEVER: Self = Self {
        policy: Policy::PerUrl,
        census: &Nothing,
        spare: Duration::ZERO,
        again: (0, 0),
        expressions: &[],
    };
}

/// A census of nothing.
#[derive(Debug)]
struct Nothing;

impl Census for Nothing {
    fn visit(&self, _: Visit<'_>) {}
}

/// A batch that has no key yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBatch {
    /// What the CDN is to do.
    pub action: Action,
    /// The kind that all asks share.
    pub kind: Kind,
    /// Whether cached copies are to be dropped; false where the wire has no use for it.
    pub force: bool,
    /// The asks, oldest first.
    pub asks: Vec<Ask>,
    /// For each ask, the weight of live objects that it reaches though these did not change, as far as
    /// known.
    pub collateral: Vec<u64>,
    /// One sentence: why these.
    pub why: String,
}

/// What is to be asked, and what waits.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// The batches, the one with the oldest intent first.
    pub batches: Vec<PlannedBatch>,
    /// What waits, and why.
    pub waiting: Vec<(IntentId, Waiting)>,
}

/// Decides what is asked of the CDN now. Deterministic: the same input makes the same plan.
#[must_use]
pub fn plan(input: &Input<'_>) -> Plan {
    let mut planner = Planner::new(input);
    // Wide kinds first: only an ask that really goes out carries others.
    planner.nest_directories();
    let directories = planner.afford(Action::Refresh, Kind::Directory);
    planner.carry_below(&directories);
    let variants = planner.afford(Action::Refresh, Kind::IgnoreParams);
    planner.carry_variants(&variants);
    planner.widen(&input.widening);
    for kind in [Kind::Directory, Kind::Regex, Kind::IgnoreParams, Kind::Tag, Kind::Url] {
        planner.afford(Action::Refresh, kind);
    }
    planner.hold_prefetches();
    for kind in Kind::ALL {
        planner.afford(Action::Prefetch, kind);
    }
    planner.finish()
}
