//! The main job with the real binary: a change on disk becomes an accepted refresh, once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{World, wait_for};

const SITE: &str = "https://www.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_file_is_refreshed_once_and_a_rewrite_of_the_same_bytes_never() {
    let world = World::new().await;
    world.write("a/index.html", "one");
    world.write("same.css", "as it is");
    let daemon = world.start();
    let status = world.wait_ready();
    assert_eq!(status["origins"]["www"]["state"], "watching");
    assert_eq!(status["origins"]["www"]["files"], 2);
    assert!(world.targets().is_empty(), "a baseline refreshes nothing");
    world.write("same.css", "as it is");
    world.write("a/index.html", "two");
    wait_for("two urls", || (world.targets().len() == 2).then_some(())).expect("accepted");
    let status = world.wait_quiet();
    let mut targets = world.targets();
    targets.sort();
    assert_eq!(targets, [format!("{SITE}/a/"), format!("{SITE}/a/index.html")]);
    assert_eq!(status["intents"]["done"], 2);
    assert_eq!(status["quota"]["main"]["url"]["used"], 2);
    assert_eq!(daemon.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_made_while_the_daemon_was_down_are_found_at_start() {
    let world = World::new().await;
    for name in ["kept.html", "changed.html", "removed.html"] {
        world.write(name, "one");
    }
    let daemon = world.start();
    world.wait_ready();
    assert_eq!(daemon.terminate(), Some(0));
    world.write("changed.html", "two");
    world.write("created é+%.html", "new");
    std::fs::remove_file(world.root().join("removed.html")).expect("removed");
    let _daemon = world.start();
    world.wait_ready();
    wait_for("three urls", || (world.targets().len() >= 3).then_some(())).expect("accepted");
    world.wait_quiet();
    let targets: BTreeSet<String> = world.targets().into_iter().collect();
    let expected = ["changed.html", "created%20%C3%A9%2B%25.html", "removed.html"];
    assert_eq!(targets, expected.iter().map(|name| format!("{SITE}/{name}")).collect());
    assert_eq!(world.targets().len(), 3, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn remove_and_copy_is_one_storm_and_a_removal_waits() {
    let world = World::new().await;
    world.configure("", "delete_settle = \"2s\"");
    for number in 0..20 {
        world.write(&format!("page{number}.html"), "same bytes");
    }
    let _daemon = world.start();
    world.wait_ready();
    for number in 0..20 {
        std::fs::remove_file(world.root().join(format!("page{number}.html"))).expect("removed");
    }
    for number in 0..19 {
        world.write(&format!("page{number}.html"), "same bytes");
    }
    world.write("page0.html", "other bytes");
    wait_for("the removal", || (world.targets().len() >= 2).then_some(())).expect("accepted");
    world.wait_quiet();
    assert_eq!(world.targets(), [format!("{SITE}/page0.html"), format!("{SITE}/page19.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_glob_is_prefetched_after_its_refresh() {
    let world = World::new().await;
    world.configure("", "prefetch = [\"news/*\"]");
    world.write("news/today.html", "one");
    let _daemon = world.start();
    world.wait_ready();
    world.write("news/today.html", "two");
    let prefetched =
        || world.accepted().into_iter().find(|entry| entry.action == "PushObjectCache");
    let prefetch = wait_for("a prefetch", prefetched).expect("accepted");
    assert_eq!(prefetch.targets, [format!("{SITE}/news/today.html")]);
    let refresh = world.accepted().into_iter().next().expect("a refresh");
    assert_eq!(refresh.action, "RefreshObjectCaches");
    assert!(refresh.time_micros < prefetch.time_micros, "the refresh goes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_by_hand_are_recorded_canonical_and_go_out() {
    let world = World::new().await;
    let _daemon = world.start();
    world.wait_ready();
    let output =
        world.command(&["refresh", "--directory", "http://WWW.example.com/docs/", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let bad = world.command(&["refresh", "ftp://x/", "--json"]);
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    assert!(String::from_utf8_lossy(&bad.stdout).contains("problems"), "{bad:?}");
    wait_for("a directory", || (world.targets().len() == 1).then_some(())).expect("accepted");
    let status = world.wait_quiet();
    assert_eq!(world.targets(), [format!("{SITE}/docs/")]);
    assert_eq!(status["quota"]["main"]["directory"]["used"], 1);
}

/// Ten thousand real files: a documentation tree that `tests/run` fetches.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_files_changed_by_rsync_are_exactly_the_urls_that_arrive() {
    let tree = std::env::var_os("REFRESHD_TEST_TREE").map(PathBuf::from).expect(
        "REFRESHD_TEST_TREE names a tree of 10,000 files; ./tests/run fetches one and sets it",
    );
    let world = World::new().await;
    let (root, staged) = (world.root(), world.path("staged"));
    for to in [&root, &staged] {
        rsync(&["-a"], &tree, to);
    }
    let files = files_below(&staged);
    assert!(files.len() >= 10_000, "{} files in {}", files.len(), tree.display());
    let step = files.len() / 500;
    let changed: Vec<&String> = files.iter().step_by(step).take(500).collect();
    for (number, name) in changed.iter().enumerate() {
        let path = staged.join(name);
        let mut bytes = std::fs::read(&path).expect("it is read");
        bytes.extend_from_slice(format!("<!-- {number} -->").as_bytes());
        std::fs::write(path, bytes).expect("it is written");
    }
    // As many again are rewritten with the bytes they had: rsync sends them, nobody else hears of it.
    for name in files.iter().skip(step / 2).step_by(step).take(500) {
        let path = staged.join(name);
        let bytes = std::fs::read(&path).expect("it is read");
        std::fs::remove_file(&path).expect("it is removed");
        std::fs::write(path, bytes).expect("it is written");
    }
    let _daemon = world.start();
    let status = world.wait_ready();
    assert_eq!(status["origins"]["www"]["files"], files.len());
    rsync(&["-a"], &staged, &root);
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for name in &changed {
        expected.insert(url(name));
        if let Some(directory) = name.strip_suffix("index.html")
            && (directory.is_empty() || directory.ends_with('/'))
        {
            expected.insert(url(directory));
        }
    }
    wait_for("all urls", || (world.targets().len() >= expected.len()).then_some(()));
    world.wait_quiet();
    let mut arrived: BTreeMap<String, u32> = BTreeMap::new();
    for target in world.targets() {
        *arrived.entry(target).or_default() += 1;
    }
    println!(
        "measured: {} files, {} changed by rsync, {} urls expected, {} arrived",
        files.len(),
        changed.len(),
        expected.len(),
        arrived.len()
    );
    assert_eq!(arrived.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(arrived.values().all(|times| *times == 1), "each once: {arrived:?}");
}

fn rsync(options: &[&str], from: &Path, to: &Path) {
    let status = Command::new("rsync")
        .args(options)
        .arg(format!("{}/", from.display()))
        .arg(format!("{}/", to.display()))
        .status()
        .expect("rsync is installed: ./tests/run sees to it");
    assert!(status.success());
}

/// The files below a directory, as relative paths in plain ASCII order.
fn files_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("it is listed") {
            let entry = entry.expect("an entry");
            let kind = entry.file_type().expect("its type");
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let relative = path.strip_prefix(directory).expect("it is below");
                found.push(relative.to_str().expect("plain names").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The url of a path in an independent, simple spelling: this tree has plain names only.
fn url(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let path: String = name
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("{SITE}/{path}")
}
