//! One look at one path: its fingerprint and the digest of its bytes.

use std::fs::File;
use std::io::{ErrorKind, Read};

use rustix::fs::{FileType, OFlags, fstat};
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
    /// A link that leads to nothing, and may lead to something later.
    Dangling,
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
/// Links are followed as the root was told to.
#[must_use]
pub fn look(root: &Root, path: &RelPath, prior: Option<&Entry>, now: Timestamp) -> Seen {
    look_at_pace(root, path, prior, now, &mut |_| {})
}

/// Looks as [`look`] does, telling `pace` after each piece how many bytes were read: it may wait.
#[must_use]
pub fn look_at_pace(
    root: &Root,
    path: &RelPath,
    prior: Option<&Entry>,
    now: Timestamp,
    pace: &mut dyn FnMut(usize),
) -> Seen {
    let unread = match look_without_reading(root, path, now) {
        Seen::File(entry) => entry,
        other => return other,
    };
    if let Some(prior) = prior
        && prior.fingerprint == unread.fingerprint
        && prior.digest.is_some()
        && !prior.doubtful
    {
        return Seen::File(Entry { linked: unread.linked, ..*prior });
    }
    // What became a pipe since must not be waited for, nor a terminal taken over.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match root.open_at(path, flags) {
        Ok((fd, _)) => fd,
        Err(error) if is_absence(error) => return Seen::Absent,
        Err(error) => return Seen::Unreadable(Some(unread), io_text(error)),
    };
    let mut file = File::from(fd);
    let moved = |file: &File| match fstat(file).map(|seen| fingerprint(&seen)) {
        Ok(seen) if seen == unread.fingerprint => None,
        Ok(seen) => Some(Seen::Changing(Entry { fingerprint: seen, doubtful: true, ..unread })),
        Err(error) => Some(Seen::Unreadable(Some(unread), io_text(error))),
    };
    // Another file may have come to the path; whatever it is, it isn't read for the first one.
    if let Some(seen) = moved(&file) {
        return seen;
    }
    let digest = match digest(&mut file, pace) {
        Ok(digest) => digest,
        Err(error) => return Seen::Unreadable(Some(unread), error.to_string()),
    };
    moved(&file).unwrap_or(Seen::File(Entry { digest: Some(digest), ..unread }))
}

/// Looks at a path as [`look`] does, but opens nothing for reading: the entry has no digest.
#[must_use]
pub fn look_without_reading(root: &Root, path: &RelPath, now: Timestamp) -> Seen {
    let opened = root.open_at(path, OFlags::PATH);
    let (seen, linked) = match opened.and_then(|(fd, linked)| Ok((fstat(&fd)?, linked))) {
        Ok(seen) => seen,
        Err(Errno::NOENT) if is_link(root, path) => return Seen::Dangling,
        Err(error) if is_absence(error) => return Seen::Absent,
        Err(error) => return Seen::Unreadable(None, io_text(error)),
    };
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::RegularFile => {
            let (fingerprint, linked) = (fingerprint(&seen), linked || seen.st_nlink > 1);
            let doubtful = is_doubtful(&fingerprint, now);
            Seen::File(Entry { fingerprint, digest: None, doubtful, linked })
        }
        FileType::Directory => Seen::Directory,
        _ => Seen::Other,
    }
}

fn is_link(root: &Root, path: &RelPath) -> bool {
    let opened = root.open_at(path, OFlags::PATH | OFlags::NOFOLLOW);
    let seen = opened.and_then(|(fd, _)| fstat(fd));
    seen.is_ok_and(|seen| FileType::from_raw_mode(seen.st_mode).is_symlink())
}

fn is_doubtful(fingerprint: &Fingerprint, now: Timestamp) -> bool {
    let now = now.as_micros().saturating_mul(1_000);
    fingerprint.changed_ns > now.saturating_sub(DOUBT_NS)
}

fn digest(file: &mut File, pace: &mut dyn FnMut(usize)) -> std::io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(piece.get(..read).unwrap_or_default());
                pace(read);
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
