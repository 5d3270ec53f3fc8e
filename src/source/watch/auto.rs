//! The choice of means for a tree, made each time a watch of it is armed.

use std::path::Path;
use std::sync::Arc;

use super::ground::{self, Ground};
use super::polling::Polling;
use super::{Backend, Polled, Tree, Watch};
use super::{WatchError, fanotify};
use crate::domain::path::RelPath;
use crate::domain::watch::Means;
use crate::source::HintSender;
use crate::source::mounts::Mounts;

/// What the kernel says of this process: proc(5).
const STATUS: &str = "/proc/self/status";

/// `CAP_DAC_READ_SEARCH` and `CAP_SYS_ADMIN`, by their numbers: capabilities(7).
const NEEDED: u64 = 1 << 2 | 1 << 21;

/// Makes the backend of one kernel watch a directory; the parts named are left to polling.
type Directories = fn(Vec<Polled>) -> Box<dyn Backend>;

/// Returns the backend for what an operator chose.
///
/// A root on a file system without events is polled whatever was chosen, and so is what is mounted
/// below it without events.
#[must_use]
pub fn choose(means: Means) -> Arc<dyn Backend> {
    Arc::new(Choice { means, directories, look: Look::here() })
}

/// The one place where the inotify backend is named.
fn directories(_polled: Vec<Polled>) -> Box<dyn Backend> {
    Box::new(super::inotify::Inotify)
}

/// How the machine is looked at.
struct Look {
    mounts: Box<dyn Fn() -> std::io::Result<Mounts> + Send + Sync>,
    may_mark: fn() -> bool,
    probe: fn(&Path) -> bool,
}

impl Look {
    fn here() -> Self {
        let may_mark = || std::fs::read_to_string(STATUS).is_ok_and(|status| may_mark(&status));
        Self { mounts: Box::new(Mounts::read), may_mark, probe: ground::probe }
    }
}

struct Choice {
    means: Means,
    directories: Directories,
    look: Look,
}

impl Backend for Choice {
    fn arm(&self, tree: &Tree, door: HintSender) -> Result<Box<dyn Watch>, WatchError> {
        if self.means == Means::Poll {
            return Ok(Box::new(Polling { why: "watch = \"poll\"".to_owned() }));
        }
        let root = tree.root.canonicalize().map_err(|error| {
            WatchError(format!("the root {} cannot be watched: {error}", tree.root.display()))
        })?;
        let mounts = (self.look.mounts)()
            .map_err(|error| WatchError(format!("the mount table cannot be read: {error}")))?;
        let begin = RelPath::root();
        let ground = Ground::survey(&mounts, &root, &begin, &*tree.excluded, &self.look.probe);
        if let Some(why) = ground.refuses(&begin) {
            return Ok(Box::new(Polling { why: why.to_owned() }));
        }
        match self.means {
            Means::Fanotify => return fanotify::arm(tree, &root, &ground, door),
            Means::Auto if (self.look.may_mark)() => {
                match fanotify::arm(tree, &root, &ground, door.clone()) {
                    Ok(watch) if watch.coverage().polled == ground.polled => return Ok(watch),
                    Ok(_) => tracing::info!(
                        root = %tree.root.display(),
                        "fanotify can't serve all that is mounted here; inotify does"
                    ),
                    Err(error) => tracing::info!(
                        root = %tree.root.display(),
                        %error,
                        "fanotify can't serve here; inotify does"
                    ),
                }
            }
            Means::Auto | Means::Inotify | Means::Poll => {}
        }
        (self.directories)(ground.polled).arm(tree, door)
    }
}

/// Whether the effective capabilities in a status file are what fanotify needs.
fn may_mark(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|effective| effective & NEEDED == NEEDED)
}

#[cfg(test)]
mod tests;
