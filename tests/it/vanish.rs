//! Roots that vanish: the origin is unavailable, nothing counts as deleted, and once the root is
//! back exactly what changed is refreshed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::space::Space;
use crate::trees::{assert_arrived, may_mount, shell, url};
use crate::world::World;

/// Six pages, of which a vanished root must not cost one.
fn plant(root: &Path) {
    for name in ["a", "b", "c", "d/a", "d/b", "d/c"] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, format!("{name} as it was")).expect("written");
    }
}

fn wait_unavailable(world: &World, what: &str) -> Value {
    let status =
        world.wait_status(what, |status| status["origins"]["www"]["state"] == "unavailable");
    assert!(status["origins"]["www"]["note"] != "", "{what}: {status}");
    assert_eq!(status["origins"]["www"]["files"], 6, "{what}: {status}");
    status
}

/// Waits until the root is back, and asserts what arrives for what was changed meanwhile and later.
fn assert_back(world: &World, root: &Path, seen: &mut usize, meanwhile: &[String], what: &str) {
    assert_arrived(world, seen, meanwhile, what);
    let status = world.wait_status(what, |status| {
        ["watching", "polling"].iter().any(|state| status["origins"]["www"]["state"] == *state)
    });
    assert_eq!(status["origins"]["www"]["note"], "", "{what}: {status}");
    fs::write(root.join("c"), format!("written after {what}")).expect("written");
    assert_arrived(world, seen, &[url("c")], &format!("a write after: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_away_made_again_emptied_or_replaced_by_a_file() {
    let world = World::new().await;
    world.configure("", "settle = \"300ms\"");
    plant(&world.root());
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    let ways = [
        ("moved away and back", "mv root aside", "mv aside root"),
        ("deleted and made again", "cp -a root aside; rm -r root", "cp -a aside new; mv new root"),
        ("replaced by a file", "mv root aside; echo file >root", "rm root; mv aside root"),
        ("emptied", "cp -a root aside; rm -r root/*", "cp -a aside/* root"),
    ];
    for (what, away, back) in ways {
        shell(&world.path(""), &format!("rm -rf aside; {away}"));
        wait_unavailable(&world, what);
        assert_eq!(world.targets().len(), seen, "{what}: nothing counts as deleted");
        shell(&world.path(""), &format!("echo '{what}' >aside/d/b; {back}"));
        assert_back(&world, &world.root(), &mut seen, &[url("d/b")], what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_read_it() {
    let world = World::new().await;
    plant(&world.root());
    // Root is asked for no right, but for these capabilities.
    let less = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"];
    let is_root = rustix::process::geteuid().is_root();
    let _daemon = world.start_under(if is_root { &less } else { &[] });
    world.wait_ready();
    let mut seen = 0;
    let mode = |mode: u32| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(world.root(), mode).expect("its mode is set");
    };
    world.write("a", "before");
    assert_arrived(&world, &mut seen, &[url("a")], "a write before");
    mode(0);
    if is_root {
        world.write("a", "meanwhile");
    }
    wait_unavailable(&world, "no right");
    assert_eq!(world.targets().len(), seen, "nothing counts as deleted");
    mode(0o755);
    let meanwhile = if is_root { vec![url("a")] } else { Vec::new() };
    assert_back(&world, &world.root(), &mut seen, &meanwhile, "no right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_the_right_to_read_it_deletes_nothing() {
    let world = World::new().await;
    world.configure("", "reconcile_every = \"1s\"");
    plant(&world.root());
    let less = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"];
    let is_root = rustix::process::geteuid().is_root();
    let _daemon = world.start_under(if is_root { &less } else { &[] });
    world.wait_ready();
    let mut seen = 0;
    let mode = |mode: u32| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(world.root().join("d"), mode).expect("its mode is set");
    };
    mode(0);
    world.write("a", "meanwhile");
    assert_arrived(&world, &mut seen, &[url("a")], "beside it");
    let status = world.wait_status("a note", |status| status["origins"]["www"]["note"] != "");
    assert_eq!(status["origins"]["www"]["files"], 6, "{status}");
    mode(0o755);
    world.write("d/b", "readable again");
    assert_arrived(&world, &mut seen, &[url("d/b")], "readable again");
}

/// A mount over a root makes no event: the file system below stays as it was.
#[tokio::test(flavor = "multi_thread")]
async fn mounted_over_and_unmounted() {
    if !may_mount("mounted_over_and_unmounted") {
        return;
    }
    let world = World::new().await;
    world.configure("", "reconcile_every = \"2s\"");
    plant(&world.root());
    let space = Space::new();
    let _daemon = world.start_under(&space.enter());
    world.wait_ready();
    let mut seen = 0;
    let root = space.inside(&world.root());
    space.run(&world.path(""), "mount -t tmpfs over root");
    wait_unavailable(&world, "an empty file system over it");
    world.write("d/b", "below the mount");
    space.run(&world.path(""), "umount root");
    assert_back(&world, &root, &mut seen, &[url("d/b")], "unmounted");
    space.run(&world.path(""), "mount -t tmpfs other root; echo something else >root/else");
    wait_unavailable(&world, "another device");
    space.run(&world.path(""), "umount root");
    assert_back(&world, &root, &mut seen, &[], "the right device");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_a_mount_is_unmounted_and_mounted_again() {
    if !may_mount("a_root_that_is_a_mount_is_unmounted_and_mounted_again") {
        return;
    }
    for lazily in ["umount root", "umount --lazy root"] {
        let world = World::new().await;
        world.configure("", "reconcile_every = \"2s\"");
        // The files outlive the mount.
        let space = Space::new();
        space.run(
            &world.path(""),
            "mkdir keep; \
             mount -t tmpfs keep keep; mkdir keep/www; mount --bind keep/www root",
        );
        let root = space.inside(&world.root());
        plant(&root);
        let _daemon = world.start_under(&space.enter());
        world.wait_ready();
        let mut seen = 0;
        space.run(&world.path(""), lazily);
        wait_unavailable(&world, lazily);
        assert_eq!(world.targets().len(), seen, "{lazily}: nothing counts as deleted");
        fs::write(space.inside(&world.path("keep/www/d/b")), "meanwhile").expect("written");
        space.run(&world.path(""), "mount --bind keep/www root");
        assert_back(&world, &root, &mut seen, &[url("d/b")], lazily);
    }
}
