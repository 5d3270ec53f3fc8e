//! Watches a large tree, and reads what a writer at full speed does, beside a bare reader in C and
//! beside `inotifywait` if it is installed.
//!
//! `cargo bench --bench watch` makes trees of 100,000 directories, and of 10,000 directories with
//! 100,000 files, in the directory for temporary files, and removes them at the end.
//! `WATCH_DIRECTORIES` and `TMPDIR` change that; `cc` is needed. The goals: at most 1.2 times the CPU
//! of the reader in C until all is watched, 30 MiB, and 1.5 times its CPU while a writer runs, with
//! every file seen.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use refreshd::domain::path::RelPath;
use refreshd::domain::watch::Links;
use refreshd::source::watch::inotify::Inotify;
use refreshd::source::watch::{Backend as _, Tree};
use refreshd::source::{DOOR_PATHS, door};
use rustix::time::{ClockId, clock_gettime};

mod common;

use common::{compile, fill, make, median, number};

const ROUNDS: usize = 5;
const FILES: usize = 100_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("serve") {
        return serve(PathBuf::from(arguments.next().expect("a root")));
    }
    let directories = number("WATCH_DIRECTORIES", 100_000);
    let place = tempfile::tempdir().expect("a directory for the trees");
    let (large, small) = (place.path().join("large"), place.path().join("small"));
    println!("making {directories} directories, and {FILES} files in 10000");
    make(&large, directories);
    let files = fill(&make(&small, 10_000), FILES, b"");
    let floor = compile("inotify", place.path());
    let own = std::env::current_exe().expect("this program");
    let bare = |tree: &Path, pause: &str| {
        let mut command = Command::new(&floor);
        command.arg(tree).arg(pause);
        command
    };
    let ours = |tree: &Path| {
        let mut command = Command::new(&own);
        command.arg("serve").arg(tree);
        command
    };
    let mut starts = [Vec::new(), Vec::new(), Vec::new()];
    let mut memory = [Vec::new(), Vec::new(), Vec::new()];
    let mut intakes = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (at, command) in [bare(&large, "0"), ours(&large)].into_iter().enumerate() {
            let (mut child, ready, _) = start(command);
            child.kill().expect("killed");
            child.wait().expect("ended");
            assert_eq!(ready[0], directories);
            starts[at].push(ready[1]);
            memory[at].push(ready[2]);
        }
        if let Some((cpu, rss)) = peer(&large) {
            starts[2].push(cpu);
            memory[2].push(rss);
        }
        let readers = [bare(&small, "0"), ours(&small), bare(&small, "2000")];
        for (at, command) in readers.into_iter().enumerate() {
            let seen = overwrite(command, &small, &files);
            if seen[0] != FILES || seen[2] != 0 {
                println!("round {round}: reader {at} saw {} files, {} overflows", seen[0], seen[2]);
            }
            intakes[at].push(seen[1]);
        }
        println!("round {round}: start {starts:?} us, {memory:?} KiB; intake {intakes:?} us");
    }
    let [start, ours, peer] = starts.map(median);
    println!("CPU until {directories} directories are watched: C {start} us, ours {ours} us");
    println!("ratio: {} (goal 1.20)", ratio(ours, start));
    if peer == 0 {
        println!("inotifywait is not installed");
    } else {
        println!("inotifywait: {peer} us, ratio {}", ratio(peer, start));
    }
    let [start, ours, peer] = memory.map(median);
    println!("memory: C {start} KiB, ours {ours} KiB (goal 30720), inotifywait {peer} KiB");
    let [start, ours, paused] = intakes.map(median);
    println!("CPU while {FILES} files are overwritten: C {start} us, ours {ours} us");
    println!("ratio: {} (goal 1.50)", ratio(ours, start));
    println!("C with the same pause of 2 ms: {paused} us, ratio {}", ratio(ours, paused));
}

/// Two digits behind the point.
fn ratio(ours: usize, floor: usize) -> String {
    let hundredths = ours * 100 / floor.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

/// The three figures behind a word.
fn figures(lines: &mut Lines) -> [usize; 3] {
    let line = lines.next().expect("a line").expect("readable");
    let mut numbers = line.split(' ').skip(1).map(|text| text.parse().expect("a number"));
    std::array::from_fn(|_| numbers.next().expect("three figures"))
}

fn start(mut command: Command) -> (Child, [usize; 3], Lines) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let ready = figures(&mut lines);
    (child, ready, lines)
}

/// Overwrites all files while a reader listens: how many it saw, its CPU, and its overflows.
fn overwrite(command: Command, tree: &Path, files: &[PathBuf]) -> [usize; 3] {
    let (mut child, _, mut lines) = start(command);
    for file in files {
        fs::write(file, [b'x'; 64]).expect("written");
    }
    fs::write(tree.join("end"), b"x").expect("written");
    let seen = figures(&mut lines);
    assert!(child.wait().expect("ended").success());
    seen
}

/// CPU and memory of `inotifywait` until it listens.
fn peer(tree: &Path) -> Option<(usize, usize)> {
    let mut command = Command::new("inotifywait");
    command.args(["-m", "-r", "-e", "close_write,modify,move,create,delete,attrib"]).arg(tree);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
    let said = BufReader::new(child.stderr.take().expect("piped")).lines();
    let ready = said.map_while(Result::ok).find(|line| line.contains("established"));
    let id = child.id();
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("readable");
    let fields: Vec<_> = stat.rsplit(')').next().expect("one").split_whitespace().collect();
    // User and system time, in hundredths of a second.
    let ticks: usize = fields[11..13].iter().map(|text| text.parse().unwrap_or(0)).sum();
    let memory = most_memory(&format!("/proc/{id}/status"));
    child.kill().expect("killed");
    child.wait().expect("ended");
    ready.map(|_| (ticks * 10_000, memory))
}

fn most_memory(status: &str) -> usize {
    let status = fs::read_to_string(status).expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number")
}

fn cpu_us(clock: ClockId) -> usize {
    let used = clock_gettime(clock);
    usize::try_from(used.tv_sec * 1_000_000 + used.tv_nsec / 1_000).expect("positive")
}

/// Watches a tree and says what the reader in C says. The CPU of whoever takes the hints is not
/// counted.
fn serve(root: PathBuf) {
    let (sender, receiver) = door(DOOR_PATHS);
    // As much work as a short list of exclusions makes.
    let excluded = |path: &RelPath, _: bool| path.name().starts_with(b".");
    let tree = Tree { root, links: Links::Inside, excluded: Arc::new(excluded) };
    let watch = Inotify::new(Vec::new()).arm(&tree, sender).expect("armed");
    let watches = watch.coverage().watches;
    let cpu = cpu_us(ClockId::ProcessCPUTime);
    println!("ready {watches} {cpu} {}", most_memory("/proc/self/status"));
    std::io::stdout().flush().expect("printed");
    let others = || cpu_us(ClockId::ProcessCPUTime) - cpu_us(ClockId::ThreadCPUTime);
    let before = others();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (mut seen, mut full, mut ended) = (HashSet::new(), 0, false);
    while !ended {
        runtime.block_on(receiver.knocked());
        let hints = receiver.drain();
        full += u64::from(hints.overflowed);
        seen.extend(hints.hints.into_iter().map(|hint| hint.path));
        ended = seen.remove(b"end".as_slice());
    }
    let lost = watch.coverage().overflows + full;
    println!("seen {} {} {lost}", seen.len(), others() - before);
}
