//! Odd names and things that are no files: each path has exactly one encoded URL, each line of log
//! is one line, and nothing makes the daemon wait for ever.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

use crate::trees::{assert_arrived, assert_nothing_more, shell, url};
use crate::world::{World, wait_for};

/// Names as bytes, and how a URL spells them.
const NAMES: [(&[u8], &str); 14] = [
    (b"new\nline", "new%0Aline"),
    (b"two\r\nlines: forged 2026-01-01 INFO", "two%0D%0Alines:%20forged%202026-01-01%20INFO"),
    (b"tab\tbell\x07escape\x1b[31mred", "tab%09bell%07escape%1B%5B31mred"),
    (b"delete\x7f", "delete%7F"),
    (b"not utf-8 \xff\xfe\xc3", "not%20utf-8%20%FF%FE%C3"),
    (b"half \xe2\x82 a euro", "half%20%E2%82%20a%20euro"),
    ("zürich €".as_bytes(), "z%C3%BCrich%20%E2%82%AC"),
    ("left\u{202e}right".as_bytes(), "left%E2%80%AEright"),
    (b"question?mark", "question%3Fmark"),
    (b"hash#tag", "hash%23tag"),
    (b"per%cent%41", "per%25cent%2541"),
    (b"back\\slash", "back%5Cslash"),
    (b"plus+and space", "plus%2Band%20space"),
    (b" ", "%20"),
];

fn assert_one_line_each(world: &World) {
    let log = world.log();
    for line in log.lines() {
        assert!(!line.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{line:?}");
        assert!(line.starts_with("20"), "each line begins with its time: {line:?}\n{log}");
    }
    assert!(!log.contains('\u{202e}'), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_bytes_in_names() {
    let world = World::new().await;
    world.configure("", "exclude_defaults = false");
    // A root without a file would be unavailable.
    world.write("kept", "one");
    let path = |name: &[u8]| world.root().join(OsStr::from_bytes(name));
    for (name, _) in NAMES {
        fs::write(path(name), "one").expect("written");
    }
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    let mut expected: Vec<String> = NAMES.iter().map(|(_, spelled)| url(spelled)).collect();
    expected.sort();
    for (name, _) in NAMES {
        fs::write(path(name), "two, longer").expect("written");
    }
    assert_arrived(&world, &mut seen, &expected, "files");
    for (name, _) in NAMES {
        fs::remove_file(path(name)).expect("removed");
    }
    assert_arrived(&world, &mut seen, &expected, "removed");
    for (name, _) in NAMES {
        fs::create_dir(path(name)).expect("made");
        fs::write(path(name).join("page"), "one").expect("written");
    }
    let mut expected: Vec<String> =
        NAMES.iter().map(|(_, spelled)| url(&format!("{spelled}/page"))).collect();
    expected.sort();
    assert_arrived(&world, &mut seen, &expected, "directories");
    assert_one_line_each(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_and_deep_paths() {
    let world = World::new().await;
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    let (file, directory) = ("f".repeat(255), "d".repeat(255));
    world.write(&file, "one");
    world.write(&format!("{directory}/page"), "one");
    let expected = [url(&format!("{directory}/page")), url(&file)];
    assert_arrived(&world, &mut seen, &expected, "names of 255 bytes");
    // Sixteen parts of 250 bytes, and what leads to the root: close to the 4,095 bytes that a call
    // takes. No URL is that long: most of these paths are shown as not mapped, and hold nobody up.
    make_deep(&world, 16);
    // What fits into the 1,024 characters of a URL that the CDN takes.
    let first = |depths: usize| {
        let names: Vec<String> = (0..depths).map(|depth| format!("{depth:0>250}/")).collect();
        names.concat()
    };
    let expected: Vec<String> =
        (1..=3).rev().map(|depths| url(&format!("{}page", first(depths)))).collect();
    assert_arrived(&world, &mut seen, &expected, "deep paths");
    let status = world.wait_quiet();
    let unmapped = status["origins"]["www"]["unmapped"].as_array().expect("a list").len();
    assert_eq!(unmapped, 13, "{status}");
    assert_nothing_more(&world, &world.root(), &mut seen, "after deep paths");
    assert_one_line_each(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_longer_than_a_call_takes_hold_nobody_up() {
    let world = World::new().await;
    world.configure("", "unstable_after = \"1s\"\nreconcile_every = \"1s\"");
    world.write("page", "one");
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    make_deep(&world, 20);
    wait_for("what can be asked for", || (world.targets().len() >= 3).then_some(()));
    world.wait_quiet();
    seen += world.targets().len();
    world.write("page", "two");
    assert_arrived(&world, &mut seen, &[url("page")], "beside them");
    assert_one_line_each(&world);
    // The temporary folder's own removal stops at paths that are too long.
    shell(&world.root(), "rm -r 0*");
}

/// Makes directories in one another, each with a file; part by part, as a path may be too long.
fn make_deep(world: &World, depths: usize) {
    let open = OFlags::DIRECTORY | OFlags::RDONLY;
    let mut at = openat(CWD, world.root(), open, Mode::empty()).expect("the root opens");
    for depth in 0..depths {
        let name = format!("{depth:0>250}");
        mkdirat(&at, &name, Mode::RWXU).expect("made");
        at = openat(&at, &name, open, Mode::empty()).expect("opens");
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let page = openat(&at, "page", flags, Mode::RUSR | Mode::WUSR).expect("made");
        rustix::io::write(&page, b"one").expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_loop_dangle_or_leave_the_root() {
    let world = World::new().await;
    let outside = world.path("outside");
    fs::create_dir_all(outside.join("tree")).expect("made");
    fs::write(outside.join("page"), "one").expect("written");
    fs::write(outside.join("tree/page"), "one").expect("written");
    world.write("d/page", "one");
    world.write("page", "one");
    let link = |to: &str, at: &str| symlink(to, world.root().join(at)).expect("linked");
    link("loop", "loop");
    link("..", "d/up");
    link(".", "self");
    link("two", "one");
    link("one", "two");
    link("nowhere", "dangling");
    link("page", "alias");
    link("../outside/page", "leaves");
    link("../outside/tree", "leaves-tree");
    link(outside.to_str().expect("plain"), "absolute");
    let _daemon = world.start();
    let status = world.wait_ready();
    let note = status["origins"]["www"]["note"].as_str().unwrap_or_default();
    assert!(
        note.contains("leave the root are not followed (3 in all), first `absolute`"),
        "{note}"
    );
    let mut seen = 0;
    fs::write(outside.join("page"), "two, longer").expect("written");
    fs::write(outside.join("tree/page"), "two, longer").expect("written");
    assert_nothing_more(&world, &world.root(), &mut seen, "outside the root");
    // A loop through the parent has one path without a link: others are not counted out for ever.
    world.write("page", "two");
    assert_arrived(&world, &mut seen, &[url("alias"), url("page")], "a link to a file");
    fs::remove_file(world.root().join("alias")).expect("removed");
    assert_arrived(&world, &mut seen, &[url("alias")], "a link removed");
    link("d/page", "alias");
    assert_arrived(&world, &mut seen, &[url("alias")], "a link made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_led_nowhere_is_refreshed_once_it_leads_somewhere() {
    for watch in ["auto", "inotify", "poll"] {
        let world = World::new().await;
        world.configure("", &format!("watch = \"{watch}\"\npoll_every = \"1s\""));
        symlink("nowhere", world.root().join("dangling")).expect("linked");
        world.write("page", "one");
        symlink("page", world.root().join("alias")).expect("linked");
        let _daemon = world.start();
        world.wait_ready();
        let mut seen = 0;
        world.write("nowhere", "now it is there");
        assert_arrived(&world, &mut seen, &[url("dangling"), url("nowhere")], watch);
        fs::remove_file(world.root().join("page")).expect("removed");
        assert_arrived(&world, &mut seen, &[url("alias"), url("page")], watch);
        world.write("page", "two");
        assert_arrived(&world, &mut seen, &[url("alias"), url("page")], watch);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_directories_inside_the_root_have_their_own_urls() {
    let world = World::new().await;
    world.write("real/page", "one");
    world.write("real/deep/page", "one");
    symlink("real", world.root().join("alias")).expect("linked");
    let _daemon = world.start();
    let status = world.wait_ready();
    assert_eq!(status["origins"]["www"]["files"], 4, "{status}");
    let mut seen = 0;
    world.write("real/page", "two");
    assert_arrived(&world, &mut seen, &[url("alias/page"), url("real/page")], "by the directory");
    world.write("alias/deep/page", "two");
    let expected = [url("alias/deep/page"), url("real/deep/page")];
    assert_arrived(&world, &mut seen, &expected, "by the link");
    world.write("alias/new/page", "new");
    let expected = [url("alias/new/page"), url("real/new/page")];
    assert_arrived(&world, &mut seen, &expected, "a new directory by the link");
    shell(&world.root(), "mkdir other; echo other >other/page; ln -sfn other alias");
    let expected = ["alias/deep/page", "alias/new/page", "alias/page", "other/page"].map(url);
    assert_arrived(&world, &mut seen, &expected, "the link leads elsewhere");
    fs::remove_file(world.root().join("alias")).expect("removed");
    assert_arrived(&world, &mut seen, &[url("alias/page")], "the link is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_leave_the_root_are_followed_where_that_is_wished() {
    for watch in ["auto", "inotify", "poll"] {
        let world = World::new().await;
        let origin = format!("links = \"anywhere\"\nwatch = \"{watch}\"\npoll_every = \"1s\"");
        world.configure("", &origin);
        let outside = world.path("outside");
        fs::create_dir_all(outside.join("tree/deep")).expect("made");
        fs::write(outside.join("tree/deep/page"), "one").expect("written");
        fs::write(outside.join("tree/page"), "one").expect("written");
        symlink("../outside/tree", world.root().join("relative")).expect("linked");
        symlink(outside.join("tree/deep"), world.root().join("absolute")).expect("linked");
        let _daemon = world.start();
        let status = world.wait_ready();
        assert_eq!(status["origins"]["www"]["files"], 3, "{watch}: {status}");
        let mut seen = 0;
        fs::write(outside.join("tree/page"), "two, longer").expect("written");
        assert_arrived(&world, &mut seen, &[url("relative/page")], watch);
        fs::write(outside.join("tree/deep/page"), "two, longer").expect("written");
        let expected = [url("absolute/page"), url("relative/deep/page")];
        assert_arrived(&world, &mut seen, &expected, watch);
        fs::create_dir(outside.join("tree/new")).expect("made");
        fs::write(outside.join("tree/new/page"), "new").expect("written");
        assert_arrived(&world, &mut seen, &[url("relative/new/page")], watch);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_pipes_hold_nobody_up() {
    let world = World::new().await;
    world.write("page", "one");
    world.write("becomes-a-pipe", "one");
    shell(&world.root(), "mkfifo pipe; ln -s pipe to-pipe");
    let _first = UnixListener::bind(world.root().join("socket")).expect("bound");
    let _daemon = world.start();
    let status = world.wait_ready();
    assert_eq!(status["origins"]["www"]["files"], 2, "{status}");
    let mut seen = 0;
    shell(&world.root(), "mkfifo late; rm becomes-a-pipe; mkfifo becomes-a-pipe");
    let _second = UnixListener::bind(world.root().join("late-socket")).expect("bound");
    world.write("page", "two");
    let expected = [url("becomes-a-pipe"), url("page")];
    assert_arrived(&world, &mut seen, &expected, "beside pipes and sockets");
    // With a writer that never writes.
    let path: PathBuf = world.root().join("pipe");
    let _writer = fs::File::options().read(true).write(true).open(path).expect("it opens");
    assert_nothing_more(&world, &world.root(), &mut seen, "an open pipe");
}
