//! A command that says whether an origin is ready.

use std::io::{ErrorKind, PipeReader};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use crate::domain::gate::GateCommand;

/// What a command inherits of the daemon's environment: no secrets are among it.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// How much of what a command writes is kept: its end, for that is where errors stand.
const MOST_OUTPUT: usize = 4 * 1024;

/// How much a pipe holds at most (`pipe(7)`).
const PIPE: usize = 64 * 1024;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Why it did not succeed; none when it did.
    pub failure: Option<String>,
    /// The end of what it wrote on standard output and standard error.
    pub output: Vec<u8>,
}

/// Runs a command to its end, with these variables beside a few of the daemon's own. One that is not
/// done in time is killed, with all that it started; so it is when nobody waits for it any more.
pub async fn run(command: &GateCommand, variables: &[(&str, &str)]) -> Ran {
    let mut output = Vec::new();
    let failure = match start(command, variables) {
        Ok((mut group, mut pipe)) => {
            let ending = follow(&mut group.0, &mut pipe, &mut output);
            match tokio::time::timeout(command.timeout, ending).await {
                Ok(Ok(status)) if status.success() => None,
                Ok(Ok(status)) => Some(format!("it ended with {status}")),
                Ok(Err(error)) => Some(format!("it could not be waited for: {error}")),
                Err(_) => {
                    group.kill();
                    Some(format!("it was not done within {:?} and was killed", command.timeout))
                }
            }
        }
        Err(error) => {
            let directory = command.directory.display();
            Some(format!("it could not be started in {directory}: {error}"))
        }
    };
    Ran { failure, output }
}

/// A program and what it started; it is killed when it goes out of scope before its end.
struct Group(Child);

impl Group {
    fn kill(&self) {
        // None once its end was seen: the number may be another's then.
        let leader = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(leader) = leader {
            // It may have ended a moment ago.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start(command: &GateCommand, variables: &[(&str, &str)]) -> std::io::Result<(Group, Receiver)> {
    let (reader, writer): (PipeReader, _) = std::io::pipe()?;
    let (program, arguments) = command.words.split_first().ok_or(ErrorKind::InvalidInput)?;
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let child = Command::new(program)
        .args(arguments)
        .current_dir(&command.directory)
        .env_clear()
        .envs(inherited)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((Group(child), Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

/// Reads what a program writes until it ends. What it left running may hold the pipe open: that is not
/// waited for.
async fn follow(
    child: &mut Child,
    pipe: &mut Receiver,
    output: &mut Vec<u8>,
) -> std::io::Result<ExitStatus> {
    let mut is_open = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            ready = pipe.readable(), if is_open => {
                ready?;
                is_open = read(pipe, output)?;
            }
        }
    };
    // What it wrote last is in the pipe, and no more than that holds.
    for _ in 0..PIPE / MOST_OUTPUT {
        is_open = is_open && read(pipe, output)?;
    }
    Ok(status)
}

/// Reads a piece of what is there; returns whether more may come.
fn read(pipe: &Receiver, output: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut piece = [0; MOST_OUTPUT];
    match pipe.try_read(&mut piece) {
        Ok(0) => Ok(false),
        Ok(read) => {
            output.extend_from_slice(piece.get(..read).unwrap_or_default());
            output.drain(..output.len().saturating_sub(MOST_OUTPUT));
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}
