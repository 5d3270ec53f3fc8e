//! The real daemon on a large tree, beside its peers: what starting, comparing, taking in and resting
//! cost. `cargo bench --bench daemon` prints one table; `benches/README.md` says what its rows mean.
//!
//! It makes 1,000,000 files of four bytes in 100,000 directories, in the directory for temporary
//! files, and removes them at the end. `DAEMON_FILES`, `DAEMON_DIRECTORIES`, `DAEMON_WRITES` and
//! `TMPDIR` change that. `cc` is needed; `inotifywait` is measured where it is installed, and fanotify
//! where this user may use it.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use refreshd::domain::path::RelPath;
use refreshd::domain::watch::{Links, Means};
use refreshd::source::watch::{Tree, auto};
use refreshd::source::{DOOR_PATHS, door};

#[path = "../common/mod.rs"]
mod common;
mod peer;
mod process;
mod site;
mod table;

use common::{compile, fill, make, median, number};
use peer::Peer;
use process::boot;
use site::Site;
use table::{BARE, FANOTIFY, INOTIFY, INOTIFYWAIT, Table};

/// How often what is quick is repeated, for a median.
const ROUNDS: usize = 3;
/// Between two looks at what one waits for.
const GLANCE: Duration = Duration::from_millis(50);

fn main() {
    let (files, directories) =
        (number("DAEMON_FILES", 1_000_000), number("DAEMON_DIRECTORIES", 100_000));
    let place = tempfile::tempdir().expect("a directory for everything");
    let tree = place.path().join("tree");
    println!("making {files} files in {directories} directories");
    let paths = fill(&make(&tree, directories), files, b"old\n");
    let writes = number("DAEMON_WRITES", 100_000).min(files);
    let written: Vec<PathBuf> = paths.into_iter().step_by(files / writes).take(writes).collect();
    let site = Site::new(place.path());
    let mut table = Table::default();

    println!("the daemon, by inotify");
    let ours = site.measure(&tree, "inotify", INOTIFY, &written, &mut table);
    match arm(&tree) {
        Ok(time) => {
            table.put("arming alone: wall", "< 10 ms", FANOTIFY, format!("{time:.2?}"));
            println!("the daemon, by fanotify");
            site.measure(&tree, "fanotify", FANOTIFY, &written, &mut table);
        }
        Err(why) => println!("fanotify can't serve here: {why}"),
    }
    site.measure_program(&mut table);

    println!("a walk in C");
    let floor = compile("nftw", place.path());
    let [mut walls, mut cpus] = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        let began = boot();
        let walk = Command::new(&floor).arg(&tree).output().expect("walked");
        walls.push(boot().saturating_sub(began));
        let said = String::from_utf8_lossy(&walk.stdout);
        let cpu = said.split(' ').next().expect("a figure").parse().expect("seconds");
        cpus.push(Duration::from_secs_f64(cpu));
    }
    table.versus("restart: wall", BARE, "nftw ", ours.restart.wall, median(walls));
    table.versus("restart: CPU", BARE, "nftw ", ours.restart.cpu, median(cpus));

    let mut bare = Command::new(compile("inotify", place.path()));
    bare.arg(&tree);
    let mut wait = Command::new("inotifywait");
    wait.args(["-m", "-r", "-e", "close_write,modify,move,create,delete,attrib"]);
    wait.args(["--format", "%w%f"]).arg(&tree);
    let installed = Command::new("inotifywait").arg("--help").output().is_ok();
    println!("the peers{}", if installed { "" } else { "; inotifywait is not installed" });
    for (mut command, column) in [(bare, BARE), (wait, INOTIFYWAIT)] {
        if column == BARE || installed {
            let peer = Peer::measure(&mut command, column, &tree, &written, &site.log());
            table.versus("start: wall", column, "", ours.start.wall, peer.start.wall);
            table.versus("start: CPU", column, "", ours.start.cpu, peer.start.cpu);
            table.put("start: memory, at most", "", column, peer.start.memory());
            table.put("writes seen", "", column, format!("{} of {writes}", peer.seen));
            table.versus("writes: CPU", column, "", ours.intake, peer.intake);
        }
    }
    table.print();
}

/// Returns how long arming fanotify takes, or why it can't be armed.
fn arm(root: &Path) -> Result<Duration, String> {
    let excluded = Arc::new(|_: &RelPath, _: bool| false);
    let tree = Tree { root: root.to_owned(), links: Links::Inside, excluded };
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (hints, _kept) = door(DOOR_PATHS);
        let began = boot();
        let watch = auto::choose(Means::Fanotify).arm(&tree, hints).map_err(|why| why.0)?;
        times.push(boot().saturating_sub(began));
        if let Some(polled) = watch.coverage().polled.first() {
            return Err(polled.why.clone());
        }
    }
    Ok(median(times))
}

/// Overwrites files at full speed, with bytes that each column has of its own.
fn overwrite(files: &[PathBuf], column: usize) {
    let bytes = format!("{column:03}\n");
    for file in files {
        fs::write(file, &bytes).expect("written");
    }
}
