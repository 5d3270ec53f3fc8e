//! What changed in which deploy, and the deploys that somebody holds open.

use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Record, Store, StoreError, statements as sql};
use crate::domain::change::ChangeKind;
use crate::domain::deploy::{Bracket, DeployId};
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::time::Timestamp;

/// How long it is kept what changed: as long as what ended.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

/// A path, and what happened to it.
pub type Changed = (ChangeKind, RelPath);

/// Where in what changed in a deploy a list goes on: in which record of it, and behind how many of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ChangePlace {
    /// The record's number.
    pub sequence: i64,
    /// How many of its paths come before.
    pub skip: usize,
}

/// A part of what changed in a deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SomeChanges {
    /// The part, in the order it was recorded.
    pub changes: Vec<Changed>,
    /// Where the rest begins; none when there is none.
    pub next: Option<ChangePlace>,
    /// How many changed altogether.
    pub number: usize,
}

/// A deploy with all that changed in it, in the order it was recorded.
pub type History = (DeployId, Vec<Changed>);

/// A path as it is stored: as text where it is that.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Bytes(Vec<u8>),
}

impl Name {
    fn of(path: &RelPath) -> Self {
        let bytes = path.as_bytes().to_vec();
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}

pub(super) fn write(tx: &Transaction<'_>, record: &Record) -> Result<(), StoreError> {
    let (origin, at) = (record.origin.as_str(), record.at.as_micros());
    for (deploy, changes) in &record.changes {
        let pairs: Vec<(&str, Name)> =
            changes.iter().map(|(kind, path)| (kind.letter(), Name::of(path))).collect();
        let text = serde_json::to_string(&pairs).map_err(|error| inconsistent(&error))?;
        tx.prepare_cached(sql::WRITE_CHANGES)?.execute(params![
            origin,
            deploy.as_str(),
            at,
            i64::try_from(pairs.len()).unwrap_or(i64::MAX),
            text
        ])?;
    }
    if record.end_bracket {
        tx.execute(sql::END_BRACKET, [origin])?;
    }
    Ok(())
}

impl Store {
    /// Returns what changed in a deploy.
    pub async fn changes(&self, deploy: &DeployId) -> Result<Vec<Changed>, StoreError> {
        let deploy = deploy.clone();
        self.database.call("store.changes", move |tx| changes(tx, &deploy)).await
    }

    /// Returns at most `limit` of what changed in a deploy, from `from` on.
    pub async fn some_changes(
        &self,
        deploy: &DeployId,
        from: ChangePlace,
        limit: usize,
    ) -> Result<SomeChanges, StoreError> {
        let deploy = deploy.clone();
        self.database
            .call("store.some_changes", move |tx| some_changes(tx, &deploy, from, limit))
            .await
    }

    /// Returns the deploys of an origin whose changes were recorded at `since` or later, the oldest
    /// first, at most `limit` of those after `after`.
    pub async fn history(
        &self,
        origin: &OriginName,
        since: Timestamp,
        after: Option<&DeployId>,
        limit: usize,
    ) -> Result<Vec<History>, StoreError> {
        let (origin, after) = (origin.clone(), after.cloned());
        self.database
            .call("store.history", move |tx| {
                let after = after.as_ref().map_or("", DeployId::as_str);
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let mut statement = tx.prepare_cached(sql::DEPLOYS)?;
                let row = params![origin.as_str(), since.as_micros(), after, limit];
                let deploys =
                    statement.query_map(row, |row| row.get(0).map(DeployId::from_text))?;
                deploys
                    .map(|deploy| {
                        let deploy = deploy?;
                        let changes = changes(tx, &deploy)?;
                        Ok((deploy, changes))
                    })
                    .collect()
            })
            .await
    }

    /// Forgets what changed in an origin longer ago than what ended is kept.
    pub async fn prune_changes(
        &self,
        origin: &OriginName,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (origin, before) = (origin.clone(), now.minus(KEPT).as_micros());
        self.database
            .call("store.prune_changes", move |tx| {
                tx.execute(sql::PRUNE_CHANGES, params![origin.as_str(), before])?;
                Ok(())
            })
            .await
    }

    /// Returns the deploy of an origin that somebody holds open.
    pub async fn bracket(&self, origin: &OriginName) -> Result<Option<Bracket>, StoreError> {
        let origin = origin.clone();
        self.database.call("store.bracket", move |tx| bracket(tx, &origin)).await
    }

    /// Writes down that a deploy of an origin is held open from now on; returns the one that is held
    /// open already, if there is one: then nothing is changed.
    pub async fn begin_bracket(
        &self,
        origin: &OriginName,
        deploy: &DeployId,
        now: Timestamp,
    ) -> Result<Option<Bracket>, StoreError> {
        let (origin, deploy) = (origin.clone(), deploy.clone());
        self.database
            .call("store.begin_bracket", move |tx| {
                let open = bracket(tx, &origin)?;
                let row = params![origin.as_str(), deploy.as_str(), now.as_micros()];
                tx.execute(sql::BEGIN_BRACKET, row)?;
                Ok(open)
            })
            .await
    }

    /// Writes down that the deploy which is held open is to close; returns which, if there is one.
    pub async fn ask_for_end(&self, origin: &OriginName) -> Result<Option<Bracket>, StoreError> {
        let origin = origin.clone();
        self.database
            .call("store.ask_for_end", move |tx| {
                tx.execute(sql::ASK_FOR_END, [origin.as_str()])?;
                bracket(tx, &origin)
            })
            .await
    }
}

fn bracket(tx: &Transaction<'_>, origin: &OriginName) -> Result<Option<Bracket>, StoreError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Bracket {
            deploy: DeployId::from_text(row.get(0)?),
            began_at: Timestamp::from_micros(row.get(1)?),
            ending: row.get(2)?,
        })
    };
    Ok(tx.query_row(sql::BRACKET, [origin.as_str()], read).optional()?)
}

fn changes(tx: &Transaction<'_>, deploy: &DeployId) -> Result<Vec<Changed>, StoreError> {
    Ok(some_changes(tx, deploy, ChangePlace::default(), usize::MAX)?.changes)
}

/// Reads no more records than it needs: each has one path at least.
fn some_changes(
    tx: &Transaction<'_>,
    deploy: &DeployId,
    from: ChangePlace,
    limit: usize,
) -> Result<SomeChanges, StoreError> {
    let number: i64 =
        tx.prepare_cached(sql::CHANGED)?.query_row([deploy.as_str()], |row| row.get(0))?;
    let mut part = SomeChanges {
        changes: Vec::new(),
        next: None,
        number: usize::try_from(number).unwrap_or(0),
    };
    let mut statement = tx.prepare_cached(sql::CHANGES)?;
    let mut records = statement.query(params![deploy.as_str(), from.sequence])?;
    while let Some(record) = records.next()? {
        let sequence: i64 = record.get(0)?;
        let pairs: Vec<(String, Name)> = serde_json::from_str(&record.get::<_, String>(1)?)
            .map_err(|error| inconsistent(&error))?;
        let skip = if sequence == from.sequence { from.skip } else { 0 };
        for (place, (letter, name)) in pairs.into_iter().enumerate().skip(skip) {
            if part.changes.len() >= limit {
                part.next = Some(ChangePlace { sequence, skip: place });
                return Ok(part);
            }
            part.changes.push(changed(&letter, name)?);
        }
    }
    Ok(part)
}

fn changed(letter: &str, name: Name) -> Result<Changed, StoreError> {
    let path = RelPath::new(match name {
        Name::Text(text) => text.into_bytes(),
        Name::Bytes(bytes) => bytes,
    })
    .map_err(|error| StoreError::Inconsistent(error.to_string()))?;
    let kind = ChangeKind::parse(letter)
        .ok_or_else(|| StoreError::Inconsistent(format!("the change `{letter}`")))?;
    Ok((kind, path))
}

fn inconsistent(error: &serde_json::Error) -> StoreError {
    StoreError::Inconsistent(error.to_string())
}
