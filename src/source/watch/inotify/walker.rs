//! The thread that watches directories.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::limits::{Limit, Why};
use super::listing::{LISTING, Names, count, directories};
use super::nodes::{Descriptor, Place, Put, TOP};
use super::{AddWatch, Shared};
use crate::domain::hint::Reach;
use crate::domain::path::RelPath;
use crate::source::is_absence;
use crate::source::mounts::Mounts;
use crate::source::watch::Polled;
use crate::source::watch::ground::{self, Ground};

/// What is heard: no opens and no closes after reading, so that neither a web server nor our own
/// digests make events. MODIFY is heard beside `CLOSE_WRITE` because a truncation by path, and a
/// writer that keeps its file open, say nothing else; the kernel merges repeated ones.
const MASK: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// What the walker is asked for; it does one after the other. Who waits is told when it is done.
pub(super) enum Request {
    /// Watch the root and everything below.
    Start(SyncSender<()>),
    /// A directory may have come to a place, or gone.
    Came {
        place: Place,
        /// It came with what was in it: a watch that is known says nothing of what is below.
        moved: bool,
    },
    /// The rights of a directory may have changed.
    Rights(Place),
    /// These were forgotten: their watches are not wanted any more.
    Forget(Vec<Descriptor>),
    /// Watch everything anew.
    Everything,
    /// Watch what is polled for want of room or right.
    Retry(SyncSender<()>),
    /// Watch these directories outside, by link, and no others.
    Follow(BTreeMap<RelPath, PathBuf>, SyncSender<()>),
    /// Tell that this was reached.
    Answer(SyncSender<()>),
    /// End.
    Stop,
}

/// The walker.
pub(super) struct Walker {
    shared: Arc<Shared>,
    add_watch: AddWatch,
    /// Where walks begin, by path: the root, and links to directories outside.
    tops: BTreeMap<RelPath, PathBuf>,
    listing: Vec<u8>,
    /// Whether the operator was told that something is polled.
    warned: bool,
}

/// A directory whose children are being walked.
struct Level {
    descriptor: Descriptor,
    path: RelPath,
    /// How much of the absolute path is its own.
    length: usize,
    children: Names,
}

/// What came of watching one directory.
#[derive(Clone, Copy)]
enum Watched {
    /// It is; it was known at this place, or not.
    Yes { descriptor: Descriptor, known: bool },
    /// It isn't, and what is below it isn't either.
    No,
    /// There is no directory.
    Gone,
}

impl Walker {
    pub(super) fn new(shared: Arc<Shared>, add_watch: AddWatch) -> Self {
        let tops = BTreeMap::from([(RelPath::root(), shared.root.clone())]);
        Self { shared, add_watch, tops, listing: Vec::with_capacity(LISTING), warned: false }
    }

    pub(super) fn run(mut self, asked: &Receiver<Request>) {
        for request in asked {
            if self.shared.is_stopped() {
                return;
            }
            let mut wait = None;
            match request {
                Request::Start(done) => {
                    self.top(&RelPath::root());
                    wait = Some(done);
                }
                Request::Came { place, moved } => self.came(&place, moved),
                Request::Rights(place) => self.rights(&place),
                Request::Forget(forgotten) => self.unwatch(forgotten),
                Request::Everything => self.everything(),
                Request::Retry(done) => {
                    self.retry();
                    wait = Some(done);
                }
                Request::Follow(outside, done) => {
                    self.follow(outside);
                    wait = Some(done);
                }
                Request::Answer(done) => wait = Some(done),
                Request::Stop => return,
            }
            self.warn();
            if let Some(done) = wait {
                let _ = done.send(());
            }
        }
    }

    fn came(&mut self, place: &Place, moved: bool) {
        let Some(path) = self.shared.state().nodes.path_of(place) else {
            // The directory above went too, or is visited later.
            return;
        };
        match self.walk(place, &path, moved) {
            Watched::Yes { known: true, .. } if !moved => {}
            Watched::Gone => {}
            _ => self.hint(path),
        }
    }

    /// Looks whether a directory can be read now that could not be, or the other way round. The mere
    /// touch of a directory says nothing.
    fn rights(&mut self, place: &Place) {
        let state = self.shared.state();
        let Some(path) = state.nodes.path_of(place) else {
            return;
        };
        let was = !matches!(state.unwatched.why(&path), Some(Why::Unreadable(_)));
        drop(state);
        let rights = Access::READ_OK | Access::EXEC_OK;
        match accessat(CWD, self.absolute(&path), rights, AtFlags::EACCESS) {
            Ok(()) if !was => {
                self.walk(place, &path, true);
            }
            Err(error) if was && !is_absence(error) => {
                self.shared.state().unwatched.insert(&path, Why::from(error), 1);
            }
            _ => return,
        }
        self.hint(path);
    }

    /// Forgets a directory and everything below it, and removes the watches.
    fn forget(&self, descriptor: Option<Descriptor>) {
        if let Some(descriptor) = descriptor {
            let forgotten = self.shared.state().nodes.remove(descriptor);
            self.unwatch(forgotten);
        }
    }

    /// Removes watches, but of what was met in its place since it was forgotten.
    fn unwatch(&self, mut forgotten: Vec<Descriptor>) {
        if forgotten.is_empty() {
            return;
        }
        let state = self.shared.state();
        forgotten.retain(|descriptor| !state.nodes.knows(*descriptor));
        drop(state);
        for descriptor in forgotten {
            // It fails for what the kernel gave up by itself.
            let _ = inotify::remove_watch(&self.shared.inotify, descriptor);
        }
    }

    fn everything(&mut self) {
        let mut state = self.shared.state();
        // What is dropped from here on needs another walk.
        state.everything = false;
        state.twins.clear();
        state.nodes.begin();
        drop(state);
        let tops: Vec<_> = self.tops.keys().cloned().collect();
        for path in tops {
            self.top(&path);
        }
        if !self.shared.is_stopped() {
            let swept = self.shared.state().nodes.sweep();
            self.unwatch(swept);
            self.hint(RelPath::root());
        }
    }

    fn retry(&mut self) {
        let mut state = self.shared.state();
        let polled = state.unwatched.take_within(&RelPath::root());
        let mut paths: Vec<_> = polled.into_iter().map(|(path, _, _)| path).collect();
        // A directory outside may have been gone.
        let is_missing = |path: &&RelPath| state.nodes.at(&Place::top(path)).is_none();
        paths.extend(self.tops.keys().filter(is_missing).cloned());
        drop(state);
        for path in paths {
            let Some(place) = self.shared.state().nodes.find(&path) else {
                continue;
            };
            let watched = self.walk(&place, &path, true);
            // Who stands for many that still find no room stays polled: a hint would bring the next
            // comparison, which tries again, without end.
            let is_whole = self.shared.state().unwatched.why(&path).is_none();
            if is_whole && matches!(watched, Watched::Yes { .. }) {
                self.hint(path);
            }
        }
    }

    fn follow(&mut self, outside: BTreeMap<RelPath, PathBuf>) {
        let all = !self.shared.state().twins.is_empty();
        let old: Vec<_> = self.tops.iter().filter(|(path, _)| !path.is_root()).collect();
        let is_same = old.iter().copied().eq(outside.iter());
        if is_same {
            return;
        }
        let gone = |(path, to): &(&RelPath, &PathBuf)| all || outside.get(*path) != Some(*to);
        let gone: Vec<_> = old.into_iter().filter(gone).map(|(path, _)| path.clone()).collect();
        for path in gone {
            let mut state = self.shared.state();
            let descriptor = state.nodes.at(&Place::top(&path));
            state.unwatched.take_within(&path);
            state.polled_outside.remove(&path);
            drop(state);
            self.forget(descriptor);
            self.tops.remove(&path);
        }
        if all {
            self.shared.state().twins.clear();
        }
        for (path, to) in outside {
            let polled = self.polled_outside(&path, &to);
            if self.tops.insert(path.clone(), to).is_none() {
                self.shared.state().polled_outside.insert(path.clone(), polled);
                self.top(&path);
                self.hint(path);
            }
        }
    }

    /// Returns which parts of a directory outside send no events.
    fn polled_outside(&self, link: &RelPath, to: &Path) -> Vec<Polled> {
        let (Ok(real), Ok(mounts)) = (to.canonicalize(), Mounts::read()) else {
            return Vec::new();
        };
        let excluded = self.shared.excluded.as_ref();
        Ground::survey(&mounts, &real, link, excluded, &ground::probe).polled
    }

    fn top(&mut self, path: &RelPath) {
        self.walk(&Place::top(path), path, true);
    }

    /// Watches a directory and everything below it. One that is known at this place is not entered
    /// unless `known_too`.
    fn walk(&mut self, place: &Place, path: &RelPath, known_too: bool) -> Watched {
        let mut absolute = self.absolute(path).into_os_string().into_vec();
        let first = self.watch(place, path, &absolute, known_too);
        let Watched::Yes { descriptor, known } = first else {
            return first;
        };
        if known && !known_too {
            return first;
        }
        let mut levels = Vec::new();
        levels.extend(self.enter(descriptor, place, path.clone(), &absolute));
        while let Some(level) = levels.last_mut() {
            if self.shared.is_stopped() {
                break;
            }
            let Some(name) = level.children.next() else {
                levels.pop();
                continue;
            };
            let Ok(path) = level.path.join(name) else {
                continue;
            };
            absolute.truncate(level.length);
            absolute.push(b'/');
            absolute.extend_from_slice(name);
            let place = Place::new(level.descriptor, name);
            if let Watched::Yes { descriptor, .. } = self.watch(&place, &path, &absolute, false) {
                levels.extend(self.enter(descriptor, &place, path, &absolute));
            }
        }
        first
    }

    /// Watches one directory. `anew` says that what is polled at and below it is tried anew.
    fn watch(&self, place: &Place, path: &RelPath, absolute: &[u8], anew: bool) -> Watched {
        let is_top = place.parent == TOP;
        let is_other = !is_top && (self.shared.excluded)(path, true);
        if is_other || self.is_polled(path) {
            return Watched::No;
        }
        let mask = if is_top { MASK } else { MASK | WatchFlags::DONT_FOLLOW };
        let there = Path::new(OsStr::from_bytes(absolute));
        let added = (self.add_watch)(self.shared.inotify.as_fd(), there, mask);
        let mut state = self.shared.state();
        let known = state.nodes.at(place);
        if anew || known.map(Ok) != Some(added) {
            state.unwatched.take_within(path);
        }
        match added {
            Ok(descriptor) => {
                let known = known == Some(descriptor);
                let elsewhere = state.nodes.path(descriptor).filter(|_| !known);
                let gone = match (state.nodes.put(descriptor, place), elsewhere) {
                    (Put::There(gone), Some(elsewhere)) if is_top => {
                        state.twins.push((path.clone(), elsewhere));
                        gone
                    }
                    (Put::There(gone), _) => gone,
                    (Put::Top, elsewhere) => {
                        let twin = elsewhere.map(|elsewhere| (elsewhere, path.clone()));
                        let twin = twin.filter(|twin| !state.twins.contains(twin));
                        state.twins.extend(twin);
                        return Watched::No;
                    }
                    (Put::Refused, _) => {
                        drop(state);
                        self.unwatch(vec![descriptor]);
                        return Watched::No;
                    }
                };
                drop(state);
                self.unwatch(gone);
                Watched::Yes { descriptor, known }
            }
            Err(error) => {
                drop(state);
                self.refused(place, path, absolute, error)
            }
        }
    }

    /// Whether a part that sends no events begins here.
    fn is_polled(&self, path: &RelPath) -> bool {
        let state = self.shared.state();
        let outside = state.polled_outside.values().flatten();
        self.shared.polled.iter().chain(outside).any(|polled| polled.path == *path)
    }

    /// Remembers that a directory is not watched.
    fn refused(&self, place: &Place, path: &RelPath, absolute: &[u8], error: Errno) -> Watched {
        let known = self.shared.state().nodes.at(place);
        self.forget(known);
        if is_absence(error) {
            return Watched::Gone;
        }
        let why = Why::from(error);
        let is_full = matches!(why, Why::NoWatch | Why::NoMemory);
        let below = if is_full { count(path, absolute, &self.shared) } else { 0 };
        self.shared.state().unwatched.insert(path, why, 1 + below);
        Watched::No
    }

    /// Lists a directory that is watched; none if that fails.
    fn enter(
        &mut self,
        descriptor: Descriptor,
        place: &Place,
        path: RelPath,
        absolute: &[u8],
    ) -> Option<Level> {
        let mut listing = std::mem::take(&mut self.listing);
        let children = directories(absolute, place.parent == TOP, &mut listing);
        self.listing = listing;
        match children {
            Ok(children) => Some(Level { descriptor, path, length: absolute.len(), children }),
            Err(error) if is_absence(error) => {
                self.forget(Some(descriptor));
                None
            }
            Err(error) => {
                self.shared.state().unwatched.insert(&path, Why::from(error), 1);
                None
            }
        }
    }

    fn absolute(&self, path: &RelPath) -> PathBuf {
        let below = |(top, to): (&RelPath, &PathBuf)| {
            let rest = path.as_bytes().get(top.as_bytes().len()..)?;
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            let to = path.is_within(top).then_some(to)?;
            Some(if rest.is_empty() { to.clone() } else { to.join(OsStr::from_bytes(rest)) })
        };
        // The deepest: a link may lie behind another.
        self.tops.iter().rev().find_map(below).unwrap_or_else(|| path.under(&self.shared.root))
    }

    fn hint(&self, path: RelPath) {
        self.shared.send(vec![(path, Reach::Subtree)]);
    }

    /// Says once that something is polled.
    fn warn(&mut self) {
        let state = self.shared.state();
        if self.warned != state.unwatched.is_empty() {
            return;
        }
        self.warned = !self.warned;
        let advice = state.unwatched.advice(state.nodes.len() as u64, Limit::read());
        drop(state);
        let root = self.shared.root.display();
        if self.warned {
            tracing::warn!(%root, "{advice}");
        } else {
            tracing::info!(%root, "all directories are watched again");
        }
    }
}
