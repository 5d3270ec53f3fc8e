//! `refreshd hook post-receive` in a real bare repository.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use refreshd::clock::SystemClock;
use refreshd::database::Database;
use refreshd::domain::names::OriginName;
use refreshd::source::announce::{Announcement, Moved, left};
use refreshd::store::Store;
use refreshd::web::Served;
use refreshd::web::announce::Announcements;
use serde_json::Value;

use crate::world::{Daemon, World};

/// Somebody who is neither root nor the daemon's user.
const STRANGER: u32 = 12_345;

fn git(directory: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("git")
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "safe.directory=*"])
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Has a repository tell the daemon of this world of its pushes.
pub(crate) fn install_hook(world: &World, bare: &Path) {
    let hook = bare.join("hooks/post-receive");
    let socket = world.path("state/hook.sock");
    let command = format!(
        "#!/bin/sh\nexec {} hook post-receive --socket {}\n",
        env!("CARGO_BIN_EXE_refreshd"),
        socket.display()
    );
    std::fs::write(&hook, command).expect("the hook");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// A bare repository whose hook tells the daemon, and a clone to push from.
struct Repository {
    world: World,
}

impl Repository {
    async fn new() -> Self {
        let world = World::new().await;
        let bare = world.path("www.git");
        git(&world.path(""), &["init", "-q", "--bare", "-b", "main", "www.git"]);
        git(&world.path(""), &["clone", "-q", "www.git", "clone"]);
        install_hook(&world, &bare);
        world.configure("", &format!("repository = \"{}\"", bare.display()));
        let text = std::fs::read_to_string(world.config()).expect("the configuration");
        let lines = text.lines().filter(|line| !line.starts_with("root ="));
        std::fs::write(world.config(), lines.collect::<Vec<_>>().join("\n")).expect("written");
        Self { world }
    }

    fn start(&self) -> Daemon {
        let daemon = self.world.start();
        self.world.wait_status("an answer", |status| status["version"].is_string());
        daemon
    }

    /// Pushes a commit; returns what the pusher was told.
    fn push(&self, name: &str) -> String {
        let clone = self.world.path("clone");
        std::fs::write(clone.join(name), name).expect("a file");
        git(&clone, &["add", "."]);
        git(&clone, &["commit", "-qm", name]);
        said(&git(&clone, &["push", "-q", "origin", "HEAD:main"]))
    }

    /// Returns the commits that deliveries tell of, the newest first.
    fn told(&self) -> Vec<String> {
        let output = self.world.command(&["hooks", "list", "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let deliveries = answer["deliveries"].as_array().expect("a list").iter();
        let pushes = deliveries.flat_map(|one| one["pushes"].as_array().expect("a list"));
        pushes.map(|push| push["after"].as_str().expect("a commit").to_owned()).collect()
    }

    fn head(&self) -> String {
        let head = git(&self.world.path("clone"), &["rev-parse", "HEAD"]);
        String::from_utf8_lossy(&head.stdout).trim().to_owned()
    }

    fn spooled(&self) -> usize {
        let spool = self.world.path("www.git/refreshd-spool");
        std::fs::read_dir(spool).map_or(0, Iterator::count)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_heard_of_whether_the_daemon_runs_or_not() {
    let repository = Repository::new().await;
    let told = repository.push("before the daemon ever ran");
    assert!(told.contains("the daemon was not told (there is no socket)"), "{told}");
    let first = repository.head();
    let daemon = repository.start();
    assert_eq!((repository.told(), repository.spooled()), (vec![first.clone()], 0));
    assert_eq!(repository.push("while it runs"), "");
    let second = repository.head();
    assert_eq!(repository.told(), [second.clone(), first.clone()]);
    daemon.kill();
    // Its socket is still there, and nobody answers.
    let told = repository.push("after it died");
    assert!(told.contains("the daemon was not told (its daemon is gone)"), "{told}");
    let third = repository.head();
    // Others that may be in the spool do no harm.
    let spool = repository.world.path("www.git/refreshd-spool");
    std::fs::write(spool.join("0.json"), "{").expect("a broken one");
    let daemon = repository.start();
    assert_eq!(repository.told(), [third, second, first]);
    assert_eq!(repository.spooled(), 1, "what can't be read is left and named");
    assert!(repository.world.log().contains("0.json"), "{}", repository.world.log());
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_does_not_answer_holds_up_no_push() {
    let repository = Repository::new().await;
    std::fs::create_dir_all(repository.world.path("state")).expect("a directory");
    let socket = repository.world.path("state/hook.sock");
    let deaf = UnixListener::bind(&socket).expect("a socket that nobody reads");
    let told = repository.push("one");
    assert!(told.contains("the daemon was not told (it does not answer)"), "{told}");
    let one = repository.head();
    drop(deaf);
    let daemon = repository.start();
    let second = repository.push("two");
    assert_eq!(second, "");
    assert_eq!(repository.told(), [repository.head(), one]);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_push_may_announce_and_only_for_repositories_of_an_origin() {
    let repository = Repository::new().await;
    let world = &repository.world;
    let daemon = repository.start();
    repository.push("one");
    let line = format!("{} {} refs/heads/main\n", "0".repeat(40), repository.head());
    let announce = |directory: &Path, uid: u32| {
        let script = format!(
            "printf '%s' '{line}' | setpriv --reuid {uid} --clear-groups {} hook post-receive \
             --socket {}",
            env!("CARGO_BIN_EXE_refreshd"),
            world.path("state/hook.sock").display()
        );
        let output = Command::new("sh")
            .args(["-c", &script])
            .env("GIT_DIR", directory)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "it fails no push: {}", said(&output));
        said(&output)
    };
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    };
    open(&world.path(""));
    open(&world.path("state"));
    let bare = world.path("www.git");
    let told = announce(&bare, STRANGER);
    assert!(told.contains("uid 12345 may not announce pushes to"), "{told}");
    assert!(told.contains("`users` in [hooks]"), "{told}");
    assert_eq!(repository.told().len(), 1);
    let told = announce(&world.path("clone/.git"), 0);
    assert!(told.contains("is no repository of an origin"), "{told}");
    chown(&bare, Some(STRANGER), None).expect("root gives it away");
    assert_eq!(announce(&bare, STRANGER), "");
    assert_eq!(repository.told().len(), 2);
    assert!(!world.log().contains("panicked"), "{}", world.log());
    drop(daemon);
}

#[tokio::test]
async fn a_repository_is_known_by_its_own_path_however_it_is_configured_and_by_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let bare = folder.path().canonicalize().expect("a path").join("a.git");
    std::fs::create_dir(&bare).expect("made");
    let link = folder.path().join("link");
    symlink(&bare, &link).expect("made");
    let of = |name: &str| {
        let reference = Some("refs/heads/main".to_owned());
        vec![Served { origin: OriginName::from(name), reference }]
    };
    let database = Database::open(&folder.path().join("refreshd.db")).expect("it opens");
    let announcements = Announcements {
        store: Store::open(database, 1).await.expect("it opens"),
        clock: SystemClock::shared(),
        repositories: [(bare.clone(), of("www")), (link.clone(), of("docs"))].into(),
        users: Vec::new(),
        pushed: BTreeMap::new(),
    };
    let announce = async |repository: &Path, after: &str| {
        let moved = Moved {
            reference: "refs/heads/main".to_owned(),
            before: "0".repeat(40),
            after: after.repeat(40),
        };
        let (id, repository) = ("1-a".to_owned(), repository.to_owned());
        Announcement { id, repository, moved: vec![moved] }.leave().expect("left");
        announcements.empty_spools().await;
        left(&bare).expect("listed").len()
    };
    assert_eq!(announce(&link, "a").await, 1, "another path, which may lead anywhere later");
    assert_eq!(announce(&bare, "a").await, 0);
    assert_eq!(announce(&bare, "a").await, 0, "heard before");
    assert_eq!(announce(&bare, "b").await, 0, "with the id of somebody else's");
    let rows = announcements.store.deliveries(None, false, 10).await.expect("read");
    let told: Vec<_> = rows.iter().map(|row| (row.repeats, row.pushes.len())).collect();
    assert_eq!(told, [(0, 2), (1, 2)], "both origins, each push once");
}
