//! An origin's root, opened once: everything below is reached from its descriptor.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, stat};
use rustix::io::Errno;

use super::{Unavailable, io_text};
use crate::domain::index::Fingerprint;
use crate::domain::path::RelPath;

/// An open root, and where it was found.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Root {
    /// Opens the directory at `path`, following links.
    pub fn open(path: &Path) -> Result<Self, Unavailable> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|error| refuse(path, error))?;
        let seen = fstat(&fd).map_err(|error| refuse(path, error))?;
        Ok(Self { fd, path: path.to_owned(), device: seen.st_dev, inode: seen.st_ino })
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

    /// Opens what is at `path`, never leaving the root: absolute links and links out fail as
    /// `EXDEV` does.
    pub(super) fn open_beneath(
        &self,
        path: &RelPath,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let resolve = resolve | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let name = if path.is_root() { Path::new(".") } else { path.as_path() };
        loop {
            match openat2(&self.fd, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // A rename elsewhere on the way made the kernel unsure that `..` stayed beneath.
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
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
