//! A flat directory of 200,000 files: what one change writes.

use std::collections::BTreeMap;
use std::fs;

use rusqlite::{Connection, OpenFlags};

use crate::space::Space;
use crate::trees::{assert_arrived, may_mount, url};
use crate::world::{Daemon, World};

const FILES: usize = 200_000;

/// The stored index: by directory and first name, the bytes of each piece.
type Pieces = BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>>;

fn pieces(world: &World) -> Pieces {
    let database = world.path("state/refreshd.db");
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("the store opens");
    let mut rows = connection.prepare("SELECT directory, first, data FROM chunk").expect("a table");
    let row = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
    rows.query_map([], row).expect("asked").map(|row| row.expect("read")).collect()
}

/// How many bytes the daemon wrote in all, by any call.
fn written_in_all(daemon: &Daemon) -> u64 {
    let counters = fs::read_to_string(format!("/proc/{}/io", daemon.pid())).expect("counters");
    let bytes = counters.lines().find_map(|line| line.strip_prefix("wchar: "));
    bytes.and_then(|bytes| bytes.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_a_directory_of_two_hundred_thousand_files_writes_little() {
    let world = World::new().await;
    world.configure("", "digest_mb_per_second = 1000");
    if !may_mount("a_change_in_a_directory_of_two_hundred_thousand_files_writes_little") {
        return;
    }
    // In memory, which makes and removes so many files in a moment.
    let space = Space::new();
    space.run(&world.path(""), "mount -t tmpfs root root; mkdir root/all");
    let root = space.inside(&world.root());
    let name = |number: usize| format!("all/an-article-of-the-year-{number:06}.html");
    for number in 0..FILES {
        fs::write(root.join(name(number)), "one").expect("written");
    }
    let daemon = world.start_under(&space.enter());
    world.wait_status("the baseline", |status| {
        let origin = &status["origins"]["www"];
        let undigested = &origin["undigested"];
        status["ready"] == true
            && origin["files"] == FILES
            && (undigested.is_null() || undigested == 0)
    });
    world.wait_quiet();
    let mut seen = 0;
    let mut before = pieces(&world);
    let all: usize = before.values().map(Vec::len).sum();
    println!("measured: flat {FILES} files, index {all} bytes in {} pieces", before.len());
    let changes: [(&str, String); 4] = [
        ("changed", name(100_000)),
        ("created", name(150_000).replace(".html", "-bis.html")),
        ("removed", name(50_000)),
        ("changed again", name(199_999)),
    ];
    for (what, name) in changes {
        let all_before = written_in_all(&daemon);
        if what == "removed" {
            fs::remove_file(root.join(&name)).expect("removed");
        } else {
            fs::write(root.join(&name), what).expect("written");
        }
        assert_arrived(&world, &mut seen, &[url(&name)], what);
        let after = pieces(&world);
        let written: usize = after
            .iter()
            .filter(|(key, data)| before.get(*key) != Some(*data))
            .map(|(key, data)| key.0.len() + key.1.len() + data.len())
            .sum();
        println!(
            "measured: flat, one file {what}: {written} bytes of index written, {} in all until \
             it was done",
            written_in_all(&daemon) - all_before
        );
        assert!(written > 0 && written <= 64 * 1024, "{what}: {written} bytes");
        before = after;
    }
}
