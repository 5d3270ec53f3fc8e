//! The ways a tree is really changed, by real tools under the real binary: exactly the URLs of changed
//! bytes arrive, each once.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{World, wait_for};

/// The bytes of each file that a visitor could ask for, by its path.
type Tree = BTreeMap<String, Vec<u8>>;

fn tree(root: &Path) -> Tree {
    let (mut tree, mut open) = (Tree::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("it is listed") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(root).expect("it is below");
            let name = below.to_str().expect("a plain name").to_owned();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                tree.insert(name, fs::read(&path).expect("it is read"));
            }
        }
    }
    tree
}

/// The URLs of what differs between two trees, sorted; none of these files is an index file.
fn urls(before: &Tree, after: &Tree) -> Vec<String> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| format!("https://www.example.com/{name}"))
        .collect()
}

/// Waits until as many more URLs as expected arrived and nothing is under way, and compares.
fn assert_arrived(world: &World, seen: &mut usize, expected: &[String], what: &str) {
    wait_for(what, || (world.targets().len() >= *seen + expected.len()).then_some(()));
    world.wait_quiet();
    let mut arrived = world.targets().split_off(*seen);
    *seen += arrived.len();
    arrived.sort();
    assert_eq!(arrived, expected, "{what}\n{}", world.log());
}

fn shell(directory: &Path, script: &str) {
    let output =
        Command::new("sh").args(["-euc", script]).current_dir(directory).output().expect("a shell");
    assert!(output.status.success(), "{script}: {output:?}");
}

/// Makes `staged` what `root` is, but for files changed, rewritten as they were, removed and new.
fn stage(world: &World, round: usize) {
    let staged = world.path("staged");
    let _ = fs::remove_dir_all(&staged);
    shell(&world.root(), "cp -a . ../staged; rm -rf ../staged/.git");
    for (number, (name, bytes)) in tree(&staged).into_iter().enumerate() {
        let path = staged.join(name);
        let write = |bytes: &[u8]| {
            // Another file under the name: what is deployed must not share an inode with the root.
            fs::remove_file(&path).expect("removed");
            fs::write(&path, bytes).expect("written");
        };
        match (number + round) % 9 {
            0 => write(format!("round {round} of {number}").as_bytes()),
            1 => write(&bytes),
            2 if number % 5 == 0 => fs::remove_file(&path).expect("removed"),
            _ => {}
        }
    }
    let fresh = staged.join(format!("fresh{round}/deep/er"));
    fs::create_dir_all(&fresh).expect("made");
    for number in 0..5 {
        fs::write(fresh.join(format!("page{number}")), "new").expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_deploy_refreshes_exactly_what_it_changed() {
    /// What is done in the root; what is to come stands in `../staged`.
    const WAYS: [&str; 11] = [
        "rsync -r ../staged/ .",
        "rsync -rt --inplace ../staged/ .",
        "rsync -a --delete ../staged/ .",
        "rsync -a --delete-after --delay-updates ../staged/ .",
        "tar -C ../staged -cf ../tar . && tar -xpf ../tar",
        "rm -rf ./* && cp -r ../staged/* .",
        "mkdir ../aside && mv ./* ../aside && mv ../staged/* . && rm -rf ../aside",
        "mv d1 ../aside && mv ../staged/d1 . && echo later >>d1/page1 && rm -rf ../aside",
        "mv d1 swap && mv d2 d1 && mv swap d2 && echo later >>d2/page1",
        "for file in d3/*; do sed -i s/a/o/ $file; cp $file $file.tmp; mv $file.tmp $file; done",
        "touch d*/*; find . -type f -exec chmod 600 {} +; chmod 700 d1; touch . d2",
    ];
    let world = World::new().await;
    world.configure("", "settle = \"300ms\"\ndelete_settle = \"2s\"");
    for number in 0..150 {
        let name = format!("d{}/page{number}", number % 6);
        world.write(&name, &format!("page {number}"));
    }
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    for (round, way) in WAYS.iter().enumerate() {
        stage(&world, round);
        let before = tree(&world.root());
        shell(&world.root(), way);
        let expected = urls(&before, &tree(&world.root()));
        assert_arrived(&world, &mut seen, &expected, way);
    }
    // Whatever was asked for beyond that would have come by now.
    world.write("last", "one");
    let last = ["https://www.example.com/last".to_owned()];
    assert_arrived(&world, &mut seen, &last, "the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_dropped_events_new_directories_are_watched_too() {
    let world = World::new().await;
    world.configure("", "watch = \"inotify\"");
    let _ = fs::create_dir(world.root().join("old"));
    let daemon = world.start();
    world.wait_ready();
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid")).expect("a pid");
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("Linux");
    let queue: usize = queue.trim().parse().expect("a number");
    kill_process(pid, Signal::STOP).expect("it stops");
    // Nothing is asked for these: they only fill the queue.
    for _ in 0..=queue / 2 {
        fs::File::create(world.root().join("old/filler.tmp")).expect("made");
        fs::remove_file(world.root().join("old/filler.tmp")).expect("removed");
    }
    world.write("new/deep/page", "one");
    kill_process(pid, Signal::CONT).expect("it goes on");
    let mut seen = 0;
    let page = ["https://www.example.com/new/deep/page".to_owned()];
    assert_arrived(&world, &mut seen, &page, "the page");
    assert!(world.log().contains("dropped events"), "{}", world.log());
    world.write("new/deep/page", "two");
    assert_arrived(&world, &mut seen, &page, "the page again");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_directories_made_a_moment_ago_are_seen() {
    let world = World::new().await;
    let _daemon = world.start();
    world.wait_ready();
    let before = tree(&world.root());
    for number in 0..300 {
        for name in ["page", "a/page", "a/b/c/page"] {
            world.write(&format!("d{number}/{name}"), "new");
        }
    }
    let expected = urls(&before, &tree(&world.root()));
    assert_eq!(expected.len(), 900);
    assert_arrived(&world, &mut 0, &expected, "900 pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_rests_is_refreshed_now_and_then_and_at_the_end() {
    let world = World::new().await;
    world.configure("", "unstable_after = \"500ms\"");
    world.write("log", "begin\n");
    let _daemon = world.start();
    world.wait_ready();
    let ended = AtomicBool::new(false);
    let during = std::thread::scope(|scope| {
        scope.spawn(|| {
            let path = world.root().join("log");
            let mut log = fs::File::options().append(true).open(path).expect("open");
            while !ended.load(Ordering::Relaxed) {
                log.write_all(b"line\n").expect("written");
                std::thread::yield_now();
            }
        });
        let twice = wait_for("two refreshes", || (world.targets().len() >= 2).then_some(()));
        ended.store(true, Ordering::Relaxed);
        twice.expect("accepted while it is written");
        world.targets().len()
    });
    world.wait_quiet();
    let targets = world.targets();
    assert!(targets.len() > during, "the last bytes, too");
    assert!(targets.iter().all(|url| url.ends_with("/log")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_behind_a_link_is_watched_and_compared_after_a_swap() {
    let world = World::new().await;
    let links = |to: &str| {
        let _ = fs::remove_file(world.path("root"));
        symlink(to, world.path("root")).expect("linked");
    };
    fs::rename(world.path("root"), world.path("one")).expect("moved");
    links("one");
    for name in ["a", "b", "c"] {
        world.write(name, "one");
    }
    let daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    let url = |name: &str| format!("https://www.example.com/{name}");
    world.write("a", "two");
    world.write("new/page", "two");
    assert_arrived(&world, &mut seen, &[url("a"), url("new/page")], "a change");
    assert_eq!(daemon.terminate(), Some(0));
    shell(&world.path(""), "cp -r one two; echo three >two/b");
    links("two");
    let _daemon = world.start();
    assert_arrived(&world, &mut seen, &[url("b")], "a swap while down");
    world.write("c", "four");
    assert_arrived(&world, &mut seen, &[url("c")], "a change after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_save_is_one_refresh_and_what_editors_leave_is_none() {
    let world = World::new().await;
    for number in 0..7 {
        world.write(&format!("page{number}"), "as it was");
    }
    let _daemon = world.start();
    world.wait_ready();
    let page = |number: u32| -> PathBuf { world.root().join(format!("page{number}")) };
    world.write(".page0.swp", "editing");
    world.write("page0.tmp", "saved beside it");
    fs::rename(world.root().join("page0.tmp"), page(0)).expect("moved");
    fs::write(page(1), "truncated and written").expect("written");
    let mut open = fs::File::options().write(true).open(page(2)).expect("open");
    open.write_all(b"AS").expect("written over");
    let cut = fs::File::options().write(true).open(page(3)).expect("open");
    cut.set_len(2).expect("cut");
    fs::rename(page(4), world.root().join("page4~")).expect("moved");
    fs::write(page(4), "a backup stays").expect("written");
    fs::write(page(5), "as it was").expect("written");
    fs::hard_link(page(6), world.root().join("page7")).expect("linked");
    fs::remove_file(world.root().join(".page0.swp")).expect("removed");
    let expected: Vec<String> =
        [0, 1, 2, 3, 4, 7].map(|number| format!("https://www.example.com/page{number}")).into();
    assert_arrived(&world, &mut 0, &expected, "six saves");
}
