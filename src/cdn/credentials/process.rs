//! The command of an `External` profile: runs a program, without a shell, and takes what it prints.

use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// How much a command may print; a key with its token has about 2 KB.
const MOST: u64 = 64 * 1024;

/// Runs commands.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    /// Runs a program with its arguments for at most `limit`; returns what it printed, or why not,
    /// without any of that.
    async fn run(&self, words: &[String], limit: Duration) -> Result<Vec<u8>, String>;
}

/// Runs commands on this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemRunner;

#[async_trait]
impl Runner for SystemRunner {
    async fn run(&self, words: &[String], limit: Duration) -> Result<Vec<u8>, String> {
        let [program, arguments @ ..] = words else {
            return Err("it names no program".to_owned());
        };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It may hold secrets, and nobody should have to look for them in our log.
            .stderr(Stdio::null())
            // So that what it started ends with it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("it can't be started: {error}"))?;
        let mut running = Running(child);
        let output = running.0.stdout.take();
        let work = async {
            let mut printed = Vec::new();
            if let Some(output) = output {
                let read = output.take(MOST + 1).read_to_end(&mut printed).await;
                read.map_err(|error| format!("what it prints can't be read: {error}"))?;
            }
            if printed.len() as u64 > MOST {
                return Err(format!("it prints more than {MOST} bytes"));
            }
            let ended = running.0.wait().await.map_err(|error| error.to_string())?;
            if ended.success() { Ok(printed) } else { Err(format!("it failed ({ended})")) }
        };
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(format!("it did not end within {} seconds", limit.as_secs())))
    }
}

/// A command with all that it started, which end with it: also where nobody waits any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has an id as long as it has not ended.
        let group = self.0.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            // An error says that it has ended meanwhile.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}
