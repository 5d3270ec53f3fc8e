use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::domain::watch::Links;
use crate::source::look::{Seen, look};

fn path(bytes: &[u8]) -> RelPath {
    RelPath::new(bytes).expect("valid")
}

fn write(root: &Path, name: &[u8]) {
    let full = path(name).under(root);
    fs::create_dir_all(full.parent().expect("below the root")).expect("made");
    fs::write(full, b"bytes").expect("written");
}

fn no_dots(path: &RelPath, _: bool) -> bool {
    path.name().starts_with(b".")
}

/// What a scan found, suspects in order.
#[derive(Debug, PartialEq)]
struct Found {
    suspects: Vec<Suspect>,
    scan: Scan,
}

impl Found {
    fn names(&self) -> Vec<String> {
        self.suspects.iter().map(|suspect| suspect.path.to_string()).collect()
    }

    fn unknown(&self) -> Vec<String> {
        self.scan.unknown.iter().map(|(path, _)| path.to_string()).collect()
    }

    fn links(&self) -> Vec<(String, LinkTarget)> {
        self.scan.links.iter().map(|link| (link.at.to_string(), link.to.clone())).collect()
    }
}

fn compare(
    root: &Root,
    at: &[u8],
    index: &Index,
    device: Option<u64>,
    threads: usize,
) -> Result<Found, Unavailable> {
    let (index, progress) = (RwLock::new(index.clone()), AtomicU64::new(0));
    let comparison =
        Comparison { index: &index, device, excluded: &no_dots, progress: &progress, threads };
    let suspects = Mutex::new(Vec::new());
    let emit = |suspect| {
        assert!(index.try_write().is_ok() || threads > 1, "locked while a suspect is emitted");
        suspects.lock().expect("no panic").push(suspect);
    };
    let scan = scan(root, &path(at), &comparison, &emit)?;
    assert_eq!(progress.load(Ordering::Relaxed), scan.files);
    let mut suspects = suspects.into_inner().expect("no panic");
    suspects.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    Ok(Found { suspects, scan })
}

/// Scans with one thread and with three, which must agree.
fn scan_with(root: &Path, links: Links, at: &[u8], index: &Index) -> Result<Found, Unavailable> {
    let root = Root::open(root, links)?;
    let found = compare(&root, at, index, None, 1);
    assert_eq!(compare(&root, at, index, None, 3), found);
    found
}

fn scan_at(root: &Path, at: &[u8], index: &Index) -> Result<Found, Unavailable> {
    scan_with(root, Links::Inside, at, index)
}

fn scan_all(root: &Path, index: &Index) -> Found {
    scan_at(root, b"", index).expect("available")
}

fn inside(text: &str) -> LinkTarget {
    LinkTarget::Inside(path(text.as_bytes()))
}

/// An index of the tree as it is.
fn index_with(root: &Path, links: Links) -> Index {
    let mut index = Index::new();
    let opened = Root::open(root, links).expect("opens");
    let later = SystemClock::default().now().plus(std::time::Duration::from_secs(5));
    let all = scan_with(root, links, b"", &index).expect("available");
    for suspect in all.suspects {
        let Seen::File(entry) = look(&opened, &suspect.path, None, later) else {
            panic!("{:?} is a file", suspect.path);
        };
        assert_eq!(suspect.seen, Some((entry.fingerprint, entry.linked)), "{:?}", suspect.path);
        index.apply(&suspect.path, Some(entry));
    }
    index
}

fn index(root: &Path) -> Index {
    index_with(root, Links::Inside)
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
    assert_eq!(all.names(), ["a", "d/b", "d/e/c", "d/\\xff", "new\\x0aline"]);
    assert_eq!((all.scan.files, all.scan.directories), (5, 3));
    let again = scan_all(root.path(), &index(root.path()));
    assert_eq!((again.suspects, again.scan.missing), (Vec::new(), 0));
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
    assert_eq!(found.names(), ["changed", "dir-new/z", "dir/deep/y", "dir/x", "gone"]);
    assert_eq!(found.scan.missing, 3);
    let part = scan_at(root.path(), b"dir", &index).expect("available");
    assert_eq!(part.names(), ["dir/deep/y", "dir/x"]);
    let one = scan_at(root.path(), b"changed", &index).expect("available");
    assert_eq!(one.names(), ["changed"]);
}

#[test]
fn a_directory_that_became_a_file_is_missing_with_all_below() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"d/x");
    write(root.path(), b"kept");
    let index = index(root.path());
    fs::remove_dir_all(root.path().join("d")).expect("removed");
    write(root.path(), b"d");
    assert_eq!(scan_all(root.path(), &index).names(), ["d", "d/x"]);
    assert_eq!(scan_at(root.path(), b"d", &index).expect("available").names(), ["d", "d/x"]);
}

#[test]
fn a_directory_that_cannot_be_listed_is_unknown_not_empty() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"d/x");
    write(root.path(), b"d/e/y");
    write(root.path(), b"kept");
    let index = RwLock::new(index(root.path()));
    let opened = Root::open(root.path(), Links::Inside).expect("opens");
    let (progress, queue) = (AtomicU64::new(0), Queue::default());
    let comparison = Comparison {
        index: &index,
        device: None,
        excluded: &no_dots,
        progress: &progress,
        threads: 1,
    };
    let nothing = |suspect: Suspect| panic!("{suspect:?}");
    let mut walk = Walk::new(&opened, &comparison, &nothing, &queue);
    // A directory that was opened without the right to list it stands for one that fails.
    let unlistable = opened.open_plain(&path(b"d"), rustix::fs::OFlags::PATH).expect("opens");
    let mut buffer = Vec::with_capacity(1_024);
    let way = queue::Way { path: path(b"d"), links: 0 };
    walk.list(&unlistable, &way, buffer.spare_capacity_mut());
    let found = walk.run();
    assert_eq!(found.scan.unknown.len(), 1);
    assert_eq!(found.scan.missing, 0);
}

#[test]
fn what_is_excluded_now_is_suspected_once_more() {
    let root = tempfile::tempdir().expect("made");
    for name in [b"a".as_slice(), b".x", b"d/.y", b".git/deep/z"] {
        write(root.path(), name);
    }
    let mut index = index(root.path());
    let entry = index.get(&path(b"a")).expect("held");
    for name in [b".x".as_slice(), b"d/.y", b".git/deep/z"] {
        index.apply(&path(name), Some(entry));
    }
    assert_eq!(scan_all(root.path(), &index).names(), [".git/deep/z", ".x", "d/.y"]);
    assert_eq!(scan_at(root.path(), b".git", &index).expect("ok").names(), [".git/deep/z"]);
}

#[test]
fn a_panic_of_the_caller_ends_the_scan() {
    let root = tempfile::tempdir().expect("made");
    for at in 0..50 {
        write(root.path(), format!("d{at}/x").as_bytes());
    }
    let opened = Root::open(root.path(), Links::Inside).expect("opens");
    let (index, progress) = (RwLock::default(), AtomicU64::new(0));
    let (excluded, progress) = (&no_dots, &progress);
    let comparison = Comparison { index: &index, device: None, excluded, progress, threads: 3 };
    let emit = |suspect: Suspect| assert!(suspect.path.as_bytes() != b"d7/x", "as planned");
    let scanned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        scan(&opened, &RelPath::root(), &comparison, &emit)
    }));
    assert!(scanned.is_err());
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
    assert_eq!(scan_at(&root, b"", &Index::new()).expect("was empty").names(), [""; 0]);
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
    let opened = Root::open(&root, Links::Inside).expect("opens");
    fs::rename(&root, parent.path().join("old")).expect("moved");
    write(&root, b"b");
    let scanned = compare(&opened, b"", &Index::new(), None, 2);
    assert_eq!(scanned, Err(Unavailable::Replaced(root)));
}

#[test]
fn another_device_is_believed_only_with_most_files_in_place() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"a");
    write(root.path(), b"b");
    let mut index = index(root.path());
    let opened = Root::open(root.path(), Links::Inside).expect("opens");
    let elsewhere = Some(opened.device() + 1);
    let scan = |index: &Index| compare(&opened, b"", index, elsewhere, 2);
    assert!(scan(&index).is_ok());
    let entry = index.get(&path(b"a")).expect("held");
    for name in [b"lost/1".as_slice(), b"lost/2", b"lost/3"] {
        index.apply(&path(name), Some(entry));
    }
    index.apply(&path(b"a"), None);
    assert!(matches!(scan(&index), Err(Unavailable::OtherDevice { missing: 3, files: 4, .. })));
}

mod links;
mod odd;
