//! A plan as a person reads it: what there is much of is summed up.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::Printer;
use crate::command::words::{count, grouped};
use crate::domain::names::OriginName;
use crate::domain::quota::QuotaKind;

use super::answer::{Answer, Batch, Parked, Wide};
use super::today::Source;

/// How many of the same are named.
const SHOWN: usize = 10;

/// Batches of one account, action, kind and force.
struct Group<'a> {
    first: &'a Batch,
    calls: u64,
    targets: Vec<&'a str>,
    wide: Vec<&'a Wide>,
    origins: BTreeSet<&'a OriginName>,
}

pub(super) fn show(answer: &Answer, source: Source, printer: &mut Printer) {
    for held in &answer.held {
        printer
            .line(&format!("held for a person: changes of origin {}: {}", held.origin, held.why));
    }
    if !answer.held.is_empty() {
        printer.line("  once a person approves, this is asked:");
    }
    for group in groups(&answer.batches) {
        show_group(&group, printer);
    }
    show_waiting(answer, printer);
    for unmapped in answer.unmapped.iter().take(SHOWN) {
        printer.line(&format!("no URL: {}: {}", unmapped.path, unmapped.why));
    }
    show_more(answer.unmapped.len(), "path that has no URL", printer);
    for note in &answer.notes {
        printer.line(&format!("note: {note}"));
    }
    show_quota(answer, source, printer);
}

fn groups(batches: &[Batch]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for batch in batches {
        let key = |batch: &Batch| (batch.account.clone(), batch.action, batch.kind, batch.force);
        let known = groups.iter().position(|group| key(group.first) == key(batch));
        let at = known.unwrap_or_else(|| {
            groups.push(Group {
                first: batch,
                calls: 0,
                targets: Vec::new(),
                wide: Vec::new(),
                origins: BTreeSet::new(),
            });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.calls += 1;
        group.targets.extend(batch.targets.iter().map(String::as_str));
        group.wide.extend(&batch.wide);
        group.origins.extend(&batch.origins);
    }
    groups
}

fn show_group(group: &Group<'_>, printer: &mut Printer) {
    let Batch { account, action, kind, force, why, .. } = group.first;
    let force_word = if *force { ", forced" } else { "" };
    let why = if group.calls == 1 {
        why.clone()
    } else {
        let origins: Vec<&str> = group.origins.iter().map(|origin| origin.as_str()).collect();
        let targets = count(group.targets.len() as u64, "target");
        format!("{targets} in {}, changed in {}", count(group.calls, "call"), origins.join(", "))
    };
    printer.line(&format!("{action} {kind}{force_word} (account {account}): {why}"));
    if group.wide.is_empty() {
        for target in group.targets.iter().take(SHOWN) {
            printer.line(&format!("  {target}"));
        }
        show_more(group.targets.len(), "target", printer);
        return;
    }
    // What reaches most besides is what a person wants to see.
    let mut wide = group.wide.clone();
    wide.sort_by_key(|wide| std::cmp::Reverse((wide.unchanged, wide.stands_for.len())));
    for wide in wide.iter().take(SHOWN) {
        let besides = match (wide.unchanged, force) {
            (0, _) => String::new(),
            (unchanged, false) => {
                format!("; {} revalidated besides", count(unchanged, "unchanged object"))
            }
            (unchanged, true) => {
                format!("; {} fetched again besides", count(unchanged, "unchanged object"))
            }
        };
        let urls = count(wide.stands_for.len() as u64, "changed URL");
        printer.line(&format!("  {}  for {urls}{besides}", wide.target));
    }
    show_more(wide.len(), "target", printer);
}

fn show_waiting(answer: &Answer, printer: &mut Printer) {
    let mut by_reason: BTreeMap<_, Vec<&Parked>> = BTreeMap::new();
    for parked in &answer.waiting {
        let reason = (parked.action, &parked.why, &parked.until);
        by_reason.entry(reason).or_default().push(parked);
    }
    for ((action, why, until), parked) in by_reason {
        let number = parked.len();
        let plural = if number == 1 { "" } else { "es" };
        // Some are planned again before the time that the reason names.
        let again = until.as_ref().filter(|until| !why.contains(until.as_str()));
        let again = again.map(|until| format!("; planned again at {until}")).unwrap_or_default();
        printer.line(&format!("waits, {} {action}{plural}: {why}{again}", grouped(number as u64)));
        for one in parked.iter().take(SHOWN) {
            printer.line(&format!("  {}", one.url));
        }
        show_more(number, "URL", printer);
    }
}

fn show_more(number: usize, noun: &str, printer: &mut Printer) {
    if number > SHOWN {
        let more = grouped((number - SHOWN) as u64);
        printer.line(&format!("  … and {more} more; --json names every {noun}"));
    }
}

fn show_quota(answer: &Answer, source: Source, printer: &mut Printer) {
    if answer.cost.is_empty() {
        printer.line("cost: nothing");
        return;
    }
    for (account, kinds) in &answer.quota {
        printer.line(&format!("cost to account {account} of what is left of {}:", source.as_str()));
        for kind in QuotaKind::ALL {
            let Some(spent) = kinds.get(kind.as_str()).filter(|spent| spent.cost > 0) else {
                continue;
            };
            let kept = match spent.reserve {
                0 => String::new(),
                reserve => format!(", {} of them kept for urgent work", grouped(reserve)),
            };
            printer.line(&format!(
                "  {:<24}{:>8} of {:>8}; {:>8} left then{kept}",
                kind.plural(),
                grouped(spent.cost),
                grouped(spent.left + spent.cost),
                grouped(spent.left),
            ));
        }
    }
}
