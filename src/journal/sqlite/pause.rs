//! What an operator paused.

use rusqlite::{Transaction, params};

use super::rows::{account, all, count, first, run, time};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::time::Timestamp;
use crate::journal::{JournalError, Pause};

const PAUSE: &str = "-- journal.pause
INSERT INTO pause (account, origin, since, by) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";

const RESUME: &str = "-- journal.resume
DELETE FROM pause WHERE account = ?1 AND origin = ?2";

const PAUSED: &str = "-- journal.account_paused
SELECT 1 FROM pause WHERE account = ?1 AND origin = ''";

const PAUSES: &str = "-- journal.pauses
SELECT p.account, p.origin, p.since, p.by, (SELECT count(*) FROM intent AS i
WHERE i.account = p.account AND p.origin IN ('', i.origin) AND i.state = 'pending'
AND (i.wait IS NULL OR i.wait <> 'hold')) FROM pause AS p ORDER BY p.account, p.origin";

/// What stands for a whole account.
fn word(origin: Option<&OriginName>) -> &str {
    origin.map_or("", OriginName::as_str)
}

pub(super) fn pause(
    tx: &Transaction<'_>,
    account: &AccountName,
    origin: Option<&OriginName>,
    who: &str,
    now: Timestamp,
) -> Result<bool, JournalError> {
    let row = params![account.as_str(), word(origin), now.as_micros(), who];
    Ok(run(tx, PAUSE, row)? > 0)
}

pub(super) fn resume(
    tx: &Transaction<'_>,
    account: &AccountName,
    origin: Option<&OriginName>,
) -> Result<bool, JournalError> {
    Ok(run(tx, RESUME, params![account.as_str(), word(origin)])? > 0)
}

/// Returns whether all of an account is paused.
pub(super) fn is_paused(tx: &Transaction<'_>, account: &str) -> Result<bool, JournalError> {
    Ok(first(tx, PAUSED, [account], |_| Ok(()))?.is_some())
}

pub(super) fn pauses(tx: &Transaction<'_>) -> Result<Vec<Pause>, JournalError> {
    all(tx, PAUSES, [], |row| {
        let origin: String = row.get(1)?;
        Ok(Pause {
            account: account(row, 0)?,
            origin: (!origin.is_empty()).then(|| OriginName::from(origin.as_str())),
            since: time(row, 2)?,
            by: row.get(3)?,
            waiting: count(row, 4)?,
        })
    })
}
