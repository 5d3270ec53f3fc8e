//! Where a database may lie: a private directory on a local file system.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::DatabaseError;

/// `f_type` of file systems that are reached over a network or through another process, where
/// locks and shared memory between processes can't be trusted (Linux's `statfs(2)`).
const NETWORK: [(u64, &str); 11] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
];

/// Returns the name of the network file system that a `statfs` type number stands for, if it is one.
#[must_use]
pub fn network_file_system(magic: u64) -> Option<&'static str> {
    // Kernels sign-extend some of these on the way: the lower 32 bits are the number.
    let magic = magic & 0xffff_ffff;
    NETWORK.iter().find_map(|(number, name)| (*number == magic).then_some(*name))
}

/// Makes the directory (mode 0700) if it is missing, and refuses one on a network file system.
pub(super) fn prepare_directory(directory: &Path) -> Result<(), DatabaseError> {
    let open = |why: io::Error| DatabaseError::open(directory, &why);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(open)?;
    let facts = rustix::fs::statfs(directory).map_err(|why| open(why.into()))?;
    match network_file_system(facts.f_type.cast_unsigned()) {
        Some(name) => {
            Err(DatabaseError::NetworkFileSystem { directory: directory.to_owned(), name })
        }
        None => Ok(()),
    }
}

/// Makes the directory and the file (mode 0600; `SQLite` gives its companions the same).
pub(super) fn prepare_file(path: &Path) -> Result<(), DatabaseError> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    prepare_directory(directory)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|why| DatabaseError::open(path, &why))
}
