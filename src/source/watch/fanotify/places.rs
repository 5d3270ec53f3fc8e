//! Where a directory that the kernel names by a handle lies.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, fstat, fstatvfs, open, readlink};
use rustix::io::Errno;

use super::event::Directory;
use super::kernel;
use crate::domain::path::RelPath;

/// How many bytes of handles and paths are remembered: some 50,000 directories. A tree that is larger
/// asks the kernel again, which takes a few microseconds a directory.
const REMEMBERED: usize = 8 << 20;

/// What an entry takes beside its bytes: allocations, and its share of the table.
const ENTRY: usize = 120;

/// A directory that is watched with everything below it, where its own file system holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where it is, absolute and free of links.
    pub path: PathBuf,
    /// Where that is below the root.
    pub at: RelPath,
    /// The number of its file system, as events give it.
    pub file_system: u64,
    /// The number of its device.
    pub device: u64,
}

impl Place {
    /// Finds out what is at `path`, and returns it open.
    pub(super) fn find(path: &Path, at: &RelPath) -> Result<(Self, OwnedFd), Errno> {
        let fd = open_directory(path)?;
        let (device, file_system) = (fstat(&fd)?.st_dev, fstatvfs(&fd)?.f_fsid);
        Ok((Self { path: path.to_owned(), at: at.clone(), file_system, device }, fd))
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// How a directory lies to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// It is the place or lies below it: its path below the root.
    Within(RelPath),
    /// It is on the way to the place: the next name on that way, and the place below the root.
    Above {
        /// The next name.
        name: Vec<u8>,
        /// The place.
        at: RelPath,
    },
}

/// The places of a watch, and what is remembered of their file systems' directories.
#[derive(Debug, Default)]
pub(super) struct Places {
    watched: Vec<(Place, State)>,
    known: HashMap<Box<[u8]>, Arc<[Spot]>>,
    remembered: usize,
}

/// A place is opened only while handles are resolved: what is open can't be unmounted.
#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(OwnedFd),
    /// It is not there; it is looked for once in each turn.
    Lost,
    LostUntilNextTurn,
}

impl Places {
    /// Takes other places.
    pub(super) fn replace(&mut self, places: Vec<Place>) {
        self.watched = places.into_iter().map(|place| (place, State::Closed)).collect();
        self.forget();
    }

    /// Forgets where directories lie, for one was moved.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.remembered = 0;
    }

    /// Ends a turn: closes what was opened in it.
    pub(super) fn rest(&mut self) {
        for (_, state) in &mut self.watched {
            *state = match state {
                State::Closed | State::Open(_) => State::Closed,
                State::Lost | State::LostUntilNextTurn => State::Lost,
            };
        }
    }

    /// Returns how a directory lies to the places. `torn` is called with each place that has gone
    /// or come back: what is below it is not known.
    pub(super) fn spots(
        &mut self,
        directory: Directory<'_>,
        mut torn: impl FnMut(&RelPath),
    ) -> Arc<[Spot]> {
        if let Some(spots) = self.known.get(directory.0) {
            return Arc::clone(spots);
        }
        let file_system = directory.file_system();
        let is_here = |place: &Place| Some(place.file_system) == file_system;
        // A subvolume of btrfs may be reported by another number than it has.
        let any = !self.watched.iter().any(|(place, _)| is_here(place));
        let mut spots = Vec::new();
        let mut whole = true;
        for (place, state) in self.watched.iter_mut().filter(|(place, _)| any || is_here(place)) {
            match spot(place, state, directory, &mut torn) {
                Ok(Some(spot)) if !spots.contains(&spot) => spots.push(spot),
                Ok(_) => {}
                Err(()) => whole = false,
            }
        }
        let spots: Arc<[Spot]> = spots.into();
        if whole {
            self.remember(directory, &spots);
        }
        spots
    }

    fn remember(&mut self, directory: Directory<'_>, spots: &Arc<[Spot]>) {
        let paths = spots.iter().map(|spot| match spot {
            Spot::Within(path) => path.as_bytes().len(),
            Spot::Above { name, at } => name.len() + at.as_bytes().len(),
        });
        let size = ENTRY + directory.0.len() + paths.sum::<usize>();
        if self.remembered + size > REMEMBERED {
            self.forget();
        }
        self.remembered += size;
        self.known.insert(directory.0.into(), Arc::clone(spots));
    }

    /// Returns how many bytes are remembered.
    #[cfg(test)]
    pub(super) const fn remembered(&self) -> usize {
        self.remembered
    }
}

/// Fails when it can't be said now.
fn spot(
    place: &Place,
    state: &mut State,
    directory: Directory<'_>,
    torn: &mut impl FnMut(&RelPath),
) -> Result<Option<Spot>, ()> {
    if matches!(state, State::Closed | State::Lost) {
        let was_lost = matches!(state, State::Lost);
        let opened = open_directory(&place.path).and_then(|fd| {
            if fstat(&fd)?.st_dev == place.device { Ok(fd) } else { Err(Errno::XDEV) }
        });
        *state = opened.map_or(State::LostUntilNextTurn, State::Open);
        if was_lost != matches!(state, State::LostUntilNextTurn) {
            torn(&place.at);
        }
    }
    let State::Open(fd) = state else { return Err(()) };
    match resolve(fd, directory) {
        Ok(full) => Ok(full.and_then(|full| lie(place, &full))),
        Err(error) => {
            tracing::warn!(place = %place.path.display(), %error, "a directory can't be found");
            *state = State::LostUntilNextTurn;
            torn(&place.at);
            Err(())
        }
    }
}

/// Returns a directory's path; nothing when it is deleted, or when its path is longer than any that
/// can be opened.
pub(super) fn resolve(mount: impl AsFd, directory: Directory<'_>) -> io::Result<Option<PathBuf>> {
    let Some(handle) = directory.handle() else { return Ok(None) };
    match kernel::open(mount, handle) {
        Ok(fd) => path_of(&fd),
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            // A handle that was of another file system is of no directory here.
            Some(Errno::STALE | Errno::INVAL | Errno::NOENT) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Returns where an open directory lies.
pub(super) fn path_of(fd: &OwnedFd) -> io::Result<Option<PathBuf>> {
    use std::os::fd::AsRawFd as _;
    // Of a deleted directory that somebody holds open the kernel tells its last path.
    if fstat(fd)?.st_nlink == 0 {
        return Ok(None);
    }
    match readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()) {
        Ok(path) => Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes())))),
        Err(Errno::NAMETOOLONG | Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says how the directory at `full` lies to a place; nothing when it is elsewhere.
fn lie(place: &Place, full: &Path) -> Option<Spot> {
    if let Ok(rest) = full.strip_prefix(&place.path) {
        let rest = rest.as_os_str().as_bytes();
        let parts = [place.at.as_bytes(), rest];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        return RelPath::new(parts.join(&b'/')).ok().map(Spot::Within);
    }
    let way = place.path.strip_prefix(full).ok()?;
    let name = way.components().next().map(|part| OsStr::as_bytes(part.as_os_str()).to_vec())?;
    Some(Spot::Above { name, at: place.at.clone() })
}

#[cfg(test)]
mod tests;
