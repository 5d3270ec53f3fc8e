//! This room keeps what belongs to this machine: the index, the inbox, the outbox and origin states.
//!
//! Enters: what intake found, recorded in one transaction, and deliveries. Leaves: the index at start,
//! pushes to be looked at, and the outbox in sequence for the journal to accept.
//! **Invariant:** an index delta and the wishes it causes are committed together or not at all.

mod changes;
mod gates;
mod inbox;
mod notices;
mod removed;
mod statements;

pub use changes::{ChangePlace, Changed, History, SomeChanges};
pub use gates::{GatedDeploy, Gating};
pub use inbox::{
    Delivered, Delivery, DeliveryId, DeliveryRow, End, OpenPush, PushEnd, PushId, PushRow, Tip,
};

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::database::{Database, DatabaseError, Failure};
use crate::domain::deploy::DeployId;
use crate::domain::index::{Chunk, ChunkWrite, Index};
use crate::domain::intent::Outgoing;
use crate::domain::names::{NodeId, OriginName};
use crate::domain::path::RelPath;
use crate::domain::time::Timestamp;
pub use notices::{Waiting, Waitings};
pub use removed::Removals;
use statements as sql;

/// The database's file in a state directory: index, outbox and journal.
pub const DATABASE: &str = "refreshd.db";

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused; the message says what to do.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What is stored can't be read.
    #[error("the store holds what it cannot read: {0}")]
    Inconsistent(String),
}

impl Failure for StoreError {
    fn is_of_database(&self) -> bool {
        matches!(self, Self::Database(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

/// What is stored of an origin beside its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginRecord {
    /// The root that the index describes.
    pub root: PathBuf,
    /// The device that the root lies on.
    pub device: u64,
    /// When the baseline was taken: changes before are unknown.
    pub baseline_at: Timestamp,
    /// Whether the baseline is complete.
    pub baseline_done: bool,
    /// How many files the stored index holds: with fewer it is damaged.
    pub files: u64,
}

/// What intake found in an origin, to be committed as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose index it changes.
    pub origin: OriginName,
    /// Whether all stored chunks of the origin go first.
    pub forget: bool,
    /// The index delta.
    pub chunks: Vec<ChunkWrite>,
    /// The origin's new state; none leaves it.
    pub origin_record: Option<OriginRecord>,
    /// What was removed or returned of what never changes under its name.
    pub removals: Removals,
    /// What follows for the journal, in sequence.
    pub outgoing: Vec<Outgoing>,
    /// What changed, by deploy.
    pub changes: Vec<(DeployId, Vec<Changed>)>,
    /// When this is recorded.
    pub at: Timestamp,
    /// Whether the deploy that was held open closes.
    pub end_bracket: bool,
    /// What deploys have to wait for before the journal hears of their wishes; none lets them go.
    pub gate: Option<Gating>,
    /// The push that all this is the end of.
    pub push: Option<PushEnd>,
}

impl Record {
    /// Makes one that changes nothing.
    #[must_use]
    pub fn blank(origin: OriginName, at: Timestamp) -> Self {
        Self {
            origin,
            forget: false,
            chunks: Vec::new(),
            origin_record: None,
            removals: Removals::default(),
            outgoing: Vec::new(),
            changes: Vec::new(),
            at,
            end_bracket: false,
            gate: None,
            push: None,
        }
    }
}

/// The store of this machine: a cheap handle.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    node: NodeId,
}

impl Store {
    /// Opens the store and reads the node's identity, or draws it from `random` the first time.
    pub async fn open(database: Database, random: u64) -> Result<Self, StoreError> {
        let drawn = format!("n{random:016x}");
        let node = database
            .call("store.node", move |tx| {
                tx.execute(sql::DRAW_NODE, [&drawn])?;
                let id: String = tx.query_row(sql::NODE, [], |row| row.get(0))?;
                Ok::<_, StoreError>(NodeId::from(id.as_str()))
            })
            .await?;
        Ok(Self { database, node })
    }

    /// Returns who this state directory is to a journal.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Returns what is stored of an origin; none before its first baseline began.
    pub async fn origin(&self, origin: &OriginName) -> Result<Option<OriginRecord>, StoreError> {
        let origin = origin.clone();
        self.database
            .call("store.origin", move |tx| {
                Ok(tx.query_row(sql::ORIGIN, [origin.as_str()], read_origin).optional()?)
            })
            .await
    }

    /// Returns the whole stored index of an origin, by directory and first name.
    pub async fn chunks(&self, origin: &OriginName) -> Result<Vec<Chunk>, StoreError> {
        let origin = origin.clone();
        self.database
            .call("store.chunks", move |tx| {
                let mut statement = tx.prepare_cached(sql::CHUNKS)?;
                let mut rows = statement.query([origin.as_str()])?;
                let mut chunks = Vec::new();
                while let Some(row) = rows.next()? {
                    chunks.push(read_chunk(row)?);
                }
                Ok(chunks)
            })
            .await
    }

    /// Returns whether the stored index of an origin holds a file.
    pub async fn knows(&self, origin: &OriginName, path: &RelPath) -> Result<bool, StoreError> {
        let (origin, path) = (origin.clone(), path.clone());
        self.database
            .call("store.knows", move |tx| {
                let Some(directory) = path.parent() else {
                    return Ok(false);
                };
                let mut statement = tx.prepare_cached(sql::CHUNK)?;
                let row = params![origin.as_str(), directory.as_bytes(), path.name()];
                let mut rows = statement.query(row)?;
                let Some(row) = rows.next()? else {
                    return Ok(false);
                };
                let index = Index::load([read_chunk(row)?]);
                let index = index.map_err(|error| StoreError::Inconsistent(error.to_string()))?;
                Ok(index.get(&path).is_some())
            })
            .await
    }

    /// Commits what intake found, in one transaction; returns the last sequence number given out,
    /// now or before (0 when none ever was).
    pub async fn record(&self, record: Record) -> Result<u64, StoreError> {
        self.database
            .call("store.record", move |tx| {
                write_index(tx, &record)?;
                removed::write(tx, &record.origin, &record.removals)?;
                changes::write(tx, &record)?;
                if let Some(end) = &record.push {
                    inbox::end(tx, &record.origin, end, record.at)?;
                }
                match &record.gate {
                    Some(gating) => gates::keep(tx, &record, gating),
                    None => send_out(tx, &record.outgoing),
                }
            })
            .await
    }

    /// Commits wishes that no origin's change caused: an operator's. Returns as
    /// [`record`](Self::record) does.
    pub async fn record_operator(&self, outgoing: Vec<Outgoing>) -> Result<u64, StoreError> {
        self.database.call("store.record_operator", move |tx| send_out(tx, &outgoing)).await
    }

    /// Returns the oldest things in the outbox, at most `limit`, in sequence.
    pub async fn outbox(&self, limit: usize) -> Result<Vec<(u64, Outgoing)>, StoreError> {
        self.database
            .call("store.outbox", move |tx| {
                let mut statement = tx.prepare_cached(sql::OUTBOX)?;
                let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
                let mut outbox = Vec::new();
                while let Some(row) = rows.next()? {
                    let payload: String = row.get(1)?;
                    let outgoing = serde_json::from_str(&payload)
                        .map_err(|error| StoreError::Inconsistent(error.to_string()))?;
                    outbox.push((row.get::<_, i64>(0)?.cast_unsigned(), outgoing));
                }
                Ok(outbox)
            })
            .await
    }

    /// Forgets what the journal has accepted: everything up to and with `through`.
    pub async fn acknowledge(&self, through: u64) -> Result<(), StoreError> {
        self.database
            .call("store.acknowledge", move |tx| {
                tx.prepare_cached(sql::ACKNOWLEDGE)?
                    .execute([i64::try_from(through).unwrap_or(i64::MAX)])?;
                Ok(())
            })
            .await
    }

    /// Has the writer show that it goes on, once its turn comes; nobody waits for that.
    pub fn knock(&self) {
        self.database.knock();
    }

    /// Writes, so that it is known whether anything can be written.
    pub async fn try_to_write(&self) -> Result<(), StoreError> {
        self.database
            .call("store.try_to_write", |tx| {
                tx.prepare_cached(sql::TRY_TO_WRITE)?.execute([])?;
                Ok(())
            })
            .await
    }

    /// Returns how many things wait in the outbox.
    pub async fn outbox_len(&self) -> Result<u64, StoreError> {
        self.database
            .call("store.outbox_len", |tx| {
                let count: i64 = tx.query_row(sql::OUTBOX_LEN, [], |row| row.get(0))?;
                Ok(count.cast_unsigned())
            })
            .await
    }
}

fn read_chunk(row: &Row<'_>) -> Result<Chunk, StoreError> {
    let directory: Vec<u8> = row.get(0)?;
    Ok(Chunk {
        directory: RelPath::new(directory)
            .map_err(|error| StoreError::Inconsistent(error.to_string()))?,
        first: row.get(1)?,
        data: row.get(2)?,
    })
}

fn read_origin(row: &Row<'_>) -> rusqlite::Result<OriginRecord> {
    Ok(OriginRecord {
        root: PathBuf::from(OsString::from_vec(row.get(0)?)),
        device: row.get::<_, i64>(1)?.cast_unsigned(),
        baseline_at: Timestamp::from_micros(row.get(2)?),
        baseline_done: row.get(3)?,
        files: row.get::<_, i64>(4)?.cast_unsigned(),
    })
}

fn write_index(tx: &Transaction<'_>, record: &Record) -> Result<(), StoreError> {
    let origin = record.origin.as_str();
    if record.forget {
        tx.execute(sql::FORGET, [origin])?;
    }
    let mut write = tx.prepare_cached(sql::WRITE_CHUNK)?;
    let mut delete = tx.prepare_cached(sql::DELETE_CHUNK)?;
    for chunk in &record.chunks {
        let directory = chunk.directory.as_bytes();
        match &chunk.data {
            Some(data) => write.execute(params![origin, directory, chunk.first, data])?,
            None => delete.execute(params![origin, directory, chunk.first])?,
        };
    }
    if let Some(state) = &record.origin_record {
        tx.prepare_cached(sql::WRITE_ORIGIN)?.execute(params![
            origin,
            state.root.as_os_str().as_bytes(),
            state.device.cast_signed(),
            state.baseline_at.as_micros(),
            state.baseline_done,
            state.files.cast_signed(),
        ])?;
    }
    Ok(())
}

fn payload(item: &Outgoing) -> Result<String, StoreError> {
    serde_json::to_string(item).map_err(|error| StoreError::Inconsistent(error.to_string()))
}

fn send_out<'o>(
    tx: &Transaction<'_>,
    outgoing: impl IntoIterator<Item = &'o Outgoing>,
) -> Result<u64, StoreError> {
    let mut insert = tx.prepare_cached(sql::SEND_OUT)?;
    for item in outgoing {
        insert.execute([payload(item)?])?;
    }
    let last: Option<i64> =
        tx.prepare_cached(sql::LAST_SEQUENCE)?.query_row([], |row| row.get(0)).optional()?;
    Ok(last.unwrap_or(0).cast_unsigned())
}
