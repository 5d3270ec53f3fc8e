//! The ledger: what a day allows and what is spent of it.

use std::time::Duration;

use rusqlite::{Transaction, params};

use super::debit::foreign;
use super::rows::{count, first, run};
use crate::domain::intent::Action;
use crate::domain::names::AccountName;
use crate::domain::quota::{Allowance, PerKind, QuotaKind, Reconciled, Reported};
use crate::domain::time::{Day, Timestamp};
use crate::journal::JournalError;

const USED: &str = "-- journal.used
SELECT used FROM ledger WHERE account = ?1 AND day = ?2 AND quota = ?3";

const LIMIT: &str = "-- journal.limit
SELECT day_limit FROM allowance WHERE account = ?1 AND quota = ?2";

const SET_LIMIT: &str = "-- journal.set_limit
INSERT INTO allowance (account, quota, day_limit) VALUES (?1, ?2, ?3)
ON CONFLICT DO UPDATE SET day_limit = excluded.day_limit";

pub(super) const RESTLESS: &str = "-- journal.restless
SELECT 1 FROM batch INDEXED BY batch_live WHERE account = ?1 AND state IN ('staged', 'unknown')
UNION ALL
SELECT 1 FROM batch WHERE account = ?1 AND settled_at IS NOT NULL AND settled_at > ?2 LIMIT 1";

const CORRECT: &str = "-- journal.correct
INSERT INTO ledger (account, day, quota, used, corrected) VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT DO UPDATE SET corrected = corrected + excluded.used - used, used = excluded.used";

const RELEASE: &str = "-- journal.release
UPDATE intent SET not_before = ?4, wait_until = ?4 WHERE account = ?1 AND action = ?2
AND (action = 'prefetch' OR kind = ?3) AND state = 'pending' AND wait = 'quota'
AND not_before > ?4";

pub(super) fn quota(
    tx: &Transaction<'_>,
    account: &AccountName,
    limits: &PerKind<u64>,
    now: Timestamp,
) -> Result<PerKind<Allowance>, JournalError> {
    let mut table = PerKind::default();
    for kind in QuotaKind::ALL {
        table[kind] = allowance(tx, account, kind, limits, Day::of(now))?;
    }
    Ok(table)
}

/// Returns one kind's allowance: the smaller of `limits` and what the CDN last said.
pub(super) fn allowance(
    tx: &Transaction<'_>,
    account: &AccountName,
    kind: QuotaKind,
    limits: &PerKind<u64>,
    day: Day,
) -> Result<Allowance, JournalError> {
    let limit = first(tx, LIMIT, [account.as_str(), kind.as_str()], |row| Ok(count(row, 0)?))?;
    Ok(Allowance {
        limit: limit.map_or(limits[kind], |limit| limit.min(limits[kind])),
        used: used(tx, account, kind, day)?,
    })
}

fn used(
    tx: &Transaction<'_>,
    account: &AccountName,
    kind: QuotaKind,
    day: Day,
) -> Result<u64, JournalError> {
    let line = params![account.as_str(), day.number(), kind.as_str()];
    Ok(first(tx, USED, line, |row| Ok(count(row, 0)?))?.unwrap_or(0))
}

pub(super) fn reported(
    tx: &Transaction<'_>,
    account: &AccountName,
    reported: &PerKind<Option<Reported>>,
    (asked_at, quiet): (Timestamp, Duration),
    now: Timestamp,
) -> Result<Reconciled, JournalError> {
    let day = Day::of(now);
    if Day::of(asked_at) != day {
        return Ok(Reconciled::default());
    }
    let before = foreign(tx, account, now)?;
    let since = params![account.as_str(), asked_at.minus(quiet).as_micros()];
    let replace = first(tx, RESTLESS, since, |_| Ok(()))?.is_none();
    for (kind, answer) in reported.iter() {
        let Some(answer) = answer else { continue };
        let limit = i64::try_from(answer.quota).unwrap_or(i64::MAX);
        run(tx, SET_LIMIT, params![account.as_str(), kind.as_str(), limit])?;
        let spent = answer.quota.saturating_sub(answer.remain);
        let ours = used(tx, account, kind, day)?;
        if spent > ours || (replace && spent != ours) {
            let spent = i64::try_from(spent).unwrap_or(i64::MAX);
            let line = params![account.as_str(), day.number(), kind.as_str(), spent];
            run(tx, CORRECT, line)?;
        }
        if replace && answer.remain > 0 {
            let action = match kind {
                QuotaKind::Prefetch => Action::Prefetch,
                _ => Action::Refresh,
            };
            let (account, action) = (account.as_str(), action.as_str());
            let waiting = params![account, action, kind.as_str(), now.as_micros()];
            run(tx, RELEASE, waiting)?;
        }
    }
    let after = foreign(tx, account, now)?;
    let grown = |kind| after[kind].saturating_sub(before[kind]);
    Ok(Reconciled { replaced: replace, foreign: PerKind::from_fn(grown) })
}
