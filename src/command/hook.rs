//! `refreshd hook`: what a repository's own hooks run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::SharedClock;
use crate::source::announce::{Announcement, LONGEST, Moved, left};

use super::{Exit, Failed, Printer, control};

/// Where the daemon listens under the unit file.
const SOCKET: &str = "/run/refreshd/hook.sock";
/// How long a push may be held up in all: it must not be felt.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Arguments of `refreshd hook`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, clap::Subcommand)]
enum Which {
    /// Tell the daemon of a push: the whole `hooks/post-receive` of a repository is
    /// `exec refreshd hook post-receive`. It never fails a push; what the daemon does not hear is left
    /// in the repository, and found when it starts.
    PostReceive(PostReceive),
}

#[derive(Debug, clap::Args)]
struct PostReceive {
    /// The daemon's hook socket.
    #[arg(long, value_name = "FILE", default_value = SOCKET)]
    socket: PathBuf,
}

/// Runs a hook.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let Which::PostReceive(args) = args.which;
    if let Err(why) = post_receive(&args.socket, &clock, printer).await {
        // The pusher reads this, and the push is done whatever it says.
        printer.problem(&format!("refreshd: {why}"));
    }
    Ok(Exit::Ok)
}

async fn post_receive(
    socket: &Path,
    clock: &SharedClock,
    printer: &mut Printer,
) -> Result<(), String> {
    let moved = moved()?;
    let directory = std::env::var_os("GIT_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let repository = directory
        .canonicalize()
        .map_err(|error| format!("{} can't be found: {error}", directory.display()))?;
    let micros = clock.now().as_micros();
    let id = format!("{micros:016x}-{:016x}", clock.random());
    let announcement = Announcement { id, repository, moved };
    let told = tokio::time::timeout(PATIENCE, tell(socket, &announcement)).await;
    let why = match told.unwrap_or_else(|_| Err(Refused::Later("it does not answer".to_owned()))) {
        Ok(()) => return Ok(()),
        Err(Refused::Never(why)) => {
            return Err(format!("the daemon does not take this push: {why}"));
        }
        Err(Refused::Later(why)) => why,
    };
    announcement
        .leave()
        .map_err(|error| format!("the daemon was not told ({why}), nor can it be left: {error}"))?;
    printer.problem(&format!(
        "refreshd: the daemon was not told ({why}); it finds this push when it starts"
    ));
    Ok(())
}

/// Reads what git hands over: a line for each ref.
fn moved() -> Result<Vec<Moved>, String> {
    let mut text = String::new();
    std::io::stdin()
        .take(LONGEST / 2)
        .read_to_string(&mut text)
        .map_err(|error| format!("what git says can't be read: {error}"))?;
    let moved: Option<Vec<Moved>> = text.lines().map(Moved::read).collect();
    let moved = moved.filter(|moved| !moved.is_empty());
    moved.ok_or_else(|| {
        "this is for git to run, as hooks/post-receive: it reads `OLD NEW REF` lines".to_owned()
    })
}

/// Why the daemon did not take an announcement.
enum Refused {
    /// It can't now.
    Later(String),
    /// It won't.
    Never(String),
}

/// Tells the daemon, first of what was left while it did not listen.
async fn tell(socket: &Path, announcement: &Announcement) -> Result<(), Refused> {
    for left in left(&announcement.repository).unwrap_or_default() {
        if let Ok(earlier) = &left.announcement {
            match send(socket, earlier).await {
                Err(Refused::Later(why)) => return Err(Refused::Later(why)),
                Ok(()) | Err(Refused::Never(_)) => {
                    let _ = std::fs::remove_file(&left.file);
                }
            }
        }
    }
    send(socket, announcement).await
}

async fn send(socket: &Path, announcement: &Announcement) -> Result<(), Refused> {
    let answer = control::try_one(socket, "/announce", Some(announcement)).await;
    match answer {
        Ok((202, _)) => Ok(()),
        Ok((code @ 400..500, answer)) if code != 408 => {
            Err(Refused::Never(control::problem(&answer)))
        }
        Ok((_, answer)) => Err(Refused::Later(control::problem(&answer))),
        Err(why) => Err(Refused::Later(why)),
    }
}
