//! `refreshd hook`: what a repository's own hooks run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::SharedClock;
use crate::source::announce::{Announcement, LONGEST, Moved, left, read};

use super::{Exit, Failed, Printer, control};

/// Where the daemon listens under the unit file.
const SOCKET: &str = "/run/refreshd/hook.sock";
/// How long a push may be held up in all: it must not be felt.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How much of what git says is read, in bytes: half a million refs.
const MOST_READ: u64 = 64 << 20;

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
    let (moved, untold) = moved(std::io::stdin().lock())?;
    if untold > 0 {
        printer.problem(&format!(
            "refreshd: {untold} refs are too many to tell of; the branch itself is looked at hourly"
        ));
    }
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
        Err(Refused::Never(why) | Refused::Stranger(why)) => {
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

/// Reads what git hands over: a line for each ref; returns as many as can be told, branches before others,
/// and how many were left out. A name that is no text is none that a configuration could name.
fn moved(from: impl Read) -> Result<(Vec<Moved>, usize), String> {
    let mut text = Vec::new();
    from.take(MOST_READ)
        .read_to_end(&mut text)
        .map_err(|error| format!("what git says can't be read: {error}"))?;
    let lines = text.split(|byte| *byte == b'\n');
    let mut moved: Vec<Moved> =
        lines.filter_map(|line| Moved::read(str::from_utf8(line).ok()?)).collect();
    if moved.is_empty() {
        return Err("this is for git to run, as hooks/post-receive: it reads `OLD NEW REF` lines"
            .to_owned());
    }
    moved.sort_by_key(|moved| !moved.reference.starts_with("refs/heads/"));
    let (mut bytes, all) = (0, moved.len());
    moved.retain(|moved| {
        bytes += (moved.reference.len() + moved.before.len() + moved.after.len()) as u64;
        bytes <= LONGEST / 2
    });
    let untold = all - moved.len();
    Ok((moved, untold))
}

/// Why the daemon did not take an announcement.
enum Refused {
    /// It can't now.
    Later(String),
    /// It won't, from this user.
    Stranger(String),
    /// It won't.
    Never(String),
}

/// Tells the daemon, first of what was left while it did not listen.
async fn tell(socket: &Path, announcement: &Announcement) -> Result<(), Refused> {
    for file in left(&announcement.repository).unwrap_or_default() {
        let left = read(file);
        if let Ok(earlier) = &left.announcement {
            match send(socket, earlier).await {
                Err(Refused::Later(why)) => return Err(Refused::Later(why)),
                // Who left it may.
                Err(Refused::Stranger(_)) => {}
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
        Ok((403, answer)) => Err(Refused::Stranger(control::problem(&answer))),
        Ok((code @ 400..500, answer)) if code != 408 => {
            Err(Refused::Never(control::problem(&answer)))
        }
        Ok((_, answer)) => Err(Refused::Later(control::problem(&answer))),
        Err(why) => Err(Refused::Later(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_push_tells_of_its_branches_and_a_name_that_is_no_text_harms_no_other() {
        let (old, new) = ("0".repeat(40), "a".repeat(40));
        let mut text = b"\xff\xfe no line\n".to_vec();
        for number in 0..30_000 {
            text.extend(format!("{old} {new} refs/tags/v{number}\n").into_bytes());
        }
        text.extend(format!("{old} {new} refs/tags/").into_bytes());
        text.extend(b"\xff\n");
        text.extend(format!("{old} {new} refs/heads/main\n").into_bytes());
        let (moved, untold) = moved(text.as_slice()).expect("it reads");
        assert_eq!(moved[0].reference, "refs/heads/main");
        assert_eq!(moved.len() + untold, 30_001);
        assert!(untold > 0, "all of them would be too long an announcement");
        let announcement =
            Announcement { id: "1".to_owned(), repository: "/srv/a.git".into(), moved };
        let text = serde_json::to_vec(&announcement).expect("JSON");
        assert!((text.len() as u64) < LONGEST);
        super::moved(&b"nothing\n"[..]).expect_err("a person ran it");
    }
}
