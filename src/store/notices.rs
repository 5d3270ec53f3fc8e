//! What was told of which alarm to which receiver, and what is still to be posted.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};
use crate::domain::time::Timestamp;

const STANDING: &str = "-- store.notice_standing
SELECT alarm FROM notice WHERE receiver = ?1 AND stands = 1";

const RAISE: &str = "-- store.notice_raise
INSERT INTO notice (receiver, alarm, stands, told_at, told, is_end, queued_at, not_before)
VALUES (?1, ?2, 1, ?4, ?3, 0, ?4, ?4)
ON CONFLICT DO UPDATE SET stands = 1, told_at = ?4, told = ?3, is_end = 0, queued_at = ?4,
not_before = ?4, attempts = 0 WHERE stands = 0 AND told_at <= ?5 AND (queued_at IS NULL OR is_end = 0)";

const SEEN: &str = "-- store.notice_seen
UPDATE notice SET absent_since = NULL WHERE receiver = ?1 AND alarm = ?2 AND absent_since IS NOT NULL";

const ABSENT: &str = "-- store.notice_absent
UPDATE notice SET absent_since = coalesce(absent_since, ?3) WHERE receiver = ?1 AND alarm = ?2";

const END: &str = "-- store.notice_end
UPDATE notice SET stands = 0, absent_since = NULL, is_end = 1, attempts = 0, not_before = ?2,
queued_at = CASE WHEN queued_at IS NULL THEN ?2 END WHERE receiver = ?1 AND absent_since <= ?3";

/// What is not seen for so long is over: a daemon that starts has to look first.
const ABSENCE: Duration = Duration::from_secs(10);

const GIVE_UP: &str = "-- store.notice_give_up
UPDATE notice SET queued_at = NULL WHERE receiver = ?1 AND queued_at < ?2";

const FORGET: &str = "-- store.notice_forget
DELETE FROM notice WHERE receiver = ?1 AND stands = 0 AND queued_at IS NULL AND told_at < ?2";

const NUMBER: &str = "-- store.notice_number
SELECT count(*) FROM notice WHERE receiver = ?1 AND queued_at IS NOT NULL";

const DUE: &str = "-- store.notice_due
SELECT alarm, told, is_end, queued_at, attempts FROM notice
WHERE receiver = ?1 AND queued_at IS NOT NULL AND not_before <= ?2 ORDER BY queued_at LIMIT 1";

const POSTED: &str = "-- store.notice_posted
UPDATE notice SET queued_at = NULL WHERE receiver = ?1 AND alarm = ?2";

const LATER: &str = "-- store.notice_later
UPDATE notice SET attempts = attempts + 1, not_before = ?3 WHERE receiver = ?1 AND alarm = ?2";

/// Something that waits to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The alarm's key.
    pub alarm: String,
    /// What there is to tell.
    pub told: String,
    /// Whether that it ended.
    pub is_end: bool,
    /// Since when it waits.
    pub queued_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
}

/// What waits for a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Waitings {
    /// How many.
    pub number: u64,
    /// The oldest that is due.
    pub due: Option<Waiting>,
}

impl Store {
    /// Writes down which alarms stand: key and what there is to tell. What is new, and was not told of
    /// within `quiet`, is to be posted; so is the end of what was posted. What waits since before
    /// `forgotten` is given up. Returns what waits.
    pub async fn note_alarms(
        &self,
        receiver: &str,
        standing: Vec<(String, String)>,
        now: Timestamp,
        quiet: Duration,
        forgotten: Timestamp,
    ) -> Result<Waitings, StoreError> {
        let receiver = receiver.to_owned();
        self.database
            .call("store.note_alarms", move |tx| {
                let (at, forgotten) = (now.as_micros(), forgotten.as_micros());
                let mut known = tx.prepare_cached(STANDING)?;
                let known = known.query_map([&receiver], |row| row.get::<_, String>(0))?;
                let known: BTreeSet<String> = known.collect::<rusqlite::Result<_>>()?;
                let told_before = now.minus(quiet).as_micros();
                for (alarm, told) in standing.iter().filter(|(alarm, _)| !known.contains(alarm)) {
                    let row = params![receiver, alarm, told, at, told_before];
                    tx.prepare_cached(RAISE)?.execute(row)?;
                }
                for alarm in &known {
                    if standing.iter().any(|(standing, _)| standing == alarm) {
                        tx.prepare_cached(SEEN)?.execute(params![receiver, alarm])?;
                    } else {
                        tx.prepare_cached(ABSENT)?.execute(params![receiver, alarm, at])?;
                    }
                }
                let absent = now.minus(ABSENCE).as_micros();
                tx.prepare_cached(END)?.execute(params![receiver, at, absent])?;
                tx.prepare_cached(GIVE_UP)?.execute(params![receiver, forgotten])?;
                tx.prepare_cached(FORGET)?.execute(params![receiver, forgotten])?;
                let number: i64 = tx.query_row(NUMBER, [&receiver], |row| row.get(0))?;
                let due = tx.query_row(DUE, params![receiver, at], |row| {
                    Ok(Waiting {
                        alarm: row.get(0)?,
                        told: row.get(1)?,
                        is_end: row.get(2)?,
                        queued_at: Timestamp::from_micros(row.get(3)?),
                        attempts: row.get(4)?,
                    })
                });
                Ok(Waitings { number: number.cast_unsigned(), due: due.optional()? })
            })
            .await
    }

    /// Writes down that something was posted, or when it is tried again.
    pub async fn posted(
        &self,
        receiver: &str,
        alarm: &str,
        again: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let (receiver, alarm) = (receiver.to_owned(), alarm.to_owned());
        self.database
            .call("store.notice_posted", move |tx| {
                match again {
                    None => tx.prepare_cached(POSTED)?.execute(params![receiver, alarm])?,
                    Some(at) => tx.prepare_cached(LATER)?.execute(params![
                        receiver,
                        alarm,
                        at.as_micros()
                    ])?,
                };
                Ok(())
            })
            .await
    }
}
