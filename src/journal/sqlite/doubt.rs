//! Doubt: batches whose outcome nobody knows, and the lead whose change makes some.

use rusqlite::{Transaction, params};

use super::batches::{self, StoredAsk, adopt, asks, header, remainder, turn};
use super::debit::charge;
use super::rows::{all, first, maybe_time, run};
use crate::domain::ask::Target;
use crate::domain::names::AccountName;
use crate::domain::task::{BatchKey, Fence, TaskId};
use crate::domain::time::Timestamp;
use crate::journal::check::BatchState;
use crate::journal::{Doubt, JournalError, ORPHANED};

const RAISE: &str = "-- journal.raise_fence
INSERT INTO lead (account, fence) VALUES (?1, 1)
ON CONFLICT DO UPDATE SET fence = fence + 1 RETURNING fence";

const ORPHANS: &str = "-- journal.orphans
UPDATE batch SET state = 'unknown', look_at = ?2, negatives = 0, last_negative = NULL, why = ?3
WHERE account = ?1 AND state = 'staged'";

const UNKNOWN: &str = "-- journal.unknown
UPDATE batch SET state = 'unknown', look_at = ?2, why = ?3, negatives = 0, last_negative = NULL
WHERE key = ?1";

const DOUBTS: &str = "-- journal.doubts
SELECT key FROM batch WHERE account = ?1 AND state IN ('staged', 'unknown') AND state = 'unknown'
AND look_at <= ?2 ORDER BY look_at, key";

const NEXT_DOUBT: &str = "-- journal.next_doubt
SELECT min(look_at) FROM batch WHERE account = ?1 AND state IN ('staged', 'unknown')
AND state = 'unknown' AND look_at > ?2";

const NEGATIVE: &str = "-- journal.negative
UPDATE batch SET negatives = negatives + 1, last_negative = ?2 WHERE key = ?1";

const LOOK_AT: &str = "-- journal.look_at
UPDATE batch SET look_at = ?2 WHERE key = ?1";

/// Lets what waits for quota be planned anew.
pub(super) const RELEASE_ALL: &str = "-- journal.release_all
UPDATE intent SET not_before = ?2, wait_until = ?2 WHERE account = ?1 AND state = 'pending'
AND wait = 'quota' AND not_before > ?2";

pub(super) fn lead(
    tx: &Transaction<'_>,
    account: &AccountName,
    now: Timestamp,
) -> Result<Fence, JournalError> {
    let fence = first(tx, RAISE, [account.as_str()], |row| Ok(Fence(row.get(0)?)))?;
    run(tx, ORPHANS, params![account.as_str(), now.as_micros(), ORPHANED])?;
    run(tx, RELEASE_ALL, params![account.as_str(), now.as_micros()])?;
    fence.ok_or_else(|| JournalError::Inconsistent("no fencing number".to_owned()))
}

pub(super) fn doubted(
    tx: &Transaction<'_>,
    key: &BatchKey,
    fence: Fence,
    why: &str,
    look_at: Timestamp,
    now: Timestamp,
) -> Result<(), JournalError> {
    let header = turn(tx, key, fence, BatchState::Staged)?;
    charge(tx, &header, now)?;
    run(tx, UNKNOWN, params![key.as_str(), look_at.as_micros(), why]).map(drop)
}

pub(super) fn doubts(
    tx: &Transaction<'_>,
    account: &AccountName,
    now: Timestamp,
) -> Result<(Vec<Doubt>, Option<Timestamp>), JournalError> {
    let at = params![account.as_str(), now.as_micros()];
    let keys = all(tx, DOUBTS, at, |row| Ok(BatchKey::from_text(row.get(0)?)))?;
    let mut doubts = Vec::with_capacity(keys.len());
    for key in keys {
        let header = header(tx, &key)?;
        doubts.push(Doubt {
            batch: remainder(tx, &header)?,
            staged_at: header.staged_at,
            negatives: header.negatives,
            last_negative: header.last_negative,
            sends: header.sends,
        });
    }
    let at = params![account.as_str(), now.as_micros()];
    let next = first(tx, NEXT_DOUBT, at, |row| Ok(maybe_time(row, 0)?))?.flatten();
    Ok((doubts, next))
}

pub(super) fn looked(
    tx: &Transaction<'_>,
    key: &BatchKey,
    fence: Fence,
    found: &[(Target, TaskId)],
    (look_at, first_poll): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<(), JournalError> {
    let header = turn(tx, key, fence, BatchState::Unknown)?;
    let open = asks(tx, key, "open")?;
    let matches = |ask: &&StoredAsk| found.iter().any(|(target, _)| *target == ask.target);
    let ours: Vec<&StoredAsk> = open.iter().filter(matches).collect();
    if ours.is_empty() {
        run(tx, NEGATIVE, params![key.as_str(), now.as_micros()])?;
    } else {
        let tasks: Vec<TaskId> = found
            .iter()
            .filter(|(target, _)| ours.iter().any(|ask| ask.target == *target))
            .map(|(_, task)| task.clone())
            .collect();
        adopt(tx, &header, &ours, &tasks, first_poll, now)?;
    }
    if ours.len() == open.len() {
        batches::settle(tx, key, "accepted", now, None)
    } else {
        run(tx, LOOK_AT, params![key.as_str(), look_at.as_micros()]).map(drop)
    }
}
