//! File systems without events, and those that have them in disguise: bindfs, overlayfs, bind
//! mounts, writes through memory.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::space::{Process, Space};
use crate::trees::{assert_arrived, may_mount, url};
use crate::world::World;

const QUICK: &str = "poll_every = \"1s\"\nreconcile_every = \"1h\"";

/// The polled parts of the origin: path and reason.
fn polled(status: &Value) -> Vec<(String, String)> {
    let text = |part: &Value, key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let parts = status["origins"]["www"]["polled"].as_array().cloned().unwrap_or_default();
    parts.iter().map(|part| (text(part, "path"), text(part, "why"))).collect()
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, text).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuse_mount_in_the_tree_is_polled_and_the_rest_is_watched() {
    if !may_mount("a_fuse_mount_in_the_tree_is_polled_and_the_rest_is_watched") {
        return;
    }
    let world = World::new().await;
    world.configure("", QUICK);
    world.write("local/page", "one");
    fs::create_dir_all(world.root().join("far/away")).expect("made");
    let backing = world.path("backing");
    write(&backing, "page", "one");
    write(&backing, "deep/page", "one");
    let space = Space::new();
    let _bindfs = space.bindfs(&backing, &world.root().join("far/away"));
    let _daemon = world.start_under(&space.enter());
    let status = world.wait_ready();
    let parts = polled(&status);
    assert_eq!(parts.len(), 1, "{status}");
    assert_eq!(parts[0].0, "far/away");
    assert!(parts[0].1.contains("fuse"), "the reason: {parts:?}");
    assert_eq!(status["origins"]["www"]["files"], 3, "{status}");
    let mut seen = 0;
    // Behind the kernel's back, where no event could come from.
    write(&backing, "deep/page", "two, longer");
    write(&backing, "new/page", "two");
    fs::remove_file(backing.join("page")).expect("removed");
    let expected = [url("far/away/deep/page"), url("far/away/new/page"), url("far/away/page")];
    assert_arrived(&world, &mut seen, &expected, "behind the mount");
    write(&space.inside(&world.root()), "far/away/deep/page", "three");
    world.write("local/page", "two");
    let expected = [url("far/away/deep/page"), url("local/page")];
    assert_arrived(&world, &mut seen, &expected, "through the mount, and beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_in_a_watched_tree_is_polled_or_watched_from_then_on() {
    for watch in ["auto", "inotify"] {
        if !may_mount("what_is_mounted_in_a_watched_tree_is_polled_or_watched_from_then_on") {
            return;
        }
        let world = World::new().await;
        world.configure("", &format!("watch = \"{watch}\"\n{QUICK}"));
        world.write("local/page", "one");
        for name in ["far", "near"] {
            fs::create_dir_all(world.root().join(name)).expect("made");
        }
        let backing = world.path("backing");
        write(&backing, "page", "one");
        let space = Space::new();
        let _daemon = world.start_under(&space.enter());
        world.wait_ready();
        let mut seen = 0;
        let bindfs = space.bindfs(&backing, &world.root().join("far"));
        assert_arrived(&world, &mut seen, &[url("far/page")], watch);
        write(&backing, "page", "two, longer");
        assert_arrived(&world, &mut seen, &[url("far/page")], watch);
        space.run(&world.root(), "mount -t tmpfs near near; mkdir near/d; echo one > near/d/page");
        assert_arrived(&world, &mut seen, &[url("near/d/page")], watch);
        write(&space.inside(&world.root()), "near/d/page", "two, longer");
        assert_arrived(&world, &mut seen, &[url("near/d/page")], watch);
        space.run(&world.root(), "umount far; umount near");
        drop(bindfs);
        assert_arrived(&world, &mut seen, &[url("far/page"), url("near/d/page")], watch);
        write(&space.inside(&world.root()), "far/local", "one");
        assert_arrived(&world, &mut seen, &[url("far/local")], watch);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_on_fuse_is_polled() {
    if !may_mount("a_root_on_fuse_is_polled") {
        return;
    }
    let world = World::new().await;
    world.configure("", QUICK);
    let backing = world.path("backing");
    write(&backing, "page", "one");
    let space = Space::new();
    let _bindfs = space.bindfs(&backing, &world.root());
    let _daemon = world.start_under(&space.enter());
    let status = world.wait_ready();
    let parts = polled(&status);
    assert_eq!(parts.len(), 1, "{status}");
    assert_eq!(parts[0].0, ".");
    assert!(parts[0].1.contains("fuse"), "the reason: {parts:?}");
    assert_eq!(status["origins"]["www"]["state"], "polling", "{status}");
    let mut seen = 0;
    write(&backing, "page", "two, longer");
    write(&backing, "a/b/page", "new");
    assert_arrived(&world, &mut seen, &[url("a/b/page"), url("page")], "behind the mount");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_through_an_overlay_arrive() {
    if !may_mount("writes_through_an_overlay_arrive") {
        return;
    }
    let world = World::new().await;
    world.configure("", QUICK);
    // A layer of an overlay can't lie on an overlay, which a test machine's disk may be.
    let layers = world.path("layers");
    fs::create_dir(&layers).expect("made");
    let space = Space::new();
    space.run(&world.path(""), "mount -t tmpfs layers layers; cd layers; mkdir lower upper work");
    write(&space.inside(&layers), "lower/page", "one");
    write(&space.inside(&layers), "lower/d/page", "one");
    space.run(
        &world.path(""),
        "mount -t overlay overlay \
         -o lowerdir=layers/lower,upperdir=layers/upper,workdir=layers/work root",
    );
    let _daemon = world.start_under(&space.enter());
    let status = world.wait_ready();
    assert_eq!(status["origins"]["www"]["files"], 2, "{status}");
    let root = space.inside(&world.root());
    let mut seen = 0;
    write(&root, "page", "two, copied up");
    write(&root, "new/page", "one");
    assert_arrived(&world, &mut seen, &[url("new/page"), url("page")], "copied up");
    space.run(&world.root(), "mv d e 2>/dev/null || { cp -r d e; rm -r d; }");
    assert_arrived(&world, &mut seen, &[url("d/page"), url("e/page")], "moved");
    write(&root, "page", "three");
    assert_arrived(&world, &mut seen, &[url("page")], "in the upper layer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bind_mount_of_a_local_directory_has_events() {
    for watch in ["auto", "inotify"] {
        if !may_mount("a_bind_mount_of_a_local_directory_has_events") {
            return;
        }
        let world = World::new().await;
        world.configure("", &format!("watch = \"{watch}\"\n{QUICK}"));
        let elsewhere = world.path("elsewhere");
        write(&elsewhere, "page", "one");
        write(&elsewhere, "deep/page", "one");
        fs::create_dir(world.root().join("bound")).expect("made");
        let space = Space::new();
        space.run(&world.path(""), "mount --bind elsewhere root/bound");
        let _daemon = world.start_under(&space.enter());
        let status = world.wait_ready();
        assert_eq!(polled(&status), [], "{watch}: {status}");
        assert_eq!(status["origins"]["www"]["files"], 2, "{watch}: {status}");
        let mut seen = 0;
        write(&space.inside(&world.root()), "bound/page", "two, through the mount");
        assert_arrived(&world, &mut seen, &[url("bound/page")], watch);
        write(&elsewhere, "deep/page", "two, from the other side");
        write(&elsewhere, "new/page", "new");
        let expected = [url("bound/deep/page"), url("bound/new/page")];
        assert_arrived(&world, &mut seen, &expected, watch);
    }
}

/// It goes on: a mapping that ends is a file that is closed after writing, which is an event.
const SCRIPT: &str = "import mmap, sys, time; file = open(sys.argv[1], 'r+b'); \
                      memory = mmap.mmap(file.fileno(), 0); memory[0:2] = b'AS'; \
                      memory.flush(); time.sleep(1000)";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_through_memory_is_found_by_a_comparison() {
    let world = World::new().await;
    world.configure("", "reconcile_every = \"1s\"");
    world.write("page", "as it was, and long enough");
    let _daemon = world.start();
    world.wait_ready();
    let page = world.root().join("page");
    let page = page.to_str().expect("a plain path");
    let _writer = Process::start(&["python3", "-c", SCRIPT, page]);
    assert_arrived(&world, &mut 0, &[url("page")], "through memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_what_sends_no_events_is_polled() {
    for watch in ["auto", "inotify"] {
        if !may_mount("a_link_to_what_sends_no_events_is_polled") {
            return;
        }
        let world = World::new().await;
        world.configure("", &format!("watch = \"{watch}\"\nlinks = \"anywhere\"\n{QUICK}"));
        world.write("local/page", "one");
        let (backing, mounted) = (world.path("backing"), world.path("mounted"));
        write(&backing, "page", "one");
        fs::create_dir(&mounted).expect("made");
        std::os::unix::fs::symlink(&mounted, world.root().join("out")).expect("linked");
        let space = Space::new();
        let _bindfs = space.bindfs(&backing, &mounted);
        let _daemon = world.start_under(&space.enter());
        world.wait_ready();
        let mut seen = 0;
        write(&backing, "page", "two, longer");
        assert_arrived(&world, &mut seen, &[url("out/page")], watch);
    }
}
