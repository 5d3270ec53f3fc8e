//! An origin's root, opened once: everything below is reached from its descriptor.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, readlink, stat};
use rustix::io::Errno;

use super::{Unavailable, io_text};
use crate::domain::index::Fingerprint;
use crate::domain::path::RelPath;
use crate::domain::watch::Links;

use without_openat2::open_below;

mod without_openat2;

/// How often an opening is tried that the kernel asks to try again: a rename elsewhere made it unsure
/// that `..` stayed beneath, or another program holds a lease on the file.
const TRIES: usize = 100;

/// An open root, where it was found, and which links below it are followed.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    links: Links,
    device: u64,
    inode: u64,
}

/// Where something that was reached through a link really is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkTarget {
    /// Below the root.
    Inside(RelPath),
    /// Elsewhere, by its absolute path.
    Outside(PathBuf),
}

impl Root {
    /// Opens the directory at `path`, following links on the way to it; `links` says which ones are
    /// followed below it.
    pub fn open(path: &Path, links: Links) -> Result<Self, Unavailable> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|error| refuse(path, error))?;
        let seen = fstat(&fd).map_err(|error| refuse(path, error))?;
        Ok(Self { fd, path: path.to_owned(), links, device: seen.st_dev, inode: seen.st_ino })
    }

    /// Fails unless the path still leads to this directory.
    pub fn is_still_there(&self) -> Result<(), Unavailable> {
        let seen = stat(&self.path).map_err(|error| refuse(&self.path, error))?;
        if (seen.st_dev, seen.st_ino) == (self.device, self.inode) {
            Ok(())
        } else {
            Err(Unavailable::Replaced(self.path.clone()))
        }
    }

    /// Returns whether it holds no name at all.
    pub fn is_empty(&self) -> Result<bool, Unavailable> {
        let refuse = |error| refuse(&self.path, error);
        let mut listing = Dir::read_from(&self.fd).map_err(refuse)?;
        while let Some(entry) = listing.read() {
            if !matches!(entry.map_err(refuse)?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of its device.
    #[must_use]
    pub const fn device(&self) -> u64 {
        self.device
    }

    /// Returns what tells this directory from any other: device and inode.
    #[must_use]
    pub const fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Opens what is at `path`, following the links that may be followed, and returns whether there
    /// were any. A link that may not be followed fails as `ELOOP` or `EXDEV` does.
    pub(super) fn open_at(&self, path: &RelPath, flags: OFlags) -> Result<(OwnedFd, bool), Errno> {
        match self.open_plain(path, flags) {
            Err(Errno::LOOP) if self.links != Links::Never => {}
            opened => return Ok((opened?, false)),
        }
        if self.links == Links::Anywhere {
            return Ok((self.resolve(path, flags, ResolveFlags::empty())?, true));
        }
        let opened = match self.resolve(path, flags, ResolveFlags::BENEATH) {
            Err(Errno::XDEV) => self.open_checked(path, flags),
            opened => opened,
        };
        Ok((opened?, true))
    }

    /// Opens what is at `path` if no link lies on the way.
    pub(super) fn open_plain(&self, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.resolve(path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
    }

    /// Opens what a way that leaves the root leads to, if that is inside: what it leads to is found
    /// without opening it, and then reached from the root.
    fn open_checked(&self, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let finding = OFlags::PATH | flags & (OFlags::DIRECTORY | OFlags::NOFOLLOW);
        let found = self.resolve(path, finding, ResolveFlags::empty())?;
        match self.place_of(&found)? {
            LinkTarget::Inside(_) if flags.contains(OFlags::PATH) => Ok(found),
            LinkTarget::Inside(real) => self.open_plain(&real, flags),
            LinkTarget::Outside(_) => Err(Errno::XDEV),
        }
    }

    /// Returns where something open really is.
    pub(super) fn place_of(&self, opened: &OwnedFd) -> Result<LinkTarget, Errno> {
        let (root, real) = (place(&self.fd)?, place(opened)?);
        Ok(RelPath::below(&root, &real).map_or(LinkTarget::Outside(real), LinkTarget::Inside))
    }

    fn resolve(
        &self,
        path: &RelPath,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let (flags, resolve) = (flags | OFlags::CLOEXEC, resolve | ResolveFlags::NO_MAGICLINKS);
        let name = if path.is_root() { Path::new(".") } else { path.as_path() };
        let mut tries = 0;
        loop {
            match openat2(&self.fd, name, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
                Err(Errno::NOSYS) => return open_below(&self.fd, path, flags, resolve),
                opened => return opened,
            }
        }
    }
}

/// Returns the absolute path of something open.
fn place(opened: &OwnedFd) -> Result<PathBuf, Errno> {
    let link = format!("/proc/self/fd/{}", opened.as_raw_fd());
    match readlink(link, Vec::new()) {
        Ok(place) => Ok(OsString::from_vec(place.into_bytes()).into()),
        // `/proc` is not mounted; that says nothing about what is open.
        Err(Errno::NOENT | Errno::NOTDIR) => Err(Errno::NOSYS),
        Err(error) => Err(error),
    }
}

fn refuse(path: &Path, error: Errno) -> Unavailable {
    let root = path.to_owned();
    match error {
        Errno::NOENT => Unavailable::Gone(root),
        Errno::NOTDIR => Unavailable::NotDirectory(root),
        error => Unavailable::Unreadable { root, why: io_text(error) },
    }
}

/// Takes what the index keeps out of what the kernel says.
pub(super) fn fingerprint(seen: &Stat) -> Fingerprint {
    Fingerprint {
        size: u64::try_from(seen.st_size).unwrap_or(0),
        modified_ns: nanoseconds(seen.st_mtime, seen.st_mtime_nsec),
        changed_ns: nanoseconds(seen.st_ctime, seen.st_ctime_nsec),
        inode: seen.st_ino,
    }
}

fn nanoseconds(seconds: i64, rest: u64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(i64::try_from(rest).unwrap_or(0))
}

#[cfg(test)]
mod tests;
