//! What the kernel writes into a buffer of events: fanotify(7).

use super::kernel::{Handle, MAX_HANDLE};

/// `struct fanotify_event_metadata`, in bytes; each event takes as many at least.
pub(super) const HEAD: usize = 24;

/// The version of the format.
const VERSION: u8 = 3;

/// The record of a directory's handle and a name in it.
const DIRECTORY_AND_NAME: u8 = 2;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'buffer> {
    /// Something happened to a name in a directory.
    Named(Named<'buffer>),
    /// Events were dropped.
    Overflow,
    /// An event without a name, or bytes that are no event: nothing is known.
    Unknown,
}

/// Something that happened to a name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'buffer> {
    /// What happened.
    pub mask: u64,
    /// The directory.
    pub directory: Directory<'buffer>,
    /// The name in it; `.` for the directory itself.
    pub name: &'buffer [u8],
}

/// A directory as the kernel names it: the bytes of file system and handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directory<'buffer>(pub &'buffer [u8]);

impl Directory<'_> {
    /// Returns the file system's number, as `statvfs` puts its two halves together.
    pub(super) fn file_system(self) -> Option<u64> {
        let low = u32::from_ne_bytes(at(self.0, 0)?);
        let high = u32::from_ne_bytes(at(self.0, 4)?);
        Some(u64::from(low) | u64::from(high) << 32)
    }

    /// Returns the handle.
    pub(super) fn handle(self) -> Option<Handle> {
        Handle::new(i32::from_ne_bytes(at(self.0, 12)?), self.0.get(16..)?)
    }
}

/// Takes a buffer apart. After bytes that are no event comes nothing more.
pub(super) fn events(buffer: &[u8]) -> impl Iterator<Item = Event<'_>> {
    let mut rest = buffer;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = at(rest, 0).map_or(0, |bytes| u32::from_ne_bytes(bytes) as usize);
        match rest.split_at_checked(length) {
            Some((event, after)) if length >= HEAD => {
                rest = after;
                Some(read(event).unwrap_or(Event::Unknown))
            }
            _ => {
                rest = &[];
                Some(Event::Unknown)
            }
        }
    })
}

fn read(event: &[u8]) -> Option<Event<'_>> {
    let [version] = at(event, 4)?;
    if version != VERSION {
        return None;
    }
    let mask = u64::from_ne_bytes(at(event, 8)?);
    if mask & libc::FAN_Q_OVERFLOW != 0 {
        return Some(Event::Overflow);
    }
    let head = usize::from(u16::from_ne_bytes(at(event, 6)?));
    let mut records = event.get(head.max(HEAD)..)?;
    loop {
        let [kind] = at(records, 0)?;
        let length = usize::from(u16::from_ne_bytes(at(records, 2)?));
        let (record, after) = records.split_at_checked(length)?;
        if kind == DIRECTORY_AND_NAME {
            return named(mask, record.get(4..)?).map(Event::Named);
        }
        // A record of length 0 would be read for ever.
        records = if length == 0 { return None } else { after };
    }
}

fn named(mask: u64, record: &[u8]) -> Option<Named<'_>> {
    let length = u32::from_ne_bytes(at(record, 8)?) as usize;
    if length > usize::from(MAX_HANDLE) {
        return None;
    }
    let (directory, rest) = record.split_at_checked(16 + length)?;
    let name = rest.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())?;
    Some(Named { mask, directory: Directory(directory), name })
}

fn at<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests;
