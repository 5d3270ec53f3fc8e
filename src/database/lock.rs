//! One daemon to a state directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{DatabaseError, place};

/// Why a state directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it: the command room leaves with 75.
    #[error(
        "another refreshd{} uses the state directory `{}`; stop it first, or give this one its own \
         `state_dir`", .pid.map_or_else(String::new, |pid| format!(" (pid {pid})")), .directory.display()
    )]
    Held {
        /// The directory.
        directory: PathBuf,
        /// The other process, as it wrote into the lock file.
        pid: Option<u32>,
    },
    /// The directory can't be used.
    #[error(transparent)]
    Place(#[from] DatabaseError),
}

/// The right to use a state directory, held until dropped or until the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Makes the directory if it is missing, and takes its lock file, `refreshd.lock`, or says who
    /// holds it.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        place::prepare_directory(directory)?;
        let path = directory.join("refreshd.lock");
        let failed = |why: std::io::Error| DatabaseError::open(&path, &why);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // A holder that has not written its pid yet is still a holder.
                let _ = file.read_to_string(&mut text);
                return Err(LockError::Held {
                    directory: directory.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(other) => return Err(failed(other.into()).into()),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
