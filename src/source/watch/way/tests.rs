use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::source::{HintReceiver, door};

/// A directory free of links, what is in it, and the watched way to `root` in it.
struct Scene {
    directory: TempDir,
    receiver: HintReceiver,
    _way: Way,
}

fn scene(root: &str, make: impl FnOnce(&Path)) -> Scene {
    let directory = tempfile::tempdir().expect("made");
    make(directory.path());
    let (sender, receiver) = door(10);
    let way = Way::watch(&directory.path().join(root), sender).expect("watched");
    Scene { directory, receiver, _way: way }
}

impl Scene {
    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Waits for a call to look at the root; the time-out only ends a test that fails.
    async fn looked(&self, after: &str) {
        let looked = async {
            while !self.receiver.drain().root {
                self.receiver.knocked().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), looked).await;
        assert!(ended.is_ok(), "nobody looked after {after}");
    }
}

fn make(path: &Path) {
    fs::create_dir_all(path).expect("made");
}

fn releases(at: &Path) {
    make(&at.join("srv"));
    make(&at.join("data/releases/41"));
    make(&at.join("data/releases/42"));
    symlink("releases/41", at.join("data/current")).expect("linked");
    symlink(at.join("data/current"), at.join("srv/www")).expect("linked");
}

#[tokio::test]
async fn a_link_that_is_replaced_at_any_level_is_heard() {
    let scene = scene("srv/www", releases);
    let swap =
        Command::new("ln").args(["-sfn", "releases/42"]).arg(scene.at("data/current")).status();
    assert!(swap.expect("run").success());
    scene.looked("ln -sfn").await;

    symlink("releases/41", scene.at("data/next")).expect("linked");
    fs::rename(scene.at("data/next"), scene.at("data/current")).expect("moved");
    scene.looked("a rename over a link in the middle").await;

    symlink("../data/releases/42", scene.at("srv/next")).expect("linked");
    fs::rename(scene.at("srv/next"), scene.at("srv/www")).expect("moved");
    scene.looked("a rename over the first link").await;

    fs::rename(scene.at("data/releases/42"), scene.at("data/releases/43")).expect("moved");
    scene.looked("the directory itself moved").await;
}

#[tokio::test]
async fn a_missing_root_is_awaited_from_the_nearest_directory() {
    let scene = scene("a/b/c", |_| {});
    for part in ["a", "a/b", "a/b/c"] {
        fs::create_dir(scene.at(part)).expect("made");
        scene.looked(part).await;
    }
    fs::remove_dir(scene.at("a/b/c")).expect("removed");
    scene.looked("a removal").await;
}

#[tokio::test]
async fn a_parent_that_is_removed_and_made_again_is_heard() {
    let scene = scene("a/b/c", |at| make(&at.join("a/b/c")));
    fs::remove_dir_all(scene.at("a")).expect("removed");
    scene.looked("the removal of a parent").await;
    make(&scene.at("a/b"));
    scene.looked("a new parent").await;
    fs::create_dir(scene.at("a/b/c")).expect("made");
    scene.looked("a new root in it").await;

    fs::rename(scene.at("a"), scene.at("away")).expect("moved");
    scene.looked("a parent that moved away").await;
    make(&scene.at("new/b/c"));
    fs::rename(scene.at("new"), scene.at("a")).expect("moved");
    scene.looked("another in its place").await;
    fs::rename(scene.at("a/b/c"), scene.at("a/b/d")).expect("moved");
    scene.looked("the root moved in the new parent").await;
}

#[test]
fn unrelated_names_and_what_is_in_the_root_are_not_heard() {
    let directory = tempfile::tempdir().expect("made");
    let at = directory.path().canonicalize().expect("a path");
    releases(&at);
    let (again, knocks) = sync_channel(100);
    let _watcher = listen(&trail(&at.join("srv/www")), &again).expect("watched");
    fs::write(at.join("srv/other"), b"bytes").expect("written");
    fs::write(at.join("data/other"), b"bytes").expect("written");
    make(&at.join("data/releases/43"));
    fs::write(at.join("data/releases/41/index.html"), b"bytes").expect("written");
    fs::remove_file(at.join("srv/other")).expect("removed");
    // Events come in order: were one of those heard, its knock would come before this one's.
    fs::remove_file(at.join("srv/www")).expect("removed");
    assert_eq!(knocks.recv(), Ok(Knock::Changed));
    assert!(knocks.try_recv().is_err());
}

#[test]
fn a_trail_names_each_directory_and_what_is_looked_up_in_it() {
    let directory = tempfile::tempdir().expect("made");
    let at = directory.path().canonicalize().expect("a path");
    releases(&at);
    symlink("loop", at.join("loop")).expect("linked");
    let below = |root: &str| {
        let mut found = Vec::new();
        for (path, names) in trail(&at.join(root)) {
            if let Ok(path) = path.strip_prefix(&at) {
                let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
                found.push(format!("{}: {}", path.display(), names.join(" ")));
            }
        }
        found
    };
    assert_eq!(
        below("srv/www"),
        [": data srv", "data: current releases", "data/releases: 41", "srv: www"]
    );
    assert_eq!(below("srv/../data/gone/a"), [": data srv", "data: gone"]);
    assert_eq!(below("loop/a"), [": loop"]);
    assert!(trail(&at.join("srv/www")).contains_key(Path::new("/")));
}

/// Says to the test below that it runs in a mount namespace of its own.
const NAMESPACE: &str = "REFRESHD_TEST_NAMESPACE";

/// Runs the test below in a mount namespace of its own, with which its mounts end.
#[test]
fn what_is_mounted_on_the_root_is_heard() {
    let inner = "source::watch::way::tests::in_a_namespace_mounts_are_heard";
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(std::env::current_exe().expect("this test")).env(NAMESPACE, "own");
    let Ok(output) = command.args(["--exact", inner, "--ignored"]).output() else {
        return println!("SKIP: what_is_mounted_on_the_root_is_heard: unshare is not installed");
    };
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if said.contains("unshare: ") || said.contains("SKIP: ") {
        return println!("SKIP: what_is_mounted_on_the_root_is_heard: {said}");
    }
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "it mounts: the test above runs it in a namespace of its own"]
async fn in_a_namespace_mounts_are_heard() {
    if std::env::var_os(NAMESPACE).is_none() {
        // Among all ignored tests: its mounts would be everybody's.
        return;
    }
    let scene = scene("srv/www", |at| make(&at.join("srv/www/part")));
    let run = |command: &str, arguments: &[&str], at: &str| {
        let mut command = Command::new(command);
        command.args(arguments).arg(scene.at(at)).status().is_ok_and(|status| status.success())
    };
    for at in ["srv/www", "srv/www/part", "srv"] {
        if !run("mount", &["-t", "tmpfs", "none"], at) {
            return println!("SKIP: this process may not mount");
        }
        scene.looked("a mount").await;
        assert!(run("umount", &[], at));
        scene.looked("its end").await;
    }
}
