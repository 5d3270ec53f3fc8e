//! How the benches that run in memory measure.

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Runs this bench as a process of its own; returns what it prints.
pub(crate) fn child(arguments: &[&str]) -> String {
    let itself = std::env::current_exe().expect("a path");
    let output = Command::new(itself).args(arguments).output().expect("runs");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A number that looks random and is the same for the same seed (`SplitMix64`).
pub(crate) fn random(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Runs something; returns how long it took, before what it returned is dropped.
pub(crate) fn timed<R>(run: impl FnOnce() -> R) -> (Duration, R) {
    let begin = cpu_time();
    let result = black_box(run());
    (cpu_time().saturating_sub(begin), result)
}

/// Returns the CPU time that this process has taken: other work on the machine counts less.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("nanoseconds"))
}

/// Returns the median of five runs.
pub(crate) fn median(mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..5).map(|_| run()).collect();
    times.sort_unstable();
    times[2]
}

/// Returns a line of this process's status, in bytes.
pub(crate) fn memory(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("reads");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1024
}
