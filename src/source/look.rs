//! One look at one path: its fingerprint and the digest of its bytes.

use std::fs::File;
use std::io::{ErrorKind, Read};

use rustix::fs::{FileType, OFlags, ResolveFlags, fstat};
use rustix::io::Errno;

use super::root::{Root, fingerprint};
use super::{io_text, is_absence};
use crate::domain::index::{Digest, Entry, Fingerprint};
use crate::domain::path::RelPath;
use crate::domain::time::Timestamp;

/// A fingerprint whose change time is younger than this is doubtful: two ticks of the coarse clock
/// that stamps files, at the 100 Hz of the slowest common kernels. Nanoseconds.
pub const DOUBT_NS: i64 = 20_000_000;

/// Files are read in pieces of this many bytes.
const PIECE: usize = 128 * 1024;

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A file at rest.
    File(Entry),
    /// Nothing that the origin could serve.
    Absent,
    /// A directory.
    Directory,
    /// A device, socket or pipe: never read.
    Other,
    /// A file that changed while it was read; the entry has no digest and is doubtful.
    Changing(Entry),
    /// Something that can't be read: what is known of it, if anything, and the system's reason.
    Unreadable(Option<Entry>, String),
}

/// Looks at a path. `prior` spares reading a file whose fingerprint is known and beyond doubt;
/// `now` is the wall time before the look.
///
/// Links to files inside the root are followed.
#[must_use]
pub fn look(root: &Root, path: &RelPath, prior: Option<&Entry>, now: Timestamp) -> Seen {
    // A pipe must not be waited for, nor a terminal taken over.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let (fd, refusal) = match root.open_beneath(path, flags, ResolveFlags::empty()) {
        Ok(fd) => (fd, None),
        Err(error) if is_absence(error) => return Seen::Absent,
        // Sockets and devices without a driver refuse to be opened.
        Err(Errno::NXIO | Errno::NODEV) => return Seen::Other,
        Err(error) => match root.open_beneath(path, OFlags::PATH, ResolveFlags::empty()) {
            Ok(fd) => (fd, Some(error)),
            Err(again) if is_absence(again) => return Seen::Absent,
            Err(_) => return Seen::Unreadable(None, io_text(error)),
        },
    };
    let before = match fstat(&fd) {
        Ok(seen) => seen,
        Err(error) => return Seen::Unreadable(None, io_text(error)),
    };
    match FileType::from_raw_mode(before.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Seen::Directory,
        _ => return Seen::Other,
    }
    let before = fingerprint(&before);
    let doubtful = is_doubtful(&before, now);
    let unread = Entry { fingerprint: before, digest: None, doubtful, linked: false };
    if let Some(error) = refusal {
        return Seen::Unreadable(Some(unread), io_text(error));
    }
    if let Some(prior) = prior
        && prior.fingerprint == before
        && prior.digest.is_some()
        && !prior.doubtful
    {
        return Seen::File(*prior);
    }
    let mut file = File::from(fd);
    let digest = match digest(&mut file) {
        Ok(digest) => digest,
        Err(error) => return Seen::Unreadable(Some(unread), error.to_string()),
    };
    match fstat(&file).map(|after| fingerprint(&after)) {
        Ok(after) if after == before => Seen::File(Entry { digest: Some(digest), ..unread }),
        Ok(after) => Seen::Changing(Entry { fingerprint: after, doubtful: true, ..unread }),
        Err(error) => Seen::Unreadable(Some(unread), io_text(error)),
    }
}

fn is_doubtful(fingerprint: &Fingerprint, now: Timestamp) -> bool {
    let now = now.as_micros().saturating_mul(1_000);
    fingerprint.changed_ns > now.saturating_sub(DOUBT_NS)
}

fn digest(file: &mut File) -> std::io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(piece.get(..read).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    Ok(Digest(first))
}

#[cfg(test)]
mod tests;
