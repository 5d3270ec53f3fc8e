//! Access keys that expire or are rotated while refreshd runs: nothing is refused that need not be,
//! nothing is lost, and nobody restarts anything.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener as StdListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use refreshd::cdn::{Cdn, Client, ClientConfig, Keyring, Surroundings};
use refreshd::clock::{Clock, ManualClock};
use refreshd::config::Config;
use refreshd::domain::credentials::{Ecs, KeySource, Place};
use refreshd::domain::facts::Facts;
use refreshd::domain::time::Timestamp;
use refreshd::engine::account::AccountBoard;
use refreshd::engine::keys::Keys;
use refreshd::engine::step::Step;
use refreshd::sandbox::{AccessKey, Control, Options, Sandbox};

use crate::world::{World, listener, wait_for};

const HOUR: Duration = Duration::from_secs(3600);

/// A metadata service that asks for tokens, as the newest instances have it, and hands out keys for an
/// hour each, which the sandbox takes for as long.
pub(crate) struct Metadata {
    clock: Arc<ManualClock>,
    control: Control,
    minted: Mutex<Vec<AccessKey>>,
    calls: Mutex<Vec<String>>,
    is_down: Mutex<bool>,
}

impl Metadata {
    /// Serves, from now on; returns itself, and what a client has to know.
    pub(crate) fn serve(
        clock: Arc<ManualClock>,
        control: Control,
    ) -> (Arc<Self>, (KeySource, Surroundings)) {
        let metadata = Arc::new(Self {
            clock,
            control,
            minted: Mutex::default(),
            calls: Mutex::default(),
            is_down: Mutex::default(),
        });
        let service = StdListener::bind("127.0.0.1:0").expect("a port");
        let address = service.local_addr().expect("an address");
        let served = metadata.clone();
        std::thread::spawn(move || {
            service.incoming().flatten().for_each(|stream| served.answer(&stream));
        });
        let around = Surroundings {
            metadata: format!("http://{address}").parse().ok(),
            ..Surroundings::default()
        };
        let ecs = Ecs { role_name: None, v1: Some(false) };
        (metadata, (KeySource::at(Place::Ecs(ecs)), around))
    }

    fn answer(&self, mut stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        let has_token = lines
            .take_while(|line| !line.is_empty())
            .filter(|line| line == "x-aliyun-ecs-metadata-token: tok")
            .count()
            == 1;
        self.calls.lock().expect("not poisoned").push(first.clone());
        let (status, body) = match first.as_str() {
            _ if *self.is_down.lock().expect("not poisoned") => (503, String::new()),
            "PUT /latest/api/token HTTP/1.1" => (200, "tok".to_owned()),
            _ if !has_token => (403, String::new()),
            "GET /latest/meta-data/ram/security-credentials/ HTTP/1.1" => (200, "web".to_owned()),
            "GET /latest/meta-data/ram/security-credentials/web HTTP/1.1" => (200, self.mint()),
            _ => (404, String::new()),
        };
        let length = body.len();
        // A client that left needs no answer.
        let _ = write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
    }

    fn mint(&self) -> String {
        let mut minted = self.minted.lock().expect("not poisoned");
        let number = minted.len();
        let expires_at = self.clock.now().plus(HOUR);
        let (id, secret) = (format!("STS.number{number:06}"), format!("secret{number}"));
        let token = format!("token{number}");
        let body = format!(
            r#"{{"Code":"Success","AccessKeyId":"{id}","AccessKeySecret":"{secret}",
            "SecurityToken":"{token}","Expiration":"{}"}}"#,
            expires_at.to_api()
        );
        minted.push(AccessKey { id, secret, token: Some(token), expires_at: Some(expires_at) });
        self.control.set_keys(minted.clone());
        body
    }
}

/// An account on an ECS instance, with time that moves when told to.
struct Instance {
    clock: Arc<ManualClock>,
    metadata: Arc<Metadata>,
    cdn: Arc<Client>,
    board: AccountBoard,
    keys: Keys,
    _sandbox: refreshd::sandbox::Running,
}

impl Instance {
    async fn new() -> Self {
        let noon = Timestamp::parse("2026-11-22T04:00:00Z").expect("valid");
        let clock = ManualClock::new(noon, 5);
        let options = Options::new("http://127.0.0.1:9");
        let sandbox = Sandbox::start(options, listener().await, listener().await, clock.clone())
            .expect("the sandbox starts");
        let (metadata, (source, around)) = Metadata::serve(clock.clone(), sandbox.control());
        let keyring = Keyring::new(source, around, clock.clone());
        let config = ClientConfig::new(format!("http://{}", sandbox.api).parse().expect("a URL"));
        let cdn = Arc::new(Client::new(&config, keyring, clock.clone()).expect("a client"));
        let (facts, _) = tokio::sync::watch::channel(Facts::default());
        let config = "state_dir = \"/s\"\n[account.main]\nendpoint = \"https://cdn.aliyuncs.com\"\n\
            [origin.www]\nroot = \"/r\"\ndomains = [\"https://www.example.com\"]\n";
        let config = Config::parse(config, Path::new("x"), None).expect("it is good");
        let account = config.accounts.values().next().expect("an account");
        let board = AccountBoard::new(account, facts);
        let keys = Keys::new(cdn.clone(), clock.clone(), board.clone());
        Self { clock, metadata, cdn, board, keys, _sandbox: sandbox }
    }

    /// Takes a turn, and returns after how long it wants the next.
    async fn turn(&mut self) -> Duration {
        match self.keys.step().await {
            Step::Idle { until: Some(until) } => until.since(self.clock.server_now()),
            step => panic!("{step:?}"),
        }
    }

    fn minted(&self) -> usize {
        self.metadata.minted.lock().expect("not poisoned").len()
    }

    fn fail(&self, is_down: bool) {
        *self.metadata.is_down.lock().expect("not poisoned") = is_down;
    }

    async fn refused_code(&self) -> Option<String> {
        self.cdn.quota().await.expect_err("refused").code
    }
}

#[tokio::test]
async fn temporary_keys_are_renewed_before_they_expire_and_no_call_is_refused() {
    let mut instance = Instance::new().await;
    instance.turn().await;
    for _ in 0..72 {
        instance.cdn.quota().await.expect("the key is good");
        let mut left = Duration::from_secs(5 * 60);
        while !left.is_zero() {
            let pass = instance.turn().await.min(left).max(Duration::from_secs(1));
            instance.clock.advance(pass.min(left));
            left = left.saturating_sub(pass);
        }
    }
    // Six hours, a key each 45 minutes.
    assert_eq!(instance.minted(), 8);
    let log = instance.metadata.control.log();
    assert!(log.rejected.is_empty(), "{log:?}");
}

#[tokio::test]
async fn a_refused_key_is_fetched_anew_at_most_once_a_minute() {
    let mut instance = Instance::new().await;
    instance.turn().await;
    instance.cdn.quota().await.expect("the key is good");
    instance.fail(true);
    instance.clock.advance(HOUR);
    let expired = Some("InvalidSecurityToken.Expired".to_owned());
    assert_eq!(instance.refused_code().await, expired, "an old key is kept for want of a new one");
    instance.turn().await;
    let calls = || instance.metadata.calls.lock().expect("not poisoned").len();
    let before = calls();
    let mut keys = Keys::new(instance.cdn.clone(), instance.clock.clone(), instance.board.clone());
    for _ in 0..50 {
        instance.board.key_refused();
        keys.step().await;
    }
    assert_eq!(calls(), before + 1, "one call for the token, which fails");
    instance.fail(false);
    let Step::Idle { until: Some(until) } = keys.step().await else { panic!("it rests") };
    instance.clock.advance(until.since(instance.clock.server_now()));
    let minted = instance.minted();
    for _ in 0..60 {
        keys.step().await;
        instance.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(instance.minted(), minted + 1, "what was refused is not refused again");
    instance.cdn.quota().await.expect("the new key is good");
}

#[tokio::test]
async fn without_a_key_no_call_is_made_and_it_says_so() {
    let mut instance = Instance::new().await;
    instance.fail(true);
    instance.turn().await;
    assert_eq!(instance.refused_code().await.as_deref(), Some("Refreshd.NoCredentials"));
    assert!(instance.metadata.control.log().calls.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_key_files_are_taken_over_by_the_running_daemon() {
    let world = World::new().await;
    let daemon = world.start();
    world.wait_ready();
    let rotated = AccessKey {
        id: "LTAI5tRotatedKey0001".to_owned(),
        secret: "another".to_owned(),
        token: None,
        expires_at: None,
    };
    world.sandbox.control().set_keys(vec![rotated.clone()]);
    world.write("a.html", "two");
    let refusals = || world.sandbox.control().log().rejected;
    wait_for("the refusal", || refusals().get("InvalidAccessKeyId.NotFound").copied())
        .expect("the old key is refused");
    std::fs::write(world.path("access_key_id"), &rotated.id).expect("written");
    std::fs::write(world.path("access_key_secret"), &rotated.secret).expect("written");
    wait_for("the change", || (world.targets().len() == 1).then_some(())).expect("accepted");
    let status = world.wait_quiet();
    assert_eq!(status["pid"], daemon.pid());
    assert_eq!(status["accounts"]["main"]["key"]["key_id"], "LTAI…0001", "{status}");
    assert_eq!(status["accounts"]["main"]["key"]["source"], "files", "{status}");
    assert_eq!(world.targets(), ["https://www.example.com/a.html"]);
    let text = world.command(&["status"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("key of main: LTAI…0001 from files\n"), "{text}");
}

/// Puts lines in place of the key files into a world's configuration.
fn configure(world: &World, lines: &str) {
    let text = std::fs::read_to_string(world.config()).expect("read");
    let kept = text.lines().filter(|line| !line.starts_with("access_key_"));
    let text = kept
        .collect::<Vec<_>>()
        .join("\n")
        .replace("[origin.www]", &format!("{lines}\n[origin.www]"));
    std::fs::write(world.config(), text).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_no_key_yet_is_waited_for_and_said_so() {
    let world = World::new().await;
    configure(&world, "[account.main.credentials]\nfrom = \"uri\"\nuri = \"http://127.0.0.1:1/\"");
    let daemon = world.start();
    let status = world.wait_ready();
    let key = &status["accounts"]["main"]["key"];
    let trouble = key["trouble"].as_str().unwrap_or_default();
    assert!(trouble.contains("credentials URI: 127.0.0.1 did not answer"), "{status}");
    assert_eq!(key["source"], "");
    let text = world.command(&["status"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("key of main: no new one could be had: credentials URI"), "{text}");
    assert_eq!(daemon.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_can_never_have_a_key_ends_the_start_and_names_each_place() {
    let world = World::new().await;
    configure(&world, "");
    let home = format!("HOME={}", world.path("").display());
    let output = std::process::Command::new("env")
        .args([&home, "ALIBABA_CLOUD_ECS_METADATA_DISABLED=true", env!("CARGO_BIN_EXE_refreshd")])
        .args(["run", "--config"])
        .arg(world.config())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(77));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("account `main`: no place has an access key"), "{said}");
    assert!(said.contains(".aliyun/config.json`: No such file"), "{said}");
    assert!(said.contains("ALIBABA_CLOUD_ECS_METADATA_DISABLED is true"), "{said}");
}
