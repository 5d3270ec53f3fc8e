//! When URLs count as short, and what of a wide choice may wait.

use super::super::{BATCH, Input, Plan, Policy, Widening, plan};
use super::*;
use crate::domain::cover::{Census, Visit};
use crate::domain::hint::Witness;
use crate::domain::intent::{Cause, Intent, IntentId, State, Wait};
use crate::domain::limits::Limits;
use crate::domain::quota::purse::{Purse, Recent, Rules, Spending};
use crate::domain::quota::{Allowance, PerKind};
use crate::domain::time::Timestamp;

const NOW: &str = "2026-11-22T04:00:00Z";

fn now() -> Timestamp {
    Timestamp::parse(NOW).expect("valid")
}

/// So many live pages below `all/` that did not change.
#[derive(Debug)]
struct Live(u32);

impl Census for Live {
    fn visit(&self, visit: Visit<'_>) {
        for number in 0..self.0 {
            visit(&[&format!("https://www.example.com/all/{number}")], 1);
        }
    }
}

struct World {
    intents: Vec<Intent>,
    in_flight: Vec<(Action, Kind)>,
    allowances: PerKind<Allowance>,
    rules: Rules,
    spending: Spending,
    expressions: Vec<Target>,
    live: Live,
}

impl World {
    fn new() -> Self {
        Self {
            intents: Vec::new(),
            in_flight: Vec::new(),
            allowances: PerKind::from_fn(|_| Allowance { limit: 100, used: 0 }),
            rules: Rules::default(),
            spending: Spending::default(),
            expressions: Vec::new(),
            live: Live(0),
        }
    }

    fn allowed(mut self, kind: QuotaKind, limit: u64, used: u64) -> Self {
        self.allowances[kind] = Allowance { limit, used };
        self
    }

    /// Lets pages `0..number` of a directory be due.
    fn due(mut self, priority: Priority, directory: &str, number: usize) -> Self {
        for page in 0..number {
            let text = format!("https://www.example.com/{directory}/p{page}");
            self.intents.push(Intent {
                id: IntentId(i64::try_from(self.intents.len()).expect("few") + 1),
                account: "main".into(),
                action: Action::Refresh,
                target: Target::new(Kind::Url, text),
                force: false,
                priority,
                created_at: now(),
                deploy: None,
                approved: false,
                cause: Cause {
                    witness: Witness::Watch,
                    at: now(),
                    origin: Some("www".into()),
                    path: None,
                    change: None,
                    digest: None,
                    deploy: None,
                },
                causes: 1,
                state: State::Pending { not_before: now(), attempt: 0, waiting: None },
            });
        }
        self
    }

    fn began(mut self, ago: u64, kind: QuotaKind, amount: u64) -> Self {
        let at = now().minus(Duration::from_secs(ago));
        self.spending.recent.push(Recent { at, kind, host: "www.example.com".to_owned(), amount });
        self
    }

    fn plan(&self) -> Plan {
        let purse = Purse::new(
            now(),
            &self.allowances,
            &self.rules,
            &Limits::DOCUMENTED,
            &self.spending,
            &PerKind::default(),
        );
        plan(&Input {
            now: now(),
            intents: &self.intents,
            open_refreshes: &[],
            in_flight: &self.in_flight,
            purse: &purse,
            batch: BATCH,
            limits: &Limits::DOCUMENTED,
            whole: false,
            widening: Widening {
                policy: Policy::Cover,
                census: &self.live,
                spare: Duration::from_secs(240),
                again: (0, 0),
                expressions: &self.expressions,
            },
        })
    }
}

/// Returns how many asks of each kind there are: URLs, directories, expressions, ignore-params.
fn asks(plan: &Plan) -> [usize; 4] {
    [Kind::Url, Kind::Directory, Kind::Regex, Kind::IgnoreParams].map(|kind| {
        let batches = plan.batches.iter().filter(|batch| batch.kind == kind);
        batches.map(|batch| batch.asks.len()).sum()
    })
}

fn latest(plan: &Plan) -> Option<Duration> {
    plan.waiting.iter().filter_map(|(_, waiting)| waiting.until).max().map(|at| at.since(now()))
}

#[test]
fn backfill_does_not_widen_what_goes_before_it() {
    let world = World::new()
        .allowed(QuotaKind::Url, 10_000, 0)
        .due(Priority::Normal, "all", 90)
        .due(Priority::Backfill, "other", 12_000);
    let plan = world.plan();
    assert_eq!(asks(&plan)[1..], [0, 0, 0]);
    assert!(plan.batches[0].asks[0].target.text.contains("/all/"));
    let waits = |(id, _): &(IntentId, _)| id.0 <= 90;
    assert!(!plan.waiting.iter().any(waits), "changes go before backfill");
}

#[test]
fn a_minute_that_is_full_is_waited_for_and_widens_nothing() {
    let world = World::new()
        .allowed(QuotaKind::Url, 50_000, 10_000)
        .began(30, QuotaKind::Url, 10_000)
        .due(Priority::Normal, "all", 60);
    let plan = world.plan();
    assert_eq!(asks(&plan), [0, 0, 0, 0]);
    assert_eq!(latest(&plan), Some(Duration::from_secs(30)));
}

#[test]
fn urgent_work_is_widened_only_when_the_reserve_is_short_too() {
    let mut world =
        World::new().allowed(QuotaKind::Url, 10_000, 9_000).due(Priority::Urgent, "all", 40);
    world.rules.reserve = 10;
    assert_eq!(asks(&world.plan()), [40, 0, 0, 0]);
    let world = world.due(Priority::Normal, "other", 2);
    let plan = world.plan();
    assert_eq!(asks(&plan)[0], 40, "{plan:?}");
}

#[test]
fn no_more_is_widened_than_an_hour_may_see() {
    let mut world = World::new().allowed(QuotaKind::Url, 10_000, 9_950);
    world.rules.wide_per_hour = Some(1);
    world.live = Live(10);
    for directory in ["all", "b", "c", "d"] {
        world = world.due(Priority::Normal, directory, 50);
    }
    let plan = world.plan();
    let [urls, directories, expressions, _] = asks(&plan);
    assert_eq!(directories + expressions, 1, "{:?}", asks(&plan));
    assert_eq!(urls, 50, "what no wide ask takes spends the URLs there are");
    assert!(latest(&plan) <= Some(Duration::from_secs(3_600)), "{:?}", latest(&plan));
    let world = world.began(600, QuotaKind::Directory, 1);
    let plan = world.plan();
    assert_eq!(asks(&plan)[..3], [50, 0, 0]);
    assert!(latest(&plan) <= Some(Duration::from_secs(3_000)), "{:?}", latest(&plan));
}

#[test]
fn urls_that_run_short_while_a_directory_is_in_doubt_are_planned_again_soon() {
    let mut world =
        World::new().allowed(QuotaKind::Url, 10_000, 9_950).due(Priority::Normal, "all", 400);
    world.in_flight = vec![(Action::Refresh, Kind::Directory)];
    let plan = world.plan();
    assert!(latest(&plan) <= Some(SOONEST), "{:?}", latest(&plan));
}

#[test]
fn an_expression_that_is_a_whole_domain_is_not_chosen() {
    let mut world =
        World::new().allowed(QuotaKind::Url, 10_000, 9_990).allowed(QuotaKind::Directory, 100, 100);
    world.expressions = vec![Target::new(Kind::Regex, "https://www.example.com/.*".to_owned())];
    for number in 0..40 {
        world = world.due(Priority::Normal, &format!("{number}{number}"), 2);
    }
    let plan = world.plan();
    for ask in plan.batches.iter().flat_map(|batch| &batch.asks) {
        assert!(!crate::domain::guard::is_root(&ask.target), "{}", ask.target);
    }
}

#[test]
fn nothing_is_turned_into_what_is_in_doubt_or_scarce() {
    let mut world = World::new()
        .allowed(QuotaKind::Url, 100, 95)
        .allowed(QuotaKind::Directory, 0, 0)
        .allowed(QuotaKind::Regex, 0, 0)
        .due(Priority::Normal, "all", 10);
    world.in_flight = vec![(Action::Refresh, Kind::IgnoreParams)];
    let plan = world.plan();
    assert_eq!(asks(&plan), [5, 0, 0, 0]);
    assert!(plan.waiting.iter().filter(|(_, waiting)| waiting.wait == Wait::Quota).count() == 5);
    let world = World::new()
        .allowed(QuotaKind::Url, 100, 95)
        .allowed(QuotaKind::Directory, 0, 0)
        .allowed(QuotaKind::Regex, 0, 0)
        .due(Priority::Backfill, "all", 50);
    assert_eq!(asks(&world.plan())[3], 0);
}
