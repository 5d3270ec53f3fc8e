//! Looking: numbers and histories for people.

use rusqlite::{Transaction, params};

use super::batches::state_word;
use super::rows::{
    account, all, bounded, count, first, intent, intents, json, maybe_time, target, word,
};
use crate::domain::alarm::{Lag, Troubles};
use crate::domain::ask::{Kind, Target};
use crate::domain::intent::{Action, Cause, Intent, IntentId, Wait};
use crate::domain::names::AccountName;
use crate::domain::quota::QuotaKind;
use crate::domain::task::BatchKey;
use crate::domain::time::{Day, Timestamp};
use crate::journal::check::{AskState, BatchView, LedgerView, Snapshot};
use crate::journal::{Attention, Counts, JournalError};

const OPEN_COUNTS: &str = "-- journal.open_counts
SELECT state, wait, count(*) FROM intent WHERE state <> 'ended' GROUP BY state, wait";

const SUMS: &str = "-- journal.sums
SELECT outcome, sum(number) FROM tally GROUP BY outcome";

const UNKNOWN: &str = "-- journal.unknown_count
SELECT count(*) FROM batch WHERE state IN ('staged', 'unknown') AND state = 'unknown'";

const OLDEST: &str = "-- journal.oldest_open
SELECT min(created_at) FROM intent WHERE state <> 'ended'";

const FAILED_ON: &str = "-- journal.failed_on
SELECT coalesce(sum(number), 0) FROM tally WHERE day = ?1 AND outcome = 'failed'";

const OLDEST_DOUBT: &str = "-- journal.oldest_doubt
SELECT min(staged_at) FROM batch WHERE state IN ('staged', 'unknown') AND state = 'unknown'";

const FAILED_LEFT: &str = "-- journal.failed_left
SELECT count(*) FROM intent AS i WHERE i.outcome = 'failed' AND i.ended_at >= ?1 AND NOT EXISTS
(SELECT 1 FROM intent AS n WHERE n.target = i.target AND n.account = i.account AND n.action = i.action
AND n.kind = i.kind AND n.id > i.id AND (n.state <> 'ended' OR n.outcome = 'done'))";

const LAGS: &str = "-- journal.lags
SELECT i.account, i.kind,
min(CASE i.state WHEN 'pending' THEN max(i.created_at, i.not_before) ELSE i.created_at END)
FROM intent AS i WHERE i.state <> 'ended' AND i.action = 'refresh' AND i.wait IS NULL
AND (i.state <> 'pending' OR i.not_before <= ?1 AND NOT EXISTS (SELECT 1 FROM pause AS p
WHERE p.account = i.account AND p.origin IN ('', i.origin))) GROUP BY i.account, i.kind";

const CARRIED_TIMES: &str = "-- journal.carried_times
SELECT coalesce((SELECT min(json_extract(payload, '$.at')) FROM cause WHERE intent = i.id),
i.created_at), CASE WHEN i.outcome = 'done' THEN i.ended_at END
FROM intent AS i WHERE i.id IN (SELECT intent FROM ask_intent WHERE batch = ?1) ORDER BY i.id";

const ATTENTION: &str = intents!(
    "journal.attention",
    "WHERE (i.wait IS NOT NULL AND (i.wait <> 'hold' OR i.deploy IS NULL)) OR i.outcome = 'failed'
    ORDER BY i.id DESC LIMIT ?1"
);

const HISTORY: &str = intents!(
    "journal.history",
    "WHERE i.target = ?4 AND i.account = ?1 AND i.action = ?2 AND i.kind = ?3
    ORDER BY i.id DESC LIMIT ?5"
);

pub(super) const CAUSES: &str = "-- journal.causes_newest_first
SELECT payload FROM cause WHERE intent = ?1 ORDER BY ordinal DESC";

const WAITING: &str = "-- journal.waiting
SELECT count(*) FROM intent WHERE state <> 'ended' AND wait = ?1";

const EVERY_INTENT: &str = intents!("journal.every_intent", "ORDER BY i.id");

const EVERY_BATCH: &str = "-- journal.every_batch
SELECT b.key, b.account, b.quota, b.state, EXISTS
(SELECT 1 FROM job WHERE job.batch = b.key AND job.ended_at IS NULL) FROM batch AS b ORDER BY b.key";

const EVERY_ASK: &str = "-- journal.every_ask
SELECT ordinal, kind, target, state FROM ask WHERE batch = ?1 ORDER BY ordinal";

const CARRIED: &str = "-- journal.carried
SELECT intent FROM ask_intent WHERE batch = ?1 AND ordinal = ?2 ORDER BY intent";

const DEBITS: &str = "-- journal.debits
SELECT day, sum(amount) FROM debit WHERE batch = ?1 GROUP BY day ORDER BY day";

const LEDGER: &str = "-- journal.ledger
SELECT account, day, quota, used, corrected FROM ledger ORDER BY account, day, quota";

pub(super) fn counts(tx: &Transaction<'_>) -> Result<Counts, JournalError> {
    let mut counts = Counts::default();
    let open = all(tx, OPEN_COUNTS, [], |row| {
        let wait: Option<String> = row.get(1)?;
        Ok((row.get::<_, String>(0)?, wait, count(row, 2)?))
    })?;
    for (state, wait, number) in open {
        match state.as_str() {
            "pending" => counts.pending += number,
            "submitting" => counts.submitting += number,
            _ => counts.submitted += number,
        }
        if let Some(wait) = wait {
            let wait = word(&wait, Wait::parse)?.as_str();
            *counts.waiting.entry(wait).or_default() += number;
        }
    }
    let sums = all(tx, SUMS, [], |row| Ok((row.get::<_, String>(0)?, count(row, 1)?)))?;
    for (outcome, number) in sums {
        match outcome.as_str() {
            "done" => counts.done = number,
            "failed" => counts.failed = number,
            "superseded" => counts.superseded = number,
            "rejected" => counts.rejected = number,
            "cancelled" => counts.cancelled = number,
            ".resent" => counts.resent = number,
            ".overlapped" => counts.overlapped = number,
            _ => {}
        }
    }
    counts.unknown = number(tx, UNKNOWN, [])?;
    Ok(counts)
}

fn number(
    tx: &Transaction<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<u64, JournalError> {
    Ok(first(tx, sql, parameters, |row| Ok(count(row, 0)?))?.unwrap_or(0))
}

pub(super) fn oldest_open(tx: &Transaction<'_>) -> Result<Option<Timestamp>, JournalError> {
    Ok(first(tx, OLDEST, [], |row| Ok(maybe_time(row, 0)?))?.flatten())
}

pub(super) fn troubles(tx: &Transaction<'_>, now: Timestamp) -> Result<Troubles, JournalError> {
    let today = Day::of(now);
    let failed_today = number(tx, FAILED_ON, [today.number()])?;
    let failed_left = match failed_today {
        0 => 0,
        _ => number(tx, FAILED_LEFT, [today.start().as_micros()])?,
    };
    Ok(Troubles {
        failed_today,
        failed_left,
        oldest_doubt: first(tx, OLDEST_DOUBT, [], |row| Ok(maybe_time(row, 0)?))?.flatten(),
        lags: all(tx, LAGS, [now.as_micros()], |row| {
            let kind = word(&row.get::<_, String>(1)?, Kind::parse)?;
            let (kind, since) = (QuotaKind::of(Action::Refresh, kind), row.get(2)?);
            Ok(Lag { account: account(row, 0)?, kind, since: Timestamp::from_micros(since) })
        })?,
    })
}

pub(super) fn carried(
    tx: &Transaction<'_>,
    key: &BatchKey,
) -> Result<Vec<(Timestamp, Option<Timestamp>)>, JournalError> {
    all(tx, CARRIED_TIMES, [key.as_str()], |row| {
        let since = Timestamp::from_micros(row.get(0)?);
        Ok((since, maybe_time(row, 1)?))
    })
}

pub(super) fn attention(
    tx: &Transaction<'_>,
    limit: usize,
) -> Result<Vec<Attention>, JournalError> {
    let intents = all(tx, ATTENTION, [bounded(limit)], intent)?;
    Ok(intents.into_iter().map(Attention::of).collect())
}

pub(super) fn history(
    tx: &Transaction<'_>,
    account: &AccountName,
    action: Action,
    target: &Target,
    limit: usize,
) -> Result<Vec<(Intent, Vec<Cause>)>, JournalError> {
    let (account, action, kind) = (account.as_str(), action.as_str(), target.kind.as_str());
    let row = params![account, action, kind, target.text, bounded(limit)];
    let mut histories = Vec::new();
    for intent in all(tx, HISTORY, row, intent)? {
        let causes = all(tx, CAUSES, [intent.id.0], |row| json(&row.get::<_, String>(0)?))?;
        histories.push((intent, causes));
    }
    Ok(histories)
}

pub(super) fn waiting(tx: &Transaction<'_>, wait: Wait) -> Result<u64, JournalError> {
    number(tx, WAITING, [wait.as_str()])
}

pub(super) fn snapshot(tx: &Transaction<'_>) -> Result<Snapshot, JournalError> {
    let mut batches = all(tx, EVERY_BATCH, [], |row| {
        Ok(BatchView {
            key: BatchKey::from_text(row.get(0)?),
            account: account(row, 1)?,
            quota: word(&row.get::<_, String>(2)?, QuotaKind::parse)?,
            state: word(&row.get::<_, String>(3)?, state_word)?,
            asks: Vec::new(),
            job: row.get(4)?,
            debits: Vec::new(),
        })
    })?;
    for batch in &mut batches {
        let key = batch.key.as_str();
        let asks = all(tx, EVERY_ASK, [key], |row| {
            let state = word(&row.get::<_, String>(3)?, AskState::parse)?;
            Ok((row.get::<_, i64>(0)?, target(row, 1)?, state))
        })?;
        for (ordinal, target, state) in asks {
            let carried = all(tx, CARRIED, params![key, ordinal], |row| Ok(IntentId(row.get(0)?)))?;
            batch.asks.push((target, state, carried));
        }
        batch.debits =
            all(tx, DEBITS, [key], |row| Ok((Day::from_number(row.get(0)?), row.get(1)?)))?;
    }
    Ok(Snapshot {
        intents: all(tx, EVERY_INTENT, [], intent)?,
        batches,
        ledger: all(tx, LEDGER, [], |row| {
            Ok(LedgerView {
                account: account(row, 0)?,
                day: Day::from_number(row.get(1)?),
                quota: word(&row.get::<_, String>(2)?, QuotaKind::parse)?,
                used: row.get(3)?,
                corrected: row.get(4)?,
            })
        })?,
    })
}
