//! The watch over inotify, one kernel watch a directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{
    Config, ErrorKind, Event, EventKindMask, INotifyWatcher, RecursiveMode, Watcher as _,
};

use super::{Backend, Coverage, Tree, Watch, WatchError};
use crate::domain::hint::{Hint, Reach, Witness};
use crate::domain::path::RelPath;
use crate::source::{Excluded, HintSender};

/// The backend; it has no settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inotify;

/// What is heard: no opens and no closes after reading, so that neither a web server nor our own
/// digests make events. MODIFY is heard beside `CLOSE_WRITE` because a truncation by path, and a
/// writer that keeps its file open, say nothing else; the kernel merges repeated ones.
const MASK: EventKindMask = EventKindMask::CORE.union(EventKindMask::ACCESS_CLOSE);

#[derive(Debug, Default)]
struct Gaps {
    unreadable: AtomicBool,
    lost: AtomicBool,
}

/// Its thread ends when it is dropped.
struct Armed {
    gaps: Arc<Gaps>,
    watcher: INotifyWatcher,
}

impl Watch for Armed {
    fn catch_up(&self) {
        // The thread hands out the hints of all events it could read, then watches the new
        // directories among them, and only then answers a question.
        if self.watcher.watched_paths().is_err() {
            self.gaps.lost.store(true, Ordering::Relaxed);
        }
    }

    fn retry(&self) {}

    fn follow(&self, _outside: &[(RelPath, PathBuf)]) {}

    fn coverage(&self) -> Coverage {
        Coverage { means: "inotify", ..Coverage::default() }
    }
}

impl Backend for Inotify {
    fn arm(&self, tree: &Tree, door: HintSender) -> Result<Box<dyn Watch>, WatchError> {
        let (root, excluded) = (&tree.root, Arc::clone(&tree.excluded));
        let gaps = Arc::new(Gaps::default());
        let listener = Listener { root: root.to_owned(), door, excluded, gaps: Arc::clone(&gaps) };
        let config = Config::default().with_event_kinds(MASK).with_follow_symlinks(false);
        let mut watcher =
            INotifyWatcher::new(move |event: notify::Result<Event>| listener.hear(event), config)
                .map_err(|error| explain(&error))?;
        watcher.watch(root, RecursiveMode::Recursive).map_err(|error| explain(&error))?;
        Ok(Box::new(Armed { gaps, watcher }))
    }
}

fn explain(error: &notify::Error) -> WatchError {
    WatchError(match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the kernel's limit of inotify watches is reached; raise fs.inotify.max_user_watches"
                .to_owned()
        }
        ErrorKind::Io(io) if io.raw_os_error() == Some(24) => {
            "no inotify instance is left; raise fs.inotify.max_user_instances".to_owned()
        }
        _ => error.to_string(),
    })
}

struct Listener {
    root: PathBuf,
    door: HintSender,
    excluded: Excluded,
    gaps: Arc<Gaps>,
}

impl Listener {
    fn hear(&self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                // Without watches left a new watch is refused, and the tree polled. A directory that
                // can't be watched is no reason to begin anew for ever.
                let gap = match error.kind {
                    ErrorKind::MaxFilesWatch => &self.gaps.lost,
                    _ => &self.gaps.unreadable,
                };
                gap.store(true, Ordering::Relaxed);
                tracing::warn!(
                    root = %self.root.display(),
                    error = %explain(&error),
                    "the watch failed somewhere; the whole tree is compared"
                );
                return self.send(RelPath::root(), Reach::Subtree);
            }
        };
        if event.need_rescan() {
            self.gaps.lost.store(true, Ordering::Relaxed);
            tracing::warn!(
                root = %self.root.display(),
                "the kernel dropped events; the whole tree is compared"
            );
            return self.send(RelPath::root(), Reach::Subtree);
        }
        let Some(reach) = reach(event.kind) else {
            return;
        };
        for path in &event.paths {
            // What is not below the root came under another name for it: nothing is known.
            match RelPath::below(&self.root, path) {
                Some(path) if path.is_root() => self.send(path, Reach::Subtree),
                Some(path) if self.is_excluded(&path, reach) => {}
                Some(path) => self.send(path, reach),
                None => self.send(RelPath::root(), Reach::Subtree),
            }
        }
    }

    /// What may be a file or a directory is dropped only when it is excluded as both.
    fn is_excluded(&self, path: &RelPath, reach: Reach) -> bool {
        (self.excluded)(path, false) && (reach == Reach::Path || (self.excluded)(path, true))
    }

    fn send(&self, path: RelPath, reach: Reach) {
        self.door.send(Hint { path, reach, witness: Witness::Watch });
    }
}

/// How far to look after an event; none when it says nothing new.
const fn reach(kind: EventKind) -> Option<Reach> {
    match kind {
        // Renames do not say whether a directory moved; one event each way comes before `Both`.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both))
        | EventKind::Access(AccessKind::Open(_) | AccessKind::Read) => None,
        EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Create(CreateKind::Folder)
        | EventKind::Remove(_)
        | EventKind::Any
        | EventKind::Other => Some(Reach::Subtree),
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Access(_) => Some(Reach::Path),
    }
}

#[cfg(test)]
mod tests;
