use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::domain::hint::Witness;
use crate::domain::intent::{Cause, Priority, State, Wait};
use crate::domain::prefetch::PrefetchOptions;
use crate::domain::quota::{Allowance, PerKind, QuotaKind};
use crate::domain::url::canonical_target;

const NOW: &str = "2026-11-22T04:00:00Z";

/// A world to plan in.
#[derive(Clone, Debug)]
struct World {
    intents: Vec<Intent>,
    open: Vec<Target>,
    in_flight: Vec<(Action, Kind)>,
    allowances: PerKind<Allowance>,
    batch: usize,
    limits: Limits,
}

impl World {
    fn new(intents: Vec<Intent>) -> Self {
        let plenty = Allowance { limit: 10_000, used: 0 };
        Self {
            intents: intents.into_iter().zip(1..).map(numbered).collect(),
            open: Vec::new(),
            in_flight: Vec::new(),
            allowances: PerKind::from_fn(|_| plenty),
            batch: BATCH,
            limits: Limits::DOCUMENTED,
        }
    }

    fn left(mut self, kind: QuotaKind, left: u64) -> Self {
        self.allowances[kind] = Allowance { limit: 20, used: 20 - left };
        self
    }

    fn plan(&self) -> Plan {
        let now = Timestamp::parse(NOW).expect("valid");
        plan(&Input {
            now,
            intents: &self.intents,
            open_refreshes: &self.open,
            in_flight: &self.in_flight,
            purse: &Purse::plain(now, &self.allowances),
            batch: self.batch,
            limits: &self.limits,
            whole: false,
            widening: Widening::NEVER,
        })
    }
}

fn numbered((intent, number): (Intent, i64)) -> Intent {
    Intent { id: IntentId(number), ..intent }
}

fn intent(action: Action, kind: Kind, text: &str) -> Intent {
    let at = Timestamp::parse(NOW).expect("valid");
    Intent {
        id: IntentId(0),
        account: "main".into(),
        action,
        target: canonical_target(kind, &format!("https://{text}")).expect("valid"),
        force: false,
        priority: Priority::Normal,
        created_at: at,
        deploy: None,
        approved: false,
        cause: Cause {
            witness: Witness::Watch,
            at,
            origin: Some("www".into()),
            path: None,
            change: None,
            digest: None,
            deploy: None,
        },
        causes: 1,
        state: State::Pending { not_before: at, attempt: 0, waiting: None },
    }
}

fn url(text: &str) -> Intent {
    intent(Action::Refresh, Kind::Url, text)
}

fn directory(text: &str) -> Intent {
    intent(Action::Refresh, Kind::Directory, text)
}

fn prefetch(text: &str) -> Intent {
    intent(Action::Prefetch, Kind::Url, text)
}

fn forced(intent: Intent) -> Intent {
    Intent { force: true, ..intent }
}

fn failed(times: u32, mut intent: Intent) -> Intent {
    if let State::Pending { attempt, .. } = &mut intent.state {
        *attempt = times;
    }
    intent
}

/// Writes a plan as one line a batch: action, kind, force, and asks with their intents' numbers.
fn brief(plan: &Plan) -> Vec<String> {
    let line = |batch: &PlannedBatch| {
        let asks = batch.asks.iter().map(|ask| {
            let ids: Vec<_> = ask.intents.iter().map(|id| id.0.to_string()).collect();
            let text = ask.target.text.trim_start_matches("https://");
            format!("{text}={}", ids.join("+"))
        });
        let asks: Vec<_> = asks.collect();
        let force = if batch.force { " force" } else { "" };
        format!("{} {}{force}: {}", batch.action, batch.kind, asks.join(" "))
    };
    plan.batches.iter().map(line).collect()
}

fn waits(plan: &Plan) -> Vec<(i64, Wait)> {
    let waits = plan.waiting.iter();
    waits.map(|(id, waiting)| (id.0, waiting.wait)).collect()
}

#[test]
fn a_planned_directory_carries_what_lies_below_it() {
    let world = World::new(vec![
        url("a.example/d/x"),
        url("a.example/dd"),
        directory("a.example/d/"),
        directory("a.example/d/e/"),
        intent(Action::Refresh, Kind::IgnoreParams, "a.example/d/y"),
        url("a.example/d/"),
    ]);
    assert_eq!(
        brief(&world.plan()),
        ["refresh directory: a.example/d/=1+3+4+5+6", "refresh url: a.example/dd=2",]
    );
}

#[test]
fn a_soft_directory_carries_nothing_that_must_be_dropped() {
    let world = World::new(vec![
        directory("a.example/"),
        forced(directory("a.example/d/")),
        forced(url("a.example/x")),
        url("a.example/y"),
        forced(url("a.example/d/z")),
    ]);
    assert_eq!(
        brief(&world.plan()),
        [
            "refresh directory: a.example/=1+4",
            "refresh directory force: a.example/d/=2+5",
            "refresh url: a.example/x=3",
        ]
    );
}

#[test]
fn ignore_params_carries_the_queries_of_its_url() {
    let world = World::new(vec![
        intent(Action::Refresh, Kind::IgnoreParams, "a.example/x"),
        url("a.example/x?q=1"),
        url("a.example/x"),
        url("a.example/xy"),
        forced(url("a.example/x?q=2")),
    ]);
    assert_eq!(
        brief(&world.plan()),
        [
            "refresh ignore_params: a.example/x=1+2+3",
            "refresh url: a.example/xy=4 a.example/x?q=2=5",
        ]
    );
}

#[test]
fn what_a_cover_failed_goes_on_its_own() {
    let world = World::new(vec![
        directory("a.example/"),
        failed(1, url("a.example/x")),
        url("a.example/y"),
        failed(1, directory("a.example/d/")),
    ]);
    assert_eq!(
        brief(&world.plan()),
        [
            "refresh directory: a.example/=1+3",
            "refresh url: a.example/x=2",
            "refresh directory: a.example/d/=4",
        ]
    );
}

#[test]
fn a_directory_that_does_not_fit_the_day_carries_nothing() {
    let world = World::new(vec![
        directory("a.example/old/"),
        directory("a.example/new/"),
        directory("a.example/new/in/"),
        url("a.example/new/x"),
    ])
    .left(QuotaKind::Directory, 1);
    let plan = world.plan();
    assert_eq!(
        brief(&plan),
        ["refresh directory: a.example/old/=1", "refresh url: a.example/new/x=4",]
    );
    assert_eq!(waits(&plan), [(2, Wait::Quota), (3, Wait::Quota)]);
}

#[test]
fn twins_are_one_ask_and_carry_the_stronger_force() {
    let world = World::new(vec![
        directory("a.example/d/"),
        url("a.example/x"),
        forced(directory("a.example/d/")),
        forced(url("a.example/x")),
    ]);
    assert_eq!(
        brief(&world.plan()),
        ["refresh directory force: a.example/d/=1+3", "refresh url: a.example/x=2+4",]
    );
}

#[test]
fn the_oldest_go_and_the_rest_waits_for_the_next_day() {
    let world = World::new(vec![url("a.example/1"), url("a.example/2"), url("a.example/3")])
        .left(QuotaKind::Url, 2);
    let plan = world.plan();
    assert_eq!(brief(&plan), ["refresh url: a.example/1=1 a.example/2=2"]);
    let (id, waiting) = &plan.waiting[0];
    assert_eq!((id.0, plan.waiting.len()), (3, 1));
    assert_eq!(
        waiting.why,
        "today's URL refreshes (20) go to older changes; goes out after 00:00 UTC+8 \
         (2026-11-22T16:00:00Z)"
    );
    assert_eq!(waiting.until, Timestamp::parse("2026-11-22T16:00:01Z"));
    let spent = world.left(QuotaKind::Url, 0).plan();
    assert!(spent.batches.is_empty());
    assert!(spent.waiting[0].1.why.starts_with("today's URL refreshes (20) are spent; "));
}

#[test]
fn a_prefetch_waits_while_a_refresh_of_its_url_is_open() {
    let mut world = World::new(vec![
        url("a.example/x"),
        prefetch("a.example/x"),
        prefetch("a.example/free"),
        prefetch("a.example/d/y"),
        prefetch("a.example/v?q"),
        prefetch("a.example/r/1.jpg"),
        prefetch("b.example/x"),
    ])
    .left(QuotaKind::Url, 0);
    world.open = [
        (Kind::Directory, "https://a.example/d/"),
        (Kind::IgnoreParams, "https://a.example/v"),
        (Kind::Regex, "https://a.example/r/[0-9].jpg"),
        (Kind::Url, "https://b.example/x"),
    ]
    .map(|(kind, text)| Target::new(kind, text))
    .to_vec();
    let plan = world.plan();
    assert_eq!(brief(&plan), ["prefetch url: a.example/free=3"]);
    let mut expected = vec![(1, Wait::Quota)];
    expected.extend([2, 4, 5, 6, 7].map(|id| (id, Wait::Refresh)));
    assert_eq!(waits(&plan), expected);
    assert!(plan.waiting[2].1.why.contains("directory https://a.example/d/"));
}

#[test]
fn a_kind_in_flight_is_left_for_the_next_turn() {
    let mut world = World::new(vec![
        directory("a.example/d/"),
        url("a.example/d/x"),
        url("a.example/y"),
        prefetch("a.example/y"),
        prefetch("a.example/z"),
    ]);
    world.in_flight = vec![(Action::Refresh, Kind::Url)];
    let plan = world.plan();
    assert_eq!(
        brief(&plan),
        ["refresh directory: a.example/d/=1+2", "prefetch url: a.example/z=5",]
    );
    assert_eq!(waits(&plan), [(4, Wait::Refresh)]);
    world.in_flight = vec![(Action::Refresh, Kind::Directory)];
    assert_eq!(
        brief(&world.plan()),
        ["refresh url: a.example/d/x=2 a.example/y=3", "prefetch url: a.example/z=5"]
    );
}

#[test]
fn what_was_refused_is_bisected() {
    let mut intents: Vec<_> = (0..8).map(|n| failed(2, url(&format!("a.example/{n}")))).collect();
    intents.extend((0..2).map(|n| failed(9, url(&format!("a.example/bad{n}")))));
    intents.push(url("a.example/fresh"));
    let mut world = World::new(intents);
    world.batch = 16;
    let plan = world.plan();
    let sizes: Vec<_> = plan.batches.iter().map(|batch| batch.asks.len()).collect();
    assert_eq!(sizes, [4, 4, 1, 1, 1]);
    assert!(plan.batches[0].why.ends_with("again after 2 vain attempts"));
    let hopeless = World::new(vec![failed(u32::MAX, url("a.example/x"))]);
    assert_eq!(hopeless.plan().batches.len(), 1);
}

#[test]
fn many_domains_fill_batches_all_the_same() {
    let intents =
        (0..50).flat_map(|page| (0..12).map(move |host| url(&format!("h{host}.example/{page}"))));
    let mut world = World::new(intents.collect());
    world.batch = 1_000;
    let plan = world.plan();
    let sizes: Vec<_> = plan.batches.iter().map(|batch| batch.asks.len()).collect();
    assert_eq!(sizes, [500, 100]);
}

#[test]
fn long_prefetches_are_cut_by_their_query() {
    let long = "é".repeat(150);
    let intents = (0..10).map(|n| prefetch(&format!("a.example/{long}{n}")));
    let mut world = World::new(intents.collect());
    let plan = world.plan();
    let sizes: Vec<_> = plan.batches.iter().map(|batch| batch.asks.len()).collect();
    // A URL of 919 characters is more than 1,500 bytes in a query.
    assert_eq!(sizes.iter().sum::<usize>(), 10);
    assert!(sizes.iter().all(|size| *size <= 5), "{sizes:?}");
    world.limits.query_bytes = 2_000;
    assert_eq!(world.plan().batches.len(), 10);
}

#[test]
fn a_request_holds_what_the_cdn_takes() {
    let mut world = World::new((0..1_500).map(|n| url(&format!("a.example/{n}"))).collect());
    let sizes = |world: &World| -> Vec<usize> {
        world.plan().batches.iter().map(|batch| batch.asks.len()).collect()
    };
    assert_eq!(sizes(&world), [100; 15]);
    world.batch = 5_000;
    assert_eq!(sizes(&world), [1_000, 500]);
    world.batch = 0;
    assert_eq!(sizes(&world), [1; 1_500]);
    let action = Action::Refresh;
    let of = |kind| world.limits.per_request(action, kind);
    assert_eq!([Kind::Directory, Kind::Regex, Kind::IgnoreParams].map(of), [100, 1, 100]);
    assert_eq!(world.limits.per_request(Action::Prefetch, Kind::Url), 100);
    world.batch = 5_000;
    world.limits.urls_per_request = 750;
    assert_eq!(sizes(&world), [750, 750]);
}

#[test]
fn tags_go_by_domain_and_stand_for_themselves_alone() {
    let tag = |host: &str, n: u32| {
        intent(Action::Refresh, Kind::Tag, &format!("{host}.example/#{}{n}", "t".repeat(100)))
    };
    let mut intents: Vec<Intent> = (0..25).map(|n| tag(["a", "b"][n as usize % 2], n)).collect();
    intents.push(Intent { force: true, ..tag("a", 99) });
    intents.extend([directory("a.example/"), url("a.example/x"), prefetch("a.example/y")]);
    let mut world = World::new(intents);
    world.open = vec![world.intents[0].target.clone()];
    let sizes = |world: &World| -> Vec<(bool, usize)> {
        let batches = world.plan().batches.into_iter();
        let tags = batches.filter(|batch| batch.kind == Kind::Tag);
        tags.map(|batch| (batch.force, batch.asks.len())).collect()
    };
    assert_eq!(sizes(&world), [(false, 13), (false, 12), (true, 1)]);
    world.limits.tags_per_request = 10;
    assert_eq!(sizes(&world), [(false, 10), (false, 10), (false, 3), (false, 2), (true, 1)]);
    // Ten tags of about a hundred characters each don't fit.
    world.limits.query_bytes = 1_000;
    assert!(sizes(&world).iter().all(|(_, size)| *size <= 6), "{:?}", sizes(&world));
    let plan = world.plan();
    // The prefetch waits for the directory, and would not for the tag.
    assert_eq!(plan.waiting.len(), 1);
    world.intents.retain(|intent| intent.target.kind != Kind::Directory);
    assert_eq!(world.plan().waiting, []);
}

#[test]
fn a_batch_says_why_it_is_asked() {
    let mut by_hand = url("a.example/hand");
    by_hand.cause.origin = None;
    by_hand.cause.witness = Witness::Operator;
    let world = World::new(vec![
        url("a.example/1"),
        url("a.example/2"),
        by_hand,
        directory("a.example/d/"),
        url("a.example/d/x"),
        prefetch("b.example/p"),
    ]);
    let why: Vec<_> = world.plan().batches.into_iter().map(|batch| batch.why).collect();
    assert_eq!(
        why,
        [
            "3 URLs changed in www or asked for by an operator",
            "1 directory changed in www, standing for 1 narrower refresh too",
            "1 URL to be fetched ahead after changes in www",
        ]
    );
}

#[test]
fn a_hundred_thousand_intents_are_planned_in_one_sweep() {
    let mut intents = Vec::new();
    // Deeply nested directories are the worst case of a prefix check.
    let deep: String = "x/".repeat(400);
    for n in 0..400 {
        intents.push(directory(&format!("a.example/{}", &deep[..2 * n])));
    }
    let one = url("a.example/x");
    for n in 0..100_000 {
        let mut next = one.clone();
        let text = &deep[..2 * (n % 400)];
        next.target.text = format!("https://a.example/{text}{n}");
        intents.push(next);
    }
    let plan = World::new(intents).plan();
    assert_eq!(plan.batches.len(), 1);
    assert_eq!(plan.batches[0].asks[0].intents.len(), 100_400);
}

fn any_intent() -> impl Strategy<Value = Intent> {
    let path = prop_oneof![
        4 => "[ab]\\.example/([xy]/){0,3}",
        4 => "[ab]\\.example/([xy]/){0,3}[pq]",
        1 => "h[0-9]{2}\\.example/p",
    ];
    let kind = prop_oneof![
        3 => Just((Action::Refresh, Kind::Url)),
        2 => Just((Action::Refresh, Kind::Directory)),
        1 => Just((Action::Refresh, Kind::Regex)),
        1 => Just((Action::Refresh, Kind::IgnoreParams)),
        1 => Just((Action::Refresh, Kind::Tag)),
        2 => Just((Action::Prefetch, Kind::Url)),
    ];
    let attempt = prop_oneof![3 => Just(0), 1 => 1..4_u32];
    (path, kind, any::<bool>(), attempt, any::<bool>()).prop_map(
        |(path, (action, kind), force, attempt, query)| {
            let mut text = path;
            match kind {
                Kind::Directory if !text.ends_with('/') => text.push('/'),
                Kind::Regex => text.push_str(".*"),
                Kind::Tag => text = format!("{}/#{text}", &text[..text.find('/').unwrap_or(0)]),
                Kind::Url if query => text.push_str("?v=1"),
                _ => {}
            }
            let force = force && action == Action::Refresh;
            failed(attempt, Intent { force, ..intent(action, kind, &text) })
        },
    )
}

fn any_world() -> impl Strategy<Value = World> {
    let in_flight = proptest::sample::subsequence(
        vec![
            (Action::Refresh, Kind::Url),
            (Action::Refresh, Kind::Directory),
            (Action::Refresh, Kind::IgnoreParams),
            (Action::Prefetch, Kind::Url),
        ],
        0..2,
    );
    (
        proptest::collection::vec(any_intent(), 0..40),
        proptest::collection::vec(any_intent(), 0..4),
        in_flight,
        proptest::array::uniform5(prop_oneof![0..4_u64, Just(1_000)]),
        1..12_usize,
    )
        .prop_map(|(intents, open, in_flight, left, batch)| {
            let mut world = World::new(intents);
            let open = open.into_iter().filter(|one| one.action == Action::Refresh);
            world.open = open.map(|one| one.target).collect();
            world.in_flight = in_flight;
            world.batch = batch;
            let mut left = left.into_iter();
            world.allowances = PerKind::from_fn(|_| Allowance {
                limit: left.next().unwrap_or_default() + 5,
                used: 5,
            });
            world
        })
}

proptest! {
    #[test]
    fn every_intent_is_asked_waits_or_is_left(world in any_world()) {
        let plan = world.plan();
        let mut seen: HashMap<IntentId, u32> = HashMap::new();
        let asked = plan.batches.iter().flat_map(|batch| &batch.asks);
        for id in asked.flat_map(|ask| &ask.intents) {
            *seen.entry(*id).or_default() += 1;
        }
        for (id, _) in &plan.waiting {
            *seen.entry(*id).or_default() += 1;
        }
        for intent in &world.intents {
            let left = world.in_flight.contains(&(intent.action, intent.target.kind));
            match seen.get(&intent.id) {
                Some(times) => prop_assert_eq!(*times, 1, "{:?}", intent),
                None => prop_assert!(left, "{:?} is lost", intent),
            }
        }
        prop_assert_eq!(plan, world.plan());
    }

    #[test]
    fn budgets_and_limits_hold(world in any_world()) {
        let plan = world.plan();
        let mut spent = PerKind::from_fn(|_| 0_u64);
        for batch in &plan.batches {
            prop_assert!(!world.in_flight.contains(&(batch.action, batch.kind)));
            prop_assert!(!batch.asks.is_empty());
            spent[QuotaKind::of(batch.action, batch.kind)] += batch.asks.len() as u64;
            let attempt = batch.asks.iter().map(|ask| own_attempt(&world, batch, ask)).max();
            let most = world.limits.per_request(batch.action, batch.kind).min(world.batch);
            let limit = most >> attempt.unwrap_or(0);
            prop_assert!(batch.asks.len() <= limit.max(1));
            let hosts: HashSet<_> = batch.asks.iter().map(|ask| ask.target.host()).collect();
            prop_assert!(hosts.len() <= world.limits.domains(batch.action, batch.kind));
            let bytes: usize = batch.asks.iter().map(|ask| cut::encoded_length(&ask.target.text)).sum();
            prop_assert!(batch.action == Action::Refresh || bytes + PrefetchOptions::LONGEST <= world.limits.query_bytes);
            let only_wide = batch.action == Action::Refresh && batch.kind != Kind::Url;
            prop_assert!(only_wide || !batch.force);
        }
        for (kind, spent) in spent.iter() {
            prop_assert!(*spent <= world.allowances[kind].left());
        }
    }

    #[test]
    fn an_ask_reaches_all_that_it_stands_for(world in any_world()) {
        for batch in &world.plan().batches {
            for ask in &batch.asks {
                prop_assert_eq!(ask.target.kind, batch.kind);
                prop_assert!(!ask.intents.is_empty());
                for id in &ask.intents {
                    let intent = &world.intents[usize::try_from(id.0 - 1).expect("small")];
                    prop_assert_eq!(intent.action, batch.action);
                    prop_assert!(ask.target.covers(&intent.target));
                    let deletes = batch.force || batch.kind == Kind::Url;
                    prop_assert!(deletes || !intent.force);
                    prop_assert!(intent.target == ask.target || intent.attempt() == 0);
                }
            }
        }
    }

    #[test]
    fn what_waits_for_quota_is_not_overtaken(world in any_world()) {
        let plan = world.plan();
        for (id, _) in plan.waiting.iter().filter(|(_, waiting)| waiting.wait == Wait::Quota) {
            let waiting = &world.intents[usize::try_from(id.0 - 1).expect("small")];
            let kind = QuotaKind::of(waiting.action, waiting.target.kind);
            for batch in &plan.batches {
                if QuotaKind::of(batch.action, batch.kind) == kind {
                    for ask in &batch.asks {
                        prop_assert!(ask.intents.iter().min() < Some(id));
                    }
                }
            }
        }
    }

    #[test]
    fn a_prefetch_goes_only_when_no_refresh_of_its_url_is_open(world in any_world()) {
        let asked = world.intents.iter().filter(|one| one.action == Action::Refresh);
        let open: Vec<&Target> = asked.map(|one| &one.target).chain(&world.open).collect();
        let plan = world.plan();
        let prefetches = plan.batches.iter().filter(|batch| batch.action == Action::Prefetch);
        for ask in prefetches.flat_map(|batch| &batch.asks) {
            for refresh in &open {
                prop_assert!(!refresh.covers(&ask.target), "{} by {}", ask.target, refresh);
            }
        }
    }
}

fn own_attempt(world: &World, batch: &PlannedBatch, ask: &Ask) -> u32 {
    let own =
        world.intents.iter().filter(|one| one.action == batch.action && one.target == ask.target);
    own.map(Intent::attempt).max().unwrap_or(0)
}
