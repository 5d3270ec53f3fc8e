//! The fault matrix: the real client, dispatch, poll and journal against the sandbox's scripted
//! faults, in virtual time. Judged from the outside: by what changed, what the sandbox accepted and
//! carried out, and the calls that were made.
//!
//! `REFRESHD_FAULTS=text` runs only the rows whose name has that text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prop_assert;
use proptest::test_runner::{Config, TestRng, TestRunner};
use refreshd::cdn::wire::Operation;
use refreshd::cdn::{Cdn, Submission};
use refreshd::domain::ask::Kind;
use refreshd::domain::intent::Action;
use refreshd::domain::prefetch::PrefetchOptions;
use refreshd::domain::quota::QuotaKind;
use tokio::task::JoinSet;

mod bench;
mod counted;
mod measure;
mod relay;
mod row;
mod rows;
mod script;
mod work;

use bench::Act;
use measure::Measured;
use row::Row;
use work::{Change, DOMAINS, HOUR};

/// What the table counts the calls of.
const OPERATIONS: [Operation; 5] = [
    Operation::RefreshObjectCaches,
    Operation::PushObjectCache,
    Operation::DescribeRefreshTasks,
    Operation::DescribeRefreshTaskById,
    Operation::DescribeRefreshQuota,
];

/// Each row is run with each of these.
const SEEDS: [u64; 2] = [1, 2];

/// Runs rows beside each other; what they measured, in order.
async fn run_all(rows: &[Row]) -> Vec<(Row, u64, Measured)> {
    let rows: Arc<Vec<_>> =
        Arc::new(rows.iter().flat_map(|row| SEEDS.map(|seed| (row.clone(), seed))).collect());
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let (rows, next) = (rows.clone(), next.clone());
        workers.spawn(async move {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let Some((row, seed)) = rows.get(at) else {
                    return done;
                };
                done.push((at, row.run(*seed).await));
            }
        });
    }
    let mut done: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    done.sort_by_key(|(at, _)| *at);
    let named = |(at, measured): (usize, Measured)| (rows[at].0.clone(), rows[at].1, measured);
    done.into_iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_goes_wrong_nothing_is_lost_and_it_costs_no_more_than_it_may() {
    let wanted = std::env::var("REFRESHD_FAULTS").unwrap_or_default();
    let all = rows::rows();
    // The first goes without a fault: what is usual.
    let wanted = |at: usize, row: &Row| at == 0 || row.name.contains(&wanted);
    let rows: Vec<Row> = all
        .into_iter()
        .enumerate()
        .filter(|(at, row)| wanted(*at, row))
        .map(|(_, row)| row)
        .collect();
    let measured = run_all(&rows).await;
    let usual: BTreeMap<u64, &Measured> =
        measured[..SEEDS.len()].iter().map(|(_, seed, measured)| (*seed, measured)).collect();

    println!(
        "measured: {:<40} {:>4} {:>9} {:>5} {:>5} {:>11} {:>8} {:>7} {:>5}  {}",
        "fault",
        "lost",
        "doubled",
        "twice",
        "wait",
        "calls",
        "catch up",
        "drained",
        "hasty",
        "all calls: refresh/prefetch/list/look/quota",
    );
    let mut broken = Vec::new();
    for (row, seed, measured) in &measured {
        let usual = usual[seed];
        let (calls, most) = row.calls(measured, usual);
        let bound = |is: u64, most: Option<u64>| match most {
            Some(most) => format!("{is}/{most}"),
            None => is.to_string(),
        };
        let always = Duration::ZERO..Duration::MAX;
        let all = OPERATIONS.map(|one| measured.calls(Some(one), &always).to_string());
        println!(
            "measured: {:<40} {:>4} {:>9} {:>5} {:>5} {:>11} {:>6} s {:>5} m {:>5}  {}",
            row.name,
            measured.lost.len(),
            bound(measured.duplicates, Some(row.may_repeat(measured))),
            measured.twice + measured.overspent,
            bound(measured.visible, Some(row.visible)),
            bound(calls as u64, most.map(|most| most as u64)),
            measured.caught_up(row.span.end).as_secs(),
            measured.ended.saturating_sub(row.span.end).as_secs() / 60,
            measured.hasty,
            all.join("/"),
        );
        for broke in row.broken(measured, usual) {
            broken.push(format!("{}, seed {seed}: {broke}", row.name));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The judge itself: it counts what no journal knows of, and what is asked for without a change.
#[tokio::test]
async fn what_is_lost_doubled_or_overspent_is_counted() {
    let mut row = Row::new("a row that goes wrong", 60);
    row.quota[QuotaKind::Url] = 2;
    let mut bench = row.bench(1).await;
    let change = |path: &str| Change::url(DOMAINS[0], path);
    bench.act(Act::Change(vec![change("heard")])).await;
    bench.turn().await;
    bench.changes.push((Duration::ZERO, change("unheard")));
    let again = Submission {
        action: Action::Refresh,
        kind: Kind::Url,
        force: true,
        targets: vec![change("heard").target],
        prefetch: PrefetchOptions::default(),
    };
    bench.cdn.submit(&again).await.expect("accepted");
    // Others have given us more: what was granted at first is what must not be overspent.
    bench.act(Act::Remaining(QuotaKind::Url, 5)).await;
    bench.cdn.submit(&again).await.expect("accepted");
    bench.clock.advance(HOUR);
    let measured = Measured::of(&bench).await;
    assert_eq!(measured.lost.len(), 1, "{:?}", measured.lost);
    assert!(measured.lost[0].contains("unheard"), "{:?}", measured.lost);
    assert_eq!((measured.duplicates, measured.overspent, measured.twice), (2, 1, 0));
    assert_eq!(row.promise(&measured).len(), 4, "each is told, and the lost one is named");
    bench.sandbox.stop().await;
}

#[test]
fn whatever_random_faults_come_the_promise_is_kept() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
    let algorithm = config.rng_algorithm;
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(algorithm));
    let scripts = (script::script(), 0_u64..1_000);
    let result = runner.run(&scripts, |(script, seed)| {
        let row = script::row_of(script);
        let measured = runtime.block_on(row.run(seed));
        let broken = row.promise(&measured);
        prop_assert!(broken.is_empty(), "{}", broken.join("\n"));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
