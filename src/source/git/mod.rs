//! A git repository, asked through the git program: which commit a ref names, what differs between
//! two, and what the files of one are.
//!
//! **Invariant:** a question changes nothing in the repository and runs nothing that the repository
//! names; what it prints is read as bytes that may lie.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};

use crate::domain::change::ChangeKind;
use crate::domain::index::Digest;
use crate::domain::path::RelPath;
use crate::domain::push::CommitId;

mod raw;
mod run;

#[cfg(test)]
mod tests;

use run::{FETCH, QUESTION, ask, feed, start, within};

/// No protocol has this name: a question never reaches out, whatever is missing.
const NO_PROTOCOL: &str = "none";
/// The protocols that a fetch may use.
const PROTOCOLS: &str = "file:git:http:https:ssh";

/// Why git gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is missing or may not be run.
    #[error("the program `git` can't be started ({0}); install git on this host")]
    NotStarted(#[source] std::io::Error),
    /// Its output broke off.
    #[error("what git prints can't be read: {0}")]
    Unread(#[source] std::io::Error),
    /// Its output makes no sense.
    #[error("git's answer can't be used: {0}")]
    Garbled(&'static str),
    /// It took too long and was ended.
    #[error("git did not {what} within {seconds} seconds")]
    Late {
        /// What it was to do.
        what: &'static str,
        /// For how long it was let.
        seconds: u64,
    },
    /// It says no.
    #[error("git can't {what}: {words}")]
    Failed {
        /// What it was to do.
        what: &'static str,
        /// What it says.
        words: String,
    },
    /// A fetch would obey the settings of somebody else.
    #[error(
        "{} belongs to user {owner}, and a fetch runs what its settings name; make it the daemon's \
         (user {user}), or leave `fetch_from` out and have its owner fetch",
        .path.display()
    )]
    Foreign {
        /// The repository.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name of its bytes.
    pub blob: String,
    /// Whether it is a symbolic link.
    pub is_link: bool,
}

/// A git repository: bare, or the clone that a directory is.
#[derive(Clone, Debug)]
pub struct Git {
    repository: PathBuf,
}

/// Returns the program's own words for its version.
pub async fn version() -> Result<String, GitError> {
    let asked = async {
        let mut words = String::new();
        let each = |line: &[u8]| words = String::from_utf8_lossy(line).into_owned();
        let ended = ask(run::git(NO_PROTOCOL), ["--version"])?.fields(b'\n', each).await?;
        ended.success("say its version")?;
        Ok(words)
    };
    within(QUESTION, "say its version", asked).await
}

impl Git {
    /// Names a repository; nothing is asked yet.
    #[must_use]
    pub fn new(repository: &Path) -> Self {
        Self { repository: repository.to_owned() }
    }

    fn question(&self) -> Command {
        run::about(&self.repository, NO_PROTOCOL)
    }

    /// Returns the commit that a ref names, by the ref's whole name; none where there is no such ref.
    pub async fn tip(&self, reference: &str) -> Result<Option<CommitId>, GitError> {
        let what = "look for the branch";
        let mut found = None;
        let each = |line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            let mut parts = line.split(' ');
            // A pattern finds what lies below it, too; of a tag that is an object its commit counts.
            if parts.next_back() == Some(reference) {
                found = parts.rfind(|name| !name.is_empty()).map(str::to_owned);
            }
        };
        let format = "--format=%(objectname) %(*objectname) %(refname)";
        let asked = async {
            let running = ask(self.question(), ["for-each-ref", format, "--", reference])?;
            running.fields(b'\n', each).await?.success(what)
        };
        within(QUESTION, what, asked).await?;
        let unnamed = |_| GitError::Garbled("it names no commit");
        found.map_or(Ok(None), |name| CommitId::parse(&name).map_err(unnamed))
    }

    /// Returns whether the repository holds a commit.
    pub async fn has(&self, commit: &CommitId) -> Result<bool, GitError> {
        let what = "look for a commit";
        let mut is_there = false;
        let asked = async {
            let mut running = start(self.question().args(["cat-file", "--batch-check"]), true)?;
            feed(running.input.take(), std::iter::once(format!("{commit}^{{commit}}\n"))).await;
            let each = |line: &[u8]| is_there |= !line.ends_with(b" missing");
            running.fields(b'\n', each).await?.success(what)
        };
        within(QUESTION, what, asked).await?;
        Ok(is_there)
    }

    /// Returns whether `descendant` is `commit`, or comes after it.
    pub async fn is_ancestor(
        &self,
        commit: &CommitId,
        descendant: &CommitId,
    ) -> Result<bool, GitError> {
        let what = "compare two commits";
        let words = ["merge-base", "--is-ancestor", commit.as_str(), descendant.as_str()];
        let asked = async {
            let ended = ask(self.question(), words)?.fields(b'\n', |_| ()).await?;
            if ended.status.code() == Some(1) {
                Ok(false)
            } else {
                ended.success(what).map(|()| true)
            }
        };
        within(QUESTION, what, asked).await
    }

    /// Returns what differs between two commits below `prefix`, by paths from there on; none stands for
    /// the commit without files. A rename is a removal and a creation.
    pub async fn diff(
        &self,
        before: Option<&CommitId>,
        after: Option<&CommitId>,
        prefix: &RelPath,
    ) -> Result<Vec<(ChangeKind, RelPath)>, GitError> {
        let (commit, kind) = match (before, after) {
            (Some(before), Some(after)) => return self.compare(before, after, prefix).await,
            (None, None) => return Ok(Vec::new()),
            (None, Some(after)) => (after, ChangeKind::Created),
            (Some(before), None) => (before, ChangeKind::Removed),
        };
        let files = self.files(commit, prefix).await?;
        Ok(files.into_keys().map(|path| (kind, path)).collect())
    }

    async fn compare(
        &self,
        before: &CommitId,
        after: &CommitId,
        prefix: &RelPath,
    ) -> Result<Vec<(ChangeKind, RelPath)>, GitError> {
        let what = "compare two commits";
        let mut command = self.question();
        command.args(["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff"]);
        command.args([before.as_str(), after.as_str(), "--"]);
        if !prefix.is_root() {
            command.arg(prefix.as_path());
        }
        let mut found = raw::Differences::new(prefix);
        let asked = async {
            let running = start(&mut command, false)?;
            running.fields(0, |field| found.field(field)).await?.success(what)
        };
        within(QUESTION, what, asked).await?;
        Ok(found.changes)
    }

    /// Returns the files of a commit below `prefix`, by paths from there on: links too, but not what
    /// belongs to other repositories.
    pub async fn files(
        &self,
        commit: &CommitId,
        prefix: &RelPath,
    ) -> Result<BTreeMap<RelPath, Listed>, GitError> {
        let what = "list the files of a commit";
        let mut command = self.question();
        command.args(["ls-tree", "-r", "-z", "--full-tree", commit.as_str(), "--"]);
        if !prefix.is_root() {
            command.arg(prefix.as_path());
        }
        let mut files = BTreeMap::new();
        let asked = async {
            let running = start(&mut command, false)?;
            let each = |field: &[u8]| raw::entry(field, prefix, &mut files);
            running.fields(0, each).await?.success(what)
        };
        within(QUESTION, what, asked).await?;
        Ok(files)
    }

    /// Returns the digests of those files, by paths from `prefix` on, that a commit has; a link has
    /// none.
    pub async fn digests(
        &self,
        commit: &CommitId,
        prefix: &RelPath,
        paths: &[RelPath],
    ) -> Result<BTreeMap<RelPath, Digest>, GitError> {
        let files = self.files(commit, prefix).await?;
        let wanted: Vec<(&RelPath, &Listed)> =
            paths.iter().filter_map(|path| files.get_key_value(path)).collect();
        let wanted: Vec<_> = wanted.into_iter().filter(|(_, listed)| !listed.is_link).collect();
        let what = "read the files of a commit";
        let mut command = self.question();
        command.args(["cat-file", "--batch"]);
        let asked = async {
            let mut running = start(&mut command, true)?;
            let lines = wanted.iter().map(|(_, listed)| format!("{}\n", listed.blob));
            let (input, output) = (running.input.take(), running.output.take());
            let read = async {
                let mut digests = BTreeMap::new();
                let mut output = BufReader::new(output.ok_or(GitError::Garbled("no output"))?);
                for (path, _) in &wanted {
                    digests.insert((*path).clone(), digest(&mut output).await?);
                }
                Ok(digests)
            };
            let (read, ()) = tokio::join!(read, feed(input, lines));
            let ended = running.end().await?;
            match read {
                Ok(digests) => ended.success(what).map(|()| digests),
                // What it said is the better reason.
                Err(_) if !ended.status.success() => Err(ended.failure(what)),
                Err(error) => Err(error),
            }
        };
        within(FETCH, what, asked).await
    }

    /// Fetches a ref into one of ours, which follows wherever it went, and goes with it. A repository
    /// that is not there is made.
    pub async fn fetch(&self, from: &str, theirs: &str, ours: &str) -> Result<(), GitError> {
        let what = "fetch";
        if !self.repository.exists() {
            let mut command = run::git(NO_PROTOCOL);
            command.args(["init", "--quiet", "--bare", "--"]).arg(&self.repository);
            let made = async { start(&mut command, false)?.end().await?.success("make it") };
            within(QUESTION, "make it", made).await?;
        }
        self.is_own()?;
        let refspec = format!("+{theirs}:{ours}");
        let words =
            ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"];
        let mut command = run::about(&self.repository, PROTOCOLS);
        command.args(words).args(["--", from, &refspec]);
        let mut parts = run::Parts::of(&self.repository);
        let fetched = async { start(&mut command, false)?.end().await };
        let ended = within(FETCH, what, fetched).await?;
        parts.is_kept = ended.status.success();
        // It has no other sign of this; its language is set.
        if !parts.is_kept && ended.words.contains("couldn't find remote ref") {
            let gone = async {
                let running = ask(self.question(), ["update-ref", "-d", ours])?;
                running.end().await?.success("forget a branch")
            };
            return within(QUESTION, "forget a branch", gone).await;
        }
        ended.success(what)
    }

    /// Makes sure that a repository's settings are the daemon's own, or the system's.
    fn is_own(&self) -> Result<(), GitError> {
        let user = rustix::process::geteuid().as_raw();
        let owner = std::fs::metadata(&self.repository).map_err(GitError::Unread)?.uid();
        if owner == user || owner == 0 {
            return Ok(());
        }
        Err(GitError::Foreign { path: self.repository.clone(), owner, user })
    }
}

/// Reads `NAME blob SIZE`, so many bytes, and the end of the line.
async fn digest(output: &mut BufReader<ChildStdout>) -> Result<Digest, GitError> {
    let mut about = String::new();
    output.take(256).read_line(&mut about).await.map_err(GitError::Unread)?;
    let size = about.trim_end().rsplit(' ').next().and_then(|size| size.parse().ok());
    let mut left: u64 = size.ok_or(GitError::Garbled("a file of the commit is missing"))?;
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), vec![0; 64 * 1024]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let count = output.read(&mut bytes[..most]).await.map_err(GitError::Unread)?;
        if count == 0 {
            return Err(GitError::Garbled("a file of the commit breaks off"));
        }
        hasher.update(&bytes[..count]);
        left -= count as u64;
    }
    output.read_u8().await.map_err(GitError::Unread)?;
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    Ok(Digest(first))
}
