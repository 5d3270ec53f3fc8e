//! Links: which are followed, and how far.

use std::os::unix::fs::symlink;

use super::*;

fn link(root: &Path, to: impl AsRef<Path>, name: &str) {
    symlink(to, root.join(name)).expect("linked");
}

fn seen(found: &Found, name: &str) -> (Fingerprint, bool) {
    let at = found.suspects.iter().find(|suspect| suspect.path == path(name.as_bytes()));
    at.expect("a suspect").seen.expect("present")
}

#[test]
fn each_policy_follows_its_links() {
    let outside = tempfile::tempdir().expect("made");
    write(outside.path(), b"secret");
    let root = tempfile::tempdir().expect("made");
    let root_name = root.path().file_name().expect("a name");
    write(root.path(), b"real/x");
    link(root.path(), outside.path(), "out");
    link(root.path(), outside.path().join("secret"), "out-file");
    link(root.path(), "real", "in");
    link(root.path(), "real/x", "in-file");
    link(root.path(), root.path().join("real"), "absolute");
    link(root.path(), root.path().join("real/x"), "absolute-file");
    link(root.path(), Path::new("..").join(root_name).join("real/x"), "back");
    link(root.path(), "nowhere", "broken");

    let never = scan_with(root.path(), Links::Never, b"", &Index::new()).expect("available");
    assert_eq!(never.names(), ["real/x"]);
    assert_eq!(never.links(), []);

    let found = scan_all(root.path(), &Index::new());
    let within = ["absolute-file", "absolute/x", "back", "in-file", "in/x", "real/x"];
    assert_eq!(found.names(), within);
    assert_eq!(found.links(), [("absolute".into(), inside("real")), ("in".into(), inside("real"))]);
    let (real, linked) = seen(&found, "real/x");
    assert!(!linked);
    for name in within.iter().filter(|name| **name != "real/x") {
        assert_eq!(seen(&found, name), (real, true), "{name}");
    }

    let all = scan_with(root.path(), Links::Anywhere, b"", &Index::new()).expect("available");
    assert_eq!(all.names(), [&within[..5], &["out-file", "out/secret"], &within[5..]].concat());
    let place = fs::canonicalize(outside.path()).expect("there");
    assert!(all.links().contains(&("out".into(), LinkTarget::Outside(place))));

    for links in Links::ALL {
        let index = index_with(root.path(), links);
        let again = scan_with(root.path(), links, b"", &index).expect("available");
        assert_eq!(again.names(), [""; 0], "{links}");
    }
}

#[test]
fn a_root_behind_a_link_is_known_by_its_real_place() {
    let parent = tempfile::tempdir().expect("made");
    write(parent.path(), b"releases/1/d/x");
    link(parent.path(), "releases/1", "current");
    let root = parent.path().join("current");
    // By the link to the root, and by its real place.
    link(&root, root.join("d"), "a");
    link(&root, parent.path().join("releases/1/d"), "b");
    link(&root, parent.path().join("releases"), "c");
    let found = scan_all(&root, &Index::new());
    assert_eq!(found.names(), ["a/x", "b/x", "d/x"]);
    assert_eq!(found.links(), [("a".into(), inside("d")), ("b".into(), inside("d"))]);
}

#[test]
fn a_link_that_moved_on_leaves_missing_and_new_files() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"releases/1/old");
    write(root.path(), b"releases/1/same");
    write(root.path(), b"releases/2/new");
    write(root.path(), b"releases/2/same");
    link(root.path(), "releases/1", "current");
    let index = index(root.path());
    assert_eq!(scan_all(root.path(), &index).names(), [""; 0]);
    fs::remove_file(root.path().join("current")).expect("removed");
    link(root.path(), "releases/2", "current");
    let found = scan_all(root.path(), &index);
    assert_eq!(found.names(), ["current/new", "current/old", "current/same"]);
    assert_eq!(found.scan.missing, 1);
    fs::remove_file(root.path().join("current")).expect("removed");
    let found = scan_all(root.path(), &index);
    assert_eq!(found.names(), ["current/old", "current/same"]);
    assert_eq!(found.scan.missing, 2);
    write(root.path(), b"current");
    let found = scan_at(root.path(), b"current", &index).expect("available");
    assert_eq!(found.names(), ["current", "current/old", "current/same"]);
}

#[test]
fn a_subtree_behind_links_is_reached_as_from_the_root() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"releases/1/d/x");
    write(root.path(), b"shared/y");
    link(root.path(), "releases/1", "current");
    link(&root.path().join("releases/1/d"), root.path().join("shared"), "up");
    let at =
        |at: &[u8], links| scan_with(root.path(), links, at, &Index::new()).expect("available");
    let found = at(b"current/d", Links::Inside);
    assert_eq!(found.names(), ["current/d/up/y", "current/d/x"]);
    assert!(found.suspects.iter().all(|suspect| suspect.seen.expect("present").1));
    assert_eq!(
        found.links(),
        [("current".into(), inside("releases/1")), ("current/d/up".into(), inside("shared"))]
    );
    assert_eq!(at(b"current/d/up/y", Links::Inside).names(), ["current/d/up/y"]);
    assert_eq!(at(b"current/d", Links::Never).names(), [""; 0]);
    assert_eq!(at(b"current/d/x", Links::Never).names(), [""; 0]);
}

#[test]
fn loops_end() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"a/x");
    write(root.path(), b"b/y");
    link(root.path(), "self", "self");
    link(root.path(), ".", "here");
    link(&root.path().join("a"), root.path(), "top");
    link(&root.path().join("a"), "../b", "to-b");
    link(&root.path().join("b"), "../a", "to-a");
    let found = scan_all(root.path(), &Index::new());
    assert_eq!(found.names(), ["a/to-b/y", "a/x", "b/to-a/x", "b/y"]);
    assert_eq!(found.unknown(), [""; 0]);
    let links = [("a/to-b".into(), inside("b")), ("b/to-a".into(), inside("a"))];
    assert_eq!(found.links(), links);
    // A subtree in a loop is nothing, as it is for a scan of the root.
    for at in [b"here/a".as_slice(), b"a/top", b"a/to-b/to-a", b"self"] {
        let found = scan_at(root.path(), at, &Index::new()).expect("available");
        assert_eq!(found.names(), [""; 0], "{:?}", path(at));
    }
    // Above the root there may be a way back into it: one round, by a link that leaves.
    let around = Links::Anywhere;
    let inner = root.path().join("a");
    let found = scan_with(&inner, around, b"", &Index::new()).expect("available");
    assert!(found.names().contains(&"top/b/y".into()));
}

#[test]
fn at_most_eight_links_lie_on_one_way() {
    let root = tempfile::tempdir().expect("made");
    for at in 0..=9 {
        write(root.path(), format!("d{at}/x").as_bytes());
        link(&root.path().join(format!("d{at}")), format!("../d{}", at + 1), "l");
    }
    let found = scan_at(root.path(), b"d0", &Index::new()).expect("available");
    let eight = format!("d0{}", "/l".repeat(8));
    assert!(found.names().contains(&format!("{eight}/x")));
    assert_eq!(found.suspects.len(), 9);
    assert_eq!(found.unknown(), [format!("{eight}/l")]);
    let beyond = scan_at(root.path(), format!("{eight}/l").as_bytes(), &Index::new());
    assert_eq!(beyond.expect("available").unknown(), [format!("{eight}/l")]);
}

#[test]
fn more_names_of_a_file_are_noticed() {
    let root = tempfile::tempdir().expect("made");
    write(root.path(), b"a");
    write(root.path(), b"d/x");
    let index = index(root.path());
    fs::hard_link(root.path().join("a"), root.path().join("b")).expect("linked");
    // The same file behind a link: its fingerprint is the old one.
    fs::rename(root.path().join("d"), root.path().join("e")).expect("moved");
    link(root.path(), "e", "d");
    let found = scan_all(root.path(), &index);
    assert_eq!(found.names(), ["a", "b", "d/x", "e/x"]);
    let linked: Vec<_> = found.suspects.iter().map(|it| it.seen.expect("present").1).collect();
    assert_eq!(linked, [true, true, true, false]);
}
