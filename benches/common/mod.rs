//! What the benches that work on a tree have in common.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each directory holds up to this many others.
const FANOUT: usize = 20;

/// Returns a number from the environment.
pub(crate) fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Returns the median; of none, nothing or zero.
pub(crate) fn median<T: Ord + Copy + Default>(mut figures: Vec<T>) -> T {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Makes a tree and returns its directories.
pub(crate) fn make(tree: &Path, directories: usize) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = vec![tree.to_owned()];
    for at in 0..directories {
        if at > 0 {
            paths.push(paths[(at - 1) / FANOUT].join(format!("directory-{at}")));
        }
        fs::create_dir(&paths[at]).expect("made");
    }
    paths
}

/// Fills directories evenly with files of these bytes, and returns the files.
pub(crate) fn fill(directories: &[PathBuf], files: usize, bytes: &[u8]) -> Vec<PathBuf> {
    let place = |file: usize| &directories[file * directories.len() / files];
    let file = |file: usize| place(file).join(format!("asset-{file:07}.html"));
    let files: Vec<_> = (0..files).map(file).collect();
    for file in &files {
        fs::write(file, bytes).expect("written");
    }
    files
}

/// Compiles a program of `benches/floor` into a directory.
pub(crate) fn compile(name: &str, place: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/floor/{name}.c"));
    let program = place.join(name);
    let mut compiler = Command::new("cc");
    let done = compiler.arg("-O2").arg("-o").arg(&program).arg(source).status().expect("cc runs");
    assert!(done.success());
    program
}
