//! Processes, and what `/proc` tells of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::common::median;
use crate::table::mebibytes;

/// What a process used since its start.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// In steps of 10 ms.
    pub(crate) cpu: Duration,
    /// Memory at its most, in KiB.
    pub(crate) most: u64,
}

impl Cost {
    pub(crate) fn median(costs: &[Self]) -> Self {
        Self {
            wall: median(costs.iter().map(|cost| cost.wall).collect()),
            cpu: median(costs.iter().map(|cost| cost.cpu).collect()),
            most: median(costs.iter().map(|cost| cost.most).collect()),
        }
    }

    pub(crate) fn memory(&self) -> String {
        mebibytes(self.most)
    }
}

/// A running program whose output goes to a file; killed when it is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) began: Duration,
    pub(crate) log: PathBuf,
}

impl Process {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let output = File::create(log).expect("a log");
        let errors = output.try_clone().expect("a second descriptor");
        // One offset for both: neither writes over the other.
        let command = command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let began = boot();
        Self { child: command.spawn().expect("started"), began, log: log.to_owned() }
    }

    pub(crate) fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("it runs")
    }

    /// User and system time; of a process that has ended, too, until it is waited for.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let fields = stat.rsplit(')').next().expect("one").split_whitespace().skip(11).take(2);
        let ticks = fields.map(|text| text.parse::<u64>().expect("a number")).sum::<u64>();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn cost(&self) -> Cost {
        let most = labelled(&self.proc("status"), "VmHWM:");
        Cost { wall: boot().saturating_sub(self.began), cpu: self.cpu(), most }
    }

    /// Returns the end of what it printed.
    pub(crate) fn said(&self) -> String {
        let mut log = File::open(&self.log).expect("a log");
        let length = log.metadata().expect("a length").len();
        log.seek(SeekFrom::Start(length.saturating_sub(200))).expect("seeks");
        let mut end = Vec::new();
        log.read_to_end(&mut end).expect("readable");
        String::from_utf8_lossy(&end).into_owned()
    }

    pub(crate) fn wait_for(&self, words: &str) {
        while !self.said().contains(words) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns by thread how often it began to wait.
    pub(crate) fn waits(&self) -> BTreeMap<(u64, String), u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let status = |task: std::io::Result<fs::DirEntry>| {
            let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
            let name = status.lines().next()?.trim_start_matches("Name:\t").to_owned();
            let waits = labelled(&status, "voluntary_ctxt_switches:");
            Some(((labelled(&status, "Pid:"), name), waits))
        };
        tasks.filter_map(status).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the number behind a label at the start of a line.
pub(crate) fn labelled(text: &str, label: &str) -> u64 {
    let number = text.lines().find_map(|line| line.strip_prefix(label)?.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).expect("a number")
}

pub(crate) fn boot() -> Duration {
    clock(ClockId::Boottime)
}

pub(crate) fn clock(which: ClockId) -> Duration {
    clock_gettime(which).try_into().expect("positive")
}
