//! The mount table: which file system holds a path, and whether it tells of every write.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

mod kinds;

pub use kinds::{Events, events};

/// The kernel's table of the mounts that this process sees: proc(5).
pub(super) const TABLE: &str = "/proc/self/mountinfo";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: u64,
    /// The number of the mount it is mounted on.
    pub parent: u64,
    /// Which directory of the file system is seen: `/` but for bind mounts and subvolumes.
    pub subtree: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The type of its file system: `ext4`, `nfs4`, `fuse.sshfs`.
    pub kind: String,
    /// What is mounted: a device, `server:/export`, or a mere word.
    pub source: String,
}

impl Mount {
    /// Returns whether events tell of every write to it.
    #[must_use]
    pub fn events(&self) -> Events {
        events(&self.kind)
    }
}

/// All mounts, in the kernel's order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads the table of this process.
    pub fn read() -> io::Result<Self> {
        std::fs::read(TABLE).map(|text| Self::parse(&text))
    }

    /// Takes the table from its text; a line that is none is left out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Self(text.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// Returns the mount that holds `path`, which must be absolute and free of links.
    ///
    /// It goes down from mount to mount as the kernel does: what a later mount hides is not found.
    #[must_use]
    pub fn holding(&self, path: &Path) -> Option<&Mount> {
        let is_top = |mount: &&Mount| {
            mount.point == Path::new("/")
                && !self.0.iter().any(|other| other.id == mount.parent && other.id != mount.id)
        };
        let mut found = self.0.iter().find(is_top)?;
        // A table can't be deeper than it is long, unless it is nonsense.
        for _ in 0..self.0.len() {
            let next = self.0.iter().filter(|mount| {
                mount.parent == found.id && mount.id != found.id && path.starts_with(&mount.point)
            });
            match next.min_by_key(|mount| mount.point.as_os_str().len()) {
                Some(next) => found = next,
                None => return Some(found),
            }
        }
        None
    }

    /// Returns the mounts that lie below `path` and are not hidden, by their places.
    #[must_use]
    pub fn below(&self, path: &Path) -> Vec<&Mount> {
        let is_below = |mount: &&Mount| {
            mount.point != path
                && mount.point.starts_with(path)
                && self.holding(&mount.point).is_some_and(|held| held.id == mount.id)
        };
        let mut found: Vec<_> = self.0.iter().filter(is_below).collect();
        found.sort_by(|left, right| left.point.cmp(&right.point));
        found
    }
}

/// `36 35 98:0 /subtree /point rw,noatime shared:1 master:2 - ext3 /dev/root rw`: the fields before
/// the dash vary in number.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let subtree = path(fields.nth(1)?);
    let point = path(fields.next()?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(&plain(fields.next()?)).into_owned();
    let source = String::from_utf8_lossy(&plain(fields.next().unwrap_or_default())).into_owned();
    Some(Mount { id, parent, subtree, point, kind, source })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(plain(field)))
}

/// Takes back the kernel's escapes: space, tab, newline, `#` and `\` come as `\` and three octal
/// digits.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.first_chunk::<3>().and_then(|digits| octal(*digits))) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    let mut value = 0_u8;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value = value.checked_mul(8)?.checked_add(digit)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests;
