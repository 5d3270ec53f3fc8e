//! The promise under `kill -9`: no change is lost, duplicates are bounded and counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use refreshd::clock::{Clock, ManualClock, SystemClock};
use refreshd::domain::time::Timestamp;

use crate::world::World;

const FILES: u64 = 300;

/// When each file was last written.
type Written = Arc<Mutex<BTreeMap<String, Vec<Timestamp>>>>;

fn name(number: u64) -> String {
    format!("d{}/f{number}.html", number % 7)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing() {
    kill_9(100).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ten times the kills"]
async fn kill_9_a_thousand_times_loses_nothing() {
    kill_9(1000).await;
}

#[expect(clippy::print_stdout, reason = "numbers that a person reads")]
async fn kill_9(kills: u64) {
    let world = World::with(refreshd::sandbox::Options {
        time_scale: 3000,
        quota: refreshd::domain::quota::PerKind::from_fn(|_| 10_000_000),
        ..refreshd::sandbox::Options::new("http://127.0.0.1:9")
    })
    .await;
    // The gap between two looks is a minute for the real CDN, which lists tasks late.
    let quota = "doubt_gap = \"1s\"\n[account.main.quota]\nurl = 10000000\n";
    world.configure(quota, "");
    for number in 0..FILES {
        world.write(&name(number), "as it was");
    }
    let seed = SystemClock::default().random();
    println!("seed {seed}");
    let dice = ManualClock::new(Timestamp::EPOCH, seed);
    let daemon = world.start();
    world.wait_ready();
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Written::default());
    let writer = start_writer(&world, dice.random(), stop.clone(), written.clone());
    daemon.kill();
    for _ in 1..kills {
        let daemon = world.start();
        std::thread::sleep(Duration::from_millis(dice.random() % 700));
        daemon.kill();
    }
    stop.store(true, Ordering::SeqCst);
    writer.join().expect("the writer ends");
    let daemon = world.start();
    world.wait_quiet();
    assert_eq!(daemon.terminate(), Some(0));
    let (lost, duplicates, accepted) = judge(&world, &written.lock().expect("not poisoned"));
    let (batches, sum) = (duplicates.len(), duplicates.values().sum::<u64>());
    let largest = duplicates.values().max().copied().unwrap_or(0);
    println!(
        "measured: kills {kills}, accepted {accepted}, lost {}, duplicates {sum} \
         (in {batches} batches, at most {largest} each)",
        lost.len()
    );
    assert_eq!(lost, Vec::<String>::new(), "seed {seed}\n{}", world.log());
    // A kill leaves at most one batch in doubt, so it doubles at most one, of at most 100 asks.
    assert!(batches as u64 <= kills, "{batches} batches hold duplicates, seed {seed}");
    assert!(largest <= 100, "{largest} duplicates in a batch, seed {seed}");
    assert!(accepted > 0, "nothing was ever accepted");
}

fn start_writer(
    world: &World,
    seed: u64,
    stop: Arc<AtomicBool>,
    written: Written,
) -> std::thread::JoinHandle<()> {
    let root = world.root();
    std::thread::spawn(move || {
        let dice = ManualClock::new(Timestamp::EPOCH, seed);
        let clock = SystemClock::default();
        for count in 0_u64.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let name = name(dice.random() % FILES);
            std::fs::write(root.join(&name), format!("write {count}")).expect("it is written");
            let mut written = written.lock().expect("not poisoned");
            written.entry(name).or_default().push(clock.now());
            drop(written);
            std::thread::sleep(Duration::from_millis(5));
        }
    })
}

/// Returns the files whose last write no acceptance followed; by the time of their batch, how many
/// acceptances had no newer write since the one before; and how many acceptances there were.
fn judge(
    world: &World,
    written: &BTreeMap<String, Vec<Timestamp>>,
) -> (Vec<String>, BTreeMap<Timestamp, u64>, usize) {
    let mut accepted: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for entry in world.accepted() {
        for target in entry.targets {
            accepted.entry(target).or_default().push(Timestamp::from_micros(entry.time_micros));
        }
    }
    let (mut lost, mut duplicates) = (Vec::new(), BTreeMap::new());
    for (name, writes) in written {
        let url = format!("https://www.example.com/{name}");
        let accepts = accepted.get(&url).map(Vec::as_slice).unwrap_or_default();
        let newest = writes.last().expect("it was written");
        if accepts.last().is_none_or(|accept| accept < newest) {
            lost.push(name.clone());
        }
        for pair in accepts.windows(2) {
            if !writes.iter().any(|write| *write > pair[0] && *write <= pair[1]) {
                *duplicates.entry(pair[1]).or_default() += 1;
            }
        }
    }
    (lost, duplicates, accepted.values().map(Vec::len).sum())
}
