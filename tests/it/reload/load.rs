//! Reloads under load: nothing is lost, nothing is asked twice, nothing grows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{configure, origin, reloads};
use crate::world::{Daemon, World, wait_for};

const RELOADS: usize = 100;
/// The writer ends with these though nobody tells it to.
const FILES: usize = 10_000;

/// How many there are of what a process holds: `fd` or `task`.
fn held(daemon: &Daemon, what: &str) -> usize {
    let entries = std::fs::read_dir(format!("/proc/{}/{what}", daemon.pid()));
    entries.expect("the daemon runs").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_lose_nothing_repeat_nothing_and_leave_nothing_behind() {
    let world = World::new().await;
    let configured = |number: usize| {
        // By turns the origin, the account, both and an origin beside change.
        let (settle, batch) = (50 + number % 2 * 10, 50 + number / 2 % 2 * 10);
        let beside = if number % 4 < 2 { String::new() } else { origin(&world, "beside", "") };
        let (account, www) = (format!("batch = {batch}"), format!("settle = \"{settle}ms\""));
        configure(&world, &account, &www, &beside);
    };
    configured(0);
    for directory in 0..10 {
        world.write(&format!("{directory}/old.html"), "one");
    }
    let daemon = world.start();
    world.wait_ready();
    reloads(&world, "in force");
    let before = (held(&daemon, "fd"), held(&daemon, "task"));
    let watches = world.wait_quiet()["origins"]["www"]["watches"].clone();
    let (done, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) && written.load(Ordering::SeqCst) < FILES {
                let number = written.fetch_add(1, Ordering::SeqCst);
                world.write(&format!("{}/page{number}.html", number % 10), "one");
                std::thread::park_timeout(std::time::Duration::from_millis(10));
            }
        });
        let waiting = scope.spawn(|| world.command(&["wait", "--timeout", "100s"]));
        for number in 1..=RELOADS {
            configured(number);
            reloads(&world, "in force: ");
        }
        let waited = waiting.join().expect("it ends");
        done.store(true, Ordering::SeqCst);
        assert_eq!(waited.status.code(), Some(0), "who called is answered after all: {waited:?}");
    });
    let written = written.into_inner();
    assert!(written >= RELOADS, "{written} files under {RELOADS} reloads");
    let output = world.command(&["wait", "--timeout", "100s"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let status = world.wait_quiet();
    let mut targets: BTreeMap<String, usize> = BTreeMap::new();
    for target in world.targets() {
        *targets.entry(target).or_default() += 1;
    }
    let expected: BTreeMap<String, usize> = (0..written)
        .map(|number| (format!("https://www.example.com/{}/page{number}.html", number % 10), 1))
        .collect();
    assert_eq!(targets, expected);
    assert_eq!(status["origins"]["www"]["watches"], watches);
    let after = || (held(&daemon, "fd"), held(&daemon, "task"));
    // Threads that wait for work end by themselves after a while.
    let is_back = || (after().0 <= before.0 && after().1 <= before.1 + 2).then_some(());
    wait_for("what was held", is_back).unwrap_or_else(|| panic!("{before:?} {:?}", after()));
    assert_eq!(daemon.terminate(), Some(0));
}
