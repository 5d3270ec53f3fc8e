//! Trees as a visitor sees them, and what must arrive when one became another.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::{World, wait_for};

/// The bytes of each file that a visitor could ask for, by its path.
pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

pub(crate) fn tree(root: &Path) -> Tree {
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
            } else if path.is_file() {
                tree.insert(name, fs::read(&path).expect("it is read"));
            }
        }
    }
    tree
}

/// The URLs of what differs between two trees, sorted; none of these files is an index file.
pub(crate) fn urls(before: &Tree, after: &Tree) -> Vec<String> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| url(name))
        .collect()
}

/// Waits until as many more URLs as expected arrived and nothing is under way, and compares.
pub(crate) fn assert_arrived(world: &World, seen: &mut usize, expected: &[String], what: &str) {
    wait_for(what, || (world.targets().len() >= *seen + expected.len()).then_some(()));
    world.wait_quiet();
    let mut arrived = world.targets().split_off(*seen);
    *seen += arrived.len();
    arrived.sort();
    assert_eq!(arrived, expected, "{what}\n{}", world.log());
}

pub(crate) fn shell(directory: &Path, script: &str) {
    let output =
        Command::new("sh").args(["-euc", script]).current_dir(directory).output().expect("a shell");
    assert!(output.status.success(), "{script}: {output:?}");
}

/// The URL of a file with a plain name that is no index file.
pub(crate) fn url(name: &str) -> String {
    format!("https://www.example.com/{name}")
}

/// Changes one more file and asserts that nothing but its URL arrives: whatever else was asked for
/// would have come by then.
pub(crate) fn assert_nothing_more(world: &World, root: &Path, seen: &mut usize, what: &str) {
    fs::write(root.join("sentinel"), seen.to_string()).expect("written");
    assert_arrived(world, seen, &[url("sentinel")], what);
}

/// Says that a test can't run here: `tests/run` fails unless it knows the reason.
#[expect(clippy::print_stdout, reason = "tests/run reads in the output what could not run")]
pub(crate) fn skip(test: &str, why: &str) {
    println!("SKIP: {test}: {why}");
}

/// Whether this process is root, who may mount; if not, the test is said to be skipped.
pub(crate) fn may_mount(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "only root may mount");
    }
    root
}
