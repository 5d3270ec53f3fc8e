//! The names of the directories in a directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, open, statat};
use rustix::io::Errno;

use super::Shared;
use crate::domain::path::RelPath;

/// How large a buffer a listing wants, in bytes.
pub(super) const LISTING: usize = 32 << 10;

/// Names, one after the other, each ending with a NUL.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    next: usize,
}

impl Names {
    /// Returns the next one.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let rest = self.bytes.get(self.next..)?;
        let length = rest.iter().position(|byte| *byte == 0)?;
        self.next += length + 1;
        rest.get(..length)
    }
}

/// Lists the directories in a directory; a link is followed at the end of the path if so asked.
pub(super) fn directories(
    absolute: &[u8],
    follow: bool,
    listing: &mut Vec<u8>,
) -> Result<Names, Errno> {
    let follow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | follow;
    let directory = open(Path::new(OsStr::from_bytes(absolute)), flags, Mode::empty())?;
    let mut entries = RawDir::new(&directory, listing.spare_capacity_mut());
    let mut names = Names::default();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        let is_directory = match entry.file_type() {
            FileType::Directory => !matches!(name.to_bytes(), b"." | b".."),
            FileType::Unknown => {
                statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|seen| FileType::from_raw_mode(seen.st_mode).is_dir())
                    && !matches!(name.to_bytes(), b"." | b"..")
            }
            _ => false,
        };
        if is_directory {
            names.bytes.extend_from_slice(name.to_bytes_with_nul());
        }
    }
    Ok(names)
}

/// Counts the directories below one that can't be watched, so that the operator hears how many
/// watches are missing.
pub(super) fn count(path: &RelPath, absolute: &[u8], shared: &Shared) -> u64 {
    let mut listing = Vec::with_capacity(LISTING);
    let mut open = vec![(path.clone(), absolute.to_vec())];
    let mut count = 0;
    while let Some((path, absolute)) = open.pop() {
        if shared.is_stopped() {
            break;
        }
        let children = directories(&absolute, path.is_root(), &mut listing);
        let mut children = children.unwrap_or_default();
        while let Some(name) = children.next() {
            let below = path.join(name).ok().filter(|path| !(shared.excluded)(path, true));
            if let Some(below) = below {
                count += 1;
                open.push((below, [&absolute, b"/".as_slice(), name].concat()));
            }
        }
    }
    count
}
