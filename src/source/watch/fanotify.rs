//! The watch over fanotify: one kernel mark a file system, whatever the size of the tree.
//!
//! The mark covers each directory from the moment it is made, so that nothing is walked: not when
//! the watch is armed, not when directories come or move. The price is that events of the whole file
//! system arrive, and those outside the tree are left out here.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use self::places::Place;
use self::reader::Reader;
use super::WatchError;
use super::ground::{self, Ground};
use super::{Coverage, Polled, Tree, Watch};
use crate::domain::path::RelPath;
use crate::source::mounts::Mounts;
use crate::source::{Excluded, HintSender};

mod event;
mod kernel;
mod places;
mod reader;

/// A group of marks, and what its thread and its owner tell each other.
#[derive(Debug)]
struct Shared {
    /// The root of the tree, for the log.
    root: PathBuf,
    group: OwnedFd,
    /// Wakes the thread.
    bell: OwnedFd,
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often somebody asked to be told when everything queued is hinted at.
    asked: u64,
    /// Up to which of these the answer is given.
    answered: u64,
    /// What is to be watched from now on.
    places: Option<Vec<Place>>,
    overflows: u64,
    stop: bool,
    /// Why the thread has ended.
    ended: Option<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // It fails only when the bell rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Asks the thread, and waits for its answer or its end.
    fn ask(&self, places: Option<Vec<Place>>) {
        let mut state = self.state();
        if places.is_some() {
            state.places = places;
        }
        state.asked += 1;
        let mine = state.asked;
        self.ring();
        while state.answered < mine && state.ended.is_none() {
            state = self.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// An armed watch.
struct Armed {
    shared: Arc<Shared>,
    excluded: Excluded,
    marks: Mutex<Marks>,
    thread: Option<JoinHandle<()>>,
}

/// What is marked and what can't be.
#[derive(Debug, Default)]
struct Marks {
    /// The parts of the tree itself.
    own: Parts,
    /// The parts of directories outside that links lead to.
    followed: Parts,
}

#[derive(Debug, Default)]
struct Parts {
    places: Vec<Place>,
    polled: Vec<Polled>,
}

/// Arms a watch of a tree whose root is at `root`, absolute and free of links, on `ground`.
///
/// Fails when the root's file system can't be marked; another part that can't be is polled.
pub fn arm(
    tree: &Tree,
    root: &Path,
    ground: &Ground,
    door: HintSender,
) -> Result<Box<dyn Watch>, WatchError> {
    let refuse = |error: &std::io::Error| WatchError(explain(error));
    let group = kernel::group().map_err(|error| refuse(&error))?;
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| refuse(&error.into()))?;
    let own = mark(&group, ground);
    if !own.places.iter().any(|place| place.at.is_root()) {
        let why = own.polled.iter().find(|polled| polled.path.is_root());
        let why = why.map_or("the root lies on no known mount", |polled| polled.why.as_str());
        return Err(WatchError(format!("{} can't be watched: {why}", root.display())));
    }
    let shared = Arc::new(Shared {
        root: tree.root.clone(),
        group,
        bell,
        state: Mutex::default(),
        answered: Condvar::new(),
    });
    shared.state().places = Some(own.places.clone());
    let reader = Reader::new(Arc::clone(&shared), door, Arc::clone(&tree.excluded));
    let thread = std::thread::Builder::new()
        .name("fanotify".to_owned())
        .spawn(move || reader.run())
        .map_err(|error| refuse(&error))?;
    tracing::debug!(
        root = %tree.root.display(),
        marks = own.places.len(),
        polled = own.polled.len(),
        "the file systems are watched"
    );
    let marks = Mutex::new(Marks { own, followed: Parts::default() });
    let excluded = Arc::clone(&tree.excluded);
    Ok(Box::new(Armed { shared, excluded, marks, thread: Some(thread) }))
}

/// Marks the file systems of a ground's parts.
fn mark(group: &OwnedFd, ground: &Ground) -> Parts {
    let mut parts = Parts { places: Vec::new(), polled: ground.polled.clone() };
    for (path, at) in &ground.heard {
        match mark_one(group, path, at) {
            Ok(place) => parts.places.push(place),
            Err(error) => parts.polled.push(Polled { path: at.clone(), why: explain(&error) }),
        }
    }
    parts
}

fn mark_one(group: &OwnedFd, path: &Path, at: &RelPath) -> std::io::Result<Place> {
    let (place, fd) = Place::find(path, at)?;
    kernel::mark(group, &fd, true)?;
    // Whether its events can be understood: a handle must lead back to the directory.
    let opened = kernel::open(&fd, kernel::handle(&fd)?)?;
    match places::path_of(&opened)? {
        Some(found) if found == path => Ok(place),
        _ => Err(Errno::STALE.into()),
    }
}

/// Says why there is no mark, and what mends it.
fn explain(error: &std::io::Error) -> String {
    let why = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM) => {
            "fanotify needs CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH outside any user namespace; \
             install the drop-in refreshd-fanotify.conf, or set watch = \"inotify\""
        }
        Some(Errno::NOSYS | Errno::INVAL) => {
            "this kernel's fanotify does not tell names, as Linux 5.9 and later do; set watch = \
             \"inotify\""
        }
        Some(Errno::XDEV) => {
            "this kernel's fanotify marks no btrfs subvolume, as Linux 6.8 and later do"
        }
        Some(Errno::NODEV | Errno::OPNOTSUPP | Errno::STALE) => {
            "fanotify can't tell the directories of this file system apart"
        }
        Some(Errno::MFILE) => "no fanotify group is left; raise fs.fanotify.max_user_groups",
        Some(Errno::NOSPC) => "no fanotify mark is left; raise fs.fanotify.max_user_marks",
        _ => return format!("fanotify: {error}"),
    };
    why.to_owned()
}

impl Armed {
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Armed {
    fn catch_up(&self) {
        self.shared.ask(None);
    }

    /// Nothing is polled for want of room: what can't be marked now can't be marked later, until
    /// another mount or another kernel, and then the watch is armed anew.
    fn retry(&self) {}

    fn follow(&self, outside: &[(RelPath, PathBuf)]) {
        let mounts = Mounts::read().unwrap_or_default();
        let mut followed = Parts::default();
        for (at, path) in outside {
            let Ok(real) = path.canonicalize() else { continue };
            let excluded = &*self.excluded;
            let ground = Ground::survey(&mounts, &real, at, excluded, &ground::probe);
            let parts = mark(&self.shared.group, &ground);
            followed.places.extend(parts.places);
            followed.polled.extend(parts.polled);
        }
        let mut marks = self.marks();
        let places = [marks.own.places.as_slice(), &followed.places].concat();
        self.shared.ask(Some(places.clone()));
        for gone in &marks.followed.places {
            if !places.iter().any(|place| place.device == gone.device)
                && let Ok((found, fd)) = Place::find(&gone.path, &gone.at)
                && found.device == gone.device
            {
                // A mark that stays costs events that are left out, no more.
                let _ = kernel::mark(&self.shared.group, fd.as_fd(), false);
            }
        }
        marks.followed = followed;
    }

    fn coverage(&self) -> Coverage {
        let marks = self.marks();
        let parts = [&marks.own, &marks.followed];
        let mut devices: Vec<_> =
            parts.iter().flat_map(|parts| &parts.places).map(|place| place.device).collect();
        devices.sort_unstable();
        devices.dedup();
        let state = self.shared.state();
        let ended =
            state.ended.as_ref().map(|why| Polled { path: RelPath::root(), why: why.clone() });
        let mut all: Vec<_> = parts.iter().flat_map(|parts| &parts.polled).cloned().collect();
        all.extend(ended);
        all.sort_by(|left, right| left.path.cmp(&right.path));
        let mut polled: Vec<Polled> = Vec::new();
        for part in all {
            if !polled.iter().any(|whole| part.path.is_within(&whole.path)) {
                polled.push(part);
            }
        }
        Coverage {
            means: "fanotify",
            watches: devices.len() as u64,
            polled,
            overflows: state.overflows,
            advice: String::new(),
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
