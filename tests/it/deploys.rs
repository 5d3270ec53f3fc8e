//! The ways a tree is really changed, by real tools under the real binary: exactly the URLs of changed
//! bytes arrive, each once.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::trees::{assert_arrived, assert_nothing_more, shell, tree, url, urls};
use crate::world::{World, wait_for};

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
    const WAYS: [&str; 13] = [
        "rsync -r ../staged/ .",
        "rsync -rt ../staged/ .",
        "rsync -rt --inplace ../staged/ .",
        "rsync -r --checksum --delete ../staged/ .",
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
    let waited = world.command(&["wait", "--timeout", "2m"]);
    assert!(waited.status.success(), "{waited:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn git_moves_the_tree_between_commits() {
    let world = World::new().await;
    world.configure("", "settle = \"300ms\"");
    for number in 0..90 {
        world.write(&format!("d{}/page{number}", number % 6), &format!("page {number}"));
    }
    let git = |script: &str| {
        let git = "git() { command git -c user.name=test -c user.email=test@example.com \
                   -c init.defaultBranch=main -c gc.auto=0 \"$@\"; }";
        shell(&world.root(), &format!("{git}; {script}"));
    };
    git("git init -q; git add -A; git commit -qm one; git checkout -qb two; git rm -q d1/page1; \
         git mv d2/page2 d3/moved; echo changed >d4/page4; mkdir -p e/f; echo new >e/f/page; \
         git add -A; git commit -qm two; echo changed >d5/page5; git commit -qam three");
    git("git checkout -q main");
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    let ways = [
        "git checkout -q two~1",
        "git checkout -q main",
        "git checkout -q -B live main; git fetch -q . two; git reset -q --hard FETCH_HEAD",
        "echo local >d0/page0; echo more >d0/more; git stash -qu; git stash pop -q",
        "git reset -q --hard; git clean -qfd",
        "git worktree add -q ../worktree main; rsync -r --checksum --delete --exclude=.git \
         ../worktree/ .",
    ];
    for way in ways {
        let before = tree(&world.root());
        git(way);
        let expected = urls(&before, &tree(&world.root()));
        assert!(!expected.is_empty(), "{way}");
        assert_arrived(&world, &mut seen, &expected, way);
    }
    assert_nothing_more(&world, &world.root(), &mut seen, "after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_through_one_name_of_a_file_is_refreshed_under_all() {
    for watch in ["auto", "inotify", "poll"] {
        let world = World::new().await;
        world.configure("", &format!("watch = \"{watch}\"\npoll_every = \"1s\""));
        world.write("a/one", "as it was");
        fs::create_dir(world.root().join("b")).expect("made");
        fs::hard_link(world.root().join("a/one"), world.root().join("b/two")).expect("linked");
        symlink("../a/one", world.root().join("b/three")).expect("linked");
        let _daemon = world.start();
        world.wait_ready();
        let mut seen = 0;
        let all = ["a/one", "b/three", "b/two"].map(url);
        world.write("a/one", "through one");
        assert_arrived(&world, &mut seen, &all, "through one name");
        world.write("b/two", "through two");
        assert_arrived(&world, &mut seen, &all, "through the other name");
        world.write("b/three", "through three");
        assert_arrived(&world, &mut seen, &all, "through the symbolic link");
        world.write("a/other", "another file");
        fs::rename(world.root().join("a/other"), world.root().join("a/one")).expect("moved");
        let expected = ["a/one", "a/other", "b/three"].map(url);
        wait_for("a name of its own", || (world.targets().len() >= seen + 2).then_some(()));
        world.wait_quiet();
        let arrived = world.targets().split_off(seen);
        seen += arrived.len();
        // It may have been too short to be seen under its first name.
        assert!(arrived.iter().all(|target| expected.contains(target)), "{watch}: {arrived:?}");
        for needed in ["a/one", "b/three"].map(url) {
            assert!(arrived.contains(&needed), "{watch}: {arrived:?}");
        }
        world.write("b/two", "alone now");
        assert_arrived(&world, &mut seen, &[url("b/two")], "a name that is alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_hard_links_that_becomes_the_tree_is_compared_by_its_bytes() {
    let world = World::new().await;
    world.configure("", "settle = \"300ms\"\ndelete_settle = \"1s\"");
    for number in 0..60 {
        world.write(&format!("d{}/page{number}", number % 4), &format!("page {number}"));
    }
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    let ways = [
        // The next release shares its files with this one, but for what is replaced.
        "cp -al d1 d1.next; rm d1.next/page5; echo new >d1.next/page5; echo more >d1.next/more; \
         mv d1 d1.old; mv d1.next d1; rm -r d1.old",
        "cp -al . ../next; rm ../next/d2/page2; echo two >../next/d2/page2; rm -r ../next/d3; \
         rsync -a --delete --link-dest=\"$PWD\" ../next/ ./",
        "rm -rf ../next; cp -al . ../next; rm -rf ./*; cp -al ../next/* .; echo in place >d0/page0",
    ];
    for way in ways {
        let before = tree(&world.root());
        shell(&world.root(), way);
        let expected = urls(&before, &tree(&world.root()));
        wait_for(way, || (world.targets().len() >= seen + expected.len()).then_some(()));
        world.wait_quiet();
        let mut arrived = world.targets().split_off(seen);
        seen += arrived.len();
        arrived.sort();
        // The next directory may have been seen under its passing name.
        arrived.retain(|target| !target.contains("d1.next/") && !target.contains("d1.old/"));
        assert_eq!(arrived, expected, "{way}\n{}", world.log());
    }
    // Through a name outside the root nobody is told; the next comparison finds it.
    assert_nothing_more(&world, &world.root(), &mut seen, "after all");
}
