//! The promise of the door under `kill -9`: what was answered is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::MAIN;
use super::inbox::rows;
use super::sender::{Request, configure, door, exchange};
use crate::world::{World, wait_for};

const SENDERS: usize = 8;
const DELIVERIES: usize = 1_000;
const KILLS: usize = 8;

/// Sends a delivery until it is taken, as forges and their operators do; returns its number.
fn deliver(id: &str, door: &Mutex<SocketAddr>) -> i64 {
    let request = Request::push(id, MAIN).bytes();
    let taken = wait_for("an answer", || {
        let door = *door.lock().expect("the door");
        let answer = exchange(door, &request).ok()?;
        assert!([200, 202, 503].contains(&answer.status), "{answer:?}");
        (answer.status < 300).then(|| answer.json()["delivery"].as_i64().expect("a number"))
    });
    taken.expect("it is taken in the end")
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_during_deliveries_loses_none_that_was_answered() {
    let world = World::new().await;
    configure(&world, "", "");
    let mut daemon = world.start();
    let at = Arc::new(Mutex::new(door(&world, 1)));
    let taken: Arc<Mutex<BTreeMap<String, i64>>> = Arc::default();
    let failed = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (at, taken, failed) = (at.clone(), taken.clone(), failed.clone());
            std::thread::spawn(move || {
                for number in 0..DELIVERIES / SENDERS {
                    let id = format!("d{sender}-{number}");
                    let delivery =
                        std::panic::catch_unwind(|| deliver(&id, &at)).unwrap_or_else(|panic| {
                            failed.store(true, Ordering::Relaxed);
                            std::panic::resume_unwind(panic)
                        });
                    taken.lock().expect("a list").insert(id, delivery);
                }
            })
        })
        .collect();
    let count = || taken.lock().expect("a list").len();
    for kill in 1..=KILLS {
        let enough = kill * DELIVERIES / (KILLS + 1);
        let came = || (count() >= enough || failed.load(Ordering::Relaxed)).then_some(());
        wait_for("deliveries", came).expect("they come");
        daemon.kill();
        daemon = world.start();
        *at.lock().expect("the door") = door(&world, kill + 1);
    }
    for sender in senders {
        sender.join().expect("it got all of its answers");
    }
    let is_over = || rows(&world).values().all(|row| !row.is_open).then_some(());
    wait_for("an end", is_over).expect("each comes to one");
    let rows = rows(&world);
    let taken = taken.lock().expect("a list");
    assert_eq!((rows.len(), taken.len()), (DELIVERIES, DELIVERIES), "each once");
    for (id, delivery) in taken.iter() {
        let row = &rows[id];
        assert_eq!(row.id, *delivery, "{id} is the one that was answered");
        assert_eq!(row.pushes, [format!("www {MAIN}")], "{id} is to be looked at once");
        assert!(row.has_fate, "{id} came to an end");
    }
}
