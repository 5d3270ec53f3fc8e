use std::time::Duration;

use super::*;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::hint::Witness;
use crate::domain::intent::{Cause, Priority, State};
use crate::domain::limits::Limits;
use crate::domain::path::RelPath;
use crate::domain::plan::{BATCH, Input, Widening, plan};
use crate::domain::quota::{Allowance, PerKind};
use crate::domain::time::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

fn now() -> Timestamp {
    Timestamp::parse("2026-11-22T04:00:00Z").expect("valid")
}

fn deploy(number: u64) -> DeployId {
    DeployId::new(Timestamp::EPOCH, number)
}

/// A refresh that the deploy with this number opened; an operator's for 0.
fn intent(id: i64, from: u64, kind: Kind, path: &str) -> Intent {
    let by_operator = from == 0;
    let deploy = (!by_operator).then(|| deploy(from));
    Intent {
        id: IntentId(id),
        account: "main".into(),
        action: Action::Refresh,
        target: Target::new(kind, format!("https://a.example/{path}")),
        force: false,
        priority: Priority::Normal,
        created_at: now(),
        deploy: deploy.clone(),
        approved: by_operator,
        cause: Cause {
            witness: if by_operator { Witness::Operator } else { Witness::Watch },
            at: now(),
            origin: (!by_operator).then(|| "www".into()),
            path: None,
            change: None,
            digest: None,
            deploy,
        },
        causes: 1,
        state: State::Pending { not_before: now(), attempt: 0, waiting: None },
    }
}

fn urls(ids: std::ops::Range<i64>, from: u64) -> Vec<Intent> {
    ids.map(|id| intent(id, from, Kind::Url, &format!("{id}"))).collect()
}

/// Judges the plan of these intents on a day of 200 asks of each kind, of which some are left.
fn judged(intents: &[Intent], left: u64, guard: Guard) -> Held {
    let allowances = PerKind::from_fn(|_| Allowance { limit: 200, used: 200 - left });
    let purse = Purse::plain(now(), &allowances);
    let plan = plan(&Input {
        now: now(),
        intents,
        open_refreshes: &[],
        in_flight: &[],
        purse: &purse,
        batch: BATCH,
        limits: &Limits::DOCUMENTED,
        whole: false,
        widening: Widening::NEVER,
    });
    judge(&plan, intents, &purse, &[("www".into(), guard)].into())
}

#[test]
fn a_deploy_that_takes_half_the_day_is_held_and_others_are_not() {
    let guard = Guard { quota_percent: 50, ..Guard::default() };
    let intents = [urls(0..100, 1), urls(100..199, 2)].concat();
    let held = judged(&intents, 200, guard);
    let why = "it would take 100 of the 200 url refreshes of a day".to_owned();
    assert_eq!(held.deploys, [(deploy(1), why)]);
    assert!(held.intents.is_empty());
    let held = judged(&urls(0..100, 1), 10, guard);
    assert_eq!(held.deploys.len(), 1, "what is parked counts");
    assert!(judged(&urls(0..190, 0), 200, guard).is_empty(), "a person asked for it");
    let off = Guard { quota_percent: 0, ..guard };
    assert!(judged(&urls(0..190, 1), 200, off).is_empty(), "it is off");
    let tight = Guard { quota_percent: 1, ..guard };
    assert!(judged(&urls(0..99, 1), 200, tight).is_empty(), "a few are no accident");
}

#[test]
fn what_a_person_approved_does_not_count() {
    let mut intents = urls(0..120, 1);
    for intent in &mut intents[..40] {
        intent.approved = true;
    }
    assert!(judged(&intents, 200, Guard::default()).is_empty());
}

#[test]
fn a_root_is_held_unless_a_person_wants_it() {
    let guard = Guard::default();
    let root = |id, from| intent(id, from, Kind::Directory, "");
    let ids = |held: Held| held.intents.into_iter().map(|(id, _)| id.0).collect::<Vec<_>>();
    let held = judged(&[root(1, 1), intent(2, 2, Kind::Url, "x")], 200, guard);
    assert_eq!(held.intents[0].1.why, "it would refresh all that a.example serves");
    assert_eq!(ids(held), [1, 2], "the rest is planned without it");
    assert!(judged(&[root(1, 0), intent(2, 2, Kind::Url, "x")], 200, guard).is_empty());
    let approved = Intent { approved: true, ..root(1, 1) };
    assert!(judged(&[approved, intent(2, 2, Kind::Url, "x")], 200, guard).is_empty());
    let off = Guard { root: false, ..guard };
    assert!(judged(&[root(1, 1)], 200, off).is_empty());
}

#[test]
fn a_root_has_several_spellings() {
    let roots = [
        (Kind::Directory, "https://a.example/"),
        (Kind::Regex, "https://a.example/.*"),
        (Kind::Regex, "https://a.example/[^/]*.*"),
    ];
    for (kind, text) in roots {
        assert!(is_root(&Target::new(kind, text)), "{text}");
    }
    let others = [
        (Kind::Url, "https://a.example/"),
        (Kind::Directory, "https://a.example/d/"),
        (Kind::Regex, "https://a.example/[^/]*"),
        (Kind::Regex, "https://a.example/.*.css"),
        (Kind::Regex, "https://a.example/d/.*"),
        (Kind::Regex, "https://a.example/[0-9].*"),
        (Kind::IgnoreParams, "https://a.example/"),
    ];
    for (kind, text) in others {
        assert!(!is_root(&Target::new(kind, text)), "{text}");
    }
}

fn change(kind: ChangeKind, number: u32) -> Change {
    let path = RelPath::new(format!("{number}").as_str()).expect("a path");
    Change { path, kind, digest: None, force: false }
}

#[test]
fn a_rush_is_held_once_most_files_have_changed() {
    let guard = Guard { least_files: 8, changed_percent: 80, ..Guard::default() };
    let mut rush = Rush::default();
    for number in 0..7 {
        assert!(!rush.changed(&guard, &change(ChangeKind::Created, 100 + number), 10, SECOND));
        assert!(!rush.changed(&guard, &change(ChangeKind::Modified, number), 10, SECOND));
        assert!(
            !rush.changed(&guard, &change(ChangeKind::Modified, 0), 10, SECOND),
            "twice is once"
        );
    }
    assert_eq!(rush.held(), None);
    rush.closed(false, SECOND * 10);
    assert!(rush.changed(&guard, &change(ChangeKind::Modified, 7), 10, SECOND * 11));
    assert_eq!(rush.held(), Some("at least 8 of 10 files changed at once"));
    assert!(!rush.changed(&guard, &change(ChangeKind::Modified, 8), 10, SECOND * 12), "said once");
    rush.unhold();
    assert!(rush.changed(&guard, &change(ChangeKind::Modified, 8), 10, SECOND * 12), "said anew");
    rush.closed(true, SECOND * 13);
    assert_eq!(rush.held(), None, "a quiet moment ends it");
}

#[test]
fn a_rush_ends_after_ten_minutes() {
    let guard = Guard { least_files: 1, ..Guard::default() };
    let mut rush = Rush::default();
    assert!(rush.changed(&guard, &change(ChangeKind::Modified, 0), 1, SECOND));
    rush.closed(false, SECOND * 601);
    assert!(rush.held().is_some());
    rush.closed(false, SECOND * 602);
    assert_eq!(rush.held(), None);
}

#[test]
fn removed_files_are_a_part_of_the_tree_that_was() {
    let guard = Guard { least_files: 1, ..Guard::default() };
    let mut rush = Rush::default();
    // Of ten files five are gone from the index by the time that they are counted.
    for number in 0..5 {
        assert!(!rush.changed(&guard, &change(ChangeKind::Removed, number), 5, SECOND), "{number}");
    }
}
