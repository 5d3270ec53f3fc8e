//! The daemon, what it needs, and what is measured of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use refreshd::clock::SystemClock;
use refreshd::database::Database;
use refreshd::domain::index::Index;
use refreshd::domain::quota::PerKind;
use refreshd::sandbox::{Options, Running, Sandbox};
use refreshd::store::Store;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::ClockId;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::common::{fill, make};
use crate::process::{Cost, Process, boot, clock, labelled};
use crate::table::{INOTIFY, Table, mebibytes, seconds};
use crate::{GLANCE, ROUNDS, overwrite};

/// How long the daemon is left alone when it rests.
const REST: Duration = Duration::from_secs(30);
/// Between two questions to the daemon when it has much to count.
const LOOK: Duration = Duration::from_secs(1);

/// The world of the daemon: a sandbox that grants everything, keys, and a configuration.
pub(crate) struct Site {
    pub(crate) place: PathBuf,
    pub(crate) sandbox: Running,
    pub(crate) runtime: Runtime,
}

/// What the peers are compared with.
pub(crate) struct Ours {
    pub(crate) start: Cost,
    pub(crate) restart: Cost,
    pub(crate) intake: Duration,
}

impl Site {
    pub(crate) fn new(place: &Path) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let quota = PerKind::from_fn(|_| 10_000_000);
        let options = Options { quota, ..Options::new("http://127.0.0.1:9") };
        let sandbox = runtime.block_on(async {
            let api = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let edge = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            Sandbox::start(options, api, edge, SystemClock::shared()).expect("starts")
        });
        for (name, text) in [("id", &sandbox.access_key_id), ("secret", &sandbox.access_key_secret)]
        {
            fs::write(place.join(name), text).expect("written");
            fs::set_permissions(place.join(name), fs::Permissions::from_mode(0o600)).expect("set");
        }
        Self { place: place.to_owned(), sandbox, runtime }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.place.join("log")
    }

    /// Starts the daemon with all its defaults but these.
    fn start(&self, root: &Path, means: &str, reconcile_every: &str) -> Process {
        let (place, api, root) = (self.place.display(), self.sandbox.api, root.display());
        let text = format!(
            "state_dir = \"{place}/state\"\n[account.main]\nendpoint = \"http://{api}\"\n\
             access_key_id_file = \"{place}/id\"\naccess_key_secret_file = \"{place}/secret\"\n\
             [account.main.quota]\nurl = 10000000\n\
             [origin.www]\nroot = \"{root}\"\ndomains = [\"https://www.example.com\"]\n\
             watch = \"{means}\"\nreconcile_every = \"{reconcile_every}\"\n"
        );
        let config = self.place.join("refreshd.toml");
        fs::write(&config, text).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_refreshd"));
        Process::start(command.args(["run", "--config"]).arg(config), &self.log())
    }

    fn status(&self) -> Option<Value> {
        let mut socket = UnixStream::connect(self.place.join("state/control.sock")).ok()?;
        let request = "GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// Asks until the status is as wished.
    fn wait(
        &self,
        daemon: &mut Process,
        every: Duration,
        wished: impl Fn(&Value) -> bool,
    ) -> Value {
        loop {
            if let Some(status) = self.status().filter(&wished) {
                return status;
            }
            let ended = daemon.child.try_wait().expect("known");
            assert!(ended.is_none(), "the daemon ended: {}", daemon.said());
            std::thread::sleep(every);
        }
    }

    fn wait_ready(&self, daemon: &mut Process) -> Cost {
        self.wait(daemon, GLANCE, |status| status["ready"] == true);
        daemon.cost()
    }

    /// Measures everything of the daemon by one means, from no state at all.
    pub(crate) fn measure(
        &self,
        root: &Path,
        means: &str,
        column: usize,
        written: &[PathBuf],
        table: &mut Table,
    ) -> Ours {
        let _ = fs::remove_dir_all(self.place.join("state"));
        let mut daemon = self.start(root, means, "1h");
        let start = self.wait_ready(&mut daemon);
        table.put("start: wall", "", column, seconds(start.wall));
        table.put("start: CPU", "", column, seconds(start.cpu));
        table.put("start: memory, at most", "", column, start.memory());
        let origin = |status: &Value, key: &str| status["origins"]["www"][key].as_u64();
        self.wait(&mut daemon, LOOK, |status| origin(status, "undigested") == Some(0));
        let read = daemon.cost();
        table.put("first reading: wall", "", column, seconds(read.wall.saturating_sub(start.wall)));
        table.put("first reading: CPU", "", column, seconds(read.cpu.saturating_sub(start.cpu)));
        stop(daemon);

        let mut daemon = self.start(root, means, "20s");
        self.wait_ready(&mut daemon);
        let compared = |daemon: &mut Process| {
            // Each question costs the daemon something, too.
            let count = origin(&self.wait(daemon, LOOK, |_| true), "reconciles");
            self.wait(daemon, LOOK, |status| origin(status, "reconciles") > count);
            daemon.cpu()
        };
        let before = compared(&mut daemon);
        let reconcile = compared(&mut daemon).saturating_sub(before);
        stop(daemon);

        table.put("index load: CPU", "0.2 s", column, seconds(self.load()));
        let mut restarts = Vec::new();
        for _ in 1..ROUNDS {
            let mut daemon = self.start(root, means, "1h");
            restarts.push(self.wait_ready(&mut daemon));
            stop(daemon);
        }
        let mut daemon = self.start(root, means, "1h");
        restarts.push(self.wait_ready(&mut daemon));
        let restart = Cost::median(&restarts);
        table.put("restart: wall", "", column, seconds(restart.wall));
        table.put("restart: CPU", "5 s", column, seconds(restart.cpu));
        table.put("reconcile alone: CPU", "5 s", column, seconds(reconcile));
        // What a start leaves behind has time to end.
        std::thread::sleep(Duration::from_secs(5));
        rest(&daemon, column, table);
        memory(&daemon, column, table);
        let intake = self.take_in(&mut daemon, column, written, table);
        stop(daemon);
        Ours { start, restart, intake }
    }

    /// Lets files be overwritten, and returns the CPU until all is recorded.
    fn take_in(
        &self,
        daemon: &mut Process,
        column: usize,
        written: &[PathBuf],
        table: &mut Table,
    ) -> Duration {
        let accepted = || {
            let log = self.sandbox.control().log();
            log.accepted.iter().map(|accepted| accepted.targets.len()).sum::<usize>()
        };
        let (cpu, before, began) = (daemon.cpu(), accepted(), boot());
        overwrite(written, column);
        let wrote = boot().saturating_sub(began);
        let mut intents = None;
        loop {
            let status = self.wait(daemon, LOOK, |status| {
                let www = &status["origins"]["www"];
                status["outbox"] == 0 && www["dirty"] == 0 && www["comparing"].is_null()
            });
            let counted = ["pending", "submitting", "submitted", "done", "failed"];
            let now = counted.iter().filter_map(|state| status["intents"][state].as_u64()).sum();
            // An answer is put together piece by piece, so that one alone proves little.
            if intents.replace(now) == Some(now) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        let took = daemon.cpu().saturating_sub(cpu);
        let (seen, all) = (intents.unwrap_or(0_u64), written.len());
        table.put("writer: wall", "", column, seconds(wrote));
        table.put("writes seen", "all", column, format!("{seen} of {all}"));
        table.put("asks accepted meanwhile", "", column, (accepted() - before).to_string());
        table.put("writes: CPU", "", column, seconds(took));
        took
    }

    /// Returns the CPU that reading the stored index takes, in this process.
    fn load(&self) -> Duration {
        self.runtime.block_on(async {
            let database = Database::open(&self.place.join("state/refreshd.db")).expect("opens");
            let store = Store::open(database, 1).await.expect("opens");
            let began = clock(ClockId::ProcessCPUTime);
            let chunks = store.chunks(&"www".into()).await.expect("reads");
            let index = Index::load(chunks).expect("loads");
            let took = clock(ClockId::ProcessCPUTime).saturating_sub(began);
            assert!(index.files() > 0);
            took
        })
    }

    /// Measures the daemon with next to nothing to do.
    pub(crate) fn measure_program(&self, table: &mut Table) {
        let root = self.place.join("small");
        fill(&make(&root, 1), 1, b"old\n");
        let _ = fs::remove_dir_all(self.place.join("state"));
        let mut daemon = self.start(&root, "inotify", "1h");
        self.wait_ready(&mut daemon);
        let resident = labelled(&daemon.proc("status"), "VmRSS:");
        table.put("memory: with a tree of one file", "", INOTIFY, mebibytes(resident));
        stop(daemon);
    }
}

/// Leaves the daemon alone, and tells what it did meanwhile.
fn rest(daemon: &Process, column: usize, table: &mut Table) {
    let written = |name| labelled(&daemon.proc("io"), name);
    let (cpu, waits) = (daemon.cpu(), daemon.waits());
    let [all, disk] = ["wchar:", "write_bytes:"].map(written);
    std::thread::sleep(REST);
    let cpu = daemon.cpu().saturating_sub(cpu);
    let (all, disk) = (written("wchar:") - all, written("write_bytes:") - disk);
    let mut sum = 0;
    for (thread, now) in daemon.waits() {
        let more = now - waits.get(&thread).copied().unwrap_or(0);
        sum += more;
        if more > 0 {
            println!("  at rest thread {} waited {more} times", thread.1);
        }
    }
    table.put("rest: CPU in 30 s", "", column, seconds(cpu));
    let hundredths = sum * 100 / REST.as_secs();
    let rate = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    table.put("rest: wake-ups a second", "1", column, rate);
    table.put("rest: bytes written; to disk", "0; 0", column, format!("{all}; {disk}"));
}

fn memory(daemon: &Process, column: usize, table: &mut Table) {
    let status = daemon.proc("status");
    let [most, all, own] =
        ["VmHWM:", "VmRSS:", "RssAnon:"].map(|name| mebibytes(labelled(&status, name)));
    table.put("memory: after a restart, at most", "", column, most);
    table.put("memory: after a restart, then", "", column, all);
    table.put("memory: of it not of files", "", column, own);
}

/// Ends the daemon as its service manager does.
fn stop(mut daemon: Process) {
    kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
    let code = daemon.child.wait().expect("ends").code();
    assert_eq!(code, Some(0), "{}", daemon.said());
}
