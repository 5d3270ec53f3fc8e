//! This room opens the `SQLite` file that store and journal share, and owns its one writer.
//!
//! Enters: closures, each to run in one transaction. Leaves: what they return, or a
//! [`DatabaseError`] that says what an operator can do.
//! **Invariant:** one thread owns the connection, every closure runs in one IMMEDIATE transaction,
//! and what was answered is on disk (`synchronous=FULL`). After a failed commit that was not a
//! matter of space, nothing is written any more: a repeated fsync may lie.

mod error;
mod lock;
mod migrate;
mod place;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

pub use error::DatabaseError;
pub use lock::{LockError, StateLock};
pub use place::network_file_system;

use crate::clock::SharedClock;
use crate::telemetry::heart::{Heart, Part};
use crate::telemetry::meters::{Meter, Meters};

/// Calls that may wait for the writer before callers wait too.
const QUEUE: usize = 256;
/// Prepared statements that are kept.
const STATEMENTS: usize = 192;
/// What remains of the write-ahead log after a checkpoint, in bytes.
const WAL_BYTES: i64 = 64 * 1024 * 1024;
/// Pages in the write-ahead log after which it is checkpointed: 8 MB.
const CHECKPOINT_PAGES: i64 = 2_000;
/// How long another process's lock is waited for, in milliseconds: a backup, a curious shell.
const BUSY_MILLIS: i64 = 5_000;

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// The database: a cheap handle to its writer thread, which ends with the last handle.
#[derive(Clone, Debug)]
pub struct Database {
    jobs: mpsc::Sender<Job>,
    pulse: Arc<OnceLock<Pulse>>,
}

/// Where the writer shows that it goes on, and for how long it worked.
struct Pulse {
    clock: SharedClock,
    heart: Heart,
    meters: Meters,
}

/// An error of who works in a transaction, which may be the database's own.
pub trait Failure: From<DatabaseError> {
    /// Returns whether it is the database's, and not a refusal of what was asked.
    fn is_of_database(&self) -> bool;
}

impl Failure for DatabaseError {
    fn is_of_database(&self) -> bool {
        true
    }
}

impl Pulse {
    fn measure<R, E: Failure>(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (began, rows) = (self.clock.boot(), writer.connection.total_changes());
        let result = writer.run(work);
        if writer.connection.total_changes() != rows {
            self.meters.took(Meter::Commits, &[], self.clock.boot().saturating_sub(began));
        }
        if result.as_ref().is_err_and(Failure::is_of_database) {
            self.meters.count(Meter::CommitErrors, &[]);
        }
        result
    }
}

impl std::fmt::Debug for Pulse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pulse").finish_non_exhaustive()
    }
}

impl Database {
    /// Opens or makes the file (mode 0600), checks it and brings its schema up to date. Blocks: the
    /// check reads the whole file.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        place::prepare_file(path)?;
        let connection = Connection::open(path)?;
        Self::start(connection)
    }

    /// Makes a database that is forgotten with its last handle: for tests and `plan`.
    pub fn in_memory() -> Result<Self, DatabaseError> {
        Self::start(Connection::open_in_memory()?)
    }

    fn start(mut connection: Connection) -> Result<Self, DatabaseError> {
        configure(&connection)?;
        check(&connection)?;
        migrate::migrate(&mut connection, migrate::MIGRATIONS)?;
        let (jobs, mut inbox) = mpsc::channel::<Job>(QUEUE);
        let pulse: Arc<OnceLock<Pulse>> = Arc::default();
        let shown = Arc::clone(&pulse);
        let mut writer = Writer { connection, broken: None };
        std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || {
                while let Some(job) = inbox.blocking_recv() {
                    job(&mut writer);
                    if let Some(pulse) = shown.get() {
                        pulse.heart.beat(Part::Writer, pulse.clock.boot());
                    }
                }
            })
            .map_err(|error| DatabaseError::Io(error.to_string()))?;
        Ok(Self { jobs, pulse })
    }

    /// Has the writer show from now on that it goes on, and how long its transactions take.
    pub fn show(&self, clock: SharedClock, heart: Heart, meters: Meters) {
        // Who was told first is shown it.
        let _ = self.pulse.set(Pulse { clock, heart, meters });
    }

    /// Has the writer beat once its turn comes; with a full queue it does so anyway.
    pub fn knock(&self) {
        let _ = self.jobs.try_send(Box::new(|_| {}));
    }

    /// Runs `work` in one IMMEDIATE transaction on the writer's thread: committed when it returns
    /// `Ok`, rolled back otherwise. `name` says in a trace which verb it is.
    pub async fn call<R, E>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, E> + Send + 'static,
    ) -> Result<R, E>
    where
        R: Send + 'static,
        E: Failure + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let pulse = Arc::clone(&self.pulse);
        let job: Job = Box::new(move |writer| {
            tracing::trace!(database.call = name);
            let result = match pulse.get() {
                Some(pulse) => pulse.measure(writer, work),
                None => writer.run(work),
            };
            // The caller may have gone; what it asked for is done all the same.
            let _ = answer.send(result);
        });
        self.jobs.send(job).await.map_err(|_| DatabaseError::Closed)?;
        answered.await.map_err(|_| DatabaseError::Closed)?
    }
}

struct Writer {
    connection: Connection,
    broken: Option<DatabaseError>,
}

impl Writer {
    fn run<R, E: Failure>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        if let Some(error) = &self.broken {
            return Err(error.clone().into());
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(DatabaseError::from)?;
        let result = work(&transaction)?;
        transaction.commit().map_err(|error| {
            let error = DatabaseError::from(error);
            if error.is_fatal() {
                self.broken = Some(error.clone());
            }
            error
        })?;
        Ok(result)
    }
}

fn configure(connection: &Connection) -> Result<(), DatabaseError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "busy_timeout", BUSY_MILLIS)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(())
}

fn check(connection: &Connection) -> Result<(), DatabaseError> {
    let found: String =
        connection.query_row("-- database.check\nPRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(DatabaseError::Corrupt(found)) }
}

#[cfg(test)]
mod tests;
