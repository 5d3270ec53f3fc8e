//! The treasury in virtual time, against the sandbox: what a day pays for, and what waits for whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use refreshd::cdn::{Client, ClientConfig, Keyring, Surroundings};
use refreshd::clock::{Clock, ManualClock, SharedClock};
use refreshd::config::Account;
use refreshd::database::Database;
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::credentials::{KeyFiles, KeySource, Place};
use refreshd::domain::endpoint::Proxy;

use refreshd::domain::facts::Facts;
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Action, Cause, Outgoing, Priority, Wish};
use refreshd::domain::limits::Limits;
use refreshd::domain::names::{AccountName, NodeId};
use refreshd::domain::quota::purse::Rules;
use refreshd::domain::quota::{PerKind, QuotaKind};
use refreshd::domain::time::{Day, Timestamp};
use refreshd::engine::account::AccountBoard;
use refreshd::engine::dispatch::Dispatch;
use refreshd::engine::poll::Poll;
use refreshd::engine::step::Step;
use refreshd::journal::Journal;
use refreshd::journal::sqlite::SqliteJournal;
use refreshd::sandbox::{Options, Running, Sandbox};
use tokio::net::TcpListener;

const SITE: &str = "https://www.example.com";
/// 08:00 of the CDN's day, sixteen hours before it turns.
const MORNING: &str = "2026-11-22T00:00:00Z";
const NO_RESERVE: Rules = Rules { reserve: 0, shares: BTreeMap::new(), wide_per_hour: None };

/// An account, its loops, and a sandbox that counts from the outside.
struct Bench {
    clock: Arc<ManualClock>,
    running: Running,
    account: Account,
    journal: Arc<dyn Journal>,
    cdn: Arc<Client>,
    dispatch: Dispatch,
    poll: Poll,
    sequence: u64,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new(quota: PerKind<u64>, rules: Rules) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::new(Timestamp::parse(MORNING).expect("valid"), 7);
        let port = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let options = Options { quota, ..Options::new("http://127.0.0.1:1") };
        let running = Sandbox::start(options, port().await, port().await, clock.clone());
        let running = running.expect("a sandbox");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let account = Account {
            name: "main".into(),
            endpoint: format!("http://{}", running.api).parse().expect("a URL"),
            credentials: KeySource::at(Place::Files(KeyFiles {
                key_id: write("id", &running.access_key_id),
                secret: write("secret", &running.access_key_secret),
                security_token: None,
            })),
            timeout: Duration::from_secs(10),
            batch: 100,
            poll_first: Duration::from_secs(180),
            poll_max: Duration::from_secs(600),
            poll_gap: Duration::from_secs(10),
            verdicts: refreshd::domain::verdict::Verdicts::default(),
            poll_give_up: Duration::from_secs(6 * 3600),
            endpoint_is_trusted: None,
            proxy: Proxy::None,
            doubt_gap: Duration::from_secs(60),
            quota: PerKind::from_fn(|_| 1_000_000),
            limits: Limits::DOCUMENTED,
            rules,
            cover: refreshd::config::Cover {
                policy: refreshd::domain::plan::Policy::PerUrl,
                ..refreshd::config::Cover::default()
            },
        };
        let config = ClientConfig::new(account.endpoint.clone());
        let source = account.credentials.clone();
        let keyring = Keyring::new(source, Surroundings::default(), clock.clone());
        let cdn = Arc::new(Client::new(&config, keyring, clock.clone()).expect("a client"));
        cdn.begin().await.1.expect("a key");
        let database = Database::open(&folder.path().join("refreshd.db")).expect("opens");
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(database));
        let (dispatch, poll) = loops(&account, &journal, &cdn, &clock).await;
        Self { clock, running, account, journal, cdn, dispatch, poll, sequence: 0, folder }
    }

    /// Ends the loops and begins new ones, as a restart of the daemon would.
    async fn restart(&mut self) {
        let database = Database::open(&self.folder.path().join("refreshd.db")).expect("opens");
        self.journal = Arc::new(SqliteJournal::new(database));
        (self.dispatch, self.poll) =
            loops(&self.account, &self.journal, &self.cdn, &self.clock).await;
    }

    /// Lets refreshes of an origin be wished for.
    async fn wish(&mut self, origin: &str, priority: Priority, targets: &[Target]) {
        let now = self.clock.server_now();
        let items = targets.iter().map(|target| {
            self.sequence += 1;
            let cause = Cause {
                witness: Witness::Watch,
                at: now,
                origin: Some(origin.into()),
                path: None,
                change: None,
                digest: None,
                deploy: None,
            };
            let wish = Wish {
                stage: refreshd::domain::stage::Stage::default(),
                account: "main".into(),
                action: Action::Refresh,
                target: target.clone(),
                force: false,
                priority,
                not_before: now,
                hold: None,
                cause,
            };
            (self.sequence, Outgoing::Wish(wish))
        });
        let items: Vec<_> = items.collect();
        self.journal.accept(&NodeId::from("n"), &items, now).await.expect("accepts");
    }

    async fn turn(&mut self) {
        for _ in 0..10_000 {
            let dispatched = self.dispatch.step().await.expect("it works");
            if dispatched != Step::Worked
                && self.poll.step().await.expect("it works") != Step::Worked
            {
                return;
            }
        }
        panic!("the loops never rest");
    }

    /// Lets time pass in steps, taking turns.
    async fn pass(&mut self, steps: u32, step: Duration) {
        for _ in 0..steps {
            self.clock.advance(step);
            self.running.control().settle().await;
            self.turn().await;
        }
    }

    /// Returns when each target was accepted.
    fn accepted(&self) -> BTreeMap<String, Timestamp> {
        let log = self.running.control().log();
        let times = log.accepted.into_iter().flat_map(|call| {
            let at = Timestamp::from_micros(call.time_micros);
            call.targets.into_iter().map(move |target| (target, at))
        });
        times.collect()
    }

    /// Counts what was accepted of targets that begin so.
    fn count(&self, start: &str) -> usize {
        self.accepted().keys().filter(|target| target.starts_with(start)).count()
    }

    async fn reasons(&self) -> Vec<String> {
        let shown = self.journal.attention(1_000).await.expect("looks");
        let mut reasons: Vec<String> = shown.into_iter().map(|shown| shown.why).collect();
        reasons.sort();
        reasons.dedup();
        reasons
    }
}

async fn loops(
    account: &Account,
    journal: &Arc<dyn Journal>,
    cdn: &Arc<Client>,
    clock: &Arc<ManualClock>,
) -> (Dispatch, Poll) {
    let shared: SharedClock = clock.clone();
    let (facts, _) = tokio::sync::watch::channel(Facts::default());
    let board = AccountBoard::new(account, facts);
    let (journal, cdn) = (journal.clone(), cdn.clone());
    let poll =
        Poll::new(account.clone(), journal.clone(), cdn.clone(), shared.clone(), board.clone());
    let dispatch = Dispatch::lead(account.clone(), journal, cdn, shared, board).await;
    (dispatch.expect("leads"), poll)
}

/// An account that is allowed one kind only, so that nothing stands for anything else.
fn quota(kind: QuotaKind, limit: u64) -> PerKind<u64> {
    PerKind::from_fn(|one| if one == kind { limit } else { 0 })
}

fn urls(name: &str, count: usize) -> Vec<Target> {
    let url = |number| Target::new(Kind::Url, format!("{SITE}/{name}/{number}"));
    (0..count).map(url).collect()
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn fifteen_thousand_changes_in_a_day_of_ten_thousand() {
    let mut bench = Bench::new(quota(QuotaKind::Url, 10_000), NO_RESERVE).await;
    let midnight = Day::of(bench.clock.now()).next().start();
    for deploy in 0..15 {
        bench.wish("www", Priority::Normal, &urls(&format!("{deploy}"), 1_000)).await;
        bench.turn().await;
        bench.pass(6, 10 * MINUTE).await;
    }
    while bench.clock.now() < midnight.plus(15 * MINUTE) {
        bench.pass(1, MINUTE).await;
    }
    let accepted = bench.accepted();
    let before = accepted.values().filter(|at| **at < midnight).count();
    assert_eq!((before, accepted.len()), (10_000, 15_000), "lost 0");
    let rejected = bench.running.control().log().rejected;
    assert_eq!(rejected, BTreeMap::new(), "refused for quota 0");
    bench.pass(30, MINUTE).await;
    let counts = bench.journal.counts().await.expect("counts");
    assert_eq!((counts.done, counts.pending, counts.failed), (15_000, 0, 0), "{counts:?}");
}

#[tokio::test]
async fn the_reserve_pays_for_urgent_work_and_a_restart_forgets_nothing() {
    let rules = Rules { reserve: 10, ..Rules::default() };
    let mut bench = Bench::new(quota(QuotaKind::Url, 100), rules).await;
    bench.wish("www", Priority::Normal, &urls("normal", 120)).await;
    bench.turn().await;
    assert_eq!(bench.count(&format!("{SITE}/normal/")), 90);
    let reasons = bench.reasons().await;
    assert!(reasons[0].starts_with("10 of today's 100 URL refreshes are kept"), "{reasons:?}");
    bench.restart().await;
    bench.wish("www", Priority::Urgent, &urls("urgent", 4)).await;
    bench.turn().await;
    assert_eq!(
        (bench.count(&format!("{SITE}/normal/")), bench.count(&format!("{SITE}/urgent/"))),
        (90, 4)
    );
    // What comes to press is paid from the reserve at once.
    bench.wish("www", Priority::Urgent, &urls("normal", 120)[115..]).await;
    bench.turn().await;
    assert_eq!(bench.count(&format!("{SITE}/normal/")), 95);
    bench.pass(17, 60 * MINUTE).await;
    assert_eq!(bench.accepted().len(), 124, "lost 0");
    assert_eq!(bench.running.control().log().rejected, BTreeMap::new());
}

#[tokio::test]
async fn a_share_is_there_when_its_owner_comes_late() {
    let shares = BTreeMap::from([("blog".into(), 30)]);
    let rules = Rules { shares, ..NO_RESERVE };
    let mut bench = Bench::new(quota(QuotaKind::Url, 100), rules).await;
    bench.wish("www", Priority::Normal, &urls("www", 200)).await;
    bench.turn().await;
    assert_eq!(bench.count(&format!("{SITE}/www/")), 70);
    let reasons = bench.reasons().await;
    assert!(reasons[0].contains("is the share of other origins"), "{reasons:?}");
    bench.restart().await;
    bench.wish("blog", Priority::Normal, &urls("blog", 40)).await;
    bench.pass(10, MINUTE).await;
    assert_eq!(bench.count(&format!("{SITE}/blog/")), 30);
    assert_eq!(bench.count(&format!("{SITE}/www/")), 70);
}

#[tokio::test]
async fn backfill_goes_over_the_day_and_normal_work_finds_its_own() {
    let mut bench = Bench::new(quota(QuotaKind::Url, 960), NO_RESERVE).await;
    let midnight = Day::of(bench.clock.now()).next().start();
    bench.wish("www", Priority::Backfill, &urls("all", 2_000)).await;
    bench.turn().await;
    // A third of the day is over: half of the day's at once, and a third of the other half.
    assert_eq!(bench.count(&format!("{SITE}/all/")), 640);
    for hour in 0..15 {
        bench.wish("www", Priority::Normal, &urls(&format!("hour{hour}"), 10)).await;
        bench.turn().await;
        assert_eq!(bench.count(&format!("{SITE}/hour{hour}/")), 10, "at once");
        bench.pass(4, 15 * MINUTE).await;
    }
    while bench.clock.now() < midnight.minus(MINUTE) {
        bench.pass(1, MINUTE).await;
    }
    let spent = bench.accepted().len();
    assert!((950..=960).contains(&spent), "what the day leaves over is used: {spent}");
    assert_eq!(bench.running.control().log().rejected, BTreeMap::new());
}

#[tokio::test]
async fn no_minute_of_a_host_and_no_hour_gets_too_much() {
    let rules = Rules { wide_per_hour: Some(150), ..NO_RESERVE };
    let mut bench = Bench::new(quota(QuotaKind::Directory, 1_000), rules).await;
    let directory =
        |number: i32| Target::new(Kind::Directory, format!("{SITE}/directory{number}/"));
    let directories: Vec<Target> = (0..170).map(directory).collect();
    bench.wish("www", Priority::Normal, &directories).await;
    bench.turn().await;
    assert_eq!(bench.accepted().len(), 100);
    bench.pass(2, MINUTE).await;
    assert_eq!(bench.accepted().len(), 150);
    let reasons = bench.reasons().await;
    assert!(reasons.last().is_some_and(|why| why.contains("`wide_per_hour`")), "{reasons:?}");
    bench.pass(57, MINUTE).await;
    assert_eq!(bench.accepted().len(), 150);
    bench.pass(3, MINUTE).await;
    assert_eq!(bench.accepted().len(), 170, "lost 0");
    assert_eq!(bench.running.control().log().rejected, BTreeMap::new());
}

#[tokio::test]
async fn what_somebody_else_spends_is_noticed_and_left_alone() {
    let mut bench = Bench::new(quota(QuotaKind::Url, 100), NO_RESERVE).await;
    bench.wish("www", Priority::Normal, &urls("before", 20)).await;
    bench.turn().await;
    bench.running.control().set_remaining(QuotaKind::Url, 50);
    bench.pass(8, 15 * MINUTE).await;
    let name = AccountName::from("main");
    let spending = bench.journal.spending(&name, bench.clock.now()).await.expect("spending");
    assert_eq!(spending.foreign[QuotaKind::Url], 30);
    bench.wish("www", Priority::Normal, &urls("after", 60)).await;
    bench.turn().await;
    assert_eq!(bench.count(&format!("{SITE}/after/")), 50);
    assert_eq!(bench.running.control().log().rejected, BTreeMap::new());
}
