//! Jobs: what the CDN says of what it accepted.

use rusqlite::{Transaction, params};

use super::batches::{StoredAsk, asks, header};
use super::flight;
use super::rows::{all, bounded, first, json, maybe_time, run, time, to_json};
use crate::domain::intent::Outcome;
use crate::domain::names::AccountName;
use crate::domain::task::{BatchKey, TaskStatus};
use crate::domain::time::Timestamp;
use crate::journal::fate::Fate;
use crate::journal::{Job, JobAsk, JournalError, Observation, Retry, fate};

const JOBS_DUE: &str = "-- journal.jobs_due
SELECT batch, tasks, accepted_at, polls FROM job
WHERE account = ?1 AND ended_at IS NULL AND next_poll <= ?2 ORDER BY next_poll, batch LIMIT ?3";

const NEXT_JOB: &str = "-- journal.next_job
SELECT min(next_poll) FROM job WHERE account = ?1 AND ended_at IS NULL AND next_poll > ?2";

const OPEN_JOBS: &str = "-- journal.open_jobs
SELECT count(*) FROM job WHERE account = ?1 AND ended_at IS NULL";

const LIVE_JOB: &str = "-- journal.live_job
SELECT 1 FROM job WHERE batch = ?1 AND ended_at IS NULL";

const ASK_STATUS: &str = "-- journal.ask_status
UPDATE ask SET status = ?3, state = ?4 WHERE batch = ?1 AND ordinal = ?2";

const POLLED: &str = "-- journal.polled
UPDATE job SET polls = polls + 1, next_poll = ?2, ended_at = ?3 WHERE batch = ?1";

pub(super) fn jobs_due(
    tx: &Transaction<'_>,
    account: &AccountName,
    now: Timestamp,
    limit: usize,
) -> Result<(Vec<Job>, Option<Timestamp>), JournalError> {
    let at = params![account.as_str(), now.as_micros(), bounded(limit)];
    let rows = all(tx, JOBS_DUE, at, |row| {
        let key = BatchKey::from_text(row.get(0)?);
        let tasks = json(&row.get::<_, String>(1)?)?;
        Ok((key, tasks, time(row, 2)?, row.get(3)?))
    })?;
    let mut jobs = Vec::with_capacity(rows.len());
    for (key, tasks, accepted_at, polls) in rows {
        let header = header(tx, &key)?;
        let asks = asks(tx, &key, "accepted")?.into_iter();
        jobs.push(Job {
            key,
            account: header.account,
            action: header.action,
            kind: header.kind,
            tasks,
            asks: asks.map(|StoredAsk { target, status, .. }| JobAsk { target, status }).collect(),
            accepted_at,
            polls,
        });
    }
    let at = params![account.as_str(), now.as_micros()];
    let next = first(tx, NEXT_JOB, at, |row| Ok(maybe_time(row, 0)?))?.flatten();
    Ok((jobs, next))
}

pub(super) fn open_jobs(tx: &Transaction<'_>, account: &AccountName) -> Result<u64, JournalError> {
    let count = first(tx, OPEN_JOBS, [account.as_str()], |row| Ok(row.get::<_, i64>(0)?))?;
    Ok(count.map_or(0, i64::unsigned_abs))
}

pub(super) fn observe(
    tx: &Transaction<'_>,
    observation: &Observation,
    retry: Retry,
    now: Timestamp,
) -> Result<(), JournalError> {
    let key = &observation.key;
    if first(tx, LIVE_JOB, [key.as_str()], |_| Ok(()))?.is_none() {
        return Err(JournalError::OutOfTurn(key.clone()));
    }
    let mut open = asks(tx, key, "accepted")?;
    for (target, status) in &observation.news {
        if let Some(place) = open.iter().position(|ask| ask.target == *target)
            && hear(tx, (key, &open[place]), status, fate::of_failure, retry, now)?
        {
            open.remove(place);
        }
    }
    if let Some(why) = &observation.expire {
        for ask in open.drain(..) {
            let status = TaskStatus::Failed(why.clone());
            hear(tx, (key, &ask), &status, fate::of_expiry, retry, now)?;
        }
    }
    let ended_at = open.is_empty().then_some(now.as_micros());
    let row = params![key.as_str(), observation.next_poll.as_micros(), ended_at];
    run(tx, POLLED, row).map(drop)
}

/// Writes down what is said of an ask; returns whether it ended.
fn hear(
    tx: &Transaction<'_>,
    (key, ask): (&BatchKey, &StoredAsk),
    status: &TaskStatus,
    fate: impl Fn(u32, &str, Timestamp) -> Fate,
    retry: Retry,
    now: Timestamp,
) -> Result<bool, JournalError> {
    let state = match status {
        TaskStatus::Running { .. } => "accepted",
        TaskStatus::Complete | TaskStatus::Failed(_) => "ended",
    };
    let row = params![key.as_str(), ask.ordinal, to_json(status)?, state];
    run(tx, ASK_STATUS, row)?;
    if let TaskStatus::Running { .. } = status {
        return Ok(false);
    }
    for intent in flight::of_ask(tx, key.as_str(), ask.ordinal)? {
        match status {
            TaskStatus::Failed(why) => {
                let fate = fate(intent.attempt, why, retry.not_before);
                flight::settle(tx, &intent, fate, now)?;
            }
            _ => flight::end(tx, &intent, &Outcome::Done, now)?,
        }
    }
    Ok(true)
}
