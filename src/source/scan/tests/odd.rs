//! Odd things in a tree: none hangs, panics or ends a scan.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};

use super::*;

#[test]
fn sockets_pipes_and_devices_are_nothing() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"d/x");
    let index = index(root.path());
    let _socket = UnixListener::bind(root.path().join("socket")).expect("bound");
    let pipe = root.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("made");
    symlink("pipe", root.path().join("to-pipe")).expect("linked");
    symlink("/dev/zero", root.path().join("to-device")).expect("linked");
    symlink("/proc/self/fd/0", root.path().join("magic")).expect("linked");
    for links in Links::ALL {
        let found = scan_with(root.path(), links, b"", &index).expect("available");
        assert_eq!((found.names(), found.unknown()), (Vec::new(), Vec::new()), "{links}");
        for at in [b"socket".as_slice(), b"pipe", b"to-pipe", b"to-device", b"pipe/x", b"magic"] {
            let found = scan_with(root.path(), links, at, &index).expect("available");
            assert_eq!((found.names(), found.unknown()), (Vec::new(), Vec::new()));
        }
    }
    // A file that became a pipe is missing.
    fs::remove_file(root.path().join("d/x")).expect("removed");
    fs::rename(pipe, root.path().join("d/x")).expect("moved");
    assert_eq!(scan_all(root.path(), &index).names(), ["d/x"]);
    assert_eq!(scan_at(root.path(), b"d/x", &index).expect("available").names(), ["d/x"]);
}

#[test]
fn a_name_that_is_too_long_is_unknown() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), &[b'n'; 255]);
    assert_eq!(scan_all(root.path(), &Index::new()).names(), ["n".repeat(255)]);
    let found = scan_at(root.path(), &[b'n'; 256], &Index::new()).expect("available");
    assert_eq!((found.names(), found.unknown()), (Vec::new(), vec!["n".repeat(256)]));
}

#[test]
fn a_path_that_no_program_can_open_is_unknown() {
    let root = tempfile::tempdir().expect("made");
    // 19 directories of 200 bytes are a path of 3,818 bytes; the last file is a byte too deep.
    let (name, mut path) = ("d".repeat(200), String::new());
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let mut directory = openat(CWD, root.path(), flags, Mode::empty()).expect("opens");
    for _ in 0..19 {
        mkdirat(&directory, &name, Mode::RWXU).expect("made");
        directory = openat(&directory, &name, flags, Mode::empty()).expect("opens");
        path = format!("{path}{name}/");
    }
    let left = 4_095 - path.len();
    assert!(left > 255);
    let last = "l".repeat(left - 100);
    mkdirat(&directory, &last, Mode::RWXU).expect("made");
    let directory = openat(&directory, &last, flags, Mode::empty()).expect("opens");
    path = format!("{path}{last}/");
    let (fits, too_long) = ("f".repeat(99), "f".repeat(100));
    for name in [&fits, &too_long] {
        let flags = OFlags::CREATE | OFlags::WRONLY;
        openat(&directory, name, flags, Mode::RUSR).expect("made");
    }
    mkdirat(&directory, "g".repeat(100), Mode::RWXU).expect("made");
    let found = scan_all(root.path(), &Index::new());
    assert_eq!(found.names(), [format!("{path}{fits}")]);
    let long = [format!("{path}{too_long}"), format!("{path}{}", "g".repeat(100))];
    assert_eq!(found.unknown(), long);
    assert!(found.scan.unknown.iter().all(|(_, why)| why.contains("4095 bytes")));
    let found = scan_at(root.path(), long[0].as_bytes(), &Index::new()).expect("available");
    assert_eq!(found.unknown(), long[..1]);
}

#[test]
fn a_directory_of_more_than_one_listing_is_listed_whole() {
    let root = tempfile::tempdir().expect("made");
    let name = |at: usize| format!("{}{at}", "n".repeat(240));
    for at in 0..500 {
        write(root.path(), name(at).as_bytes());
    }
    let index = index(root.path());
    assert_eq!(index.files(), 500);
    fs::remove_file(root.path().join(name(123))).expect("removed");
    let found = scan_all(root.path(), &index);
    assert_eq!(found.names(), [name(123)]);
    assert_eq!(found.scan.files, 499);
}

#[test]
fn a_tree_that_changes_meanwhile_ends_no_scan() {
    let root = tempfile::tempdir().expect("made");
    for at in 0..100 {
        write(root.path(), format!("d{at}/e/x").as_bytes());
    }
    let index = index(root.path());
    std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            for at in 0..100 {
                fs::remove_dir_all(root.path().join(format!("d{at}"))).expect("removed");
            }
        });
        let opened = Root::open(root.path(), Links::Inside).expect("opens");
        while !remover.is_finished() {
            match compare(&opened, b"", &index, None, 2) {
                Ok(found) => assert_eq!(found.unknown(), [""; 0]),
                Err(error) => assert!(matches!(error, Unavailable::Empty { .. }), "{error}"),
            }
        }
    });
}
