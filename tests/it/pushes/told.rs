//! The loop of an origin with a directory, stepped by hand: pushes say where to look, and when it was
//! looked at they end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use refreshd::clock::{Clock, ManualClock};
use refreshd::config::Config;
use refreshd::database::Database;
use refreshd::domain::change::ChangeKind;
use refreshd::domain::deploy::DeployId;
use refreshd::domain::facts::{Facts, OriginFacts};
use refreshd::domain::hint::{Reach, Witness};
use refreshd::domain::path::RelPath;
use refreshd::domain::push::{Fate, Listed, Push};
use refreshd::domain::time::Timestamp;
use refreshd::engine::pushes::told::ToldPushes;
use refreshd::engine::step::Step;
use refreshd::source::{HintReceiver, HintSender, door};
use refreshd::store::{Delivery, DeliveryId, PushRow, Record, Removals, Store};
use tempfile::TempDir;
use tokio::sync::watch;

use super::steps::{nowhere, push};

const CONFIG: &str = "state_dir = \"/s\"\n[account.main]\nendpoint = \"https://cdn.aliyuncs.com\"\n\
    [origin.www]\nroot = \"/r\"\nbranch = \"main\"\nprefix = \"site\"\n\
    domains = [\"https://www.example.com\"]\n";

struct Bench {
    _folder: TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    door: (HintSender, HintReceiver),
    facts: watch::Sender<Facts>,
    told: ToldPushes,
    number: u32,
}

fn told(
    store: &Store,
    clock: &Arc<ManualClock>,
    door: &HintSender,
    facts: &watch::Sender<Facts>,
) -> ToldPushes {
    let config = Config::parse(CONFIG, Path::new("x"), None).expect("it is good");
    let origin = config.origins.values().next().expect("an origin");
    ToldPushes::new(origin, store.clone(), clock.clone(), door.clone(), facts.subscribe())
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::new(Timestamp::from_seconds(1_800_000_000), 7);
        let database = Database::open(&folder.path().join("refreshd.db")).expect("opens");
        let store = Store::open(database, 1).await.expect("opens");
        let (door, facts) = (door(100), watch::Sender::new(Facts::default()));
        let told = told(&store, &clock, &door.0, &facts);
        Self { _folder: folder, clock, store, door, facts, told, number: 0 }
    }

    async fn receive(&mut self, push: Push) -> DeliveryId {
        self.number += 1;
        let delivery = Delivery {
            hook: "git".into(),
            key: self.number.to_string(),
            at: self.clock.server_now(),
            event: "push".to_owned(),
            source: String::new(),
            content_type: String::new(),
            body: Vec::new(),
            pushes: vec![("www".into(), push)],
            why: String::new(),
        };
        self.store.receive(vec![delivery]).await.expect("written")[0].id
    }

    /// Takes a step; returns how long it wants to wait for the next.
    async fn step(&mut self) -> Option<Duration> {
        let Step::Idle { until } = self.told.step().await.expect("the store works") else {
            panic!("it never works on");
        };
        until.map(|until| until.since(self.clock.server_now()))
    }

    /// Takes the hints, each with how far it reaches, and the ticket.
    fn hints(&self) -> (Vec<(String, Reach)>, Option<u64>) {
        let hints = self.door.1.drain();
        assert!(hints.hints.iter().all(|hint| hint.witness == Witness::Webhook));
        let shown = hints.hints.iter().map(|hint| (hint.path.to_string(), hint.reach));
        (shown.collect(), hints.ticket)
    }

    /// Says that all was seen that was written before a ticket.
    fn see(&self, ticket: u64) {
        self.facts.send_modify(|facts| {
            let seen = OriginFacts { seen: ticket, ..OriginFacts::default() };
            facts.origins.insert("www".into(), seen);
        });
    }

    async fn row(&self, id: DeliveryId) -> PushRow {
        self.store.deliveries(Some(id), false, 1).await.expect("reads").remove(0).pushes.remove(0)
    }

    /// Records that the intake found something.
    async fn change(&self, deploy: &str, path: &str) -> DeployId {
        let deploy = DeployId::from_text(deploy.to_owned());
        let changed = (ChangeKind::Modified, RelPath::new(path).expect("valid"));
        let record = Record {
            origin: "www".into(),
            forget: false,
            chunks: Vec::new(),
            origin_record: None,
            removals: Removals::default(),
            outgoing: Vec::new(),
            changes: vec![(deploy.clone(), vec![changed])],
            at: self.clock.server_now(),
            end_bracket: false,
            gate: None,
            push: None,
        };
        self.store.record(record).await.expect("written");
        deploy
    }
}

fn listing(paths: &[&str]) -> Push {
    let paths: BTreeSet<RelPath> =
        paths.iter().map(|&path| RelPath::new(path).expect("valid")).collect();
    Push { listed: Listed::All(paths), ..push(Some(&nowhere("a")), Some(&nowhere("b"))) }
}

#[tokio::test]
async fn listed_paths_are_looked_at_and_the_deploy_that_has_one_is_named() {
    let mut bench = Bench::new().await;
    bench.change("d1", "x").await;
    bench.clock.advance(Duration::from_secs(1));
    let hit = bench.receive(listing(&["site/x", "site/d/y", "other/z"])).await;
    let miss = bench.receive(listing(&["site/w"])).await;
    assert_eq!(bench.step().await, Some(Duration::from_millis(200)));
    let path = |text: &str| (text.to_owned(), Reach::Path);
    let (mut hints, ticket) = bench.hints();
    hints.sort_by(|left, right| left.0.cmp(&right.0));
    assert_eq!((hints, ticket), (vec![path("d/y"), path("w"), path("x")], Some(1)));
    bench.change("d2", "elsewhere").await;
    let deploy = bench.change("d3", "d/y").await;
    bench.step().await;
    assert_eq!(bench.row(hit).await.fate, None, "nobody has looked yet");
    assert_eq!(bench.hints(), (vec![], None), "it is asked for once");
    bench.see(1);
    assert_eq!(bench.step().await, None);
    let row = bench.row(hit).await;
    assert_eq!((row.fate, row.deploy), (Some(Fate::Intents), Some(deploy)), "{}", row.why);
    let row = bench.row(miss).await;
    assert_eq!((row.fate, row.deploy), (Some(Fate::Nothing), None), "{}", row.why);
    assert!(row.why.starts_with("nothing on disk has changed since it came"), "{}", row.why);
}

#[tokio::test]
async fn a_cut_list_and_a_sender_that_names_no_commits_mean_the_whole_tree() {
    let mut bench = Bench::new().await;
    let cut = bench.receive(push(Some(&nowhere("a")), Some(&nowhere("b")))).await;
    let unnamed = bench.receive(push(None, None)).await;
    bench.step().await;
    let (hints, ticket) = bench.hints();
    assert_eq!(hints, [(RelPath::root().to_string(), Reach::Subtree)]);
    let deploy = bench.change("d1", "anything").await;
    bench.see(ticket.expect("a ticket"));
    bench.step().await;
    for id in [cut, unnamed] {
        let row = bench.row(id).await;
        assert_eq!((row.fate, row.deploy), (Some(Fate::Intents), Some(deploy.clone())));
    }
}

#[tokio::test]
async fn another_branch_and_a_deletion_hint_at_nothing() {
    let mut bench = Bench::new().await;
    let other = Push { reference: "refs/heads/side".to_owned(), ..listing(&["site/x"]) };
    let other = bench.receive(other).await;
    let gone = bench.receive(push(Some(&nowhere("a")), None)).await;
    bench.step().await;
    let (hints, ticket) = bench.hints();
    assert_eq!(hints, []);
    bench.change("d1", "x").await;
    bench.see(ticket.expect("a ticket"));
    bench.step().await;
    let (other, gone) = (bench.row(other).await, bench.row(gone).await);
    assert_eq!(
        (other.fate, other.why.as_str()),
        (Some(Fate::Nothing), "it is about another branch")
    );
    assert_eq!(gone.fate, Some(Fate::Nothing));
    assert!(gone.why.starts_with("the branch was deleted"), "{}", gone.why);
}

#[tokio::test]
async fn a_restart_asks_again_and_a_later_push_waits_for_its_own_look() {
    let mut bench = Bench::new().await;
    let first = bench.receive(listing(&["site/x"])).await;
    bench.step().await;
    assert_eq!(bench.hints().1, Some(1));
    bench.told = told(&bench.store, &bench.clock, &bench.door.0, &bench.facts);
    bench.step().await;
    assert_eq!(bench.hints(), (vec![("x".to_owned(), Reach::Path)], Some(2)));
    bench.see(1);
    bench.step().await;
    assert_eq!(bench.row(first).await.fate, None, "that was seen for who asked before");
    let second = bench.receive(listing(&["site/y"])).await;
    bench.see(2);
    bench.step().await;
    assert_eq!(bench.row(first).await.fate, Some(Fate::Nothing));
    assert_eq!(bench.row(second).await.fate, None);
    assert_eq!(bench.hints(), (vec![("y".to_owned(), Reach::Path)], Some(3)));
    bench.see(3);
    assert_eq!(bench.step().await, None);
    assert_eq!(bench.row(second).await.fate, Some(Fate::Nothing));
}

#[tokio::test]
async fn a_root_that_is_away_for_long_is_asked_about_ever_more_seldom() {
    let mut bench = Bench::new().await;
    bench.receive(listing(&["site/x"])).await;
    let mut steps = 0;
    let mut rest = Duration::from_secs(3_600);
    loop {
        let pause = bench.step().await.expect("it is open");
        let Some(left) = rest.checked_sub(pause) else { break };
        bench.clock.advance(pause);
        rest = left;
        steps += 1;
    }
    assert!((360..380).contains(&steps), "{steps}");
    bench.receive(listing(&["site/y"])).await;
    assert_eq!(bench.step().await, Some(Duration::from_millis(200)), "there is news");
}
