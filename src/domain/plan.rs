//! The plan: which asks go to the CDN now, in which batches, and what waits and why.
//!
//! **Invariant:** every intent handed in is in exactly one ask, or waits with a reason, or is left
//! for the next turn because a batch of its action and kind is in flight; and no kind's asks are
//! more than its purse has.

use super::ask::{Kind, Target};
use super::intent::{Action, Intent, IntentId, Waiting};
use super::quota::purse::Purse;
use super::task::Ask;
use super::time::Timestamp;

use planner::Planner;

mod below;
mod cut;
mod planner;
mod say;

#[cfg(test)]
mod tests;

/// The most distinct domains of one refresh request (API reference, section 0).
pub const DOMAINS_PER_REQUEST: usize = 10;

/// How long the encoded query of a prefetch may be, in bytes: its targets travel there, and no
/// limit of the gateway is published (API reference, 1.1).
pub const QUERY_BYTES: usize = 8_000;

/// How long the encoded form of a refresh may be, in bytes: ours, for the same reason.
pub const BODY_BYTES: usize = 1 << 20;

/// How large a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most asks of a batch, whatever the CDN takes: it bounds how much can be in doubt at once.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch: 100 }
    }
}

impl Limits {
    /// Returns the most asks of one request: the smaller of `batch` and what the API takes (API
    /// reference, section 0; for ignore-params nothing is stated, and 100 is a day's quota).
    #[must_use]
    pub fn per_request(self, action: Action, kind: Kind) -> usize {
        let taken = match (action, kind) {
            (Action::Refresh, Kind::Url) => 1_000,
            (Action::Refresh, Kind::Regex) => 1,
            (Action::Refresh, Kind::Directory | Kind::IgnoreParams) | (Action::Prefetch, _) => 100,
        };
        self.batch.clamp(1, taken)
    }
}

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
    /// How large a batch may be.
    pub limits: Limits,
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
    planner.afford(Action::Refresh, Kind::Regex);
    let variants = planner.afford(Action::Refresh, Kind::IgnoreParams);
    planner.carry_variants(&variants);
    planner.afford(Action::Refresh, Kind::Url);
    planner.hold_prefetches();
    for kind in Kind::ALL {
        planner.afford(Action::Prefetch, kind);
    }
    planner.finish()
}
