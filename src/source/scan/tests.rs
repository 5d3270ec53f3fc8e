use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::source::look::{Seen, look};

fn path(bytes: &[u8]) -> RelPath {
    RelPath::new(bytes).expect("valid")
}

fn write(root: &Path, name: &[u8]) {
    let full = path(name).under(root);
    fs::create_dir_all(full.parent().expect("below the root")).expect("made");
    fs::write(full, b"bytes").expect("written");
}

fn scan_at(root: &Path, at: &[u8], index: &Index) -> Result<Scan, Unavailable> {
    let excluded = |path: &RelPath, _: bool| path.name().starts_with(b".");
    let root = Root::open(root)?;
    scan(&root, &path(at), index, None, &excluded)
}

fn scan_all(root: &Path, index: &Index) -> Scan {
    scan_at(root, b"", index).expect("available")
}

fn names(scan: &Scan) -> Vec<String> {
    scan.suspects.iter().map(ToString::to_string).collect()
}

/// An index of the tree as it is.
fn index(root: &Path) -> Index {
    let mut index = Index::new();
    let opened = Root::open(root).expect("opens");
    let later = SystemClock::default().now().plus(std::time::Duration::from_secs(5));
    for path in scan_all(root, &index).suspects {
        if let Seen::File(entry) = look(&opened, &path, None, later) {
            index.apply(&path, Some(entry));
        }
    }
    index
}

#[test]
fn an_unchanged_tree_has_no_suspects() {
    let root = tempfile::tempdir().expect("made");
    for name in
        [b"a".as_slice(), b"d/b", b"d/e/c", b"new\nline", b"d/\xff", b".git/config", b"d/.x"]
    {
        write(root.path(), name);
    }
    let all = scan_all(root.path(), &Index::new());
    assert_eq!(names(&all), ["a", "d/b", "d/e/c", "d/\\xff", "new\\x0aline"]);
    assert_eq!((all.files, all.directories), (5, 3));
    let again = scan_all(root.path(), &index(root.path()));
    assert_eq!((again.suspects, again.missing), (Vec::new(), 0));
}

#[test]
fn new_missing_and_changed_paths_are_suspects() {
    let root = tempfile::tempdir().expect("made");
    for name in [b"changed".as_slice(), b"gone", b"dir/x", b"dir/deep/y", b"kept"] {
        write(root.path(), name);
    }
    let index = index(root.path());
    fs::write(root.path().join("changed"), b"longer bytes").expect("written");
    fs::remove_file(root.path().join("gone")).expect("removed");
    fs::remove_dir_all(root.path().join("dir")).expect("removed");
    write(root.path(), b"dir-new/z");
    let found = scan_all(root.path(), &index);
    assert_eq!(names(&found), ["changed", "dir-new/z", "dir/deep/y", "dir/x", "gone"]);
    assert_eq!(found.missing, 3);
    let part = scan_at(root.path(), b"dir", &index).expect("available");
    assert_eq!(names(&part), ["dir/deep/y", "dir/x"]);
    let one = scan_at(root.path(), b"changed", &index).expect("available");
    assert_eq!(names(&one), ["changed"]);
}

#[test]
fn a_directory_that_became_a_file_is_missing_with_all_below() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"d/x");
    write(root.path(), b"kept");
    let index = index(root.path());
    fs::remove_dir_all(root.path().join("d")).expect("removed");
    write(root.path(), b"d");
    assert_eq!(names(&scan_all(root.path(), &index)), ["d", "d/x"]);
    assert_eq!(names(&scan_at(root.path(), b"d", &index).expect("available")), ["d", "d/x"]);
}

#[test]
fn links_out_of_the_root_are_not_followed() {
    let outside = tempfile::tempdir().expect("made");
    write(outside.path(), b"secret");
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"real/x");
    symlink(outside.path(), root.path().join("out")).expect("linked");
    symlink(outside.path().join("secret"), root.path().join("out-file")).expect("linked");
    symlink("real", root.path().join("in")).expect("linked");
    symlink("real/x", root.path().join("in-file")).expect("linked");
    assert_eq!(names(&scan_all(root.path(), &Index::new())), ["in-file", "real/x"]);
}

#[test]
fn a_directory_that_cannot_be_listed_is_unknown_not_empty() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"d/x");
    write(root.path(), b"kept");
    let index = index(root.path());
    let opened = Root::open(root.path()).expect("opens");
    let nothing = |_: &RelPath, _: bool| false;
    let mut walk = Walk {
        root: &opened,
        index: &index,
        excluded: &nothing,
        found: Scan::default(),
        listed: BTreeSet::new(),
        top: 0,
    };
    // A descriptor that cannot be listed stands for a directory that fails.
    let unlistable =
        opened.open_beneath(&path(b"kept"), OFlags::RDONLY, ResolveFlags::empty()).expect("opens");
    walk.directory(&unlistable, &path(b"d"));
    walk.find_missing(&path(b"d"));
    assert_eq!(walk.found.unknown.len(), 1);
    assert_eq!((walk.found.suspects, walk.found.missing), (Vec::new(), 0));
}

#[test]
fn a_root_that_is_gone_or_emptied_is_unavailable() {
    let parent = tempfile::tempdir().expect("made");
    let root = parent.path().join("www");
    write(&root, b"a");
    let index = index(&root);
    fs::remove_file(root.join("a")).expect("removed");
    let empty = scan_at(&root, b"", &index).expect_err("empty");
    assert!(matches!(empty, Unavailable::Empty { files: 1, .. }), "{empty}");
    assert_eq!(names(&scan_at(&root, b"", &Index::new()).expect("was empty")), [""; 0]);
    fs::remove_dir(&root).expect("removed");
    assert_eq!(scan_at(&root, b"", &index), Err(Unavailable::Gone(root.clone())));
    fs::write(&root, b"a file").expect("written");
    assert_eq!(scan_at(&root, b"", &index), Err(Unavailable::NotDirectory(root)));
}

#[test]
fn a_root_replaced_meanwhile_makes_the_scan_worthless() {
    let parent = tempfile::tempdir().expect("made");
    let root = parent.path().join("www");
    write(&root, b"a");
    let opened = Root::open(&root).expect("opens");
    fs::rename(&root, parent.path().join("old")).expect("moved");
    write(&root, b"b");
    let scanned = scan(&opened, &RelPath::root(), &Index::new(), None, &|_, _| false);
    assert_eq!(scanned, Err(Unavailable::Replaced(root)));
}

#[test]
fn another_device_is_believed_only_with_most_files_in_place() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"a");
    write(root.path(), b"b");
    let mut index = index(root.path());
    let opened = Root::open(root.path()).expect("opens");
    let elsewhere = Some(opened.device() + 1);
    let scan = |index: &Index| scan(&opened, &RelPath::root(), index, elsewhere, &|_, _| false);
    assert!(scan(&index).is_ok());
    let entry = index.get(&path(b"a")).expect("held");
    for name in [b"lost/1".as_slice(), b"lost/2", b"lost/3"] {
        index.apply(&path(name), Some(entry));
    }
    index.apply(&path(b"a"), None);
    assert!(matches!(scan(&index), Err(Unavailable::OtherDevice { missing: 3, files: 4, .. })));
}
