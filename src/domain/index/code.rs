//! The stored form of a chunk.
//!
//! A version byte, the number of entries, then for each entry in the order of names: how many bytes
//! its name shares with the one before, the rest of the name with its length, flags, size,
//! modification time, change time as a difference from it, inode, digest. Numbers are LEB128
//! varints, signed ones zigzag: beside its name an entry takes at most 61 bytes, typically 40.

use super::{CHUNK_ENTRIES, Digest, Entry, Fingerprint, Named};
use crate::domain::path::RelPath;

const VERSION: u8 = 1;
const HAS_DIGEST: u8 = 1;
const DOUBTFUL: u8 = 2;
const LINKED: u8 = 4;

/// Why a stored chunk can't be read: the index is damaged, or was written by a later version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored index of directory {directory:?} cannot be read: {reason}")]
pub struct IndexError {
    directory: RelPath,
    reason: &'static str,
}

impl IndexError {
    pub(super) fn overlap(directory: &RelPath) -> Self {
        Self { directory: directory.clone(), reason: "its chunks overlap" }
    }
}

pub(super) fn encode(entries: &[Named]) -> Vec<u8> {
    let mut data = Vec::with_capacity(8 + entries.len() * 64);
    data.push(VERSION);
    put(&mut data, entries.len() as u64);
    let mut before: &[u8] = &[];
    for (name, entry) in entries {
        let shared = before.iter().zip(name.iter()).take_while(|(a, b)| a == b).count();
        let rest = name.get(shared..).unwrap_or_default();
        put(&mut data, shared as u64);
        put(&mut data, rest.len() as u64);
        data.extend_from_slice(rest);
        let flags = if entry.digest.is_some() { HAS_DIGEST } else { 0 }
            | if entry.doubtful { DOUBTFUL } else { 0 }
            | if entry.linked { LINKED } else { 0 };
        data.push(flags);
        let Fingerprint { size, modified_ns, changed_ns, inode } = entry.fingerprint;
        put(&mut data, size);
        put(&mut data, zigzag(modified_ns));
        put(&mut data, zigzag(changed_ns.wrapping_sub(modified_ns)));
        put(&mut data, inode);
        if let Some(Digest(bytes)) = entry.digest {
            data.extend_from_slice(&bytes);
        }
        before = name;
    }
    data
}

pub(super) fn decode(
    directory: &RelPath,
    first: &[u8],
    data: &[u8],
) -> Result<Vec<Named>, IndexError> {
    read(first, data).map_err(|reason| IndexError { directory: directory.clone(), reason })
}

fn read(first: &[u8], data: &[u8]) -> Result<Vec<Named>, &'static str> {
    let mut reader = Reader(data);
    if reader.byte()? != VERSION {
        return Err("it was written by another version");
    }
    let count = reader.length()?;
    if count > CHUNK_ENTRIES {
        return Err("it holds too many entries");
    }
    let mut entries: Vec<Named> = Vec::with_capacity(count);
    for _ in 0..count {
        let before: &[u8] = entries.last().map_or(&[], |(name, _)| name);
        let shared = reader.length()?;
        let mut name = before.get(..shared).ok_or("a name shares too much")?.to_vec();
        let rest = reader.length()?;
        name.extend_from_slice(reader.bytes(rest)?);
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            return Err("a name is not one plain part");
        }
        if name.as_slice() < first || (!before.is_empty() && name.as_slice() <= before) {
            return Err("its names are out of order");
        }
        let flags = reader.byte()?;
        if flags & !(HAS_DIGEST | DOUBTFUL | LINKED) != 0 {
            return Err("it has unknown flags");
        }
        let size = reader.number()?;
        let modified_ns = unzigzag(reader.number()?);
        let changed_ns = modified_ns.wrapping_add(unzigzag(reader.number()?));
        let inode = reader.number()?;
        let digest = if flags & HAS_DIGEST == 0 {
            None
        } else {
            let bytes = reader.bytes(16)?;
            Some(Digest(bytes.try_into().map_err(|_| "a digest is cut")?))
        };
        let fingerprint = Fingerprint { size, modified_ns, changed_ns, inode };
        let doubtful = flags & DOUBTFUL != 0;
        let linked = flags & LINKED != 0;
        entries.push((name.into(), Entry { fingerprint, digest, doubtful, linked }));
    }
    if reader.0.is_empty() { Ok(entries) } else { Err("it has bytes after its end") }
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

    fn length(&mut self) -> Result<usize, &'static str> {
        usize::try_from(self.number()?).map_err(|_| "a length is too large")
    }
}
