//! What goes wrong with a database file, in an operator's words and with a remedy.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// `SQLITE_IOERR_SHMSIZE`: the shared memory beside the file could not grow, for want of space.
const IOERR_SHMSIZE: i32 = 0x130a;

/// What went wrong with the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// The disk is full: nothing of the transaction was written, and later ones may succeed.
    #[error("the disk that holds the state directory is full ({0}); free some space on it")]
    Full(String),
    /// What is in the file is not a sound database.
    #[error(
        "the database, refreshd.db in `state_dir`, is damaged ({0}); stop refreshd, move the file and \
         its -wal and -shm aside, and start again: every tree is then taken as it is, without refreshing it"
    )]
    Corrupt(String),
    /// The disk or the file system failed.
    #[error(
        "reading or writing the database failed ({0}); look at the disk and the kernel's log, then \
         restart refreshd"
    )]
    Io(String),
    /// The file was written by a newer refreshd.
    #[error(
        "the database has schema {found}, this refreshd knows schemas up to {known}; install the \
         newer refreshd again, or use another state directory"
    )]
    Newer {
        /// The schema in the file.
        found: i64,
        /// The newest one known.
        known: i64,
    },
    /// The state directory lies where file locks and shared memory can't be trusted.
    #[error(
        "`{}` lies on a network file system ({name}), where SQLite's locks are not safe; set \
         `state_dir` to a directory on a local disk", .directory.display()
    )]
    NetworkFileSystem {
        /// The directory.
        directory: PathBuf,
        /// What kind of file system it is.
        name: &'static str,
    },
    /// The state directory or the file can't be made or opened.
    #[error("`{}` can't be opened ({why}); check that it exists and who owns it", .path.display())]
    Open {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system said.
        why: String,
    },
    /// Another process holds the lock, a backup or a curious shell: nothing was written, and it is
    /// free again when that process ends.
    #[error("another process holds the lock of the database ({0}); it is tried again")]
    Busy(String),
    /// A statement failed for another reason: a mistake of refreshd.
    #[error("a database statement failed: {0}")]
    Statement(String),
    /// The writer has ended: the process is going down.
    #[error("the database's writer has ended")]
    Closed,
}

impl DatabaseError {
    /// Says why a directory or file can't be made or opened.
    pub(super) fn open(path: &Path, why: &io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(why.to_string())
            }
            _ => Self::Open { path: path.to_owned(), why: why.to_string() },
        }
    }

    /// Returns whether nothing can be written any more until a restart.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::Io(_) | Self::Closed)
    }

    /// Returns whether it passes by itself: the disk is full, or another process holds the lock.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Busy(_))
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        let why = error.to_string();
        let rusqlite::Error::SqliteFailure(failure, _) = error else {
            return Self::Statement(why);
        };
        match failure.code {
            ErrorCode::DiskFull => Self::Full(why),
            ErrorCode::DatabaseBusy => Self::Busy(why),
            ErrorCode::SystemIoFailure if failure.extended_code == IOERR_SHMSIZE => Self::Full(why),
            ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen => {
                Self::Io(why)
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(why),
            _ => Self::Statement(why),
        }
    }
}
