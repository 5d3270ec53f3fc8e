//! The intake, stepped by hand over real files and a real store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use refreshd::clock::{Clock, ManualClock, SharedClock, SystemClock};
use refreshd::database::{Database, DatabaseError};
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::deploy::Deploy;
use refreshd::domain::facts::OriginState;
use refreshd::domain::guard::Guard;
use refreshd::domain::hint::{Hint, Reach, Witness};
use refreshd::domain::intent::{Action, Cause, Outgoing, Priority, Wish};
use refreshd::domain::mapping::{Mapping, Spec};
use refreshd::domain::path::RelPath;
use refreshd::domain::settle::Waits;
use refreshd::domain::stage::Stages;
use refreshd::domain::watch::Links;
use refreshd::engine::intake::{Intake, Settings};
use refreshd::source::HintSender;
use refreshd::source::watch::inotify::Inotify;
use refreshd::source::watch::{Backend, Coverage, Polled, Tree, Watch, WatchError};
use refreshd::store::Store;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

/// A watch that hears nothing: tests hint by hand.
struct Deaf;

impl Watch for Deaf {
    fn catch_up(&self) {}

    fn retry(&self) {}

    fn follow(&self, _: &[(RelPath, PathBuf)]) {}

    fn coverage(&self) -> Coverage {
        Coverage { means: "deaf", ..Coverage::default() }
    }
}

struct DeafBackend;

impl Backend for DeafBackend {
    fn arm(&self, _: &Tree, _: HintSender) -> Result<Box<dyn Watch>, WatchError> {
        Ok(Box::new(Deaf))
    }
}

/// A kernel that can't watch at all.
struct NoWatches;

impl Backend for NoWatches {
    fn arm(&self, _: &Tree, _: HintSender) -> Result<Box<dyn Watch>, WatchError> {
        Err(WatchError("no watches left".to_owned()))
    }
}

/// A watch that does as it is told.
#[derive(Default)]
struct Script {
    /// A file that is written, once, before the watch has caught up.
    late: Option<PathBuf>,
    /// What is told of, once, the next time but one that the watch catches up.
    tidings: Vec<RelPath>,
    /// Whether an operator asks for a new baseline while the watch catches up.
    anew: bool,
    /// Whether it caught up before.
    caught_up: bool,
    door: Option<HintSender>,
    /// What the kernel does not tell of until it is tried again.
    polled: Vec<&'static str>,
    /// What is watched outside the root.
    followed: Vec<(RelPath, PathBuf)>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().expect("nobody panicked"))
    }
}

impl Watch for Scripted {
    fn catch_up(&self) {
        if let Some(path) = self.change(|script| script.late.take()) {
            fs::write(path, "late").expect("written");
        }
        self.change(|script| {
            let door = script.door.as_ref().expect("armed");
            if std::mem::take(&mut script.anew) {
                door.begin_anew(Vec::new());
            }
            if script.caught_up
                && let Some(path) = script.tidings.pop()
            {
                door.send(Hint { path, reach: Reach::Subtree, witness: Witness::Watch });
            }
            script.caught_up = true;
        });
    }

    fn retry(&self) {
        self.change(|script| script.polled.retain(|path| *path != "room"));
    }

    fn follow(&self, outside: &[(RelPath, PathBuf)]) {
        self.change(|script| script.followed = outside.to_vec());
    }

    fn coverage(&self) -> Coverage {
        let polled = |path: &&str| Polled {
            path: RelPath::new(*path).expect("valid"),
            why: "no room".to_owned(),
        };
        Coverage {
            means: "scripted",
            polled: self.change(|script| script.polled.iter().map(polled).collect()),
            ..Coverage::default()
        }
    }
}

impl Backend for Scripted {
    fn arm(&self, _: &Tree, door: HintSender) -> Result<Box<dyn Watch>, WatchError> {
        self.change(|script| script.door = Some(door));
        Ok(Box::new(self.clone()))
    }
}

struct World {
    parent: TempDir,
    clock: Arc<ManualClock>,
    database: Database,
    store: Store,
    intake: Intake,
}

const WAITS: Waits = Waits {
    settle: SECOND,
    deploy_deadline: Duration::from_secs(10),
    unstable_after: Duration::from_secs(60),
    delete_settle: Duration::from_secs(30),
    transient: Duration::from_secs(5),
};

fn intake(
    root: PathBuf,
    waits: Waits,
    clock: SharedClock,
    store: &Store,
    backend: Arc<dyn Backend>,
) -> Intake {
    reading(20_000_000, root, waits, clock, store, backend)
}

/// An intake that reads a new tree with so many bytes a second.
fn reading(
    digest_rate: u64,
    root: PathBuf,
    waits: Waits,
    clock: SharedClock,
    store: &Store,
    backend: Arc<dyn Backend>,
) -> Intake {
    with(settings(digest_rate, root, waits), clock, store, backend)
}

fn settings(digest_rate: u64, root: PathBuf, waits: Waits) -> Settings {
    Settings {
        origin: "www".into(),
        root,
        links: Links::Inside,
        waits,
        reconcile_every: Duration::from_secs(3_600),
        poll_every: Duration::from_secs(60),
        digest_rate,
        guard: Guard { changed_percent: 80, ..Guard::default() },
        stages: Stages::default(),
        gated: false,
    }
}

fn with(
    settings: Settings,
    clock: SharedClock,
    store: &Store,
    backend: Arc<dyn Backend>,
) -> Intake {
    let domains = vec!["https://www.example.com".to_owned()];
    let mapping = Mapping::new(Spec {
        exclude: vec!["private/**".to_owned()],
        ..Spec::plain("main".into(), domains)
    })
    .expect("valid");
    Intake::new(settings, Arc::new(mapping), store.clone(), clock, backend, Vec::new())
}

impl World {
    /// A world whose clock is a minute ahead of the files', so that all are old.
    async fn new(files: &[(&str, &str)]) -> Self {
        Self::at(files, SystemClock::default().now().plus(SECOND * 60), Arc::new(DeafBackend)).await
    }

    async fn at(
        files: &[(&str, &str)],
        now: refreshd::domain::time::Timestamp,
        backend: Arc<dyn Backend>,
    ) -> Self {
        let parent = tempfile::tempdir().expect("made");
        let root = parent.path().join("www");
        fs::create_dir(&root).expect("made");
        let clock = ManualClock::new(now, 1);
        let database = Database::in_memory().expect("opens");
        let store = Store::open(database.clone(), 1).await.expect("opens");
        let intake = intake(root, WAITS, Arc::clone(&clock) as SharedClock, &store, backend);
        let world = Self { parent, clock, database, store, intake };
        for (name, bytes) in files {
            world.write(name, bytes);
        }
        world
    }

    fn root(&self) -> PathBuf {
        self.parent.path().join("www")
    }

    fn write(&self, name: &str, bytes: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    fn hint(&self, name: &str, reach: Reach) {
        let path = RelPath::new(name).expect("valid");
        self.intake.door().send(Hint { path, reach, witness: Witness::Watch });
    }

    fn restart(&mut self) {
        let clock = Arc::clone(&self.clock) as SharedClock;
        self.intake = intake(self.root(), WAITS, clock, &self.store, Arc::new(DeafBackend));
    }

    /// Steps until there is nothing to do now; returns when there will be.
    async fn rest(&mut self) -> Option<Duration> {
        loop {
            let step = self.intake.step().await.expect("steps");
            if !step.worked && !step.awaits {
                return step.wake_at;
            }
            if !step.worked {
                self.intake.knocked().await;
            }
        }
    }

    /// Lets time pass, stepping whenever the intake asked for it.
    async fn pass(&mut self, time: Duration) {
        let end = self.clock.boot() + time;
        while let Some(wake_at) = self.rest().await.filter(|at| *at <= end) {
            let now = self.clock.boot();
            self.clock.advance(wake_at.saturating_sub(now).max(Duration::from_millis(1)));
        }
        self.clock.advance(end.saturating_sub(self.clock.boot()));
        self.rest().await;
    }

    async fn change(&mut self, name: &str, bytes: &str) {
        self.write(name, bytes);
        self.hint(name, Reach::Path);
        self.pass(SECOND * 2).await;
    }

    /// Takes what waits in the outbox.
    async fn taken(&self) -> Vec<Outgoing> {
        let items = self.store.outbox(100_000).await.expect("read");
        if let Some((last, _)) = items.last() {
            self.store.acknowledge(*last).await.expect("acknowledged");
        }
        items.into_iter().map(|(_, item)| item).collect()
    }

    /// Takes the refreshes that wait in the outbox: the path part of the URL, and `!` if forced.
    async fn refreshed(&self) -> Vec<String> {
        wishes(&self.taken().await).iter().map(|wish| shown(wish)).collect()
    }

    async fn sql(&self, statement: &'static str) {
        self.database
            .call("test", move |tx| tx.execute_batch(statement).map_err(DatabaseError::from))
            .await
            .expect("executed");
    }
}

fn wishes(items: &[Outgoing]) -> Vec<&Wish> {
    items
        .iter()
        .filter_map(|item| match item {
            Outgoing::Wish(wish) => Some(wish),
            Outgoing::Deploy(_) | Outgoing::Hold { .. } => None,
        })
        .collect()
}

fn deploys(items: &[Outgoing]) -> Vec<&Deploy> {
    items
        .iter()
        .filter_map(|item| match item {
            Outgoing::Deploy(deploy) => Some(deploy),
            Outgoing::Wish(_) | Outgoing::Hold { .. } => None,
        })
        .collect()
}

fn shown(wish: &Wish) -> String {
    assert_eq!(wish.action, Action::Refresh);
    let path = wish.target.text.trim_start_matches("https://www.example.com");
    format!("{path}{}", if wish.force { "!" } else { "" })
}

#[tokio::test]
async fn the_first_run_is_a_baseline_and_refreshes_nothing() {
    let mut world = World::new(&[("index.html", "a"), ("d/e/page", "b"), (".hidden", "c")]).await;
    let before = world.clock.now();
    world.pass(SECOND * 5).await;
    assert_eq!(world.refreshed().await, [""; 0]);
    let facts = world.intake.facts();
    assert_eq!((facts.state, facts.watch.as_str()), (OriginState::Watching, "deaf"));
    assert_eq!((facts.files, facts.directories, facts.dirty), (2, 2, 0));
    assert_eq!(facts.baseline_at, Some(before));
    assert_eq!(facts.note, "");
}

#[tokio::test]
async fn what_changes_after_the_start_counts_though_the_baseline_is_not_complete() {
    let now = SystemClock::default().now().minus(SECOND * 60);
    let mut world = World::at(&[("page", "a")], now, Arc::new(DeafBackend)).await;
    world.pass(SECOND * 5).await;
    assert_eq!(world.refreshed().await, ["/page"]);
}

#[tokio::test]
async fn a_change_is_a_wish_in_a_deploy_that_closes() {
    let mut world = World::new(&[("index.html", "a")]).await;
    world.pass(SECOND).await;
    world.write("index.html", "longer");
    world.hint("index.html", Reach::Path);
    world.rest().await;
    assert!(world.taken().await.is_empty(), "it has not settled");
    world.pass(SECOND).await;
    let items = world.taken().await;
    let deploys = deploys(&items);
    assert_eq!(deploys.len(), 2);
    assert!(deploys[0].closed_at.is_none() && deploys[1].closed_at.is_some());
    assert!(matches!((&items[0], &items[3]), (Outgoing::Deploy(_), Outgoing::Deploy(_))));
    let wishes = wishes(&items);
    let mut urls: Vec<_> = wishes.iter().map(|wish| shown(wish)).collect();
    urls.sort();
    assert_eq!(urls, ["/", "/index.html"]);
    assert_eq!(wishes[0].cause.deploy.as_ref(), Some(&deploys[0].id));
    assert_eq!(wishes[0].not_before, deploys[0].opened_at.plus(SECOND * 11));
    assert_eq!(wishes[0].cause.witness, Witness::Watch);
}

#[tokio::test]
async fn created_is_changed_and_excluded_is_nothing() {
    let mut world = World::new(&[("a", "a")]).await;
    world.pass(SECOND).await;
    world.write("private/x", "secret");
    world.hint("private", Reach::Subtree);
    world.change("new page", "b").await;
    assert_eq!(world.refreshed().await, ["/new%20page"]);
    world.write("moved/in/y", "c");
    world.hint("moved", Reach::Subtree);
    world.pass(SECOND * 2).await;
    assert_eq!(world.refreshed().await, ["/moved/in/y"]);
}

#[tokio::test]
async fn the_same_bytes_again_cause_nothing() {
    let mut world = World::new(&[("a", "bytes")]).await;
    world.pass(SECOND).await;
    fs::remove_file(world.root().join("a")).expect("removed");
    world.change("a", "bytes").await;
    assert_eq!(world.refreshed().await, [""; 0]);
    // The index took the new fingerprint: the next start suspects nothing.
    world.restart();
    world.rest().await;
    assert_eq!(world.intake.facts().dirty, 0);
}

#[tokio::test]
async fn hidden_bytes_are_forced() {
    let mut world = World::new(&[("a", "bytes")]).await;
    let path = world.root().join("a");
    let modified = fs::metadata(&path).and_then(|seen| seen.modified()).expect("known");
    world.pass(SECOND).await;
    world.write("a", "other");
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_modified(modified))
        .expect("set back");
    world.hint("a", Reach::Path);
    world.pass(SECOND * 2).await;
    assert_eq!(world.refreshed().await, ["/a!"]);
}

#[tokio::test]
async fn a_deletion_waits_and_then_belongs_to_its_deploy() {
    let mut world = World::new(&[("a", "a"), ("b", "b")]).await;
    world.pass(SECOND).await;
    fs::remove_file(world.root().join("a")).expect("removed");
    world.hint("a", Reach::Subtree);
    world.change("b", "bb").await;
    let items = world.taken().await;
    assert_eq!(wishes(&items).iter().map(|wish| shown(wish)).collect::<Vec<_>>(), ["/b"]);
    let deploy = deploys(&items)[0].id.clone();
    world.pass(SECOND * 28).await;
    assert_eq!(world.refreshed().await, [""; 0]);
    world.pass(SECOND * 2).await;
    let items = world.taken().await;
    let wishes = wishes(&items);
    assert_eq!(shown(wishes[0]), "/a!");
    assert_eq!(wishes[0].cause.deploy.as_ref(), Some(&deploy));
    assert!(wishes[0].not_before <= world.clock.now(), "its deploy is closed");
    assert_eq!(world.intake.facts().files, 1);
}

#[tokio::test]
async fn remove_and_copy_back_is_nothing() {
    let mut world = World::new(&[("d/a", "a"), ("b", "b")]).await;
    world.pass(SECOND).await;
    fs::remove_dir_all(world.root().join("d")).expect("removed");
    world.hint("d", Reach::Subtree);
    world.pass(SECOND * 5).await;
    world.write("d/a", "a");
    world.hint("d", Reach::Subtree);
    world.pass(SECOND * 60).await;
    assert_eq!(world.refreshed().await, [""; 0]);
}

#[tokio::test]
async fn changes_made_while_down_are_found_at_start() {
    let mut world = World::new(&[("kept", "a"), ("changed", "b"), ("gone", "c")]).await;
    world.pass(SECOND).await;
    world.write("changed", "bb");
    world.write("new", "d");
    fs::remove_file(world.root().join("gone")).expect("removed");
    world.restart();
    world.pass(SECOND * 2).await;
    let mut urls = world.refreshed().await;
    urls.sort();
    assert_eq!(urls, ["/changed", "/new"]);
    world.pass(SECOND * 31).await;
    assert_eq!(world.refreshed().await, ["/gone!"]);
    assert_eq!(world.intake.facts().state, OriginState::Watching);
}

#[tokio::test]
async fn an_interrupted_baseline_goes_on_with_its_time() {
    let mut world = World::new(&[]).await;
    for number in 0..700 {
        world.write(&format!("d{}/{number}", number % 7), "bytes");
    }
    world.intake.step().await.expect("steps");
    let facts = world.intake.facts();
    assert_eq!(facts.state, OriginState::Baseline);
    world.clock.advance(SECOND * 100);
    world.restart();
    world.pass(SECOND * 5).await;
    let after = world.intake.facts();
    assert_eq!((after.files, after.state), (700, OriginState::Watching));
    assert_eq!(after.baseline_at, facts.baseline_at);
    assert_eq!(world.refreshed().await, [""; 0]);
}

#[tokio::test]
async fn a_root_that_is_gone_or_emptied_deletes_nothing() {
    let mut world = World::new(&[("a", "a"), ("b", "b")]).await;
    world.pass(SECOND).await;
    let away = world.parent.path().join("away");
    fs::rename(world.root(), &away).expect("moved");
    world.hint("", Reach::Subtree);
    world.pass(SECOND * 100).await;
    let facts = world.intake.facts();
    assert_eq!(facts.state, OriginState::Unavailable);
    assert!(facts.note.contains("does not exist"), "{}", facts.note);
    fs::create_dir(world.root()).expect("made");
    world.pass(SECOND * 100).await;
    assert!(world.intake.facts().note.contains("is empty"), "{}", world.intake.facts().note);
    fs::remove_dir(world.root()).expect("removed");
    fs::write(away.join("a"), "changed meanwhile").expect("written");
    fs::rename(&away, world.root()).expect("moved back");
    world.pass(SECOND * 100).await;
    assert_eq!(world.refreshed().await, ["/a"]);
    let facts = world.intake.facts();
    assert_eq!((facts.state, facts.note.as_str()), (OriginState::Watching, ""));
}

#[tokio::test]
async fn an_emptied_root_deletes_nothing_though_each_deletion_was_heard() {
    let mut world = World::new(&[("a", "a"), ("d/b", "b"), ("d/c", "c")]).await;
    world.pass(SECOND).await;
    fs::remove_file(world.root().join("a")).expect("removed");
    fs::remove_dir_all(world.root().join("d")).expect("removed");
    for name in ["a", "d/b", "d/c", "d"] {
        world.hint(name, Reach::Subtree);
    }
    world.pass(SECOND * 100).await;
    let facts = world.intake.facts();
    assert_eq!((facts.state, facts.files), (OriginState::Unavailable, 3), "{}", facts.note);
    assert!(facts.note.contains("is empty"), "{}", facts.note);
    // It comes back in two steps: what is absent then is only absent since.
    world.write("a", "a");
    for _ in 0..60 {
        if world.intake.facts().state == OriginState::Watching {
            break;
        }
        world.pass(SECOND).await;
    }
    assert_eq!(world.intake.facts().state, OriginState::Watching);
    world.pass(SECOND * 20).await;
    assert_eq!(world.refreshed().await, [""; 0]);
    world.write("d/b", "other");
    world.hint("d", Reach::Subtree);
    world.pass(SECOND * 100).await;
    let mut urls = world.refreshed().await;
    urls.sort();
    assert_eq!(urls, ["/d/b", "/d/c!"]);
}

#[tokio::test]
async fn links_to_a_changed_file_change_with_it() {
    let mut world = World::new(&[("v1", "1"), ("page", "1"), ("alone", "1")]).await;
    fs::hard_link(world.root().join("page"), world.root().join("same")).expect("linked");
    std::os::unix::fs::symlink("v1", world.root().join("latest")).expect("linked");
    world.pass(SECOND).await;
    world.change("page", "changed").await;
    world.change("new", "2").await;
    fs::rename(world.root().join("new"), world.root().join("v1")).expect("moved");
    world.hint("new", Reach::Subtree);
    world.hint("v1", Reach::Subtree);
    world.pass(SECOND * 5).await;
    let mut urls = world.refreshed().await;
    urls.sort();
    assert_eq!(urls, ["/latest", "/new", "/page", "/same", "/v1"]);
}

#[tokio::test]
async fn a_file_written_through_a_name_it_just_got_changes_under_the_old_one_too() {
    let mut world = World::new(&[("page", "1"), ("alone", "1")]).await;
    world.pass(SECOND).await;
    fs::hard_link(world.root().join("page"), world.root().join("same")).expect("linked");
    // The kernel tells of the name that was used.
    world.change("same", "changed").await;
    world.pass(SECOND * 2).await;
    let mut urls = world.refreshed().await;
    urls.sort();
    assert_eq!(urls, ["/page", "/same"]);
}

#[tokio::test]
async fn a_new_directory_is_walked_only_once_it_is_watched() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    let mut world = World::at(&[("a", "a")], now, Arc::new(script.clone())).await;
    world.pass(SECOND).await;
    fs::create_dir(world.root().join("d")).expect("made");
    script.change(|script| script.late = Some(world.root().join("d/late")));
    world.hint("d", Reach::Subtree);
    world.pass(SECOND * 5).await;
    assert_eq!(world.refreshed().await, ["/d/late"]);
}

#[tokio::test]
async fn a_root_replaced_by_another_directory_is_compared() {
    let mut world = World::new(&[("a", "a"), ("b", "b")]).await;
    world.pass(SECOND).await;
    fs::rename(world.root(), world.parent.path().join("old")).expect("moved");
    world.write("a", "aa");
    world.write("b", "b");
    world.hint("", Reach::Subtree);
    world.pass(SECOND * 3).await;
    assert_eq!(world.refreshed().await, ["/a"]);
    assert_eq!(world.intake.facts().state, OriginState::Watching);
}

#[tokio::test]
async fn what_cannot_be_stored_is_found_again_once() {
    let mut world = World::new(&[("a", "a"), ("gone", "b")]).await;
    world.pass(SECOND).await;
    world
        .sql("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END")
        .await;
    fs::remove_file(world.root().join("gone")).expect("removed");
    world.hint("gone", Reach::Path);
    world.change("a", "aa").await;
    world.pass(SECOND * 200).await;
    let facts = world.intake.facts();
    assert!(facts.note.contains("cannot be stored"), "{}", facts.note);
    assert_eq!((facts.files, world.taken().await.len()), (2, 0));
    world.sql("DROP TRIGGER full").await;
    world.pass(SECOND * 200).await;
    let mut urls = world.refreshed().await;
    urls.sort();
    assert_eq!(urls, ["/a", "/gone!"]);
    assert_eq!(world.intake.facts().note, "");
}

#[tokio::test]
async fn a_damaged_index_is_a_new_baseline_that_says_so() {
    let mut world = World::new(&[("a", "a")]).await;
    world.pass(SECOND).await;
    world.sql("UPDATE chunk SET data = x'ff00'").await;
    world.write("a", "aa");
    world.restart();
    world.pass(SECOND * 5).await;
    let facts = world.intake.facts();
    assert!(facts.note.contains("damaged"), "{}", facts.note);
    assert_eq!((facts.files, facts.state), (1, OriginState::Watching));
    assert_eq!(world.refreshed().await, [""; 0]);
    world.change("a", "aaa").await;
    assert_eq!(world.refreshed().await, ["/a"]);
}

#[tokio::test]
async fn without_a_watch_the_tree_is_polled() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let mut world = World::at(&[("a", "a")], now, Arc::new(NoWatches)).await;
    world.pass(SECOND).await;
    let facts = world.intake.facts();
    assert_eq!(facts.state, OriginState::Polling);
    assert_eq!(facts.watch, "poll");
    assert_eq!(facts.polled.len(), 1);
    assert_eq!(
        (facts.polled[0].path.as_str(), facts.polled[0].why.as_str()),
        (".", "no watches left")
    );
    world.write("a", "aa");
    world.pass(SECOND * 70).await;
    assert_eq!(world.refreshed().await, ["/a"]);
}

#[tokio::test]
async fn another_root_is_another_baseline() {
    let mut world = World::new(&[("a", "a")]).await;
    world.pass(SECOND).await;
    let other = world.parent.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("b"), "b").expect("written");
    let clock = Arc::clone(&world.clock) as SharedClock;
    world.intake = intake(other, WAITS, clock, &world.store, Arc::new(DeafBackend));
    world.pass(SECOND * 40).await;
    assert_eq!(world.refreshed().await, [""; 0]);
    let facts = world.intake.facts();
    assert!(facts.note.contains("a new baseline"), "{}", facts.note);
    assert_eq!((facts.files, facts.state), (1, OriginState::Watching));
}

#[tokio::test]
async fn a_path_that_cannot_be_mapped_stays_visible() {
    let mut world = World::new(&[("a", "a")]).await;
    world.pass(SECOND).await;
    let long = format!("{0}/{0}/{0}/{0}/{0}/{0}", "%".repeat(200));
    world.change(&long, "b").await;
    assert_eq!(world.refreshed().await, [""; 0]);
    let facts = world.intake.facts();
    assert_eq!(facts.unmapped.len(), 1);
    assert_eq!(facts.unmapped[0].path, long);
}

#[tokio::test]
async fn a_deploy_that_does_not_end_closes_at_its_deadline() {
    let mut world = World::new(&[("busy", "0"), ("calm", "0")]).await;
    world.pass(SECOND).await;
    world.write("calm", "1");
    world.hint("calm", Reach::Path);
    for turn in 1..24 {
        world.write("busy", &"x".repeat(turn));
        world.hint("busy", Reach::Path);
        world.pass(SECOND / 2).await;
    }
    let items = world.taken().await;
    assert_eq!(wishes(&items).iter().map(|wish| shown(wish)).collect::<Vec<_>>(), ["/calm"]);
    assert!(deploys(&items)[1].closed_at.is_some());
    world.pass(SECOND * 2).await;
    let next = world.taken().await;
    assert_eq!(wishes(&next).iter().map(|wish| shown(wish)).collect::<Vec<_>>(), ["/busy"]);
    assert_ne!(deploys(&next)[0].id, deploys(&items)[0].id);
}

#[tokio::test]
async fn a_saved_file_reaches_the_outbox_over_inotify() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let mut world = World::at(&[("a", "a")], now, Arc::new(Inotify::new(Vec::new()))).await;
    world.rest().await;
    assert_eq!(world.intake.facts().watch, "inotify");
    world.write("a", "aa");
    let heard = tokio::time::timeout(SECOND * 20, world.intake.knocked()).await;
    heard.expect("the kernel tells of it");
    // Every event of the write is in by the time that another file's is.
    world.write("b", "b");
    let mut urls = Vec::new();
    for _ in 0..200 {
        world.pass(SECOND * 2).await;
        urls.extend(world.refreshed().await);
        if urls.contains(&"/b".to_owned()) {
            break;
        }
        let heard = tokio::time::timeout(SECOND * 20, world.intake.knocked()).await;
        heard.expect("the kernel tells of it");
    }
    urls.sort();
    assert_eq!(urls, ["/a", "/b"]);
}

/// Does something to a tree that a site generator, an editor or an administrator might do.
fn disturb(root: &Path, random: u64) {
    let file = |number: u64| root.join(format!("d{}/{}", number % 5, number % 7));
    let directory = |number: u64| root.join(format!("d{}", number % 5));
    let (one, other) = (random >> 8, random >> 16);
    // What is not there, or in the way, is left alone.
    let _ = match random % 10 {
        0..5 => fs::create_dir_all(directory(one))
            .and_then(|()| fs::write(file(one), format!("{}", other % 50))),
        5 => fs::remove_file(file(one)),
        6 => fs::rename(file(one), file(other)),
        7 => fs::rename(directory(one), directory(other)),
        8 => fs::remove_dir_all(directory(one)),
        _ => fs::create_dir_all(directory(one).join("deep"))
            .and_then(|()| fs::write(directory(one).join("deep/x"), format!("{other}"))),
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_the_index_is_the_tree() {
    let parent = tempfile::tempdir().expect("made");
    let root = parent.path().join("www");
    fs::create_dir(&root).expect("made");
    let store = Store::open(Database::in_memory().expect("opens"), 1).await.expect("opens");
    let quick = Duration::from_millis(50);
    let waits = Waits { settle: quick, deploy_deadline: quick * 4, delete_settle: quick, ..WAITS };
    let clock = SystemClock::shared();
    let watched =
        intake(root.clone(), waits, Arc::clone(&clock), &store, Arc::new(Inotify::new(Vec::new())));
    let (cancelled, at_rest) = (CancellationToken::new(), Notify::new());
    let publish = |facts: refreshd::domain::facts::OriginFacts| {
        if facts.dirty == 0 && facts.state == OriginState::Watching {
            at_rest.notify_one();
        }
    };
    let run = watched.run(cancelled.clone(), publish);
    let disturbing = async {
        at_rest.notified().await;
        let disturbed = root.clone();
        let blows = tokio::task::spawn_blocking(move || {
            let random = ManualClock::new(refreshd::domain::time::Timestamp::EPOCH, 7);
            (0..1_500).for_each(|_| disturb(&disturbed, random.random()));
        });
        blows.await.expect("ends");
        // Events come in order: when the last one was recorded, all were heard.
        fs::write(root.join("last"), "last").expect("written");
        loop {
            at_rest.notified().await;
            let items = store.outbox(100_000).await.expect("read");
            if wishes(&items.into_iter().map(|(_, item)| item).collect::<Vec<_>>())
                .iter()
                .any(|wish| wish.target.text.ends_with("/last"))
            {
                break;
            }
        }
        cancelled.cancel();
    };
    let both = async { tokio::join!(run, disturbing) };
    let (ran, ()) = tokio::time::timeout(SECOND * 60, both).await.expect("comes to rest");
    ran.expect("runs");
    let mut again = intake(root, waits, clock, &store, Arc::new(DeafBackend));
    loop {
        let step = again.step().await.expect("steps");
        if !step.worked && !step.awaits {
            break;
        }
        if !step.worked {
            again.knocked().await;
        }
    }
    assert_eq!(again.facts().dirty, 0, "what the watch missed, a scan finds");
}

#[tokio::test]
async fn what_was_away_for_long_counts_as_changed_though_its_bytes_return() {
    let mut world = World::new(&[("gone", "a"), ("emptied", "b"), ("short", "c")]).await;
    world.pass(SECOND).await;
    let away = ["gone", "emptied"];
    for name in away {
        fs::remove_file(world.root().join(name)).expect("removed");
        world.hint(name, Reach::Path);
    }
    world.write("emptied", "");
    world.write("short", "");
    world.hint("short", Reach::Path);
    world.pass(SECOND * 3).await;
    assert_eq!(world.refreshed().await, [""; 0], "it may be half written");
    world.write("short", "c");
    world.hint("short", Reach::Path);
    world.pass(SECOND * 4).await;
    assert_eq!(world.refreshed().await, ["/emptied"], "now it is believed");
    for name in [("gone", "a"), ("emptied", "b")] {
        world.change(name.0, name.1).await;
    }
    assert_eq!(world.refreshed().await, ["/gone!", "/emptied"]);
    world.pass(SECOND * 60).await;
    assert_eq!(world.refreshed().await, [""; 0]);
}

#[tokio::test]
async fn what_sends_no_events_is_polled_until_there_is_room() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    script.change(|script| script.polled = vec!["far"]);
    let mut world = World::at(&[("a", "a"), ("far/b", "b")], now, Arc::new(script.clone())).await;
    world.pass(SECOND).await;
    let facts = world.intake.facts();
    assert_eq!(facts.state, OriginState::Watching);
    assert_eq!((facts.polled[0].path.as_str(), facts.polled[0].why.as_str()), ("far", "no room"));
    world.write("a", "unheard");
    world.write("far/b", "unheard");
    world.pass(SECOND * 70).await;
    assert_eq!(world.refreshed().await, ["/far/b"]);
    script.change(|script| script.polled = vec!["room"]);
    world.pass(SECOND * 70).await;
    assert_eq!(world.intake.facts().polled, [], "it was tried again");
}

#[tokio::test]
async fn what_comes_when_no_room_is_left_is_polled_from_then_on() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    let mut world = World::at(&[("a", "a")], now, Arc::new(script.clone())).await;
    world.pass(SECOND).await;
    script.change(|script| script.polled = vec!["far"]);
    world.write("far/b", "b");
    world.hint("far", Reach::Subtree);
    world.pass(SECOND * 2).await;
    assert_eq!(world.refreshed().await, ["/far/b"]);
    world.write("far/b", "unheard");
    world.pass(SECOND * 70).await;
    assert_eq!(world.refreshed().await, ["/far/b"]);
}

#[tokio::test]
async fn a_new_tree_is_read_beside_and_what_was_not_read_counts_when_touched() {
    let mut world = World::new(&[("a", "a"), ("d/b", "b")]).await;
    let clock = Arc::clone(&world.clock) as SharedClock;
    world.intake = reading(0, world.root(), WAITS, clock, &world.store, Arc::new(DeafBackend));
    world.pass(SECOND).await;
    let facts = world.intake.facts();
    assert_eq!(facts.state, OriginState::Watching);
    assert_eq!((facts.undigested, facts.undigested_bytes), (2, 2));
    world.change("a", "a").await;
    assert_eq!(world.refreshed().await, ["/a"]);
    assert_eq!(world.intake.facts().undigested, 1);
    world.restart();
    world.pass(SECOND).await;
    assert_eq!(world.intake.facts().undigested, 0);
    world.change("d/b", "b").await;
    world.change("a", "a").await;
    assert_eq!(world.refreshed().await, [""; 0]);
}

#[tokio::test]
async fn a_tree_of_which_much_vanishes_waits_for_a_person() {
    let mut world = World::new(&[("kept", "a")]).await;
    for number in 0..1_200 {
        world.write(&format!("d{}/{number}", number % 3), "bytes");
    }
    world.pass(SECOND).await;
    let removed = |world: &World, directory: &str| {
        fs::remove_dir_all(world.root().join(directory)).expect("removed");
        world.hint(directory, Reach::Subtree);
    };
    removed(&world, "d0");
    world.pass(SECOND * 40).await;
    let first = world.taken().await;
    let held = |items: &[Outgoing]| wishes(items).iter().filter(|wish| wish.hold.is_some()).count();
    assert_eq!((wishes(&first).len(), held(&first)), (400, 0), "not many enough");
    removed(&world, "d1");
    removed(&world, "d2");
    world.change("kept", "changed").await;
    assert_eq!(world.refreshed().await, ["/kept"]);
    world.pass(SECOND * 40).await;
    let second = world.taken().await;
    assert_eq!((wishes(&second).len(), held(&second)), (800, 800));
    world.write("d0/new", "bytes");
    world.hint("d0", Reach::Subtree);
    world.change("kept", "again").await;
    fs::remove_file(world.root().join("d0/new")).expect("removed");
    world.hint("d0/new", Reach::Path);
    world.pass(SECOND * 40).await;
    let third = world.taken().await;
    assert_eq!((wishes(&third).len(), held(&third)), (3, 0));
}

#[tokio::test]
async fn what_is_removed_after_much_vanished_goes_out() {
    let mut world = World::new(&[("kept", "a"), ("one", "b"), ("two", "c")]).await;
    for number in 0..600 {
        world.write(&format!("d/{number}"), "bytes");
    }
    world.pass(SECOND).await;
    fs::remove_dir_all(world.root().join("d")).expect("removed");
    world.hint("d", Reach::Subtree);
    // At every moment from then on something is missing.
    for name in ["one", "two"] {
        world.pass(SECOND * 20).await;
        fs::remove_file(world.root().join(name)).expect("removed");
        world.hint(name, Reach::Path);
    }
    world.pass(SECOND * 40).await;
    let taken = world.taken().await;
    let is_held = |wish: &&&Wish| wish.hold.is_some();
    let free: Vec<_> =
        wishes(&taken).iter().filter(|wish| !is_held(wish)).map(|wish| shown(wish)).collect();
    assert_eq!((free, wishes(&taken).len()), (vec!["/two!".to_owned()], 602));
}

#[tokio::test]
async fn what_vanishes_slowly_waits_for_a_person_too() {
    let mut world = World::new(&[("kept", "a")]).await;
    for number in 0..1_200 {
        world.write(&format!("d{}/{number}", number % 5), "bytes");
    }
    world.pass(SECOND).await;
    // Never 500 are absent at a time: the first are believed gone before the last are seen.
    for directory in ["d0", "d1", "d2", "d3"] {
        fs::remove_dir_all(world.root().join(directory)).expect("removed");
        world.hint(directory, Reach::Subtree);
        world.pass(SECOND * 20).await;
    }
    world.pass(SECOND * 40).await;
    let taken = world.taken().await;
    let held = wishes(&taken).iter().filter(|wish| wish.hold.is_some()).count();
    assert_eq!((wishes(&taken).len(), held), (960, 720));
    fs::remove_file(world.root().join("kept")).expect("removed");
    world.hint("kept", Reach::Path);
    world.pass(SECOND * 40).await;
    assert!(wishes(&world.taken().await).iter().all(|wish| wish.hold.is_none()), "it is over");
}

/// Returns the URLs of wishes that are not held, without those that a later item holds.
fn free(items: &[Outgoing]) -> Vec<String> {
    let mut free: Vec<&Wish> = Vec::new();
    for item in items {
        match item {
            Outgoing::Wish(wish) if wish.hold.is_none() => free.push(wish),
            Outgoing::Hold { deploy, .. } => {
                free.retain(|wish| wish.cause.deploy.as_ref() != Some(deploy));
            }
            _ => {}
        }
    }
    free.into_iter().map(shown).collect()
}

#[tokio::test]
async fn when_most_of_a_tree_changes_the_deploy_is_held_and_no_later_one() {
    let mut world = World::new(&[("kept", "a"), ("other", "a")]).await;
    for number in 0..998 {
        world.write(&format!("d/{number}"), "bytes");
    }
    world.pass(SECOND).await;
    let rewrite = |world: &World, count: u32, text: &str| {
        for number in 0..count {
            world.write(&format!("d/{number}"), text);
        }
        world.write("new", text);
        world.hint("", Reach::Subtree);
    };
    rewrite(&world, 799, "changed");
    world.pass(SECOND * 4).await;
    assert_eq!(free(&world.taken().await).len(), 800, "below 80 percent, and a new one");
    rewrite(&world, 801, "rewritten");
    world.pass(SECOND * 4).await;
    let items = world.taken().await;
    assert_eq!((wishes(&items).len(), free(&items)), (802, Vec::new()), "{:?}", free(&items));
    let deploy = &deploys(&items)[0].id;
    let holds =
        |item: &&Outgoing| matches!(item, Outgoing::Hold { deploy: held, .. } if held == deploy);
    assert_eq!(items.iter().filter(holds).count(), 1);
    let early = |wish: &&&Wish| wish.not_before < world.clock.server_now();
    assert_eq!(wishes(&items).iter().filter(early).count(), 0, "none was due before it was held");
    world.change("kept", "an ordinary change").await;
    assert_eq!(free(&world.taken().await), ["/kept"]);
}

#[tokio::test]
async fn a_directory_behind_a_link_is_refreshed_under_both_names() {
    let mut world = World::new(&[("releases/1/page", "a"), ("releases/2/page", "b")]).await;
    std::os::unix::fs::symlink("releases/1", world.root().join("current")).expect("linked");
    world.pass(SECOND).await;
    world.change("releases/1/page", "changed").await;
    let mut urls = world.refreshed().await;
    urls.sort();
    assert_eq!(urls, ["/current/page", "/releases/1/page"]);
    std::os::unix::fs::symlink("releases/2", world.root().join("next")).expect("linked");
    fs::rename(world.root().join("next"), world.root().join("current")).expect("swapped");
    world.hint("next", Reach::Path);
    world.hint("current", Reach::Path);
    world.pass(SECOND * 3).await;
    assert_eq!(world.refreshed().await, ["/current/page"]);
    fs::remove_file(world.root().join("current")).expect("removed");
    world.hint("current", Reach::Path);
    world.pass(SECOND * 60).await;
    assert_eq!(world.refreshed().await, ["/current/page!"]);
}

#[tokio::test]
async fn an_index_that_lost_a_part_is_a_new_baseline_that_says_so() {
    let mut world = World::new(&[("a", "a"), ("d/b", "b")]).await;
    world.pass(SECOND).await;
    world.sql("DELETE FROM chunk WHERE directory = x'64'").await;
    world.restart();
    world.pass(SECOND * 5).await;
    let facts = world.intake.facts();
    assert!(facts.note.contains("1 of 2 files"), "{}", facts.note);
    assert!(facts.note.ends_with("refreshd baseline --refresh www"), "{}", facts.note);
    assert_eq!(world.refreshed().await, [""; 0]);
}

#[tokio::test]
async fn a_new_baseline_can_be_asked_for() {
    let mut world = World::new(&[("a", "a")]).await;
    world.pass(SECOND).await;
    world.write("a", "unheard");
    world.clock.advance(SECOND * 200);
    let wish = |not_before| Wish {
        account: "main".into(),
        action: Action::Refresh,
        target: Target::new(Kind::Directory, "https://www.example.com/"),
        force: false,
        priority: Priority::Backfill,
        not_before,
        cause: Cause {
            witness: Witness::Operator,
            at: world.clock.now(),
            origin: None,
            path: None,
            change: None,
            digest: None,
            deploy: None,
        },
        stage: refreshd::domain::stage::Stage::default(),
        hold: None,
    };
    let now = world.clock.now();
    let (early, late) = (wish(now.minus(SECOND)), wish(now.plus(SECOND)));
    world.intake.door().begin_anew(vec![early, late]);
    world.pass(SECOND * 5).await;
    assert_eq!(world.refreshed().await, ["/"], "what came too early is asked for once more");
    assert_eq!(world.intake.facts().state, OriginState::Watching);
    world.change("a", "heard").await;
    assert_eq!(world.refreshed().await, ["/a"]);
}

mod brackets;
mod doubts;
