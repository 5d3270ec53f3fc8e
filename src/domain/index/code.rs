//! The stored form of a chunk.
//!
//! A version byte, the number of entries, then for each entry in the order of names: how many bytes
//! its name shares with the one before, the rest of the name with its length, flags, size,
//! modification time as a difference from the entry before, change time as a difference from it,
//! inode as a difference from the entry before, digest. Before the first entry all is zero. Numbers
//! are LEB128 varints, signed ones zigzag: beside its name an entry takes at most 61 bytes.
//!
//! Version 1, which is still read, knows no linked entries, holds up to 512 entries, and writes
//! modification time and inode whole, the inode unsigned.

use super::{Digest, Entry, Fingerprint, Named};
use crate::domain::path::RelPath;

const VERSION: u8 = 2;
const HAS_DIGEST: u8 = 1;
const DOUBTFUL: u8 = 2;
const LINKED: u8 = 4;

/// The most entries that a chunk of any version holds.
const MOST_ENTRIES: usize = 512;

/// Why a stored chunk can't be read: the index is damaged, or was written by a later version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored index of directory {directory:?} cannot be read: {reason}")]
pub struct IndexError {
    directory: RelPath,
    reason: &'static str,
}

impl IndexError {
    pub(super) fn new(directory: &[u8], reason: &'static str) -> Self {
        Self { directory: RelPath::trusted(directory), reason }
    }
}

pub(super) fn encode(entries: &[Named]) -> Vec<u8> {
    let mut data = Vec::with_capacity(8 + entries.len() * 64);
    data.push(VERSION);
    put(&mut data, entries.len() as u64);
    let (mut name_before, mut before) = (&[][..], Fingerprint::default());
    for (name, entry) in entries {
        let shared = name_before.iter().zip(name).take_while(|(a, b)| a == b).count();
        let rest = name.get(shared..).unwrap_or_default();
        put(&mut data, shared as u64);
        put(&mut data, rest.len() as u64);
        data.extend_from_slice(rest);
        let flags = if entry.digest.is_some() { HAS_DIGEST } else { 0 }
            | if entry.doubtful { DOUBTFUL } else { 0 }
            | if entry.linked { LINKED } else { 0 };
        data.push(flags);
        let now = entry.fingerprint;
        put(&mut data, now.size);
        put(&mut data, zigzag(now.modified_ns.wrapping_sub(before.modified_ns)));
        put(&mut data, zigzag(now.changed_ns.wrapping_sub(now.modified_ns)));
        put(&mut data, zigzag(now.inode.wrapping_sub(before.inode).cast_signed()));
        if let Some(Digest(bytes)) = entry.digest {
            data.extend_from_slice(&bytes);
        }
        (name_before, before) = (name, now);
    }
    data
}

/// Reads the entries of a chunk one after another.
pub(super) struct Entries<'data> {
    reader: Reader<'data>,
    version: u8,
    left: usize,
    /// The name of the entry that was read last.
    name: Vec<u8>,
    before: Fingerprint,
}

impl<'data> Entries<'data> {
    /// Opens a chunk of which nothing is known yet.
    pub(super) fn open(data: &'data [u8]) -> Result<Self, &'static str> {
        let mut reader = Reader(data);
        let version = reader.byte()?;
        if !(1..=VERSION).contains(&version) {
            return Err("it was written by another version");
        }
        let left = reader.length()?;
        if left == 0 || left > MOST_ENTRIES {
            return Err("it holds no entries, or too many");
        }
        Ok(Self { reader, version, left, name: Vec::new(), before: Fingerprint::default() })
    }

    /// Opens a chunk of the index, which was checked when it was loaded, or encoded since.
    pub(super) fn of(data: &'data [u8]) -> Self {
        let nothing = Self {
            reader: Reader(&[]),
            version: VERSION,
            left: 0,
            name: Vec::new(),
            before: Fingerprint::default(),
        };
        Self::open(data).unwrap_or(nothing)
    }

    /// Reads the next entry; none at the end.
    pub(super) fn read(&mut self) -> Result<Option<(&[u8], Entry)>, &'static str> {
        let reader = &mut self.reader;
        if self.left == 0 {
            return if reader.0.is_empty() { Ok(None) } else { Err("it has bytes after its end") };
        }
        self.left -= 1;
        let shared = reader.length()?;
        let rest = reader.length()?;
        let rest = reader.bytes(rest)?;
        let replaced = self.name.get(shared..).ok_or("a name shares too much")?;
        if rest <= replaced {
            return Err("its names are out of order");
        }
        if rest.contains(&b'/') || rest.contains(&0) {
            return Err("a name is not one plain part");
        }
        self.name.truncate(shared);
        self.name.extend_from_slice(rest);
        if matches!(self.name.as_slice(), b"." | b"..") {
            return Err("a name is not one plain part");
        }
        let flags = reader.byte()?;
        let known = HAS_DIGEST | DOUBTFUL | if self.version == 1 { 0 } else { LINKED };
        if flags & !known != 0 {
            return Err("it has unknown flags");
        }
        let size = reader.number()?;
        let (mut modified_ns, changed) = (reader.signed()?, reader.signed()?);
        let inode = if self.version == 1 {
            reader.number()?
        } else {
            modified_ns = modified_ns.wrapping_add(self.before.modified_ns);
            self.before.inode.wrapping_add(reader.signed()?.cast_unsigned())
        };
        let changed_ns = modified_ns.wrapping_add(changed);
        let digest = if flags & HAS_DIGEST == 0 {
            None
        } else {
            Some(Digest(reader.bytes(16)?.try_into().map_err(|_| "a digest is cut")?))
        };
        let fingerprint = Fingerprint { size, modified_ns, changed_ns, inode };
        self.before = fingerprint;
        let (doubtful, linked) = (flags & DOUBTFUL != 0, flags & LINKED != 0);
        Ok(Some((&self.name, Entry { fingerprint, digest, doubtful, linked })))
    }

    /// Reads the next entry of a chunk that was checked.
    pub(super) fn step(&mut self) -> Option<(&[u8], Entry)> {
        self.read().ok().flatten()
    }

    /// Returns the name of the entry that was read last.
    pub(super) fn into_name(self) -> Vec<u8> {
        self.name
    }
}

impl Iterator for Entries<'_> {
    type Item = Named;

    fn next(&mut self) -> Option<Named> {
        self.step().map(|(name, entry)| (name.to_vec(), entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

fn put(data: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        data.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    data.push(number.to_le_bytes()[0]);
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

struct Reader<'data>(&'data [u8]);

impl<'data> Reader<'data> {
    fn bytes(&mut self, count: usize) -> Result<&'data [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (&byte, rest) = self.0.split_first().ok_or("it is cut")?;
        self.0 = rest;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too large")
    }

    fn signed(&mut self) -> Result<i64, &'static str> {
        self.number().map(unzigzag)
    }

    fn length(&mut self) -> Result<usize, &'static str> {
        usize::try_from(self.number()?).map_err(|_| "a length is too large")
    }
}
