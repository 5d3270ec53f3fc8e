//! Gates: what waits goes out once the origin is ready, step by step with real web servers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use refreshd::clock::{Clock, ManualClock, SystemClock};
use refreshd::config::Tree;
use refreshd::database::Database;
use refreshd::domain::change::{Change, ChangeKind};
use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::facts::{Facts, GateFacts};
use refreshd::domain::gate::{Gate, Opens, Servers};
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::Outgoing;
use refreshd::domain::mapping::{Mapping, RewriteSpec, Spec};
use refreshd::domain::names::OriginName;
use refreshd::domain::path::RelPath;
use refreshd::domain::push::CommitId;
use refreshd::domain::watch::Links;
use refreshd::engine::gate::{Gates, Settings};
use refreshd::engine::step::Step;
use refreshd::store::{Gating, PushEnd, Record, Removals, Store, Tip};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::world::listener;

mod command;
mod content;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A web server of the origin: what it serves, by host and path, and what it was asked for.
#[derive(Clone, Default)]
struct Web {
    pages: Arc<Mutex<BTreeMap<String, (u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn serve(&self, path: &str, text: &str) {
        let page = (200, text.to_owned());
        self.pages.lock().expect("pages").insert(format!("www.example.com{path}"), page);
    }

    fn answer(&self, path: &str, status: u16) {
        let page = (status, String::new());
        self.pages.lock().expect("pages").insert(format!("www.example.com{path}"), page);
    }

    /// Returns what it was asked for since the last time.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().expect("asked"));
        asked.sort();
        asked
    }

    fn page(&self, headers: &HeaderMap, uri: &Uri) -> (StatusCode, String) {
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let identity = headers.get("accept-encoding").is_some_and(|kind| kind == "identity");
        assert!(identity, "the bytes themselves are asked for");
        let place = format!("{host}{uri}");
        self.asked.lock().expect("asked").push(place.clone());
        let page = self.pages.lock().expect("pages").get(&place).cloned();
        let (status, text) = page.unwrap_or((404, String::new()));
        (StatusCode::from_u16(status).expect("a status"), text)
    }
}

/// An origin with a gate, and web servers that end with it.
struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    gates: Option<Gates>,
    facts: watch::Sender<Facts>,
    settings: Settings,
    webs: Vec<Web>,
    deploys: u64,
    _servers: JoinSet<()>,
}

impl World {
    async fn new(webs: usize, opens: impl FnOnce(Servers) -> Opens) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("root")).expect("a root");
        let mut servers = JoinSet::new();
        let (mut urls, mut all) = (Vec::new(), Vec::new());
        for _ in 0..webs {
            let (listener, web) = (listener().await, Web::default());
            let address = listener.local_addr().expect("an address");
            urls.push(format!("http://{address}").parse().expect("a URL"));
            let served = web.clone();
            let page =
                move |headers: HeaderMap, uri: Uri| std::future::ready(served.page(&headers, &uri));
            servers.spawn(async move {
                axum::serve(listener, Router::new().fallback(page)).await.expect("it serves");
            });
            all.push(web);
        }
        let mapping = Mapping::new(Spec {
            rewrites: vec![RewriteSpec {
                from: "src/*.md".to_owned(),
                to: vec!["/{1}.html".to_owned()],
                only: true,
            }],
            ..Spec::plain("main".into(), vec!["https://www.example.com".to_owned()])
        });
        let settings = Settings {
            origin: "www".into(),
            gate: Gate {
                opens: opens(Servers { urls, timeout: SECOND * 20 }),
                echo: Duration::ZERO,
                alarm_after: MINUTE * 10,
            },
            mapping: Arc::new(mapping.expect("a mapping")),
            tree: Tree::Root(folder.path().join("root")),
            prefix: RelPath::new("").expect("the root"),
            links: Links::Inside,
        };
        let database = Database::open(&folder.path().join("refreshd.db")).expect("it opens");
        let store = Store::open(database, 7).await.expect("it opens");
        // Ahead of the files, so that none is doubtful.
        let clock = ManualClock::new(SystemClock::default().now().plus(MINUTE), 1);
        let (facts, _) = watch::channel(Facts::default());
        let mut world = Self {
            folder,
            clock,
            store,
            gates: None,
            facts,
            settings,
            webs: all,
            deploys: 0,
            _servers: servers,
        };
        world.restart();
        world
    }

    /// Forgets all that is not stored.
    fn restart(&mut self) {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let facts = self.facts.clone();
        let gates = Gates::new(self.settings.clone(), store, clock, Arc::new(Notify::new()), facts);
        self.gates = Some(gates.expect("a gate"));
    }

    fn origin(&self) -> OriginName {
        self.settings.origin.clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// Records a deploy as the intake does, and returns it.
    async fn deploy(&mut self, changes: &[(ChangeKind, &str)], commit: Option<CommitId>) -> Deploy {
        self.deploy_to(changes, commit, None).await
    }

    /// Records a deploy as a push does that moves the tip.
    async fn deploy_to(
        &mut self,
        changes: &[(ChangeKind, &str)],
        commit: Option<CommitId>,
        tip: Option<CommitId>,
    ) -> Deploy {
        let now = self.clock.server_now();
        self.deploys += 1;
        let open = Deploy {
            id: DeployId::new(now, self.deploys),
            origin: self.origin(),
            opened_at: now,
            closed_at: None,
        };
        let mut outgoing = vec![Outgoing::Deploy(open.clone())];
        let mut paths = Vec::new();
        for (kind, path) in changes {
            let path = RelPath::new(*path).expect("a path");
            let change = Change { path: path.clone(), kind: *kind, force: false, digest: None };
            let (mapping, id) = (&self.settings.mapping, &open.id);
            let until = now.plus(MINUTE);
            let mapped = mapping.wishes(&open.origin, &change, id, Witness::Watch, now, until);
            outgoing.extend(mapped.made.into_iter().map(Outgoing::Wish));
            paths.push((*kind, path));
        }
        let closed = Deploy { closed_at: Some(now), ..open };
        outgoing.push(Outgoing::Deploy(closed.clone()));
        let record = Record {
            origin: self.origin(),
            forget: false,
            chunks: Vec::new(),
            origin_record: None,
            removals: Removals::default(),
            outgoing,
            changes: vec![(closed.id.clone(), paths)],
            at: now,
            end_bracket: false,
            gate: Some(Gating { commit }),
            push: tip.map(|commit| PushEnd {
                ends: Vec::new(),
                tip: Some(Tip { place: "here".to_owned(), commit: Some(commit) }),
            }),
        };
        self.store.record(record).await.expect("it records");
        closed
    }

    /// Steps until nothing is to be done now; returns when it wants to look again, from now on.
    async fn settle(&mut self) -> Option<Duration> {
        let gates = self.gates.as_mut().expect("a gate");
        loop {
            if let Step::Idle { until } = gates.step().await.expect("it steps") {
                return until.map(|until| until.since(self.clock.server_now()));
            }
        }
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Returns the targets of the wishes that went out, and forgets them.
    async fn went(&self) -> Vec<String> {
        let rows = self.store.outbox(1_000).await.expect("an outbox");
        let last = rows.last().map_or(0, |(sequence, _)| *sequence);
        self.store.acknowledge(last).await.expect("acknowledged");
        let targets = rows.into_iter().filter_map(|(_, item)| match item {
            Outgoing::Wish(wish) => Some(wish.target.to_string()),
            _ => None,
        });
        targets
            .map(|target| target.trim_start_matches("https://www.example.com").to_owned())
            .collect()
    }

    fn facts(&self) -> Option<GateFacts> {
        self.facts.borrow().gates.get(&self.origin()).cloned()
    }

    fn why(&self) -> String {
        self.facts().map(|facts| facts.why).unwrap_or_default()
    }
}

fn commit(digit: char) -> CommitId {
    CommitId::parse(&digit.to_string().repeat(40)).expect("a name").expect("not none")
}

use ChangeKind::Modified;

/// Runs git in a folder, as nobody in particular.
fn git(folder: &std::path::Path, words: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args([
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", folder)
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Makes a repository the origin, which serves its directory `site`.
fn repository(world: &mut World) -> PathBuf {
    let folder = world.path("repository");
    std::fs::create_dir_all(folder.join("site")).expect("made");
    git(&folder, &["init", "-q"]);
    let repository = refreshd::config::Repository { path: folder.clone(), fetch_from: None };
    world.settings.tree = Tree::Repository(repository);
    world.settings.prefix = RelPath::new("site").expect("a path");
    world.restart();
    folder
}

fn commit_all(folder: &std::path::Path) -> Option<CommitId> {
    git(folder, &["add", "."]);
    git(folder, &["commit", "-q", "--allow-empty", "-m", "one more"]);
    CommitId::parse(&git(folder, &["rev-parse", "HEAD"])).expect("a name")
}

#[tokio::test]
async fn a_server_may_name_a_commit_that_changed_nothing_here() {
    let mut world = World::new(1, version).await;
    let folder = repository(&mut world);
    let commits: Vec<_> = (0..4).map(|_| commit_all(&folder)).collect();
    world.deploy(&[(Modified, "a.html")], commits[0].clone()).await;
    world.deploy_to(&[(Modified, "b.html")], commits[2].clone(), commits[3].clone()).await;
    let web = world.webs[0].clone();
    let between = commits[1].as_ref().expect("a commit");
    web.serve("/version.txt", between.short());
    world.settle().await;
    assert_eq!(world.went().await, Vec::<String>::new(), "which commit that is nobody says");
    web.serve("/version.txt", between.as_str());
    world.pass(SECOND * 15);
    assert!(world.settle().await.is_some(), "the newer one waits");
    assert_eq!(world.went().await, ["/a.html"]);
    web.serve("/version.txt", commits[3].as_ref().expect("a commit").short());
    world.pass(SECOND * 15);
    assert_eq!(world.settle().await, None, "the last one has all");
    assert_eq!(world.went().await, ["/b.html"]);
}

fn version(servers: Servers) -> Opens {
    Opens::Version { path: "/version.txt".to_owned(), servers }
}

#[tokio::test]
async fn the_version_of_the_slowest_server_opens_what_it_has() {
    let mut world = World::new(2, version).await;
    let repository =
        refreshd::config::Repository { path: world.path("none.git"), fetch_from: None };
    world.settings.tree = Tree::Repository(repository);
    world.restart();
    for (digit, path) in [('a', "a.html"), ('b', "b.html"), ('c', "c.html")] {
        world.deploy(&[(Modified, path)], Some(commit(digit))).await;
        world.pass(SECOND);
    }
    let [one, two] = [world.webs[0].clone(), world.webs[1].clone()];
    world.settle().await;
    assert!(world.why().contains("answers /version.txt with status 404"), "{}", world.why());
    one.serve("/version.txt", &"c".repeat(40));
    two.serve("/version.txt", "{\"commit\": \"0000000\"}\n");
    world.pass(SECOND * 15);
    world.settle().await;
    assert!(world.why().ends_with("and not the commit aaaaaaaaaa"), "{}", world.why());
    assert_eq!(world.went().await, Vec::<String>::new());
    two.serve("/version.txt", "v1-2-gbbbbbbb\n");
    world.pass(SECOND * 15);
    assert!(world.settle().await.is_some(), "the newest waits");
    assert_eq!(world.went().await, ["/a.html", "/b.html"]);
    two.serve("/version.txt", &"c".repeat(12));
    world.pass(SECOND * 15);
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/c.html"]);
}

#[tokio::test]
async fn the_version_of_a_watched_tree_is_its_file() {
    let mut world = World::new(1, version).await;
    world.write("version.txt", "2026-11-23\n");
    world.deploy(&[(Modified, "a.html")], None).await;
    let web = world.webs[0].clone();
    web.serve("/version.txt", "2026-11-22\n");
    world.settle().await;
    assert!(
        world.why().contains("with \"2026-11-22\", and the tree has another"),
        "{}",
        world.why()
    );
    web.serve("/version.txt", "2026-11-23");
    world.pass(SECOND);
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/a.html"]);
}

#[tokio::test]
async fn a_delay_passes() {
    let mut world = World::new(0, |_| Opens::Delay(SECOND * 30)).await;
    world.deploy(&[(Modified, "a.html")], None).await;
    assert_eq!(world.settle().await, Some(SECOND * 30));
    world.pass(SECOND * 10);
    world.deploy(&[(Modified, "b.html")], None).await;
    assert_eq!(world.settle().await, Some(SECOND * 20));
    world.pass(SECOND * 20);
    assert_eq!(world.settle().await, Some(SECOND * 10));
    assert_eq!(world.went().await, ["/a.html"]);
    world.pass(SECOND * 10);
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/b.html"]);
}

#[tokio::test]
async fn a_gate_that_stays_closed_alarms_and_never_opens_by_itself() {
    let mut world = World::new(1, Opens::Content).await;
    world.write("a.html", "new");
    world.deploy(&[(Modified, "a.html")], None).await;
    for _ in 0..40 {
        let pause = world.settle().await.expect("it looks again");
        assert!(pause <= SECOND * 15);
        let due = world.clock.server_now().since(world.facts().expect("it waits").since);
        assert_eq!(world.facts().expect("it waits").alarmed, due >= MINUTE * 10, "{due:?}");
        world.pass(SECOND * 15);
    }
    world.pass(MINUTE * 10);
    world.settle().await;
    assert!(world.facts().expect("it waits").alarmed);
    world.restart();
    world.pass(MINUTE * 60 * 24);
    world.settle().await;
    assert!(world.facts().expect("it waits").alarmed);
    assert_eq!(world.went().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_echo_follows_what_went_once() {
    let mut world = World::new(0, |_| Opens::Settled).await;
    world.settings.gate.echo = MINUTE;
    world.restart();
    world.deploy(&[(Modified, "a.html")], None).await;
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/a.html"]);
    let due = world.clock.server_now().plus(MINUTE);
    let early = due.minus(SECOND);
    assert_eq!(world.store.send_echoes(early).await.expect("sends"), (0, Some(due)));
    assert_eq!(world.store.send_echoes(due).await.expect("sends"), (1, None));
    let rows = world.store.outbox(10).await.expect("an outbox");
    let [(_, Outgoing::Wish(wish))] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((wish.cause.witness, wish.not_before), (Witness::Schedule, due));
    assert_eq!(world.went().await, ["/a.html"]);
    assert_eq!(world.store.send_echoes(due).await.expect("sends"), (0, None));
}
