//! What refusals have told of batches to come: bad asks are found by halves, domains are asked for
//! apart, calls get smaller. Kept in memory: after a start it is learnt again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::domain::ask::{Kind, Target};
use crate::domain::intent::{Action, Intent, IntentId, Wait, Waiting};
use crate::domain::limits::Limits;
use crate::domain::pace::Pace;
use crate::domain::plan::PlannedBatch;
use crate::domain::task::Batch;
use crate::domain::time::{Day, Timestamp};
use crate::journal::Due;

#[cfg(test)]
mod tests;

/// Targets of which at least one is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suspects {
    action: Action,
    targets: Vec<Target>,
}

impl Suspects {
    /// Returns the part that is asked for next: the smaller half, or the last one alone.
    fn half(&self) -> &[Target] {
        &self.targets[..(self.targets.len() / 2).max(1).min(self.targets.len())]
    }
}

/// What refusals have told.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    suspects: Vec<Suspects>,
    /// Domains that share no call until one of theirs is accepted.
    apart: BTreeSet<String>,
    /// Codes met that are neither documented nor taught.
    strange: BTreeSet<String>,
    /// How many asks a call may hold, as the CDN has told on that day.
    most: BTreeMap<(Action, Kind), (Day, usize)>,
}

impl Lessons {
    /// Notes that a batch was refused for one of its asks.
    ///
    /// What is known of a larger set shrinks to this one. Where a half was accepted, the other half is
    /// known to be bad without being asked for: so a bad ask among n is found in at most 2·log2(n) calls
    /// after the first, and everything else has gone through by then.
    pub(super) fn refused(&mut self, batch: &Batch) {
        let targets: Vec<Target> = batch.asks.iter().map(|ask| ask.target.clone()).collect();
        let known: HashSet<&Target> = targets.iter().collect();
        self.suspects.retain(|set| {
            set.action != batch.action || !set.targets.iter().any(|target| known.contains(target))
        });
        if targets.len() > 1 {
            self.suspects.push(Suspects { action: batch.action, targets });
        }
    }

    /// Notes that a batch was accepted.
    pub(super) fn accepted(&mut self, batch: &Batch) {
        let good: HashSet<&Target> = batch.asks.iter().map(|ask| &ask.target).collect();
        for set in self.suspects.iter_mut().filter(|set| set.action == batch.action) {
            set.targets.retain(|target| !good.contains(target));
        }
        self.suspects.retain(|set| !set.targets.is_empty());
        for ask in &batch.asks {
            self.apart.remove(ask.target.host());
        }
    }

    /// Takes what a half of the newest suspects is wanted for out of what is due, if there are any and
    /// their kind may be asked for now.
    pub(super) fn half(&mut self, due: &Due) -> Option<Due> {
        while let Some(set) = self.suspects.last() {
            if due.in_flight.contains(&(set.action, set.targets.first()?.kind)) {
                return None;
            }
            let half: HashSet<&Target> = set.half().iter().collect();
            let is_of_half =
                |intent: &Intent| intent.action == set.action && half.contains(&intent.target);
            if due.intents.iter().any(is_of_half) {
                let intents = due.intents.iter().filter(|intent| is_of_half(intent)).cloned();
                return Some(Due {
                    intents: intents.collect(),
                    open_refreshes: due.open_refreshes.clone(),
                    in_flight: due.in_flight.clone(),
                    next_at: due.next_at,
                });
            }
            self.forget_half();
        }
        None
    }

    /// Gives up on the newest suspects: they can't be asked for now, and go on as everything does.
    pub(super) fn forget_half(&mut self) {
        self.suspects.pop();
    }

    /// Notes that one of a batch's domains was refused; returns whether there are several, so that
    /// from now on each is asked for alone.
    pub(super) fn set_apart(&mut self, batch: &Batch) -> bool {
        let hosts: BTreeSet<&str> = batch.asks.iter().map(|ask| ask.target.host()).collect();
        if hosts.len() > 1 {
            self.apart.extend(hosts.iter().map(|host| (*host).to_owned()));
        }
        hosts.len() > 1
    }

    /// Keeps the first domain's asks in a batch that names one to be asked for alone, and returns the
    /// others.
    pub(super) fn of_one_host(&self, planned: &mut PlannedBatch) -> Option<PlannedBatch> {
        let first = planned.asks.first()?.target.host().to_owned();
        let is_mixed = planned.asks.iter().any(|ask| ask.target.host() != first);
        let is_apart = |host: &str| self.apart.contains(host);
        if !is_mixed || !planned.asks.iter().any(|ask| is_apart(ask.target.host())) {
            return None;
        }
        let mut rest = PlannedBatch { asks: Vec::new(), collateral: Vec::new(), ..planned.clone() };
        let asks = std::mem::take(&mut planned.asks);
        for (ask, collateral) in asks.into_iter().zip(std::mem::take(&mut planned.collateral)) {
            let side = if ask.target.host() == first { &mut *planned } else { &mut rest };
            side.asks.push(ask);
            side.collateral.push(collateral);
        }
        Some(rest)
    }

    /// Returns whether a code is met for the first time.
    pub(super) fn is_new(&mut self, code: &str) -> bool {
        self.strange.insert(code.to_owned())
    }

    /// Notes that a call may not hold as many asks as a batch has; returns what it may hold. Tomorrow
    /// more are tried again.
    pub(super) fn too_many(&mut self, batch: &Batch, now: Timestamp) -> usize {
        let most = (batch.asks.len() / 2).max(1);
        self.most.insert((batch.action, batch.kind), (Day::of(now), most));
        most
    }

    /// Returns what the CDN takes, by its own word of today where that is less.
    pub(super) fn limits(&self, mut limits: Limits, now: Timestamp) -> Limits {
        for (&(action, kind), &(day, most)) in &self.most {
            if day == Day::of(now) {
                limits.lower(action, kind, most);
            }
        }
        limits
    }
}

/// Takes what is wanted of closed domains out of what is due; returns it with its wait.
pub(super) fn set_aside(
    intents: &mut Vec<Intent>,
    pace: &Pace,
    now: Timestamp,
) -> Vec<(IntentId, Waiting)> {
    if !pace.has_closed_hosts(now) {
        return Vec::new();
    }
    let mut aside = Vec::new();
    intents.retain(|intent| {
        let Some((until, why)) = pace.closed_host(intent.target.host(), now) else {
            return true;
        };
        let waiting = Waiting { wait: Wait::Retry, why: why.to_owned(), until: Some(until) };
        aside.push((intent.id, waiting));
        false
    });
    aside
}
