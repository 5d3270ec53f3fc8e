use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::domain::watch::Links;

fn path(bytes: &[u8]) -> RelPath {
    RelPath::new(bytes).expect("valid")
}

/// A wall time at which no file of this test is young any more.
fn later() -> Timestamp {
    SystemClock::default().now().plus(std::time::Duration::from_secs(5))
}

fn see(root: &Path, name: &[u8]) -> Seen {
    look(&Root::open(root, Links::Inside).expect("opens"), &path(name), None, later())
}

#[test]
fn a_file_is_known_by_its_bytes_whatever_its_name() {
    let root = tempfile::tempdir().expect("made");
    fs::create_dir(root.path().join("d")).expect("made");
    for name in [b"d/a".as_slice(), b"new\nline", b"not-utf8-\xff", b"sp ace%"] {
        let name = path(name);
        fs::write(name.under(root.path()), b"hello").expect("written");
        let Seen::File(entry) = see(root.path(), name.as_bytes()) else {
            panic!("{name:?} is a file");
        };
        let whole = blake3::hash(b"hello");
        assert_eq!(entry.digest.expect("read").0, whole.as_bytes()[..16]);
        assert_eq!(entry.fingerprint.size, 5);
        assert!(!entry.doubtful);
    }
    assert_eq!(see(root.path(), b"d"), Seen::Directory);
    assert_eq!(see(root.path(), b"none"), Seen::Absent);
    assert_eq!(see(root.path(), b"d/a/below-a-file"), Seen::Absent);
}

#[test]
fn links_are_followed_inside_the_root_only() {
    let outside = tempfile::tempdir().expect("made");
    fs::write(outside.path().join("secret"), b"no").expect("written");
    let root = tempfile::tempdir().expect("made");
    fs::write(root.path().join("real"), b"yes").expect("written");
    symlink("real", root.path().join("inside")).expect("linked");
    symlink(outside.path().join("secret"), root.path().join("out")).expect("linked");
    symlink(outside.path(), root.path().join("out-dir")).expect("linked");
    symlink("../../../../etc/passwd", root.path().join("up")).expect("linked");
    symlink("loop", root.path().join("loop")).expect("linked");
    assert!(matches!(see(root.path(), b"inside"), Seen::File(_)));
    for name in [b"out".as_slice(), b"out-dir/secret", b"up", b"loop"] {
        assert_eq!(see(root.path(), name), Seen::Absent, "{:?}", path(name));
    }
}

#[test]
fn a_known_fingerprint_spares_reading_unless_it_is_doubtful() {
    let root = tempfile::tempdir().expect("made");
    fs::write(root.path().join("a"), b"hello").expect("written");
    let opened = Root::open(root.path(), Links::Inside).expect("opens");
    let Seen::File(entry) = look(&opened, &path(b"a"), None, later()) else {
        panic!("a file");
    };
    let pretended = Entry { digest: Some(Digest([7; 16])), ..entry };
    let known = look(&opened, &path(b"a"), Some(&pretended), later());
    assert_eq!(known, Seen::File(pretended));
    let doubtful = Entry { doubtful: true, ..pretended };
    let read = look(&opened, &path(b"a"), Some(&doubtful), later());
    assert_eq!(read, Seen::File(entry));
}

#[test]
fn a_young_change_time_is_doubtful() {
    let root = tempfile::tempdir().expect("made");
    fs::write(root.path().join("a"), b"hello").expect("written");
    let opened = Root::open(root.path(), Links::Inside).expect("opens");
    let Seen::File(entry) = look(&opened, &path(b"a"), None, later()) else {
        panic!("a file");
    };
    let changed = entry.fingerprint.changed_ns;
    let at = |after: i64| Timestamp::from_micros((changed + after) / 1_000);
    for (after, doubtful) in [(0, true), (DOUBT_NS - 1_000, true), (DOUBT_NS + 1_000, false)] {
        let Seen::File(entry) = look(&opened, &path(b"a"), None, at(after)) else {
            panic!("a file");
        };
        assert_eq!(entry.doubtful, doubtful, "{after}");
    }
}

#[test]
fn what_is_no_file_is_neither_read_nor_waited_for() {
    let root = tempfile::tempdir().expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("s")).expect("bound");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, root.path().join("f"), FileType::Fifo, mode, 0)
        .expect("made");
    assert_eq!(see(root.path(), b"s"), Seen::Other);
    assert_eq!(see(root.path(), b"f"), Seen::Other);
}

#[test]
fn a_look_tells_whether_a_file_has_more_names() {
    let root = tempfile::tempdir().expect("made");
    fs::create_dir(root.path().join("d")).expect("made");
    for name in ["one", "two", "d/x"] {
        fs::write(root.path().join(name), b"bytes").expect("written");
    }
    fs::hard_link(root.path().join("two"), root.path().join("also")).expect("linked");
    symlink("one", root.path().join("link")).expect("linked");
    symlink(root.path().join("d"), root.path().join("e")).expect("linked");
    let opened = Root::open(root.path(), Links::Inside).expect("opens");
    for (name, linked) in [
        ("one", false),
        ("two", true),
        ("also", true),
        ("link", true),
        ("d/x", false),
        ("e/x", true),
    ] {
        let Seen::File(entry) = see(root.path(), name.as_bytes()) else {
            panic!("{name} is a file");
        };
        assert_eq!(entry.linked, linked, "{name}");
        let unread = look_without_reading(&opened, &path(name.as_bytes()), later());
        assert_eq!(unread, Seen::File(Entry { digest: None, ..entry }));
        // What was known of it stays, but for that.
        let prior = Entry { linked: !linked, ..entry };
        let known = look(&opened, &path(name.as_bytes()), Some(&prior), later());
        assert_eq!(known, Seen::File(entry));
    }
    assert_eq!(look_without_reading(&opened, &path(b"d"), later()), Seen::Directory);
    assert_eq!(look_without_reading(&opened, &path(b"none"), later()), Seen::Absent);
}
