//! What a sending is charged, and what is known of all that was spent.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::batches::Header;
use super::rows::{all, count, first, run, target, time, word};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::forecast::{HISTORY_DAYS, History};
use crate::domain::quota::purse::{HOUR, MINUTE, Recent, Spending};
use crate::domain::quota::{PerKind, QuotaKind};
use crate::domain::time::{Day, Timestamp};
use crate::journal::JournalError;

const CHARGED_ON: &str = "-- journal.charged_on
SELECT 1 FROM debit WHERE batch = ?1 AND day = ?2 LIMIT 1";

const PAYERS: &str = "-- journal.payers
SELECT kind, target, origin, priority FROM ask WHERE batch = ?1 AND state = 'open'";

const DEBIT: &str = "-- journal.debit
INSERT INTO debit (batch, day, host, origin, priority, hour, send, amount)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const SPEND: &str = "-- journal.spend
INSERT INTO ledger (account, day, quota, used) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET used = used + excluded.used";

const SPEND_HOUR: &str = "-- journal.spend_hour
INSERT INTO spending (account, day, hour, quota, origin, priority, amount)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT DO UPDATE SET amount = amount + excluded.amount";

const CHARGED: &str = "-- journal.charged
SELECT day, hour, origin, priority, amount FROM debit WHERE batch = ?1 AND send = ?2";

const UNDEBIT: &str = "-- journal.undebit
DELETE FROM debit WHERE batch = ?1 AND send = ?2";

const BY_ORIGIN: &str = "-- journal.spent_by_origin
SELECT origin, quota, sum(amount) FROM spending WHERE account = ?1 AND day = ?2 AND origin <> ''
GROUP BY origin, quota HAVING sum(amount) > 0";

const FOREIGN: &str = "-- journal.foreign
SELECT quota, corrected FROM ledger WHERE account = ?1 AND day = ?2 AND corrected > 0";

const RECENT: &str = "-- journal.recent
SELECT b.staged_at, b.quota, d.host, sum(d.amount)
FROM batch AS b JOIN debit AS d ON d.batch = b.key
WHERE b.account = ?1 AND b.staged_at > ?2 AND (b.quota IN ('directory', 'regex', 'tag')
OR (b.quota = 'url' AND b.staged_at > ?3))
GROUP BY b.staged_at, b.key, d.host ORDER BY b.staged_at, b.key, d.host";

const BY_HOUR: &str = "-- journal.spent_by_hour
SELECT day, hour, quota, sum(amount) FROM spending
WHERE account = ?1 AND day >= ?2 AND day < ?3 AND priority < 2
GROUP BY day, hour, quota HAVING sum(amount) > 0";

const ALARM: &str = "-- journal.alarm
INSERT INTO alarm (account, day, quota, percent) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";

/// Charges what is open of a batch to the day and hour of `now`, unless it was charged to that day
/// already.
pub(super) fn charge(
    tx: &Transaction<'_>,
    header: &Header,
    now: Timestamp,
) -> Result<(), JournalError> {
    let (key, day) = (header.key.as_str(), Day::of(now).number());
    if first(tx, CHARGED_ON, params![key, day], |_| Ok(()))?.is_some() {
        return Ok(());
    }
    let mut parts: BTreeMap<(String, String, u8), i64> = BTreeMap::new();
    let asks = all(tx, PAYERS, [key], |row| {
        Ok((target(row, 0)?.host().to_owned(), row.get(2)?, row.get(3)?))
    })?;
    for ask in asks {
        *parts.entry(ask).or_default() += 1;
    }
    let hour = hour_number(now);
    let mut total = 0;
    for ((host, origin, priority), amount) in parts {
        let row = params![key, day, host, origin, priority, hour, header.sends, amount];
        run(tx, DEBIT, row)?;
        spend_hour(tx, header, (day, hour), (&origin, priority), amount)?;
        total += amount;
    }
    let (account, quota) = (header.account.as_str(), header.quota.as_str());
    run(tx, SPEND, params![account, day, quota, total]).map(drop)
}

/// Gives back what the last sending was charged. What an earlier one was charged stays: it ended in
/// doubt, and may have been spent.
pub(super) fn give_back(tx: &Transaction<'_>, header: &Header) -> Result<(), JournalError> {
    let key = header.key.as_str();
    let (account, quota) = (header.account.as_str(), header.quota.as_str());
    let charged = all(tx, CHARGED, params![key, header.sends], |row| {
        let when: (i64, i64) = (row.get(0)?, row.get(1)?);
        let payer: (String, u8) = (row.get(2)?, row.get(3)?);
        Ok((when, payer, row.get::<_, i64>(4)?))
    })?;
    for (when, (origin, priority), amount) in charged {
        run(tx, SPEND, params![account, when.0, quota, -amount])?;
        spend_hour(tx, header, when, (&origin, priority), -amount)?;
    }
    run(tx, UNDEBIT, params![key, header.sends]).map(drop)
}

fn spend_hour(
    tx: &Transaction<'_>,
    header: &Header,
    (day, hour): (i64, i64),
    (origin, priority): (&str, u8),
    amount: i64,
) -> Result<(), JournalError> {
    let (account, quota) = (header.account.as_str(), header.quota.as_str());
    let row = params![account, day, hour, quota, origin, priority, amount];
    run(tx, SPEND_HOUR, row).map(drop)
}

fn hour_number(now: Timestamp) -> i64 {
    i64::try_from(Day::hour_of(now)).unwrap_or(0)
}

pub(super) fn spending(
    tx: &Transaction<'_>,
    account: &AccountName,
    now: Timestamp,
) -> Result<Spending, JournalError> {
    let (name, day) = (account.as_str(), Day::of(now).number());
    let mut spending = Spending::default();
    let by_origin = all(tx, BY_ORIGIN, params![name, day], |row| {
        let origin = OriginName::from(row.get::<_, String>(0)?.as_str());
        Ok((origin, word(&row.get::<_, String>(1)?, QuotaKind::parse)?, count(row, 2)?))
    })?;
    for (origin, kind, amount) in by_origin {
        spending.origins.entry(origin).or_default()[kind] = amount;
    }
    spending.foreign = foreign(tx, account, now)?;
    let (hour, minute) = (now.minus(HOUR).as_micros(), now.minus(MINUTE).as_micros());
    spending.recent = all(tx, RECENT, params![name, hour, minute], |row| {
        Ok(Recent {
            at: time(row, 0)?,
            kind: word(&row.get::<_, String>(1)?, QuotaKind::parse)?,
            host: row.get(2)?,
            amount: count(row, 3)?,
        })
    })?;
    Ok(spending)
}

/// Returns what others than us spent today: what the CDN's answers added to our own debits.
pub(super) fn foreign(
    tx: &Transaction<'_>,
    account: &AccountName,
    now: Timestamp,
) -> Result<PerKind<u64>, JournalError> {
    let mut foreign = PerKind::default();
    let line = params![account.as_str(), Day::of(now).number()];
    for (kind, amount) in all(tx, FOREIGN, line, |row| {
        Ok((word(&row.get::<_, String>(0)?, QuotaKind::parse)?, count(row, 1)?))
    })? {
        foreign[kind] = amount;
    }
    Ok(foreign)
}

pub(super) fn past(
    tx: &Transaction<'_>,
    account: &AccountName,
    now: Timestamp,
) -> Result<History, JournalError> {
    let today = Day::of(now).number();
    let rows = all(tx, BY_HOUR, params![account.as_str(), today - HISTORY_DAYS, today], |row| {
        let kind = word(&row.get::<_, String>(2)?, QuotaKind::parse)?;
        let hour = usize::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        Ok((Day::from_number(row.get(0)?), hour, kind, count(row, 3)?))
    })?;
    let mut history = History::default();
    for (day, hour, kind, amount) in rows {
        history.add(day, hour, kind, amount);
    }
    Ok(history)
}

pub(super) fn alarm(
    tx: &Transaction<'_>,
    account: &AccountName,
    kind: QuotaKind,
    percent: u64,
    now: Timestamp,
) -> Result<bool, JournalError> {
    let percent = i64::try_from(percent).unwrap_or(i64::MAX);
    let row = params![account.as_str(), Day::of(now).number(), kind.as_str(), percent];
    Ok(run(tx, ALARM, row)? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Database, DatabaseError};

    #[tokio::test]
    async fn what_was_spent_is_found_by_index() {
        let database = Database::in_memory().expect("opens");
        for sql in [CHARGED_ON, PAYERS, CHARGED, BY_ORIGIN, FOREIGN, RECENT, BY_HOUR] {
            let steps = database
                .call("test", move |tx| {
                    let mut explained = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    let nulls = vec![None::<i64>; explained.parameter_count()];
                    let rows = explained
                        .query_map(rusqlite::params_from_iter(nulls), |row| row.get(3))?
                        .collect::<Result<Vec<String>, _>>()?;
                    Ok::<_, DatabaseError>(rows.join("; "))
                })
                .await
                .expect("explains");
            assert!(!steps.contains("SCAN"), "{sql}: {steps}");
        }
    }
}
