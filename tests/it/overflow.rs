//! A kernel queue that runs over: nothing is missed, and one comparison mends it.

use std::collections::BTreeSet;
use std::fs;

use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::space::Space;
use crate::trees::{may_mount, url};
use crate::world::World;

const FILES: usize = 50_000;

/// The urls of every wish, and how many wishes there are.
fn wished(world: &World) -> (BTreeSet<String>, usize) {
    let database = world.path("state/refreshd.db");
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("the journal opens");
    let mut rows = connection.prepare("SELECT target FROM intent").expect("a table");
    let targets = rows.query_map([], |row| row.get(0)).expect("asked");
    let targets: Vec<String> = targets.map(|target| target.expect("read")).collect();
    (targets.iter().cloned().collect(), targets.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_files_made_while_the_daemon_stands_still() {
    let world = World::new().await;
    let origin = "watch = \"inotify\"\nreconcile_every = \"1h\"";
    world.configure("[account.main.quota]\nurl = 100", origin);
    if !may_mount("fifty_thousand_files_made_while_the_daemon_stands_still") {
        return;
    }
    // In memory, which makes and removes so many files in a moment.
    let space = Space::new();
    space.run(&world.path(""), "mount -t tmpfs root root");
    let root = space.inside(&world.root());
    for directory in 0..50 {
        fs::create_dir(root.join(format!("d{directory}"))).expect("made");
    }
    fs::write(root.join("known"), "one").expect("written");
    let daemon = world.start_under(&space.enter());
    let before = world.wait_ready()["origins"]["www"].clone();
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::STOP).expect("it stops");
    let mut expected = BTreeSet::from([url("known")]);
    for number in 0..FILES {
        // Directories are there already: each new one would be a comparison of its own.
        let name = format!("d{}/page{number}", number % 50);
        fs::write(root.join(&name), "new").expect("written");
        expected.insert(url(&name));
    }
    fs::write(root.join("known"), "two").expect("written");
    kill_process(pid, Signal::CONT).expect("it goes on");
    // More than a domain may ask for in a minute: most wait for quota, and all are written down.
    let status = world.wait_status("all wishes", |status| {
        let origin = &status["origins"]["www"];
        let intents = ["pending", "submitting", "submitted", "done"]
            .iter()
            .filter_map(|state| status["intents"][state].as_u64());
        intents.sum::<u64>() >= expected.len() as u64
            && status["outbox"] == 0
            && origin["dirty"] == 0
            && origin["comparing"].is_null()
    });
    let (wished, count) = wished(&world);
    let after = &status["origins"]["www"];
    let more = |key: &str| after[key].as_u64().zip(before[key].as_u64()).map(|(a, b)| a - b);
    println!(
        "measured: overflow {FILES} files, missing {}, overflows {:?}, reconciles {:?}",
        expected.difference(&wished).count(),
        more("overflows"),
        more("reconciles"),
    );
    assert_eq!(wished, expected);
    assert_eq!(count, expected.len(), "each once");
    assert!(more("overflows") >= Some(1), "{status}");
    assert_eq!(more("reconciles"), Some(1), "{status}");
    let log = world.log();
    assert!(log.contains("dropped events"), "{log}");
}
