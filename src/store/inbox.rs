//! The inbox: what was told of pushes, what each came to, and the last commit that is done.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::domain::deploy::DeployId;
use crate::domain::names::{HookName, OriginName};
use crate::domain::push::{CommitId, Fate, Push};
use crate::domain::time::Timestamp;

/// How long a delivery is kept after its end.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The store's number of a delivery: what its sender and the operator are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub i64);

/// The store's number of a push for one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PushId(pub i64);

/// A delivery that was proved to be its sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Through which hook it came.
    pub hook: HookName,
    /// The sender's id of it: with the same it is the same.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// What it is about, in the sender's word.
    pub event: String,
    /// From where.
    pub source: String,
    /// How the body is written.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// What is to be looked at, for whom.
    pub pushes: Vec<(OriginName, Push)>,
    /// Why there are none, if there are none.
    pub why: String,
}

/// What became of a delivery at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its number.
    pub id: DeliveryId,
    /// Whether it had come before: then nothing changed.
    pub repeated: bool,
}

/// A push that is to be looked at for an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPush {
    /// Its number.
    pub id: PushId,
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// When that came.
    pub at: Timestamp,
    /// What was told.
    pub push: Push,
    /// Whether a person asked for it once more.
    pub again: bool,
    /// How often it was tried in vain.
    pub attempts: u32,
}

/// How a push ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub fate: Fate,
    /// Why, in one sentence.
    pub why: String,
    /// The deploy that holds what changed.
    pub deploy: Option<DeployId>,
}

/// The last commit of an origin that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Of which repository, ref and prefix.
    pub place: String,
    /// The commit; none where the ref never was.
    pub commit: Option<CommitId>,
}

/// What a record is the end of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushEnd {
    /// The pushes that end with it, each with how.
    pub ends: Vec<(PushId, End)>,
    /// The commit that is done now; none leaves it.
    pub tip: Option<Tip>,
}

/// A delivery as an operator is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    /// Its number.
    pub id: DeliveryId,
    /// Through which hook it came.
    pub hook: HookName,
    /// The sender's id.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub event: String,
    /// From where.
    pub source: String,
    /// How long its body is, in bytes.
    pub bytes: u64,
    /// How often it came again.
    pub repeats: u64,
    /// How it ended; none while it is open.
    pub fate: Option<Fate>,
    /// Why.
    pub why: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it tells, for whom, and what became of that.
    pub pushes: Vec<PushRow>,
}

/// A push as an operator is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushRow {
    /// For which origin.
    pub origin: OriginName,
    /// What was told.
    pub push: Push,
    /// Whether a person asked for it once more.
    pub again: bool,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// When it is tried again.
    pub not_before: Timestamp,
    /// How it ended; none while it is open.
    pub fate: Option<Fate>,
    /// Why, or why it is still open.
    pub why: String,
    /// The deploy that holds what changed.
    pub deploy: Option<DeployId>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

const RECEIVE: &str = "-- store.receive
INSERT INTO delivery (hook, key, at, event, source, content_type, body, fate, why, ended_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING";

const REPEATED: &str = "-- store.repeated
UPDATE delivery SET repeats = repeats + 1 WHERE hook = ?1 AND key = ?2 RETURNING id";

const PUSHED: &str = "-- store.pushed
INSERT INTO push (delivery, origin, push, before, after, not_before, again)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const OPEN: &str = "-- store.open_pushes
SELECT push.id, delivery, delivery.at, push, again, attempts FROM push
JOIN delivery ON delivery.id = delivery
WHERE origin = ?1 AND push.fate IS NULL AND not_before <= ?2 ORDER BY push.id LIMIT ?3";

const NEXT: &str = "-- store.next_push
SELECT count(*), min(not_before) FROM push WHERE origin = ?1 AND fate IS NULL";

const LATER: &str = "-- store.push_later
UPDATE push SET not_before = ?2, attempts = attempts + 1, why = ?3 WHERE id = ?1";

const END: &str = "-- store.end_push
UPDATE push SET fate = ?2, why = ?3, deploy = ?4, ended_at = ?5 WHERE id = ?1 AND fate IS NULL
RETURNING delivery";

const ENDED: &str = "-- store.end_delivery
UPDATE delivery SET ended_at = ?2,
fate = (SELECT CASE WHEN sum(fate = 'failed') > 0 THEN 'failed'
        WHEN sum(fate = 'intents') > 0 THEN 'intents' ELSE 'nothing' END
        FROM push WHERE delivery = ?1),
why = (SELECT why FROM push WHERE delivery = ?1
       ORDER BY fate = 'failed' DESC, fate = 'intents' DESC, id LIMIT 1)
WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM push WHERE delivery = ?1 AND fate IS NULL)";

// Who tells of the same move in other words tells of another push: a branch may go there twice.
const WAS_PUSHED: &str = "-- store.was_pushed
WITH mine AS (
    SELECT push.*, hook, body FROM push JOIN delivery ON delivery.id = delivery WHERE push.id = ?1
), same AS (
    SELECT delivery.hook, delivery.body FROM mine
    JOIN push USING (origin, before, after) JOIN delivery ON delivery.id = push.delivery
    WHERE push.fate IN ('nothing', 'intents')
    AND push.push ->> 'reference' = mine.push ->> 'reference'
)
SELECT 1 FROM mine JOIN same GROUP BY same.hook
HAVING max(same.hook = mine.hook AND same.body = mine.body)
OR same.hook <> mine.hook AND count(DISTINCT same.body)
    > (SELECT count(DISTINCT body) FROM same WHERE hook = mine.hook)";

const UNOWNED: &str = "-- store.unowned_pushes
SELECT id, origin FROM push WHERE fate IS NULL";

const TIP: &str = "-- store.tip
SELECT place, commit_id FROM tip WHERE origin = ?1";

const SET_TIP: &str = "-- store.set_tip
INSERT OR REPLACE INTO tip (origin, place, commit_id, at) VALUES (?1, ?2, ?3, ?4)";

const DELIVERIES: &str = "-- store.deliveries
SELECT id, hook, key, at, event, source, length(body), repeats, fate, why, ended_at FROM delivery
WHERE (?1 IS NULL OR id = ?1) AND (NOT ?2 OR fate IS NULL OR fate = 'failed')
ORDER BY id DESC LIMIT ?3";

const PUSHES: &str = "-- store.pushes
SELECT origin, push, again, attempts, not_before, fate, why, deploy, ended_at FROM push
WHERE delivery = ?1 ORDER BY id";

const BODY: &str = "-- store.body
SELECT content_type, body FROM delivery WHERE id = ?1";

const REPLAY: &str = "-- store.replay
INSERT INTO push (delivery, origin, push, before, after, not_before, again)
SELECT delivery, origin, push, before, after, ?2, 1 FROM push
WHERE id IN (SELECT max(id) FROM push WHERE delivery = ?1 GROUP BY origin, push)
AND fate IS NOT NULL";

const REOPEN: &str = "-- store.reopen
UPDATE delivery SET fate = NULL, ended_at = NULL, why = '' WHERE id = ?1";

const COUNT_OPEN: &str = "-- store.count_open_deliveries
SELECT count(*) FILTER (WHERE fate IS NULL), count(*) FILTER (WHERE fate = 'failed') FROM delivery";

const PRUNE: &str = "-- store.prune_deliveries
DELETE FROM delivery WHERE ended_at < ?1";

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
