//! A repository with a working tree, driven by the git program.

use std::path::{Path, PathBuf};
use std::process::Command;

use refreshd::domain::push::CommitId;

/// Runs git in a directory and returns what it prints.
pub(crate) fn git(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "gc.auto=0"])
        .args(["-c", "protocol.file.allow=always", "-c", "advice.detachedHead=false"])
        .args(words)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A working tree with its repository.
pub(crate) struct Work(pub(crate) PathBuf);

impl Work {
    pub(crate) fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).expect("a directory");
        git(&path, &["init", "-q", "-b", "main"]);
        Self(path)
    }

    pub(crate) fn git(&self, words: &[&str]) -> String {
        git(&self.0, words)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let full = self.0.join(path);
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("directories");
        std::fs::write(full, text).expect("the file is written");
    }

    /// Writes a file of this name and bytes, and commits it.
    pub(crate) fn commit(&self, path: &str, text: &str) -> CommitId {
        self.write(path, text);
        self.commit_all()
    }

    pub(crate) fn commit_all(&self) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a commit"]);
        self.head()
    }

    pub(crate) fn head(&self) -> CommitId {
        CommitId::parse(&self.git(&["rev-parse", "HEAD"])).expect("a name").expect("some")
    }
}
