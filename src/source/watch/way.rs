//! The way to a root: every directory and symbolic link that its path leads through.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use notify::{
    Config, ErrorKind, Event, EventKind, EventKindMask, INotifyWatcher, RecursiveMode, Watcher as _,
};

use self::table::Table;
use super::WatchError;
use crate::source::HintSender;

mod table;

/// What is heard: names that come, go and move. What happens to a file or its attributes says
/// nothing of where the root is.
const MASK: EventKindMask =
    EventKindMask::CREATE.union(EventKindMask::REMOVE).union(EventKindMask::MODIFY_NAME);

/// How many symbolic links a path may lead through, as in the kernel: `path_resolution(7)`.
const LINKS: usize = 40;

/// The names that matter, by the directories that hold them.
type Trail = BTreeMap<PathBuf, BTreeSet<OsString>>;

/// Watches the way to a root until it is dropped.
///
/// Each directory on the way is watched for itself, through each link at any level. Whatever is
/// missing is awaited in the nearest directory there is. What is mounted on the way, on the root or
/// below it, or is no more, counts as a change of the way.
#[derive(Debug)]
pub struct Way {
    _table: Table,
    again: SyncSender<Knock>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knock {
    Changed,
    Stop,
}

impl Way {
    /// Watches the way to `root`, which is absolute. Once it returns, every change of the way makes
    /// `door.look_at_root()` be called.
    pub fn watch(root: &Path, door: HintSender) -> Result<Self, WatchError> {
        let (again, knocks) = sync_channel(1);
        let table = Table::watch(root, again.clone())
            .map_err(|error| WatchError(format!("the mount table is not watched: {error}")))?;
        let first = Steps::watch(root, &again)?;
        let keeper = Keeper { root: root.to_owned(), door, again: again.clone(), steps: first };
        let thread = std::thread::Builder::new()
            .name("way".to_owned())
            .spawn(move || keeper.run(&knocks))
            .map_err(|error| WatchError(format!("the way to the root is not watched: {error}")))?;
        Ok(Self { _table: table, again, thread: Some(thread) })
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // It waits at most for one knock to be taken, and fails when the thread has ended.
        let _ = self.again.send(Knock::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Watches a new way whenever the old one changed.
struct Keeper {
    root: PathBuf,
    door: HintSender,
    again: SyncSender<Knock>,
    steps: Steps,
}

impl Keeper {
    fn run(mut self, knocks: &Receiver<Knock>) {
        while let Ok(Knock::Changed) = knocks.recv() {
            match Steps::watch(&self.root, &self.again) {
                Ok(steps) => self.steps = steps,
                Err(error) => {
                    tracing::warn!(root = %self.root.display(), %error, "the way is watched in part");
                }
            }
            // Only now, so that a change after the look is heard.
            self.door.look_at_root();
        }
    }
}

/// The watches of one way. A directory may be replaced by another at the same path, so that each
/// change makes all of them anew: they are few.
struct Steps {
    _watcher: INotifyWatcher,
}

impl Steps {
    fn watch(root: &Path, again: &SyncSender<Knock>) -> Result<Self, WatchError> {
        // A way that never rests is watched as it was; the next event brings us back.
        let mut trail = trail(root);
        for _ in 0..LINKS {
            let watcher = listen(&trail, again)?;
            let now = self::trail(root);
            if now == trail {
                return Ok(Self { _watcher: watcher });
            }
            trail = now;
        }
        listen(&trail, again).map(|watcher| Self { _watcher: watcher })
    }
}

fn listen(trail: &Trail, again: &SyncSender<Knock>) -> Result<INotifyWatcher, WatchError> {
    let names = Arc::new(trail.clone());
    let again = again.clone();
    let hear = move |event: notify::Result<Event>| {
        if event.map_or(true, |event| matters(&names, &event)) {
            // A knock that waits already stands for this one.
            let _ = again.try_send(Knock::Changed);
        }
    };
    let config = Config::default().with_event_kinds(MASK).with_follow_symlinks(false);
    let mut watcher = INotifyWatcher::new(hear, config).map_err(|error| explain(&error))?;
    for directory in trail.keys() {
        match watcher.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {}
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                return Err(explain(&error));
            }
            // Gone by now, which the next look at the trail finds; or not ours to read, and what
            // happens in it is found by whoever looks at the root.
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "not watched");
            }
        }
    }
    Ok(watcher)
}

fn explain(error: &notify::Error) -> WatchError {
    WatchError(match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "no inotify watch is left for the way to the root; raise fs.inotify.max_user_watches"
                .to_owned()
        }
        ErrorKind::Io(error) if error.raw_os_error() == Some(24) => {
            "no inotify instance is left for the way to the root; raise \
             fs.inotify.max_user_instances"
                .to_owned()
        }
        _ => format!("the way to the root is not watched: {error}"),
    })
}

/// Whether an event is of a name on the way.
fn matters(trail: &Trail, event: &Event) -> bool {
    if event.need_rescan() {
        return true;
    }
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    event.paths.iter().any(|path| {
        // A watched directory that goes is named by its own path.
        trail.contains_key(path)
            || path.parent().zip(path.file_name()).is_some_and(|(directory, name)| {
                trail.get(directory).is_some_and(|names| names.contains(name))
            })
    })
}

/// Follows `root` as the kernel would, and notes each name and the directory it was looked up in.
/// It ends where something is missing or no directory.
fn trail(root: &Path) -> Trail {
    let mut trail = Trail::new();
    let mut at = PathBuf::from("/");
    let mut ahead = parts(root);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == OsStr::new("..") {
            // `at` holds no links, so that its parent is the directory above.
            at.pop();
            continue;
        }
        trail.entry(at.clone()).or_default().insert(part.clone());
        let next = at.join(&part);
        let Ok(seen) = next.symlink_metadata() else { break };
        if seen.is_dir() {
            at = next;
        } else if seen.is_symlink()
            && links < LINKS
            && let Ok(target) = next.read_link()
        {
            links += 1;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            ahead.extend(parts(&target));
        } else {
            break;
        }
    }
    trail
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    named.collect()
}

#[cfg(test)]
mod tests;
