//! The inbox: what was told of pushes, what each came to, and the last commit that is done.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Store, StoreError};
use crate::domain::deploy::DeployId;
use crate::domain::names::{HookName, OriginName};
use crate::domain::push::{CommitId, Fate, Push};
use crate::domain::time::Timestamp;

mod delivery;
mod statements;

pub use delivery::{
    Delivered, Delivery, DeliveryId, DeliveryRow, End, OpenPush, PushEnd, PushId, PushRow, Tip,
};

use statements::{
    BODY, COUNT_OPEN, DELIVERIES, EMPTY, END, ENDED, FORGET, LATER, NEXT, OPEN, PRUNE, PUSHED,
    PUSHES, RECEIVE, REOPEN, REPEATED, REPLAY, SET_TIP, TIP, UNOWNED, WAS_PUSHED,
};

/// How long a delivery is kept after its end.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// How many of the newest deliveries keep their body, and how many are kept at all once they have ended: a
/// secret that got about must not fill the disk.
const NEWEST: (i64, i64) = (1_000, 10_000);

fn inconsistent(error: &impl std::fmt::Display) -> StoreError {
    StoreError::Inconsistent(error.to_string())
}

fn text(commit: Option<&CommitId>) -> &str {
    commit.map_or("", CommitId::as_str)
}

impl Store {
    /// Writes deliveries down, all in one transaction; returns for each what became of it.
    pub async fn receive(&self, deliveries: Vec<Delivery>) -> Result<Vec<Delivered>, StoreError> {
        self.database
            .call("store.receive", move |tx| {
                deliveries.iter().map(|delivery| receive(tx, delivery)).collect()
            })
            .await
    }

    /// Returns the pushes that an origin has to look at now, the oldest first.
    pub async fn open_pushes(
        &self,
        origin: &OriginName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<OpenPush>, StoreError> {
        let origin = origin.clone();
        self.database
            .call("store.open_pushes", move |tx| {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let mut statement = tx.prepare_cached(OPEN)?;
                let mut rows = statement.query(params![origin.as_str(), now.as_micros(), limit])?;
                let mut open = Vec::new();
                while let Some(row) = rows.next()? {
                    open.push(OpenPush {
                        id: PushId(row.get(0)?),
                        delivery: DeliveryId(row.get(1)?),
                        at: Timestamp::from_micros(row.get(2)?),
                        push: read_push(row, 3)?,
                        again: row.get(4)?,
                        attempts: row.get(5)?,
                    });
                }
                Ok(open)
            })
            .await
    }

    /// Returns how many pushes of an origin are open, and when the next is to be looked at; it may be
    /// past.
    pub async fn next_push(
        &self,
        origin: &OriginName,
    ) -> Result<(u64, Option<Timestamp>), StoreError> {
        let origin = origin.clone();
        self.database
            .call("store.next_push", move |tx| {
                let read =
                    |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?));
                let (open, at) = tx.query_row(NEXT, [origin.as_str()], read)?;
                Ok((open.cast_unsigned(), at.map(Timestamp::from_micros)))
            })
            .await
    }

    /// Writes down that a push can't be ended yet, why, and when it is tried again.
    pub async fn push_later(
        &self,
        push: PushId,
        not_before: Timestamp,
        why: &str,
    ) -> Result<(), StoreError> {
        let why = why.to_owned();
        self.database
            .call("store.push_later", move |tx| {
                tx.execute(LATER, params![push.0, not_before.as_micros(), why])?;
                Ok(())
            })
            .await
    }

    /// Ends pushes that changed nothing in the store but themselves, and moves the tip.
    pub async fn end_pushes(
        &self,
        origin: &OriginName,
        push_end: PushEnd,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let origin = origin.clone();
        self.database.call("store.end_pushes", move |tx| end(tx, &origin, &push_end, now)).await
    }

    /// Returns whether the same push was told of before, and came to a good end: by the same hook in the
    /// same words, or by another one more often.
    pub async fn was_pushed(&self, push: PushId) -> Result<bool, StoreError> {
        self.database
            .call("store.was_pushed", move |tx| {
                Ok(tx.prepare_cached(WAS_PUSHED)?.exists([push.0])?)
            })
            .await
    }

    /// Ends as failed what is open for other origins than these: nobody looks at it. Returns how many
    /// pushes that were.
    pub async fn end_pushes_of_others(
        &self,
        known: BTreeSet<OriginName>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.database
            .call("store.end_pushes_of_others", move |tx| {
                let mut statement = tx.prepare_cached(UNOWNED)?;
                let open = statement.query_map([], |row| {
                    Ok((PushId(row.get(0)?), OriginName::from(row.get::<_, String>(1)?.as_str())))
                })?;
                let mut ended = 0;
                for open in open.collect::<Result<Vec<_>, _>>()? {
                    let (push, origin) = open;
                    if known.contains(&origin) {
                        continue;
                    }
                    let why = format!(
                        "the configuration has no origin {origin} any more; if it has another name \
                         now, refresh what changed: refreshd baseline --refresh NAME"
                    );
                    let end_of = End { fate: Fate::Failed, why, deploy: None };
                    let ends = vec![(push, end_of)];
                    end(tx, &origin, &PushEnd { ends, tip: None }, now)?;
                    ended += 1;
                }
                Ok(ended)
            })
            .await
    }

    /// Returns the last commit of an origin that is done; none before the first look.
    pub async fn tip(&self, origin: &OriginName) -> Result<Option<Tip>, StoreError> {
        let origin = origin.clone();
        self.database
            .call("store.tip", move |tx| {
                let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?));
                let tip = tx.query_row(TIP, [origin.as_str()], read).optional()?;
                tip.map(|(place, commit)| {
                    let commit = commit.map(CommitId::try_from).transpose();
                    Ok(Tip { place, commit: commit.map_err(|error| inconsistent(&error))? })
                })
                .transpose()
            })
            .await
    }

    /// Returns deliveries, the newest first: one, or at most `limit`; with `attention` only those that
    /// are open or failed.
    pub async fn deliveries(
        &self,
        only: Option<DeliveryId>,
        attention: bool,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        self.database
            .call("store.deliveries", move |tx| {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let mut statement = tx.prepare_cached(DELIVERIES)?;
                let mut rows = statement.query(params![only.map(|id| id.0), attention, limit])?;
                let mut deliveries = Vec::new();
                while let Some(row) = rows.next()? {
                    let pushes = pushes(tx, row.get(0)?)?;
                    deliveries.push(delivery_row(row, pushes)?);
                }
                Ok(deliveries)
            })
            .await
    }

    /// Returns the body of a delivery, and how it is written.
    pub async fn delivery_body(
        &self,
        delivery: DeliveryId,
    ) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        self.database
            .call("store.delivery_body", move |tx| {
                let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
                Ok(tx.query_row(BODY, [delivery.0], read).optional()?)
            })
            .await
    }

    /// Asks for what a delivery told once more; returns how many pushes that are.
    pub async fn replay(&self, delivery: DeliveryId, now: Timestamp) -> Result<usize, StoreError> {
        self.database
            .call("store.replay", move |tx| {
                let pushes = tx.execute(REPLAY, params![delivery.0, now.as_micros()])?;
                if pushes > 0 {
                    tx.execute(REOPEN, [delivery.0])?;
                }
                Ok(pushes)
            })
            .await
    }

    /// Returns how many deliveries are open, and how many failed.
    pub async fn delivery_counts(&self) -> Result<(u64, u64), StoreError> {
        self.database
            .call("store.delivery_counts", |tx| {
                let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
                let (open, failed) = tx.query_row(COUNT_OPEN, [], read)?;
                Ok((open.cast_unsigned(), failed.cast_unsigned()))
            })
            .await
    }

    /// Forgets deliveries that ended longer ago than they are kept.
    pub async fn prune_deliveries(&self, now: Timestamp) -> Result<(), StoreError> {
        self.database
            .call("store.prune_deliveries", move |tx| {
                tx.execute(PRUNE, [now.minus(KEPT).as_micros()])?;
                Ok(())
            })
            .await
    }
}

fn receive(tx: &Transaction<'_>, delivery: &Delivery) -> Result<Delivered, StoreError> {
    let at = delivery.at.as_micros();
    let is_over = delivery.pushes.is_empty();
    let made = tx.prepare_cached(RECEIVE)?.execute(params![
        delivery.hook.as_str(),
        delivery.key,
        at,
        delivery.event,
        delivery.source,
        delivery.content_type,
        delivery.body,
        blake3::hash(&delivery.body).as_bytes(),
        is_over.then_some(Fate::Nothing.as_str()),
        delivery.why,
        is_over.then_some(at),
    ])?;
    if made == 0 {
        let row = params![delivery.hook.as_str(), delivery.key];
        let id = tx.prepare_cached(REPEATED)?.query_row(row, |row| row.get(0))?;
        return Ok(Delivered { id: DeliveryId(id), repeated: true });
    }
    let id = tx.last_insert_rowid();
    tx.prepare_cached(EMPTY)?.execute([id - NEWEST.0])?;
    tx.prepare_cached(FORGET)?.execute([id - NEWEST.1])?;
    for (origin, push) in &delivery.pushes {
        let json = serde_json::to_string(push).map_err(|error| inconsistent(&error))?;
        let (before, after) = (text(push.before.as_ref()), text(push.after.as_ref()));
        let row = params![id, origin.as_str(), json, before, after, at, false];
        tx.prepare_cached(PUSHED)?.execute(row)?;
    }
    Ok(Delivered { id: DeliveryId(id), repeated: false })
}

pub(super) fn end(
    tx: &Transaction<'_>,
    origin: &OriginName,
    push_end: &PushEnd,
    now: Timestamp,
) -> Result<(), StoreError> {
    let at = now.as_micros();
    for (push, end) in &push_end.ends {
        let deploy = end.deploy.as_ref().map(DeployId::as_str);
        let row = params![push.0, end.fate.as_str(), end.why, deploy, at];
        let ended = tx.prepare_cached(END)?.query_row(row, |row| row.get::<_, i64>(0));
        if let Some(delivery) = ended.optional()? {
            tx.prepare_cached(ENDED)?.execute(params![delivery, at])?;
        }
    }
    if let Some(tip) = &push_end.tip {
        let commit = tip.commit.as_ref().map(CommitId::as_str);
        tx.prepare_cached(SET_TIP)?.execute(params![origin.as_str(), tip.place, commit, at])?;
    }
    Ok(())
}

fn read_push(row: &Row<'_>, column: usize) -> Result<Push, StoreError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| inconsistent(&error))
}

fn read_fate(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Fate>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| Fate::parse(&text)))
}

fn delivery_row(row: &Row<'_>, pushes: Vec<PushRow>) -> Result<DeliveryRow, StoreError> {
    Ok(DeliveryRow {
        id: DeliveryId(row.get(0)?),
        hook: HookName::from(row.get::<_, String>(1)?.as_str()),
        key: row.get(2)?,
        at: Timestamp::from_micros(row.get(3)?),
        event: row.get(4)?,
        source: row.get(5)?,
        bytes: row.get::<_, i64>(6)?.cast_unsigned(),
        repeats: row.get::<_, i64>(7)?.cast_unsigned(),
        fate: read_fate(row, 8)?,
        why: row.get(9)?,
        ended_at: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_micros),
        pushes,
    })
}

fn pushes(tx: &Transaction<'_>, delivery: i64) -> Result<Vec<PushRow>, StoreError> {
    let mut statement = tx.prepare_cached(PUSHES)?;
    let mut rows = statement.query([delivery])?;
    let mut pushes = Vec::new();
    while let Some(row) = rows.next()? {
        pushes.push(PushRow {
            origin: OriginName::from(row.get::<_, String>(0)?.as_str()),
            push: read_push(row, 1)?,
            again: row.get(2)?,
            attempts: row.get(3)?,
            not_before: Timestamp::from_micros(row.get(4)?),
            fate: read_fate(row, 5)?,
            why: row.get(6)?,
            deploy: row.get::<_, Option<String>>(7)?.map(DeployId::from_text),
            ended_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
        });
    }
    Ok(pushes)
}
