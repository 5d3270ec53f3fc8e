//! A mount namespace of a test's own: what is mounted there nobody else sees, and it goes when the
//! test ends, however it ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::world::wait_for;

/// A process that is killed when it goes out of scope, or when this process dies.
pub(crate) struct Process(pub Child);

impl Process {
    /// Starts a command.
    pub(crate) fn start(command: &[&str]) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("setpriv is installed: it comes with util-linux");
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A mount namespace, held by a process that sleeps.
pub(crate) struct Space {
    holder: Process,
    enter: [String; 5],
}

impl Space {
    /// Makes one that begins with all mounts of this process; needs to be root.
    pub(crate) fn new() -> Self {
        let command = ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"];
        let holder = Process::start(&command);
        let pid = holder.0.id();
        let comm = format!("/proc/{pid}/comm");
        wait_for("the namespace", || {
            (std::fs::read_to_string(&comm).ok()?.trim() == "sleep").then_some(())
        })
        .expect("unshare is installed and may make one");
        let enter = ["nsenter", "--target", &pid.to_string(), "--mount", "--"].map(str::to_owned);
        Self { holder, enter }
    }

    /// What runs a command inside.
    pub(crate) fn enter(&self) -> [&str; 5] {
        self.enter.each_ref().map(String::as_str)
    }

    /// Where a path of the inside is reached from outside.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.0.id()));
        root.join(path.strip_prefix("/").expect("absolute"))
    }

    /// Runs a script inside, in a directory there.
    pub(crate) fn run(&self, directory: &Path, script: &str) {
        let script = format!("cd '{}'; {script}", directory.display());
        let output = Command::new(&self.enter[0])
            .args(&self.enter[1..])
            .args(["sh", "-euc", &script])
            .output()
            .expect("nsenter is installed");
        assert!(output.status.success(), "{script}: {output:?}");
    }

    /// Mounts `source` at `target` by bindfs, which serves it until the process is dropped.
    pub(crate) fn bindfs(&self, source: &Path, target: &Path) -> Process {
        let [source, at] = [source, target].map(|path| path.to_str().expect("a plain path"));
        let process = Process::start(&[&self.enter()[..], &["bindfs", "-f", source, at]].concat());
        let table = format!("/proc/{}/mountinfo", self.holder.0.id());
        wait_for("bindfs", || {
            let mounts = std::fs::read_to_string(&table).ok()?;
            mounts.contains(&format!(" {at} ")).then_some(())
        })
        .expect("bindfs is installed and /dev/fuse is there");
        process
    }
}
