//! The world of a test: a temporary folder, a sandbox, and the real daemon as a process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use refreshd::clock::{Clock, SystemClock};
use refreshd::sandbox::{Accepted, Options, Running, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Nothing a test waits for takes longer, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with an origin, a sandbox that stands for the CDN, and a configuration for the daemon.
pub(crate) struct World {
    folder: TempDir,
    pub sandbox: Running,
}

impl World {
    /// Makes a world whose edge has no web server behind it.
    pub(crate) async fn new() -> Self {
        Self::with(Options { time_scale: 3000, ..Options::new("http://127.0.0.1:9") }).await
    }

    /// Makes a world with a sandbox of one's own.
    pub(crate) async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("root")).expect("a root");
        let (api, edge) = (listener().await, listener().await);
        let sandbox =
            Sandbox::start(options, api, edge, SystemClock::shared()).expect("the sandbox starts");
        let world = Self { folder, sandbox };
        world.write_key("access_key_id", &world.sandbox.access_key_id);
        world.write_key("access_key_secret", &world.sandbox.access_key_secret);
        world.configure("", "");
        world
    }

    fn write_key(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, text).expect("a key file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    }

    /// Writes the configuration: quick, with more keys for the account and the origin.
    pub(crate) fn configure(&self, account: &str, origin: &str) {
        let root = format!("root = \"{}\"\n", self.root().display());
        let quick: String = [
            root.as_str(),
            "settle = \"50ms\"\n",
            "delete_settle = \"200ms\"\n",
            "deploy_deadline = \"500ms\"\n",
        ]
        .into_iter()
        .filter(|line| {
            let key = line.split(' ').next().unwrap_or_default();
            !origin.lines().any(|given| given.starts_with(key))
        })
        .collect();
        let text = format!(
            "state_dir = \"{dir}/state\"\n[account.main]\nendpoint = \"http://{api}\"\n\
             access_key_id_file = \"{dir}/access_key_id\"\n\
             access_key_secret_file = \"{dir}/access_key_secret\"\n\
             poll_first = \"100ms\"\npoll_gap = \"20ms\"\npoll_max = \"200ms\"\n{account}\n\
             [origin.www]\ndomains = [\"https://www.example.com\"]\n\
             {quick}{origin}\n",
            dir = self.folder.path().display(),
            api = self.sandbox.api,
        );
        self.write_config(&text);
    }

    /// Puts a configuration in place as a whole, for others may read it at any moment.
    pub(crate) fn write_config(&self, text: &str) {
        let beside = self.path("refreshd.toml.new");
        std::fs::write(&beside, text).expect("the configuration is written");
        std::fs::rename(beside, self.config()).expect("the configuration is in place");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("refreshd.toml")
    }

    /// Writes a file below the root, with the directories above it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let full = self.root().join(path);
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("directories");
        std::fs::write(full, text).expect("the file is written");
    }

    /// Lets the kernel's file clock move on: what is younger than two of its ticks when a baseline is
    /// taken counts as changed.
    fn rest(&self) {
        use std::os::unix::fs::MetadataExt;
        let probe = || {
            let path = self.path("probe");
            std::fs::write(&path, "").expect("a probe is written");
            let metadata = std::fs::metadata(&path).expect("it has a time");
            metadata.ctime() * 1000 + metadata.ctime_nsec() / 1_000_000
        };
        let before = probe();
        wait_for("the file clock", || (probe() >= before + 40).then_some(())).expect("it moves");
    }

    /// Starts the daemon; its log goes to a file in the folder.
    pub(crate) fn start(&self) -> Daemon {
        self.start_under(&[])
    }

    /// Starts the daemon by a command that becomes it, such as `setpriv`.
    pub(crate) fn start_under(&self, command: &[&str]) -> Daemon {
        self.rest();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log file");
        let mut words = command.iter().chain(&[env!("CARGO_BIN_EXE_refreshd"), "run", "--config"]);
        let child = Command::new(words.next().expect("the binary at least"))
            .args(words)
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        Daemon(child)
    }

    /// Runs a command of the binary with this configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_refreshd"))
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .output()
            .expect("the command runs")
    }

    /// Asks for the status; nothing while no daemon answers.
    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.command(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Asks for the status until it is as wished.
    pub(crate) fn wait_status(&self, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        wait_for(what, || {
            last = self.status();
            last.clone().filter(&wished)
        })
        .unwrap_or_else(|| panic!("{what} did not come; last status: {last:?}\n{}", self.log()))
    }

    /// Waits until the daemon watches every origin and has read every file.
    pub(crate) fn wait_ready(&self) -> Value {
        self.wait_status("readiness", |status| {
            let origins = status["origins"].as_object();
            let is_read = |origin: &Value| origin["undigested"] == 0;
            status["ready"] == true && origins.is_some_and(|origins| origins.values().all(is_read))
        })
    }

    /// Waits until nothing is being compared, dirty, recorded or open.
    pub(crate) fn wait_quiet(&self) -> Value {
        let at_rest = |origin: &Value| origin["dirty"] == 0 && origin["comparing"].is_null();
        let quiet = |status: &Value| {
            status["ready"] == true
                && status["outbox"] == 0
                && status["origins"]
                    .as_object()
                    .is_some_and(|origins| origins.values().all(at_rest))
                && ["pending", "submitting", "submitted"]
                    .iter()
                    .all(|state| status["intents"][state] == 0)
        };
        // An answer is put together piece by piece: what moves from one to the next could be in none.
        self.wait_status("quiet", quiet);
        self.wait_status("quiet", quiet)
    }

    /// Returns what the daemons of this world logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Returns every accepted submission.
    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        self.sandbox.control().log().accepted
    }

    /// Returns every accepted refresh target, in order.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.accepted().into_iter().flat_map(|entry| entry.targets).collect()
    }
}

/// Listens on a free port of the loopback address.
pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port")
}

/// Asks until there is an answer or [`PATIENCE`] ends.
pub(crate) fn wait_for<T>(_what: &str, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let clock = SystemClock::default();
    let deadline = clock.boot() + PATIENCE;
    while clock.boot() < deadline {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    None
}

/// A running daemon; killed when it goes out of scope.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Kills the daemon as a power cut would.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("the daemon was running");
        self.0.wait().expect("the daemon ends");
    }

    /// Has the daemon abort, as after a flaw, and returns how it ended.
    pub(crate) fn abort(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).expect("SIGABRT");
        self.0.wait().expect("the daemon ends")
    }

    /// Asks the daemon to end and returns its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
        self.0.wait().expect("the daemon ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
