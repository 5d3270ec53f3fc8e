//! What an operator is told about a plan.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::planner::Wanted;
use crate::domain::ask::Kind;
use crate::domain::hint::Witness;
use crate::domain::intent::{Action, Intent};

/// Says why a batch is asked.
pub(super) fn why(batch: &[&Wanted<'_>], intents: &[Intent]) -> String {
    let Some(first) = batch.first() else {
        return String::new();
    };
    let count = batch.len();
    let (one, many) = match first.target.kind {
        Kind::Url => ("URL", "URLs"),
        Kind::Directory => ("directory", "directories"),
        Kind::Regex => ("expression", "expressions"),
        Kind::IgnoreParams => ("URL with every query", "URLs with every query"),
        Kind::Tag => ("cache tag", "cache tags"),
    };
    let noun = if count == 1 { one } else { many };
    // A batch's reasons are its own intents' reasons, not those of what it happens to carry; where it
    // stands for others only, theirs.
    let mut origins = BTreeSet::new();
    let mut others = BTreeSet::new();
    for intent in batch.iter().flat_map(|wanted| reasons(wanted, intents)) {
        match &intent.cause.origin {
            Some(origin) => {
                origins.insert(origin.as_str());
            }
            None => {
                others.insert(match intent.cause.witness {
                    Witness::Operator => "asked for by an operator",
                    Witness::Schedule => "asked for by a schedule",
                    Witness::Webhook => "asked for by a webhook",
                    Witness::Watch | Witness::Scan => "changed",
                });
            }
        }
    }
    let mut reasons = Vec::new();
    if !origins.is_empty() {
        reasons.push(match first.action {
            Action::Refresh => format!("changed in {}", list(&origins)),
            Action::Prefetch => format!("to be fetched ahead after changes in {}", list(&origins)),
        });
    }
    reasons.extend(others.into_iter().map(str::to_owned));
    let mut text = format!("{count} {noun} {}", reasons.join(" or "));
    let carried: usize =
        batch.iter().map(|wanted| wanted.members.len() - own(wanted, intents).count()).sum();
    if carried > 0 {
        let refreshes = if carried == 1 { "refresh" } else { "refreshes" };
        let _ = write!(text, ", standing for {carried} narrower {refreshes}");
        if batch.iter().any(|wanted| own(wanted, intents).next().is_some()) {
            text.push_str(" too");
        }
    }
    let collateral: u64 = batch.iter().map(|wanted| wanted.collateral).sum();
    if collateral > 0 {
        let objects = if collateral == 1 { "object" } else { "objects" };
        let _ = write!(text, ", reaching {collateral} unchanged {objects} besides");
    }
    match first.attempt {
        0 => {}
        1 => text.push_str(", again after a vain attempt"),
        more => {
            let _ = write!(text, ", again after {more} vain attempts");
        }
    }
    text
}

fn own<'a>(wanted: &Wanted<'_>, intents: &'a [Intent]) -> impl Iterator<Item = &'a Intent> {
    wanted.members.iter().map(|at| &intents[*at]).filter(|intent| intent.target == *wanted.target)
}

/// Returns the intents that an ask is made for: its own, else all that it stands for.
fn reasons<'a>(wanted: &Wanted<'_>, intents: &'a [Intent]) -> Vec<&'a Intent> {
    let own: Vec<&Intent> = own(wanted, intents).collect();
    if own.is_empty() { wanted.members.iter().map(|at| &intents[*at]).collect() } else { own }
}

/// Lists a few names, and how many more there are.
fn list(names: &BTreeSet<&str>) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    let text = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
