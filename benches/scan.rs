//! Scans an unchanged tree, warm, beside a plain walk in C.
//!
//! `cargo bench --bench scan` makes a tree of 1,000,000 files in 100,000 directories in the directory
//! for temporary files, and removes it at the end. `SCAN_FILES`, `SCAN_DIRECTORIES`, `SCAN_THREADS`
//! and `TMPDIR` change that; `cc` is needed. The goals: at most 0.8 times the wall time of the walk,
//! and 5 s of CPU.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use refreshd::clock::{Clock, SystemClock};
use refreshd::domain::index::{Entry, Index};
use refreshd::domain::path::RelPath;
use refreshd::domain::watch::Links;
use refreshd::source::root::Root;
use refreshd::source::scan::{Comparison, THREADS, scan};
use rustix::time::{ClockId, clock_gettime};

mod common;

use common::{compile, fill, make, median, number};

const ROUNDS: usize = 5;

fn main() {
    let (files, directories) =
        (number("SCAN_FILES", 1_000_000), number("SCAN_DIRECTORIES", 100_000));
    let threads = number("SCAN_THREADS", THREADS);
    let place = tempfile::tempdir().expect("a directory for the tree");
    let tree = place.path().join("tree");
    let clock = SystemClock::default();
    println!("making {files} files in {directories} directories");
    fill(&make(&tree, directories), files, b"");
    let floor = compile("nftw", place.path());
    let index = RwLock::new(index(&tree));
    let [mut walks, mut scans] = [const { Vec::new() }; 2];
    let [mut walk_cpus, mut scan_cpus] = [const { Vec::new() }; 2];
    for round in 1..=ROUNDS {
        let began = clock.boot();
        let done = Command::new(&floor).arg(&tree).output().expect("walked");
        walks.push(clock.boot().saturating_sub(began));
        assert!(done.status.success());
        let said = String::from_utf8_lossy(&done.stdout);
        let seconds = said.split(' ').next().expect("a figure").parse().expect("seconds");
        walk_cpus.push(Duration::from_secs_f64(seconds));

        let (began, cpu_before) = (clock.boot(), cpu());
        compare(&tree, &index, files, threads);
        scans.push(clock.boot().saturating_sub(began));
        scan_cpus.push(cpu().saturating_sub(cpu_before));
        println!("round {round} of {ROUNDS}");
    }
    let [walk, scan, walk_cpu, scan_cpu] =
        [walks, scans, walk_cpus, scan_cpus].map(|times| median(times).as_secs_f64());
    println!("medians: walk in C {walk:.2} s, scan with {threads} threads {scan:.2} s");
    println!("ratio of wall time: {:.2} (goal 0.80)", scan / walk);
    println!("CPU: walk in C {walk_cpu:.2} s, scan {scan_cpu:.2} s (goal 5 s)");
}

/// CPU time that all threads of this process had.
fn cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("positive")
}

fn index(tree: &Path) -> Index {
    let (suspects, empty, progress) =
        (Mutex::new(Vec::new()), RwLock::default(), AtomicU64::new(0));
    let comparison = Comparison {
        index: &empty,
        device: None,
        excluded: &|_, _| false,
        progress: &progress,
        threads: THREADS,
    };
    let root = Root::open(tree, Links::Inside).expect("opens");
    let emit = |suspect| suspects.lock().expect("no panic").push(suspect);
    scan(&root, &RelPath::root(), &comparison, &emit).expect("available");
    let mut index = Index::new();
    for suspect in suspects.into_inner().expect("no panic") {
        let (fingerprint, linked) = suspect.seen.expect("a file");
        let entry = Entry { fingerprint, digest: None, doubtful: false, linked };
        index.apply(&suspect.path, Some(entry));
    }
    index
}

fn compare(tree: &Path, index: &RwLock<Index>, files: usize, threads: usize) {
    let (suspects, progress) = (AtomicU64::new(0), AtomicU64::new(0));
    // As much work as a short list of exclusions makes.
    let excluded = |path: &RelPath, _: bool| path.name().starts_with(b".");
    let comparison =
        Comparison { index, device: None, excluded: &excluded, progress: &progress, threads };
    let root = Root::open(tree, Links::Inside).expect("opens");
    let found = scan(&root, &RelPath::root(), &comparison, &|_| {
        suspects.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(found.expect("available").files, files as u64);
    assert_eq!(suspects.into_inner(), 0);
}
