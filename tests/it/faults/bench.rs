//! The real client, dispatch, poll and journal against the sandbox, in virtual time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use refreshd::cdn::{Client, ClientConfig, Keyring, Surroundings};
use refreshd::clock::{Clock, ManualClock, SharedClock};
use refreshd::config::{Account, Cover};
use refreshd::database::Database;
use refreshd::domain::credentials::{KeyFiles, KeySource, Place};
use refreshd::domain::endpoint::Proxy;
use refreshd::domain::facts::Facts;
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Cause, Outgoing, Priority, Wish};
use refreshd::domain::limits::Limits;
use refreshd::domain::names::NodeId;
use refreshd::domain::plan::Policy;
use refreshd::domain::quota::purse::Rules;
use refreshd::domain::quota::{PerKind, QuotaKind};
use refreshd::domain::time::Timestamp;
use refreshd::domain::verdict::Verdicts;
use refreshd::engine::account::AccountBoard;
use refreshd::engine::dispatch::Dispatch;
use refreshd::engine::keys::Keys;
use refreshd::engine::poll::Poll;
use refreshd::engine::step::Step;
use refreshd::journal::Journal;
use refreshd::journal::sqlite::SqliteJournal;
use refreshd::sandbox::{AccessKey, Fault, Options, Running, Sandbox};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::counted::{Counted, Span};
use super::relay::Relay;
use super::work::Change;
use crate::keys::Metadata;
use crate::world::listener;

/// The longest that a loop of the daemon sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// More turns than this without time passing are a hang.
const TURNS: u32 = 2_000;
/// More calls than this in one run are too many whatever they are for.
pub(super) const CALLS: usize = 2_000;

/// The key that is in the files at first, and the one that a rotation puts there.
pub(super) const KEYS: [&str; 2] = ["LTAI5tFirst", "STS.Second"];

/// What a run does besides letting time pass.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// These change.
    Change(Vec<Change>),
    /// The sandbox is told of a fault.
    Fault(Fault),
    /// Connections are refused.
    Close,
    /// They are taken again.
    Open,
    /// The first key expires.
    Expire,
    /// The files hold the second key from now on.
    Rotate,
    /// Others have spent all but this.
    Remaining(QuotaKind, u64),
}

/// The sandbox's clock: the same time with a difference, and dice of its own.
struct Skewed {
    time: Arc<ManualClock>,
    dice: Arc<ManualClock>,
    by: i64,
}

#[async_trait]
impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.time.now().as_micros() + self.by)
    }

    fn boot(&self) -> Duration {
        self.time.boot()
    }

    fn random(&self) -> u64 {
        self.dice.random()
    }

    fn steady(&self) -> Timestamp {
        self.now()
    }

    fn offset(&self) -> i64 {
        0
    }

    fn learn_offset(&self, _: i64) {}

    async fn sleep(&self, duration: Duration) {
        self.time.sleep(duration).await;
    }
}

/// One loop of the daemon, and when it wants its next turn.
struct Loop {
    until: Timestamp,
    wake: Arc<Notify>,
}

impl Loop {
    fn new(wake: Arc<Notify>) -> Self {
        Self { until: Timestamp::EPOCH, wake }
    }

    fn is_ready(&mut self, now: Timestamp) -> bool {
        let mut woken = std::pin::pin!(self.wake.notified());
        if woken.as_mut().enable() {
            self.until = now;
        }
        self.until <= now
    }

    fn rest(&mut self, step: Step, now: Timestamp) {
        self.until = match step {
            Step::Worked => now,
            Step::Idle { until } => {
                let longest = now.plus(LONGEST_SLEEP);
                until.map_or(longest, |until| until.min(longest))
            }
        };
    }
}

/// How a bench is made.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// When it begins, by the sandbox's clock.
    pub(super) begin: &'static str,
    /// By how many seconds our clock is ahead of the sandbox's.
    pub(super) ahead: i64,
    pub(super) quota: PerKind<u64>,
    /// Whether connections can be refused.
    pub(super) refusable: bool,
    /// Whether the keys come from a metadata service that wants a token of who asks.
    pub(super) instance: bool,
    /// How long half a round trip takes.
    pub(super) travel: Span,
    pub(super) give_up: Duration,
    pub(super) seed: u64,
}

pub(super) struct Bench {
    pub(super) setting: Setting,
    pub(super) clock: Arc<ManualClock>,
    pub(super) sandbox: Running,
    pub(super) cdn: Arc<Counted>,
    pub(super) journal: Arc<dyn Journal>,
    /// All that changed, and when.
    pub(super) changes: Vec<(Duration, Change)>,
    /// Calls for tasks by id that were made while fewer than ten jobs were open.
    pub(super) polled: Vec<Duration>,
    /// Whether the loops took turns for ever while no time passed.
    pub(super) hangs: bool,
    account: Account,
    dispatch: Dispatch,
    poll: Poll,
    keys: Keys,
    /// Of dispatch, poll and keys.
    loops: [Loop; 3],
    known: watch::Receiver<Facts>,
    dice: Arc<ManualClock>,
    relay: Option<Relay>,
    _origin: JoinSet<()>,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn new(setting: Setting) -> Self {
        // Memory where there is some: what is measured here is not the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a folder");
        let by = -setting.ahead * 1_000_000;
        let begin = Timestamp::parse(setting.begin).expect("valid").as_micros() - by;
        let clock = ManualClock::new(Timestamp::from_micros(begin), setting.seed);
        let seed = setting.seed;
        let dice = |name: u64| ManualClock::new(Timestamp::EPOCH, seed * 31 + name);

        let (base, origin) = web_server().await;
        let options = Options { quota: setting.quota, keys: known_keys(), ..Options::new(base) };
        let skewed = Arc::new(Skewed { time: clock.clone(), dice: dice(1), by });
        let sandbox = Sandbox::start(options, listener().await, listener().await, skewed)
            .expect("the sandbox starts");
        let relay = setting.refusable.then(|| Relay::open_to(sandbox.api));

        let files = KeySource::at(Place::Files(write_key(folder.path(), KEYS[0])));
        let (source, around) = if setting.instance {
            Metadata::serve(clock.clone(), sandbox.control()).1
        } else {
            (files, Surroundings::default())
        };
        let address = relay.as_ref().map_or(sandbox.api, |relay| relay.address);
        let account = account(source, address, &setting);
        let shared: SharedClock = clock.clone();
        let config = ClientConfig::new(account.endpoint.clone());
        let source = account.credentials.clone();
        let keyring = Keyring::new(source, around, shared.clone());
        let client = Client::new(&config, keyring, shared.clone()).expect("a client");
        client.begin().await.1.expect("a key");
        let made = Mutex::default();
        let travel = setting.travel.clone();
        let cdn = Counted { client, clock: clock.clone(), made, travel, dice: dice(2) };
        let cdn = Arc::new(cdn);

        let database = Database::open(&folder.path().join("refreshd.db")).expect("opens");
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(database));
        let (facts, known) = tokio::sync::watch::channel(Facts::default());
        let board = AccountBoard::new(&account, facts);
        let loops = [board.dispatch(), board.poll(), board.key()].map(Loop::new);
        let keys = Keys::new(cdn.clone(), shared.clone(), board.clone());
        let poll =
            Poll::new(account.clone(), journal.clone(), cdn.clone(), shared.clone(), board.clone());
        let dispatch =
            Dispatch::lead(account.clone(), journal.clone(), cdn.clone(), shared, board).await;
        Self {
            setting,
            clock,
            sandbox,
            cdn,
            journal,
            changes: Vec::new(),
            polled: Vec::new(),
            hangs: false,
            account,
            dispatch: dispatch.expect("leads"),
            poll,
            keys,
            loops,
            known,
            dice: dice(3),
            relay,
            _origin: origin,
            folder,
        }
    }

    /// Returns the time since the beginning.
    pub(super) fn passed(&self) -> Duration {
        self.clock.boot()
    }

    /// Returns the time since the beginning at which the sandbox's clock shows `instant`.
    pub(super) fn since(&self, instant: Timestamp) -> Duration {
        instant.since(Timestamp::parse(self.setting.begin).expect("valid"))
    }

    pub(super) async fn act(&mut self, act: Act) {
        match act {
            Act::Change(changes) => self.change(changes).await,
            Act::Fault(fault) => self.sandbox.control().fault(fault),
            Act::Close => self.relay.as_mut().expect("a relay").close().await,
            Act::Open => self.relay.as_mut().expect("a relay").open(),
            Act::Expire => {
                let now = self.clock.now().minus(Duration::from_secs(1));
                let mut keys = known_keys();
                keys[0].expires_at = Some(now);
                self.sandbox.control().set_keys(keys);
            }
            Act::Rotate => drop(write_key(self.folder.path(), KEYS[1])),
            Act::Remaining(kind, left) => self.sandbox.control().set_remaining(kind, left),
        }
    }

    async fn change(&mut self, changes: Vec<Change>) {
        let now = self.clock.server_now();
        let items: Vec<_> = changes
            .iter()
            .zip(self.changes.len() as u64 + 1..)
            .map(|(change, sequence)| (sequence, Outgoing::Wish(wish(change, now))))
            .collect();
        self.journal.accept(&NodeId::from("n"), &items, now).await.expect("accepts");
        let at = self.passed();
        self.changes.extend(changes.into_iter().map(|change| (at, change)));
        self.loops[0].wake.notify_one();
    }

    /// Takes turns, in the order that the dice say, until all loops rest.
    pub(super) async fn turn(&mut self) {
        let mut since = (0, self.passed());
        while since.0 < TURNS {
            since =
                if since.1 == self.passed() { (since.0 + 1, since.1) } else { (0, self.passed()) };
            let now = self.clock.server_now();
            let ready: Vec<usize> = (0..3).filter(|at| self.loops[*at].is_ready(now)).collect();
            if ready.is_empty() {
                return;
            }
            let whose =
                ready[usize::try_from(self.dice.random() % 3).expect("small") % ready.len()];
            let step = match whose {
                0 => self.dispatch.step().await.expect("it works"),
                1 => self.look().await,
                _ => self.keys.step().await,
            };
            self.loops[whose].rest(step, self.clock.server_now());
            if self.cdn.count() > CALLS {
                return;
            }
        }
        self.hangs = true;
    }

    async fn look(&mut self) -> Step {
        let later = self.clock.server_now().plus(Duration::from_secs(30 * 86_400));
        let open = self.journal.jobs_due(&self.account.name, later, 10).await.expect("reads").0;
        let before = self.cdn.count();
        let step = self.poll.step().await.expect("it works");
        if open.len() < 10 {
            self.polled.extend(self.cdn.made()[before..].iter().map(|made| made.at));
        }
        step
    }

    /// Lets time pass until a loop wants its turn, or until `next` at most.
    pub(super) async fn pass(&mut self, next: Option<Duration>) {
        let now = self.clock.server_now();
        let first = self.loops.iter().map(|one| one.until).min().expect("some");
        let loops = first.since(now);
        let rest = next.map_or(loops, |next| next.saturating_sub(self.passed()).min(loops));
        self.clock.advance(rest.max(Duration::from_micros(1)));
        self.sandbox.control().settle().await;
    }

    /// Returns how many intents have not ended.
    pub(super) async fn open(&self) -> u64 {
        let counts = self.journal.counts().await.expect("counts");
        counts.pending + counts.submitting + counts.submitted
    }

    /// Returns what stops or slows the account, as an operator is shown it.
    pub(super) fn note(&self) -> String {
        self.known.borrow().accounts.values().map(|account| account.note.clone()).collect()
    }

    /// Says where everything stands, for who has to find out why.
    pub(super) async fn state(&self) -> String {
        let counts = self.journal.counts().await.expect("counts");
        let reasons = self.journal.reasons(None, 10).await.expect("reasons");
        let made = self.cdn.made();
        let last = &made[made.len().saturating_sub(10)..];
        let note = self.note();
        format!("after {:?}: {note}\n{counts:?}\n{reasons:#?}\n{last:#?}", self.passed())
    }
}

/// Starts an origin that has every page.
async fn web_server() -> (String, JoinSet<()>) {
    let web = listener().await;
    let base = format!("http://{}", web.local_addr().expect("an address"));
    let mut servers = JoinSet::new();
    servers.spawn(async move {
        let router = Router::new().fallback(async || "a page");
        axum::serve(web, router).await.expect("a server");
    });
    (base, servers)
}

fn known_keys() -> Vec<AccessKey> {
    let key = |id: &str| AccessKey {
        id: id.to_owned(),
        secret: format!("secret-of-{id}"),
        token: Some(format!("token-of-{id}")),
        expires_at: None,
    };
    KEYS.map(key).into()
}

fn write_key(folder: &Path, id: &str) -> KeyFiles {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a key file");
        path
    };
    KeyFiles {
        key_id: write("id", id),
        secret: write("secret", &format!("secret-of-{id}")),
        security_token: Some(write("token", &format!("token-of-{id}"))),
    }
}

fn account(credentials: KeySource, address: SocketAddr, setting: &Setting) -> Account {
    Account {
        name: "main".into(),
        endpoint: format!("http://{address}").parse().expect("a URL"),
        credentials,
        endpoint_is_trusted: None,
        proxy: Proxy::None,
        timeout: Duration::from_secs(10),
        batch: 100,
        poll_first: Duration::from_secs(180),
        poll_max: Duration::from_secs(600),
        poll_gap: Duration::from_secs(10),
        poll_give_up: setting.give_up,
        doubt_gap: Duration::from_secs(60),
        quota: setting.quota,
        limits: Limits::DOCUMENTED,
        rules: Rules::default(),
        verdicts: Verdicts::default(),
        // What is about faults is easier told by single URLs.
        cover: Cover { policy: Policy::PerUrl, ..Cover::default() },
    }
}

fn wish(change: &Change, now: Timestamp) -> Wish {
    Wish {
        account: "main".into(),
        action: change.action,
        target: change.target.clone(),
        force: change.force,
        priority: Priority::Urgent,
        not_before: now,
        stage: refreshd::domain::stage::Stage::default(),
        hold: None,
        cause: Cause {
            witness: Witness::Operator,
            at: now,
            origin: None,
            path: None,
            change: None,
            digest: None,
            deploy: None,
        },
    }
}
