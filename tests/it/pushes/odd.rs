//! What pushes meet on the way: branches that go to and fro, stops, crashes, hangs, origins that went.

use std::time::Duration;

use refreshd::clock::Clock;
use refreshd::config::Repository;
use refreshd::database::Database;
use refreshd::domain::intent::Outgoing;
use refreshd::domain::push::Fate;
use refreshd::domain::time::Timestamp;
use refreshd::engine::step::Step;
use refreshd::store::{Delivery, Store};
use serde_json::Value;

use super::steps::{Bench, assert_told, nowhere, push};
use crate::world::{World, wait_for};

#[tokio::test]
async fn a_branch_that_goes_to_and_fro_counts_each_time_and_a_repetition_does_not() {
    let (mut bench, a) = Bench::begun().await;
    let b = bench.work.commit("a", "2");
    bench.work.git(&["reset", "-q", "--hard", a.as_str()]);
    // All four were made before any was heard of; each state was served.
    let moves = [(&a, &b), (&b, &a), (&a, &b), (&b, &a)];
    for (number, (before, after)) in (b'1'..).zip(moves) {
        for (hook, fate) in [("github", Fate::Intents), ("gitlab", Fate::Nothing)] {
            let told = push(Some(before), Some(after));
            let id = bench.receive_by(hook, &[number], told).await;
            bench.run().await;
            let row = bench.row(id).await;
            assert_eq!(row.fate, Some(fate), "{} by {hook}: {}", number as char, row.why);
        }
        assert_eq!(bench.wishes().await, ["a"], "push {}", number as char);
    }
    let again = bench.receive_by("github", b"3", push(Some(&a), Some(&b))).await;
    bench.run().await;
    assert!(bench.row(again).await.why.starts_with("repeated"));
    assert_eq!(bench.wishes().await, [""; 0]);
}

#[tokio::test]
async fn where_the_branch_stood_before_counts_though_it_had_to_be_fetched() {
    let (mut bench, _) = Bench::begun().await;
    let from = bench.work.0.display().to_string();
    let clone = bench.folder.path().join("clone.git");
    bench.settings.repository = Repository { path: clone, fetch_from: Some(from) };
    bench.restart();
    bench.run().await;
    let b = bench.work.commit("a", "2");
    let c = bench.work.commit("a", "1");
    assert_told(&bench.tell(Some(&b), Some(&c)).await, Fate::Intents, "from ", &["a"]);
}

#[tokio::test]
async fn a_stop_waits_for_no_git_that_hangs() {
    let (mut bench, a) = Bench::begun().await;
    let refs = bench.work.0.join(".git/packed-refs");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &refs, fifo, mode, 0).expect("a pipe");
    // Whoever reads it waits for somebody to write.
    let _ = bench.pushes.door().call();
    bench.stop.cancel();
    let step = bench.pushes.step().await.expect("the store works");
    assert_eq!((step, bench.pushes.facts().note.as_str()), (Step::Idle { until: None }, ""));
    let id = bench.receive(push(Some(&a), Some(&a))).await;
    bench.pushes.step().await.expect("the store works");
    assert_eq!(bench.row(id).await.pushes[0].attempts, 0, "it is done at the next start");
}

#[tokio::test]
async fn what_returned_is_remembered_until_all_of_its_push_is_written() {
    let (mut bench, _) = Bench::begun().await;
    let name = "z.3f9c1a7b2d.js";
    let b = bench.work.commit(name, "1");
    bench.work.git(&["rm", "-q", name]);
    let c = bench.work.commit_all();
    bench.tell(None, Some(&b)).await;
    assert_told(&bench.tell(Some(&b), Some(&c)).await, Fate::Intents, "", &[name]);
    for number in 0..20_001 {
        bench.work.write(&format!("d{}/f{number}", number % 100), "1");
    }
    let d = bench.work.commit(name, "2");
    let id = bench.receive(push(Some(&c), Some(&d))).await;
    let path = bench.folder.path().join("refreshd.db");
    let other = rusqlite::Connection::open(path).expect("opens");
    let trip = "CREATE TRIGGER trip BEFORE INSERT ON tip BEGIN SELECT RAISE(ABORT, 'tripped'); END";
    other.execute_batch(trip).expect("a trap");
    while bench.pushes.step().await.is_ok() {}
    assert_eq!(bench.row(id).await.fate, None);
    other.execute_batch("DROP TRIGGER trip").expect("it goes");
    bench.restart();
    bench.run().await;
    assert_eq!(bench.row(id).await.fate, Some(Fate::Intents));
    let outbox = bench.store.outbox(100_000).await.expect("reads");
    let is_about = |(_, outgoing): &&(_, Outgoing)| match outgoing {
        Outgoing::Wish(wish) => wish.target.text.ends_with(name),
        _ => false,
    };
    assert_eq!(outbox.iter().filter(is_about).count(), 1, "of {}", outbox.len());
}

#[tokio::test]
async fn a_day_that_the_daemon_was_down_is_no_day_of_trying() {
    let (mut bench, a) = Bench::begun().await;
    let id = bench.receive(push(Some(&a), Some(&nowhere("c")))).await;
    bench.clock.advance(Duration::from_secs(2 * 86_400));
    bench.run().await;
    assert_eq!(bench.row(id).await.fate, None);
    for _ in 0..10 {
        bench.clock.advance(Duration::from_secs(600));
        bench.run().await;
    }
    let row = bench.row(id).await;
    assert_eq!(row.fate, Some(Fate::Failed));
    assert!(row.why.contains("it was tried 11 times"), "{}", row.why);
    // A person asks once more: it is tried as often.
    bench.store.replay(id, bench.clock.server_now()).await.expect("written");
    bench.run().await;
    assert_eq!(bench.row(id).await.fate, None);
}

/// What became of the deliveries, the newest first.
fn fates(world: &World) -> Vec<String> {
    let answer = world.command(&["hooks", "list", "--json"]).stdout;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let deliveries = answer["deliveries"].as_array().cloned().unwrap_or_default();
    deliveries.iter().map(|one| format!("{} {}", one["fate"], one["why"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_an_origin_that_went_fails_visibly() {
    let world = World::new().await;
    world.configure("", "");
    let daemon = world.start();
    world.wait_ready();
    daemon.kill();
    let database = Database::open(&world.path("state/refreshd.db")).expect("opens");
    let store = Store::open(database, 1).await.expect("opens");
    let delivery = Delivery {
        hook: "git".into(),
        key: "1".to_owned(),
        at: Timestamp::from_seconds(1_800_000_000),
        event: "push".to_owned(),
        source: String::new(),
        content_type: String::new(),
        body: Vec::new(),
        pushes: vec![("old".into(), push(None, Some(&nowhere("a"))))],
        why: String::new(),
    };
    store.receive(vec![delivery]).await.expect("written");
    drop(store);
    let _daemon = world.start();
    world.wait_ready();
    let found = fates(&world);
    assert!(found[0].starts_with("\"failed\" \"the configuration has no origin old"), "{found:?}");
    let replayed = world.command(&["hooks", "replay", "1"]);
    assert!(replayed.status.success(), "{replayed:?}");
    let ended = || fates(&world)[0].starts_with("\"failed\"").then_some(());
    wait_for("its end", ended).expect("it ends once more");
}
