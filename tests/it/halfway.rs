//! Files that are half written, or away for a moment: nothing is asked for too early, and the last
//! bytes are always asked for.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use refreshd::clock::{Clock as _, SystemClock};
use refreshd::domain::time::Timestamp;
use refreshd::sandbox::{Fault, Reply};

use crate::trees::{assert_arrived, assert_nothing_more, url};
use crate::world::{World, wait_for};

fn now() -> Timestamp {
    SystemClock::default().now()
}

/// Waits as long as the daemon is told to wait itself.
fn pass(time: Duration) {
    let clock = SystemClock::default();
    let end = clock.boot() + time;
    wait_for("time", || (clock.boot() >= end).then_some(())).expect("it passes");
}

fn last_accepted(world: &World) -> Timestamp {
    let accepted = world.accepted();
    Timestamp::from_micros(accepted.last().expect("something was accepted").time_micros)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_written_is_asked_for_once_it_is_whole() {
    let settle = Duration::from_millis(1_500);
    let world = World::new().await;
    world.configure("", "settle = \"1500ms\"\ndeploy_deadline = \"60s\"\nunstable_after = \"60s\"");
    world.write("download", "old");
    let _daemon = world.start();
    world.wait_ready();
    let begun = now();
    let mut file = fs::File::create(world.root().join("download")).expect("opened");
    let (mut longest, mut before) = (Duration::ZERO, begun);
    for _ in 0..100 {
        file.write_all(&[7; 1_000]).expect("written");
        let at = now();
        longest = longest.max(at.since(before));
        before = at;
        std::thread::sleep(Duration::from_millis(40));
    }
    drop(file);
    let ended = before;
    assert!(ended.since(begun) > settle * 2);
    wait_for("the download", || (!world.targets().is_empty()).then_some(())).expect("accepted");
    world.wait_quiet();
    // A machine so busy that the writer itself paused that long has to be forgiven a second one.
    if longest < settle {
        assert_eq!(world.targets(), [url("download")], "once, longest pause {longest:?}");
    }
    assert!(last_accepted(&world) > ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_pauses_is_followed_up() {
    let world = World::new().await;
    let _daemon = world.start();
    world.wait_ready();
    let mut file = fs::File::create(world.root().join("download")).expect("opened");
    file.write_all(b"the first half").expect("written");
    // Still open, and at rest for longer than it settles: nobody can tell that more comes.
    wait_for("the first half", || (!world.targets().is_empty()).then_some(())).expect("accepted");
    file.write_all(b", the second half").expect("written");
    let written = now();
    drop(file);
    wait_for("the second half", || (world.targets().len() >= 2).then_some(())).expect("accepted");
    world.wait_quiet();
    assert_eq!(world.targets(), [url("download"), url("download")]);
    assert!(last_accepted(&world) > written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_never_rests_is_followed_up() {
    let world = World::new().await;
    world.configure("", "settle = \"400ms\"\nunstable_after = \"1s\"\ndeploy_deadline = \"1s\"");
    let _daemon = world.start();
    world.wait_ready();
    let mut file = fs::File::create(world.root().join("log")).expect("opened");
    let early = wait_for("a refresh while it is written", || {
        file.write_all(b"line\n").expect("written");
        (!world.targets().is_empty()).then_some(())
    });
    early.expect("accepted");
    file.write_all(b"the end\n").expect("written");
    let written = now();
    drop(file);
    let after = || (last_accepted(&world) > written).then_some(());
    wait_for("the end", after).expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_during_its_submission_is_submitted_again() {
    let world = World::new().await;
    world.write("page", "one");
    let _daemon = world.start();
    world.wait_ready();
    let fault = Fault::call("RefreshObjectCaches", 1, true, Reply::Delay { millis: 3_000 });
    world.sandbox.control().fault(fault);
    world.write("page", "two");
    world.wait_status("a call that is not answered", |status| status["intents"]["submitting"] == 1);
    world.write("page", "three");
    let written = now();
    assert_arrived(&world, &mut 0, &[url("page"), url("page")], "both");
    assert!(last_accepted(&world) > written);
}

/// What a visitor was told in the meantime may be kept by the CDN: the absence counts as a change.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_away_for_longer_than_a_moment_is_refreshed_though_its_bytes_return() {
    let world = World::new().await;
    world.configure("", "transient = \"500ms\"\ndelete_settle = \"60s\"");
    world.write("page", "the same");
    world.write("d/page", "the same");
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    fs::remove_file(world.root().join("page")).expect("removed");
    fs::remove_dir_all(world.root().join("d")).expect("removed");
    world.wait_status("two absences", |status| status["origins"]["www"]["dirty"] == 2);
    pass(Duration::from_secs(1));
    world.write("page", "the same");
    world.write("d/page", "the same");
    assert_arrived(&world, &mut seen, &[url("d/page"), url("page")], "back after a while");
    assert_nothing_more(&world, &world.root(), &mut seen, "once is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_empty_for_longer_than_a_moment_is_refreshed_though_its_bytes_return() {
    let world = World::new().await;
    world.configure("", "transient = \"500ms\"");
    world.write("page", "the same");
    let _daemon = world.start();
    world.wait_ready();
    fs::write(world.root().join("page"), "").expect("emptied");
    // Whether the emptiness is asked for as well is no matter.
    pass(Duration::from_secs(1));
    world.write("page", "the same");
    let written = now();
    let after = || world.accepted().last().filter(|_| last_accepted(&world) > written).map(drop);
    wait_for("a refresh after it", after).expect("accepted");
    world.wait_quiet();
    assert!(world.targets().len() <= 2, "{:?}", world.targets());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_away_for_a_moment_only_is_left_alone() {
    let world = World::new().await;
    world.configure("", "transient = \"10m\"\ndelete_settle = \"10m\"");
    world.write("page", "the same");
    let _daemon = world.start();
    world.wait_ready();
    fs::remove_file(world.root().join("page")).expect("removed");
    world.wait_status("an absence", |status| status["origins"]["www"]["dirty"] == 1);
    world.write("page", "the same");
    world.wait_quiet();
    assert_nothing_more(&world, &world.root(), &mut 0, "the same bytes");
}
