//! The loop of a repository, stepped by hand over real commits and a real store.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use refreshd::clock::{Clock, ManualClock};
use refreshd::config::Repository;
use refreshd::database::Database;
use refreshd::domain::facts::OriginState;
use refreshd::domain::guard::Guard;
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::Outgoing;
use refreshd::domain::mapping::{Mapping, Spec};
use refreshd::domain::path::RelPath;
use refreshd::domain::push::{CommitId, Fate, Listed, Push};
use refreshd::domain::stage::Stages;
use refreshd::domain::time::Timestamp;
use refreshd::engine::pushes::{Pushes, Settings};
use refreshd::engine::step::Step;
use refreshd::store::{Delivery, DeliveryId, DeliveryRow, Store};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::repository::Work;

const MAIN: &str = "refs/heads/main";
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) work: Work,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Store,
    pub(super) settings: Settings,
    pub(super) pushes: Pushes,
    pub(super) stop: CancellationToken,
    told: u32,
}

/// How one delivery ended: its fate, why, and what it made us wish for.
pub(super) type Told = (Option<Fate>, String, Vec<String>);

fn pushes(
    settings: &Settings,
    store: &Store,
    clock: &Arc<ManualClock>,
    stop: &CancellationToken,
) -> Pushes {
    let domains = vec!["https://www.example.com".parse().expect("a base")];
    let spec =
        Spec { exclude: vec!["private/**".to_owned()], ..Spec::plain("main".into(), domains) };
    let mapping = Arc::new(Mapping::new(spec).expect("valid"));
    let recorded = vec![Arc::new(Notify::new())];
    Pushes::new(settings.clone(), mapping, store.clone(), clock.clone(), recorded, stop.clone())
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let work = Work::new(folder.path().join("work"));
        let clock = ManualClock::new(Timestamp::from_seconds(1_800_000_000), 7);
        let database = Database::open(&folder.path().join("refreshd.db")).expect("opens");
        let store = Store::open(database, 1).await.expect("opens");
        let settings = Settings {
            origin: "www".into(),
            repository: Repository { path: work.0.clone(), fetch_from: None },
            branch: MAIN.to_owned(),
            prefix: RelPath::root(),
            stages: Stages::default(),
            guard: Guard::default(),
            gated: false,
            reconcile_every: HOUR,
        };
        let stop = CancellationToken::new();
        let pushes = pushes(&settings, &store, &clock, &stop);
        Self { folder, work, clock, store, settings, pushes, stop, told: 0 }
    }

    /// A bench whose tip is a first commit with two files.
    pub(super) async fn begun() -> (Self, CommitId) {
        let mut bench = Self::new().await;
        bench.work.write("a", "1");
        let first = bench.work.commit("b", "1");
        bench.run().await;
        assert_eq!(bench.wishes().await, [""; 0], "a baseline refreshes nothing");
        assert_eq!(bench.pushes.facts().state, OriginState::Watching);
        (bench, first)
    }

    pub(super) fn restart(&mut self) {
        self.pushes = pushes(&self.settings, &self.store, &self.clock, &self.stop);
    }

    /// Steps until there is nothing to do; returns when there is.
    pub(super) async fn run(&mut self) -> Option<Timestamp> {
        for _ in 0..100 {
            if let Step::Idle { until } = self.pushes.step().await.expect("the store works") {
                return until;
            }
        }
        panic!("it never rests");
    }

    /// Takes the paths that are wished for out of the outbox.
    pub(super) async fn wishes(&self) -> Vec<String> {
        let outbox = self.store.outbox(100_000).await.expect("reads");
        let mut urls = Vec::new();
        for (sequence, outgoing) in outbox {
            self.store.acknowledge(sequence).await.expect("acknowledges");
            if let Outgoing::Wish(wish) = outgoing {
                let path = wish.target.text.strip_prefix("https://www.example.com/");
                urls.push(path.expect("ours").to_owned());
            }
        }
        urls.sort();
        urls
    }

    pub(super) async fn receive(&mut self, push: Push) -> DeliveryId {
        self.receive_by("git", b"", push).await
    }

    /// Has a hook tell of a push, in these words.
    pub(super) async fn receive_by(&mut self, hook: &str, body: &[u8], push: Push) -> DeliveryId {
        self.told += 1;
        let delivery = Delivery {
            hook: hook.into(),
            key: self.told.to_string(),
            at: self.clock.server_now(),
            event: "push".to_owned(),
            source: String::new(),
            content_type: String::new(),
            body: body.to_vec(),
            pushes: vec![("www".into(), push)],
            why: String::new(),
        };
        self.store.receive(vec![delivery]).await.expect("written")[0].id
    }

    pub(super) async fn row(&self, id: DeliveryId) -> DeliveryRow {
        self.store.deliveries(Some(id), false, 1).await.expect("reads").remove(0)
    }

    pub(super) async fn told(&mut self, push: Push) -> Told {
        let id = self.receive(push).await;
        self.run().await;
        let row = self.row(id).await;
        (row.fate, row.why, self.wishes().await)
    }

    pub(super) async fn tell(
        &mut self,
        before: Option<&CommitId>,
        after: Option<&CommitId>,
    ) -> Told {
        self.told(push(before, after)).await
    }
}

pub(super) fn push(before: Option<&CommitId>, after: Option<&CommitId>) -> Push {
    Push {
        reference: MAIN.to_owned(),
        before: before.cloned(),
        after: after.cloned(),
        listed: Listed::nothing("nothing is listed"),
    }
}

pub(super) fn assert_told(told: &Told, fate: Fate, why: &str, urls: &[&str]) {
    assert_eq!((told.0, told.2.as_slice()), (Some(fate), strings(urls).as_slice()), "{}", told.1);
    assert!(told.1.contains(why), "{:?} has no {why:?}", told.1);
}

pub(super) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

pub(super) fn nowhere(digit: &str) -> CommitId {
    CommitId::parse(&digit.repeat(40)).expect("a name").expect("some")
}

#[tokio::test]
async fn each_push_ends_in_the_fate_that_its_commits_say() {
    let (mut bench, one) = Bench::begun().await;
    let two = bench.work.commit("a", "2");
    let three = bench.work.commit("a", "1");
    // One that the next takes back was served between them.
    assert_told(&bench.tell(Some(&one), Some(&two)).await, Fate::Intents, "from ", &["a"]);
    assert_told(&bench.tell(Some(&two), Some(&three)).await, Fate::Intents, "from ", &["a"]);
    assert_told(&bench.tell(Some(&two), Some(&three)).await, Fate::Nothing, "repeated", &[]);
    assert_told(&bench.tell(Some(&one), Some(&two)).await, Fate::Nothing, "repeated", &[]);
    let other = Push { reference: "refs/heads/side".to_owned(), ..push(Some(&one), Some(&two)) };
    assert_told(&bench.told(other).await, Fate::Nothing, "another branch", &[]);
    let four = bench.work.commit("private/x", "1");
    let told = bench.tell(Some(&three), Some(&four)).await;
    assert_told(&told, Fate::Nothing, "nothing that is served changed", &[]);
    // Nobody tells of `e`: the next brings it along.
    bench.work.commit("e", "1");
    let five = bench.work.head();
    let six = bench.work.commit("f", "1");
    assert_told(&bench.tell(Some(&five), Some(&six)).await, Fate::Intents, "from ", &["e", "f"]);
    assert_told(&bench.tell(Some(&four), Some(&five)).await, Fate::Nothing, "done already", &[]);
}

#[tokio::test]
async fn a_forced_push_takes_back_what_it_passes_over() {
    let (mut bench, one) = Bench::begun().await;
    let four = bench.work.commit("d", "1");
    let five = bench.work.commit("e", "1");
    let six = bench.work.commit("f", "1");
    bench.tell(Some(&one), Some(&four)).await;
    bench.tell(Some(&four), Some(&five)).await;
    bench.tell(Some(&five), Some(&six)).await;
    bench.work.git(&["reset", "-q", "--hard", four.as_str()]);
    assert_told(&bench.tell(Some(&six), Some(&four)).await, Fate::Intents, "from ", &["e", "f"]);
    bench.work.git(&["reset", "-q", "--hard", six.as_str()]);
    assert_told(&bench.tell(Some(&four), Some(&six)).await, Fate::Intents, "from ", &["e", "f"]);
    bench.work.git(&["reset", "-q", "--hard", one.as_str()]);
    let seven = bench.work.commit("g", "1");
    assert_told(
        &bench.tell(Some(&six), Some(&seven)).await,
        Fate::Intents,
        "",
        &["d", "e", "f", "g"],
    );
    // A replay of what was pushed away since.
    assert_told(&bench.tell(Some(&five), Some(&six)).await, Fate::Nothing, "repeated", &[]);
    bench.restart();
    assert_told(&bench.tell(Some(&four), Some(&six)).await, Fate::Nothing, "repeated", &[]);
}

#[tokio::test]
async fn a_branch_may_go_and_come_back_elsewhere() {
    let (mut bench, a) = Bench::begun().await;
    let b = bench.work.commit("a", "2");
    bench.tell(Some(&a), Some(&b)).await;
    bench.work.git(&["checkout", "-q", "--detach"]);
    bench.work.git(&["branch", "-q", "-D", "main"]);
    assert_told(&bench.tell(Some(&b), None).await, Fate::Nothing, "the branch was deleted", &[]);
    bench.clock.advance(HOUR);
    bench.run().await;
    let facts = bench.pushes.facts();
    assert_eq!(facts.state, OriginState::Unavailable);
    assert!(facts.note.contains("no refs/heads/main any more"), "{}", facts.note);
    bench.work.git(&["branch", "-q", "main", a.as_str()]);
    assert_told(&bench.tell(None, Some(&a)).await, Fate::Intents, "from nothing", &["a"]);
    assert_told(&bench.tell(None, Some(&a)).await, Fate::Nothing, "", &[]);
    bench.clock.advance(HOUR);
    bench.run().await;
    assert_eq!(bench.pushes.facts().state, OriginState::Watching);
    // What was pushed just before it was deleted, and told of by nobody, was served.
    bench.work.git(&["checkout", "-q", "main"]);
    let c = bench.work.commit("c", "1");
    assert_told(&bench.tell(Some(&c), None).await, Fate::Intents, "deleted", &["c"]);
}

#[tokio::test]
async fn the_first_push_makes_everything() {
    let mut bench = Bench::new().await;
    bench.run().await;
    assert!(bench.pushes.facts().note.contains("no refs/heads/main yet"));
    bench.work.write("d/index.html", "1");
    let a = bench.work.commit("a", "1");
    let told = bench.tell(None, Some(&a)).await;
    assert_told(&told, Fate::Intents, "from nothing", &["a", "d/", "d/index.html"]);
    assert_eq!(bench.pushes.facts().files, 2);
}

#[tokio::test]
async fn what_nobody_tells_of_is_found_at_start_by_the_hour_and_when_called() {
    let (mut bench, _) = Bench::begun().await;
    bench.work.commit("a", "2");
    bench.run().await;
    assert_eq!(bench.wishes().await, [""; 0], "it is not looked at all the time");
    bench.restart();
    bench.run().await;
    assert_eq!(bench.wishes().await, ["a"], "at start");
    bench.work.commit("b", "2");
    bench.clock.advance(HOUR);
    bench.run().await;
    assert_eq!(bench.wishes().await, ["b"], "by the hour");
    bench.work.commit("c", "2");
    let ticket = bench.pushes.door().call();
    bench.run().await;
    assert_eq!((bench.wishes().await, bench.pushes.facts().seen), (strings(&["c"]), ticket));
    let outbox = bench.store.outbox(10).await.expect("reads");
    assert!(outbox.is_empty() && bench.pushes.facts().reconciles > 0);
}

#[tokio::test]
async fn a_push_that_is_told_of_after_its_branch_was_compared_brings_only_what_was_missed() {
    let (mut bench, a) = Bench::begun().await;
    bench.work.write("c", "1");
    let b = bench.work.commit("a", "2");
    let c = bench.work.commit("a", "1");
    let _ = bench.pushes.door().call();
    bench.run().await;
    assert_eq!(bench.wishes().await, ["c"]);
    // Between the two `a` was another.
    assert_told(&bench.tell(Some(&a), Some(&b)).await, Fate::Intents, "late", &["a"]);
    assert_told(&bench.tell(Some(&b), Some(&c)).await, Fate::Nothing, "done already", &[]);
    bench.work.git(&["reset", "-q", "--hard", a.as_str()]);
    let d = bench.work.commit("d", "1");
    let _ = bench.pushes.door().call();
    bench.run().await;
    assert_eq!(bench.wishes().await, ["c", "d"]);
    assert_told(&bench.tell(Some(&c), Some(&d)).await, Fate::Nothing, "done already", &[]);
}

#[tokio::test]
async fn the_senders_list_stands_for_commits_that_are_missing() {
    let (mut bench, a) = Bench::begun().await;
    bench.settings.prefix = RelPath::new("site").expect("valid");
    bench.restart();
    bench.run().await;
    assert!(bench.pushes.facts().note.contains("a new baseline was taken"));
    let paths: BTreeSet<RelPath> = ["site/x", "site/private/y", "z"]
        .iter()
        .map(|&p| RelPath::new(p).expect("valid"))
        .collect();
    let all = Push { listed: Listed::All(paths), ..push(Some(&a), Some(&nowhere("a"))) };
    let told = bench.told(all.clone()).await;
    assert_told(&told, Fate::Intents, "by the list of who told of it", &["x"]);
    assert_told(&bench.told(all).await, Fate::Nothing, "repeated", &[]);
}

#[tokio::test]
async fn a_cut_list_waits_for_the_commits_a_day_long_and_fails_visibly() {
    let (mut bench, a) = Bench::begun().await;
    let lost = bench.receive(push(Some(&a), Some(&nowhere("c")))).await;
    let until = bench.run().await.expect("it is tried again");
    assert_eq!(until, bench.clock.server_now().plus(Duration::from_secs(5)));
    assert_eq!(bench.pushes.facts().dirty, 1);
    let row = bench.row(lost).await;
    let why = "the repository has no commit cccccccccc yet, and nothing is listed";
    assert_eq!((row.fate, row.pushes[0].why.as_str()), (None, why));
    // Others pass it by.
    let b = bench.work.commit("b", "2");
    assert_told(&bench.tell(Some(&a), Some(&b)).await, Fate::Intents, "", &["b"]);
    bench.clock.advance(Duration::from_secs(3));
    bench.run().await;
    assert_eq!(bench.row(lost).await.pushes[0].attempts, 1);
    let mut tries = 0;
    while bench.row(lost).await.fate.is_none() {
        bench.clock.advance(Duration::from_secs(601));
        bench.run().await;
        tries += 1;
        assert!(tries < 200, "it never ends");
    }
    let row = bench.row(lost).await;
    assert_eq!(row.fate, Some(Fate::Failed));
    assert!(row.why.contains("set `fetch_from`"), "{}", row.why);
    assert!((130..150).contains(&tries), "{tries}");
    assert_eq!(bench.wishes().await, [""; 0]);
}

#[tokio::test]
async fn what_was_fetched_counts_and_a_lost_remote_is_no_deletion() {
    let (mut bench, a) = Bench::begun().await;
    let clone = bench.folder.path().join("clone.git");
    let from = bench.work.0.display().to_string();
    bench.settings.repository = Repository { path: clone, fetch_from: Some(from) };
    bench.restart();
    bench.run().await;
    assert_eq!(bench.pushes.facts().files, 2);
    let b = bench.work.commit("b", "2");
    assert_told(&bench.tell(Some(&a), Some(&b)).await, Fate::Intents, "", &["b"]);
    let away = bench.folder.path().join("away");
    std::fs::rename(&bench.work.0, &away).expect("renamed");
    let id = bench.receive(push(Some(&b), Some(&nowhere("d")))).await;
    bench.clock.advance(HOUR);
    bench.run().await;
    let facts = bench.pushes.facts();
    assert_eq!((facts.state, bench.row(id).await.fate), (OriginState::Unavailable, None));
    assert!(facts.note.starts_with("git can't fetch: "), "{}", facts.note);
    std::fs::rename(&away, &bench.work.0).expect("renamed");
    bench.work.commit("c", "1");
    bench.clock.advance(HOUR);
    bench.run().await;
    assert_eq!(bench.pushes.facts().state, OriginState::Watching);
    assert_eq!(bench.wishes().await, ["c"]);
}

/// Forces the branch elsewhere, so that its last commit is gone.
fn forget(work: &Work, keep: &CommitId) {
    work.git(&["reset", "-q", "--hard", keep.as_str()]);
    work.git(&["reflog", "expire", "--expire=all", "--all"]);
    work.git(&["prune", "--expire=now"]);
}

#[tokio::test]
async fn a_tip_that_is_gone_is_compared_by_what_is_remembered_of_its_files() {
    let (mut bench, a) = Bench::begun().await;
    bench.work.write("c", "1");
    let b = bench.work.commit("a", "2");
    bench.tell(Some(&a), Some(&b)).await;
    bench.run().await;
    forget(&bench.work, &a);
    let d = bench.work.commit("d", "1");
    assert_told(&bench.tell(Some(&b), Some(&d)).await, Fate::Intents, "", &["a", "c", "d"]);
    assert!(bench.pushes.facts().note.contains("is gone from the repository: its list of files"));
    forget(&bench.work, &a);
    bench.restart();
    bench.run().await;
    // Nothing is remembered by now: all that is there counts.
    assert_eq!(bench.wishes().await, ["a", "b"]);
    assert!(bench.pushes.facts().note.contains("all files stood for it"));
}

#[tokio::test]
async fn a_person_may_ask_for_a_push_again_whatever_the_tip_says() {
    let (mut bench, a) = Bench::begun().await;
    let b = bench.work.commit("b", "2");
    let id = bench.receive(push(Some(&a), Some(&b))).await;
    bench.run().await;
    assert_eq!(bench.wishes().await, ["b"]);
    bench.work.git(&["reset", "-q", "--hard", a.as_str()]);
    let c = bench.work.commit("c", "1");
    bench.tell(Some(&b), Some(&c)).await;
    assert_eq!(bench.store.replay(id, bench.clock.server_now()).await.expect("written"), 1);
    bench.run().await;
    let outbox = bench.store.outbox(10).await.expect("reads");
    let wish = outbox.iter().find_map(|(_, outgoing)| match outgoing {
        Outgoing::Wish(wish) => Some(wish),
        _ => None,
    });
    assert_eq!(wish.expect("a wish").cause.witness, Witness::Operator);
    assert_eq!(bench.wishes().await, ["b"]);
    let tip = bench.store.tip(&"www".into()).await.expect("reads").expect("a tip");
    assert_eq!(tip.commit, Some(c), "the branch is where it is");
}

#[tokio::test]
async fn what_never_changes_under_its_name_costs_nothing_until_it_returns() {
    let (mut bench, a) = Bench::begun().await;
    let b = bench.work.commit("app.3f9c1a7b2d.js", "1");
    let told = bench.tell(Some(&a), Some(&b)).await;
    assert_told(&told, Fate::Nothing, "never changes under its name", &[]);
    bench.work.git(&["rm", "-q", "app.3f9c1a7b2d.js"]);
    let c = bench.work.commit_all();
    let name = ["app.3f9c1a7b2d.js"];
    assert_told(&bench.tell(Some(&b), Some(&c)).await, Fate::Intents, "", &name);
    let d = bench.work.commit("app.3f9c1a7b2d.js", "2");
    assert_told(&bench.tell(Some(&c), Some(&d)).await, Fate::Intents, "", &name);
}

#[tokio::test]
async fn what_looks_like_an_accident_waits_for_a_person() {
    let mut bench = Bench::new().await;
    for number in 0..600 {
        bench.work.write(&format!("p{number}"), "1");
    }
    let a = bench.work.commit_all();
    bench.run().await;
    for number in 0..550 {
        std::fs::remove_file(bench.work.0.join(format!("p{number}"))).expect("removed");
    }
    bench.work.write("p599", "2");
    let b = bench.work.commit_all();
    bench.receive(push(Some(&a), Some(&b))).await;
    bench.run().await;
    let outbox = bench.store.outbox(10_000).await.expect("reads");
    let holds = outbox.iter().filter_map(|(_, outgoing)| match outgoing {
        Outgoing::Wish(wish) => Some(wish.hold.as_deref()),
        _ => None,
    });
    let (held, free): (Vec<_>, Vec<_>) = holds.partition(Option::is_some);
    assert_eq!((held.len(), free.len()), (550, 1));
    assert_eq!(held[0], Some("550 of 600 files vanished at once"));
}

#[tokio::test]
async fn a_large_push_is_one_deploy_though_it_is_written_in_parts() {
    let (mut bench, a) = Bench::begun().await;
    fast_import(&bench.work.0, &a, 45_000);
    let b = CommitId::parse(&bench.work.git(&["rev-parse", "main"])).expect("a name");
    bench.receive(push(Some(&a), b.as_ref())).await;
    bench.run().await;
    let outbox = bench.store.outbox(100_000).await.expect("reads");
    let is_wish = |outgoing: &Outgoing| matches!(outgoing, Outgoing::Wish(_));
    assert_eq!(outbox.iter().filter(|(_, outgoing)| is_wish(outgoing)).count(), 45_000);
    let bounds = outbox.iter().filter_map(|(at, outgoing)| match outgoing {
        Outgoing::Deploy(deploy) => Some((*at, deploy.id.clone(), deploy.closed_at.is_some())),
        _ => None,
    });
    let bounds: Vec<_> = bounds.collect();
    let [(1, opened, false), (45_002, closed, true)] = bounds.as_slice() else {
        panic!("{bounds:?}");
    };
    assert_eq!(opened, closed);
    let changes = bench.store.changes(opened).await.expect("reads");
    assert_eq!(changes.len(), 45_000);
}

/// Commits so many new files, faster than a working tree would.
fn fast_import(repository: &Path, onto: &CommitId, files: usize) {
    use std::fmt::Write as _;
    use std::io::Write as _;
    let mut stream = format!("commit {MAIN}\ncommitter t <t@t> 1800000000 +0000\ndata 0\n");
    writeln!(stream, "from {onto}").expect("written");
    for number in 0..files {
        writeln!(stream, "M 100644 inline d{}/f{number}\ndata 1\nx", number % 100)
            .expect("written");
    }
    let mut child = std::process::Command::new("git")
        .current_dir(repository)
        .args(["fast-import", "--quiet"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("git runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(stream.as_bytes()).expect("it reads");
    drop(input);
    assert!(child.wait().expect("it ends").success());
}
