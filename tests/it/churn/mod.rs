//! The churn oracle: random operations on a tree, with the daemon killed and restarted at random,
//! and what must have been accepted for it, no more and no less.
//!
//! `CHURN_SEED=N` repeats the operations of a run (not its timing).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use refreshd::clock::{Clock, ManualClock, SystemClock};
use refreshd::domain::quota::PerKind;
use refreshd::domain::time::Timestamp;
use refreshd::sandbox::Options;

use self::model::Model;
use self::operations::Operations;
use crate::trees::url;
use crate::world::{World, wait_for};

mod model;
mod operations;

/// How long a refresh may be on its way, doubts and restarts included: a change so long before an
/// acceptance was perhaps not in what that was asked for, and justifies another one.
const ON_THE_WAY: Duration = Duration::from_secs(10);
/// How long before or after a kill a batch may be accepted that the next daemon does not know of.
const IN_DOUBT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn with_inotify() {
    churn("inotify", Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_inotify_again() {
    churn("inotify", Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_fanotify() {
    churn("fanotify", Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_fanotify_again() {
    churn("fanotify", Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_polls_alone() {
    churn("poll", Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_what_is_best_here() {
    churn("auto", Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: half an hour"]
async fn twenty_five_seeds_of_a_minute() {
    many(25, ["inotify", "fanotify", "poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: half an hour"]
async fn twenty_five_other_seeds_of_a_minute() {
    many(25, ["fanotify", "auto", "inotify"]).await;
}

async fn many(seeds: usize, means: [&str; 3]) {
    for number in 0..seeds {
        churn(means[number % means.len()], Duration::from_secs(60)).await;
    }
}

#[expect(clippy::print_stdout, reason = "the seed repeats the run, and numbers a person reads")]
async fn churn(watch: &str, time: Duration) {
    let given = std::env::var("CHURN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| SystemClock::default().random());
    println!("seed {seed} watch {watch}");
    let world = World::with(Options {
        time_scale: 3000,
        quota: PerKind::from_fn(|_| 10_000_000),
        ..Options::new("http://127.0.0.1:9")
    })
    .await;
    let account = "doubt_gap = \"1s\"\n[account.main.quota]\nurl = 10000000\n";
    world.configure(account, &format!("watch = \"{watch}\"\npoll_every = \"1s\""));
    let dice = ManualClock::new(Timestamp::EPOCH, seed);
    let mut operations = Operations::new(Model::new(world.root()), dice.random());
    operations.plant();
    let mut daemon = world.start();
    world.wait_ready();
    world.wait_status("every file's digest", |status| {
        let undigested = &status["origins"]["www"]["undigested"];
        undigested.is_null() || undigested == 0
    });
    operations.begin();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                operations.one();
            }
            operations
        })
    };
    let clock = SystemClock::default();
    let (end, mut kills) = (clock.boot() + time, Vec::new());
    let pause = |most: u64| std::thread::sleep(Duration::from_millis(dice.random() % most));
    while clock.boot() < end {
        pause(3_000);
        kills.push(clock.now());
        daemon.kill();
        pause(500);
        daemon = world.start();
    }
    pause(2_000);
    stop.store(true, Ordering::Relaxed);
    let mut operations = writer.join().expect("the writer ends");
    // What a comparison is under way for may be older than the end: another one begins after it.
    for round in 0..2 {
        let marker = format!("marker{round}");
        operations.mark(&marker);
        let came = || world.targets().contains(&url(&marker)).then_some(());
        wait_for("the marker", came).unwrap_or_else(|| panic!("seed {seed}\n{}", world.log()));
        let status = world.wait_quiet();
        assert_eq!(status["intents"]["failed"], 0, "seed {seed}: {status}");
    }
    assert_eq!(daemon.terminate(), Some(0));
    let model = operations.into_model();
    model.assert_is_on_disk();
    let found = judge(&accepted(&world), &model, &kills);
    println!(
        "measured: churn {watch} for {} s, {} operations, {} kills, {} accepted, missing {}, \
         extra {}, repeated after kills {} (in {} batches)",
        time.as_secs(),
        model.operations,
        kills.len(),
        found.accepted,
        found.missing.len(),
        found.extra.len(),
        found.repeated.values().sum::<u64>(),
        found.repeated.len(),
    );
    assert!(
        found.missing.is_empty() && found.extra.is_empty(),
        "seed {seed}\nmissing: {:#?}\nextra: {:#?}\nkills: {kills:?}\n{}",
        found.missing,
        found.extra,
        world.log()
    );
    assert!(found.repeated.len() <= kills.len(), "seed {seed}: {:?}", found.repeated);
    assert!(found.repeated.values().all(|repeated| *repeated <= 100), "seed {seed}");
    assert!(found.accepted > 0, "nothing was ever accepted");
}

/// What the oracle says.
struct Verdict {
    /// Paths whose bytes at the end differ from those at the last acceptance of their URL, or at
    /// the baseline when it never was accepted.
    missing: Vec<String>,
    /// Acceptances of a URL whose bytes differed at no moment since the one before, or that were
    /// more than the moments at which they changed.
    extra: Vec<String>,
    /// Acceptances repeated because a kill left their batch in doubt, by the time of the batch.
    repeated: BTreeMap<Timestamp, u64>,
    accepted: usize,
}

/// When the URL of each path was accepted, in order.
type Accepted = BTreeMap<String, Vec<Timestamp>>;

fn accepted(world: &World) -> Accepted {
    let mut accepted = Accepted::new();
    for entry in world.accepted() {
        for target in entry.targets {
            let path = target.strip_prefix("https://www.example.com/").expect("our domain");
            let at = Timestamp::from_micros(entry.time_micros);
            accepted.entry(path.to_owned()).or_default().push(at);
        }
    }
    accepted
}

fn judge(accepted: &Accepted, model: &Model, kills: &[Timestamp]) -> Verdict {
    let mut verdict = Verdict {
        missing: Vec::new(),
        extra: Vec::new(),
        repeated: BTreeMap::new(),
        accepted: accepted.values().map(Vec::len).sum(),
    };
    let paths: BTreeSet<&String> = accepted.keys().chain(model.paths()).collect();
    for path in paths {
        let times = accepted.get(path).map(Vec::as_slice).unwrap_or_default();
        let could_be = model.states_at(path, times.last().copied());
        if !could_be.contains(&model.visible(path)) {
            verdict.missing.push(format!("{path}, accepted {times:?}: {}", model.story(path)));
        }
        let (mut before, mut justified): (Option<Timestamp>, usize) = (None, 0);
        for at in times {
            let from = before.map(|before| before.minus(ON_THE_WAY));
            // The answer to the one before was perhaps never read.
            let is_doubtful = before.is_some_and(|before| {
                let around = before.minus(IN_DOUBT)..before.plus(IN_DOUBT);
                kills.iter().any(|kill| around.contains(kill))
            });
            if model.moments(path, from, *at) > 0 && model.moments(path, None, *at) > justified {
                justified += 1;
            } else if is_doubtful {
                *verdict.repeated.entry(*at).or_default() += 1;
            } else {
                let story = model.story(path);
                verdict.extra.push(format!("{path} at {at:?} of {times:?}: {story}"));
            }
            before = Some(*at);
        }
    }
    verdict
}

#[test]
fn the_oracle_finds_what_is_missing_extra_and_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut operations = Operations::new(Model::new(folder.path().to_owned()), 1);
    operations.mark("kept");
    operations.mark("changed");
    operations.begin();
    let before = SystemClock::default().now();
    operations.overwrite("changed");
    let after = SystemClock::default().now();
    let later = after.plus(ON_THE_WAY * 2);
    let model = operations.into_model();
    model.assert_is_on_disk();
    let verdict = |accepted: &[(&str, &[Timestamp])], kills: &[Timestamp]| {
        let accepted: Accepted =
            accepted.iter().map(|(path, times)| ((*path).to_owned(), times.to_vec())).collect();
        let verdict = judge(&accepted, &model, kills);
        (verdict.missing.len(), verdict.extra.len(), verdict.repeated.len())
    };
    assert_eq!(verdict(&[("changed", &[after])], &[]), (0, 0, 0), "as it should be");
    assert_eq!(verdict(&[], &[]), (1, 0, 0), "never accepted");
    assert_eq!(verdict(&[("changed", &[before])], &[]), (1, 1, 0), "accepted too early");
    assert_eq!(verdict(&[("changed", &[after]), ("kept", &[after])], &[]), (0, 1, 0), "unchanged");
    assert_eq!(verdict(&[("changed", &[after, later])], &[]), (0, 1, 0), "long after the change");
    assert_eq!(verdict(&[("changed", &[after, after])], &[]), (0, 1, 0), "twice for one change");
    assert_eq!(verdict(&[("changed", &[after, later])], &[after]), (0, 0, 1), "killed between");
}
