//! Opening below a root where the kernel has no `openat2`: before Linux 5.6, and in a sandbox of systemd's with
//! `RestrictSUIDSGID=`, which takes the call away because a filter can't see what mode it is given.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, openat, statat};
use rustix::io::Errno;

use crate::domain::path::RelPath;

/// Opens what is at a path below a directory, as `openat2` does, with two differences: where links are
/// followed to stay beneath, any link is `EXDEV`, as if it might leave; and where all links are followed,
/// those of `/proc` are, too.
pub(super) fn open_below(
    top: &OwnedFd,
    path: &RelPath,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let whole = if path.is_root() { Path::new(".") } else { path.as_path() };
    if !resolve.intersects(ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH) {
        return openat(top, whole, flags, Mode::empty());
    }
    let opened = open_without_links(top, whole, flags);
    match opened {
        Err(Errno::LOOP) if !resolve.contains(ResolveFlags::NO_SYMLINKS) => Err(Errno::XDEV),
        opened => opened,
    }
}

/// Goes from directory to directory; a [`RelPath`] has no `..`, so none of the steps leads up.
fn open_without_links(top: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let (directories, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent, Path::new(name)),
        _ => (Path::new(""), path),
    };
    let mut at: Option<OwnedFd> = None;
    for directory in directories {
        let from = at.as_ref().unwrap_or(top).as_fd();
        at = Some(step(
            from,
            Path::new(directory),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        )?);
    }
    step(at.as_ref().unwrap_or(top).as_fd(), name, flags)
}

/// Opens what has a name in a directory; a link is `ELOOP`, unless it is the link itself that is asked for.
fn step(from: BorrowedFd<'_>, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let opened = openat(from, name, flags | OFlags::NOFOLLOW, Mode::empty());
    let is_link = |mode| FileType::from_raw_mode(mode) == FileType::Symlink;
    let is_refused = match &opened {
        Ok(fd) => !flags.contains(OFlags::NOFOLLOW) && is_link(fstat(fd)?.st_mode),
        Err(Errno::NOTDIR) if !flags.contains(OFlags::NOFOLLOW) => {
            is_link(statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
        }
        Err(_) => false,
    };
    if is_refused { Err(Errno::LOOP) } else { opened }
}
