//! Runs the git program: without a shell, for a limited time, with an environment of its own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::GitError;
use crate::domain::path::escape;

/// How long a question may take.
pub(super) const QUESTION: Duration = Duration::from_secs(60);
/// How long a fetch may take.
pub(super) const FETCH: Duration = Duration::from_secs(600);
/// The longest line or field that is read: a path takes 4 KiB (Linux, `PATH_MAX`).
const LONGEST_FIELD: usize = 64 * 1024;
/// How much of what git says of a failure is kept.
const MOST_WORDS: u64 = 2_048;
/// What git is given of our environment: where programs are, whose settings count, how ssh and proxies
/// are reached.
const INHERITED: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];
/// What a repository's own settings could have git run or ask, and what only slows it down.
const SETTINGS: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=true",
    "protocol.ext.allow=never",
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
];

/// Returns a call of git that asks a repository, which is named outright, so that it is not looked for
/// further up, and may be another user's.
pub(super) fn about(repository: &Path, protocols: &str) -> Command {
    let mut command = git(protocols);
    command.arg("--git-dir").arg(directory(repository));
    command
}

/// Returns where git keeps what is in a repository.
fn directory(repository: &Path) -> PathBuf {
    let inside = repository.join(".git");
    if inside.symlink_metadata().is_ok() { inside } else { repository.to_owned() }
}

/// What a fetch begins to write, and git leaves where it is killed: gone with this, unless it was kept.
pub(super) struct Parts {
    directory: PathBuf,
    before: BTreeSet<PathBuf>,
    pub(super) is_kept: bool,
}

impl Parts {
    /// Notes what is there before a fetch.
    pub(super) fn of(repository: &Path) -> Self {
        let directory = directory(repository).join("objects/pack");
        Self { before: begun(&directory), directory, is_kept: false }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let left = if self.is_kept { BTreeSet::new() } else { begun(&self.directory) };
        for part in left.difference(&self.before) {
            // What can't be removed now is removed by git, weeks later.
            let _ = std::fs::remove_file(part);
        }
    }
}

/// Returns the packs that somebody is writing.
fn begun(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let begun = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"tmp_"));
    begun.map(|entry| entry.path()).collect()
}

/// Returns a call of git that may speak these protocols, and no other.
pub(super) fn git(protocols: &str) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .envs(INHERITED.iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
    command
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_LITERAL_PATHSPECS", "1")
        .env("GIT_ALLOW_PROTOCOL", protocols)
        .current_dir("/")
        .arg("--no-pager");
    for setting in SETTINGS {
        command.arg("-c").arg(setting);
    }
    command
}

/// A call of git under way, with all that it started, which end with it: also where nobody waits any
/// more.
pub(super) struct Running {
    child: Child,
    pub(super) input: Option<ChildStdin>,
    pub(super) output: Option<ChildStdout>,
    words: Option<ChildStderr>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has an id as long as it has not ended.
        let group = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            // An error says that it has ended meanwhile.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Starts a call of git.
pub(super) fn start(command: &mut Command, has_input: bool) -> Result<Running, GitError> {
    let mut child = command
        .stdin(if has_input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(GitError::NotStarted)?;
    let (input, output, words) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    Ok(Running { child, input, output, words })
}

/// How a call of git ended: its code, and what it said on the side.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) words: String,
}

impl Ended {
    /// Takes success for an answer, and everything else for a failure.
    pub(super) fn success(self, what: &'static str) -> Result<(), GitError> {
        if self.status.success() { Ok(()) } else { Err(self.failure(what)) }
    }

    /// Returns the failure.
    pub(super) fn failure(self, what: &'static str) -> GitError {
        let status = self.status.to_string();
        let words = if self.words.is_empty() { status } else { self.words };
        GitError::Failed { what, words }
    }
}

impl Running {
    /// Reads the output, a field at a time, to its end; each ends with `end`.
    pub(super) async fn fields(
        mut self,
        end: u8,
        mut each: impl FnMut(&[u8]),
    ) -> Result<Ended, GitError> {
        drop(self.input.take());
        let (output, words) = (self.output.take(), self.words.take());
        let read = async {
            if let Some(output) = output {
                split(output, end, &mut each).await?;
            }
            Ok(())
        };
        let (read, words) = tokio::join!(read, listen(words));
        read?;
        let status = self.child.wait().await.map_err(GitError::Unread)?;
        Ok(Ended { status, words })
    }

    /// Waits for the end of a call whose output was read; `words` is what it said meanwhile.
    pub(super) async fn end(mut self) -> Result<Ended, GitError> {
        drop((self.input.take(), self.output.take()));
        let words = listen(self.words.take()).await;
        let status = self.child.wait().await.map_err(GitError::Unread)?;
        Ok(Ended { status, words })
    }
}

/// Reads what git says of a failure, in one line.
async fn listen(words: Option<ChildStderr>) -> String {
    let mut said = Vec::new();
    if let Some(mut words) = words {
        // What can't be read is not known; the rest is read so that nobody waits for us.
        let _ = (&mut words).take(MOST_WORDS).read_to_end(&mut said).await;
        let _ = tokio::io::copy(&mut words, &mut tokio::io::sink()).await;
    }
    let lines = said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(escape).collect::<Vec<_>>().join("; ")
}

async fn split(
    mut from: impl AsyncRead + Unpin,
    end: u8,
    each: &mut impl FnMut(&[u8]),
) -> Result<(), GitError> {
    let mut held = Vec::with_capacity(2 * LONGEST_FIELD);
    while from.read_buf(&mut held).await.map_err(GitError::Unread)? > 0 {
        let mut begin = 0;
        while let Some(length) = held[begin..].iter().position(|byte| *byte == end) {
            each(&held[begin..begin + length]);
            begin += length + 1;
        }
        held.drain(..begin);
        if held.len() > LONGEST_FIELD {
            return Err(GitError::Garbled("it names a path of more than 64 KiB"));
        }
    }
    Ok(())
}

/// Writes all of a call's input while somebody else reads its output.
pub(super) async fn feed(input: Option<ChildStdin>, lines: impl Iterator<Item = String>) {
    let Some(mut input) = input else { return };
    for line in lines {
        // Who closes its input early says why by its output or its end.
        if input.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Ends a call that takes too long.
pub(super) async fn within<T>(
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = Result<T, GitError>>,
) -> Result<T, GitError> {
    let late = || Err(GitError::Late { what, seconds: limit.as_secs() });
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| late())
}

/// Gives git more words, and starts it, without input.
pub(super) fn ask<W: AsRef<OsStr>>(
    mut command: Command,
    words: impl IntoIterator<Item = W>,
) -> Result<Running, GitError> {
    start(command.args(words), false)
}
