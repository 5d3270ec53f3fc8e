//! What the steps of a batch share: its row, its asks, its debits.

use rusqlite::{Transaction, params};

use super::flight::{mark_overlapped, of_ask, supersede_held};
use super::rows::{
    account, action, all, first, json, maybe_time, run, target, time, to_json, word,
};
use crate::domain::ask::{Kind, Target};
use crate::domain::intent::{Action, IntentId};
use crate::domain::names::AccountName;
use crate::domain::quota::QuotaKind;
use crate::domain::task::{Ask, Batch, BatchKey, Fence, TaskId, TaskStatus};
use crate::domain::time::Timestamp;
use crate::journal::JournalError;
use crate::journal::check::BatchState;

const HEADER: &str = "-- journal.batch
SELECT account, action, kind, force, quota, state, staged_at, sends, negatives, last_negative
FROM batch WHERE key = ?1";

const LEAD: &str = "-- journal.fence
SELECT fence FROM lead WHERE account = ?1";

const ASKS: &str = "-- journal.asks
SELECT ordinal, kind, target, status FROM ask WHERE batch = ?1 AND state = ?2 ORDER BY ordinal";

const ACCEPT_ASK: &str = "-- journal.accept_ask
UPDATE ask SET state = 'accepted' WHERE batch = ?1 AND ordinal = ?2";

const SUBMITTED: &str = "-- journal.submitted
UPDATE intent SET state = 'submitted' WHERE id IN
(SELECT intent FROM ask_intent WHERE batch = ?1 AND ordinal = ?2)";

const JOB: &str = "-- journal.job
SELECT tasks, CASE WHEN ended_at IS NULL THEN next_poll END FROM job WHERE batch = ?1";

const WRITE_JOB: &str = "-- journal.write_job
INSERT INTO job (batch, account, tasks, accepted_at, next_poll) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT DO UPDATE SET tasks = excluded.tasks, accepted_at = excluded.accepted_at,
next_poll = excluded.next_poll, polls = 0, ended_at = NULL";

const SETTLE: &str = "-- journal.settle_batch
UPDATE batch SET state = ?2, settled_at = ?3, why = ?4, look_at = NULL WHERE key = ?1";

/// A batch without its asks.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) key: BatchKey,
    pub(super) account: AccountName,
    pub(super) action: Action,
    pub(super) kind: Kind,
    pub(super) force: bool,
    pub(super) quota: QuotaKind,
    pub(super) state: BatchState,
    pub(super) staged_at: Timestamp,
    pub(super) sends: u32,
    pub(super) negatives: u32,
    pub(super) last_negative: Option<Timestamp>,
}

/// An ask as it is stored.
#[derive(Clone, Debug)]
pub(super) struct StoredAsk {
    pub(super) ordinal: i64,
    pub(super) target: Target,
    pub(super) status: Option<TaskStatus>,
}

pub(super) fn state_word(text: &str) -> Option<BatchState> {
    Some(match text {
        "staged" => BatchState::Staged,
        "unknown" => BatchState::Unknown,
        "accepted" => BatchState::Accepted,
        "refused" => BatchState::Refused,
        _ => return None,
    })
}

/// Returns a batch, or that it is not known.
pub(super) fn header(tx: &Transaction<'_>, key: &BatchKey) -> Result<Header, JournalError> {
    first(tx, HEADER, [key.as_str()], |row| {
        Ok(Header {
            key: key.clone(),
            account: account(row, 0)?,
            action: action(row, 1)?,
            kind: word(&row.get::<_, String>(2)?, Kind::parse)?,
            force: row.get(3)?,
            quota: word(&row.get::<_, String>(4)?, QuotaKind::parse)?,
            state: word(&row.get::<_, String>(5)?, state_word)?,
            staged_at: time(row, 6)?,
            sends: row.get(7)?,
            negatives: row.get(8)?,
            last_negative: maybe_time(row, 9)?,
        })
    })?
    .ok_or_else(|| JournalError::OutOfTurn(key.clone()))
}

/// Returns nothing if the caller holds the account's lead, else that it is fenced.
pub(super) fn holds_lead(
    tx: &Transaction<'_>,
    account: &AccountName,
    fence: Fence,
) -> Result<(), JournalError> {
    let held = first(tx, LEAD, [account.as_str()], |row| Ok(Fence(row.get(0)?)))?;
    if held == Some(fence) {
        Ok(())
    } else {
        Err(JournalError::Fenced { account: account.clone() })
    }
}

/// Returns a batch that the caller may move out of `state`.
pub(super) fn turn(
    tx: &Transaction<'_>,
    key: &BatchKey,
    fence: Fence,
    state: BatchState,
) -> Result<Header, JournalError> {
    let header = header(tx, key)?;
    holds_lead(tx, &header.account, fence)?;
    if header.state == state { Ok(header) } else { Err(JournalError::OutOfTurn(key.clone())) }
}

/// Returns the asks of a batch that are in `state`, in the order they travel.
pub(super) fn asks(
    tx: &Transaction<'_>,
    key: &BatchKey,
    state: &str,
) -> Result<Vec<StoredAsk>, JournalError> {
    all(tx, ASKS, [key.as_str(), state], |row| {
        Ok(StoredAsk {
            ordinal: row.get(0)?,
            target: target(row, 1)?,
            status: row.get::<_, Option<String>>(3)?.map(|text| json(&text)).transpose()?,
        })
    })
}

/// Returns what is left of a batch: its open asks with their intents.
pub(super) fn remainder(tx: &Transaction<'_>, header: &Header) -> Result<Batch, JournalError> {
    let mut left = Vec::new();
    for ask in asks(tx, &header.key, "open")? {
        let intents = of_ask(tx, header.key.as_str(), ask.ordinal)?;
        left.push(Ask {
            target: ask.target,
            intents: intents.iter().map(|intent| IntentId(intent.id)).collect(),
        });
    }
    Ok(Batch {
        key: header.key.clone(),
        account: header.account.clone(),
        action: header.action,
        kind: header.kind,
        force: header.force,
        asks: left,
    })
}

/// Writes down how a batch left flight, and why.
pub(super) fn settle(
    tx: &Transaction<'_>,
    key: &BatchKey,
    state: &str,
    now: Timestamp,
    why: Option<&str>,
) -> Result<(), JournalError> {
    run(tx, SETTLE, params![key.as_str(), state, now.as_micros(), why]).map(drop)
}

/// Makes open asks of a batch a job, or a part of its job.
pub(super) fn adopt(
    tx: &Transaction<'_>,
    header: &Header,
    asks: &[&StoredAsk],
    tasks: &[TaskId],
    first_poll: Timestamp,
    now: Timestamp,
) -> Result<(), JournalError> {
    let key = header.key.as_str();
    for ask in asks {
        run(tx, ACCEPT_ASK, params![key, ask.ordinal])?;
        run(tx, SUBMITTED, params![key, ask.ordinal])?;
        for intent in of_ask(tx, key, ask.ordinal)? {
            supersede_held(tx, &intent, header.kind, header.force, now)?;
        }
    }
    let known = first(tx, JOB, [key], |row| {
        let tasks: Vec<TaskId> = json(&row.get::<_, String>(0)?)?;
        Ok((tasks, maybe_time(row, 1)?))
    })?;
    let (mut all_tasks, next_poll) = known.unwrap_or_default();
    for task in tasks {
        if !all_tasks.contains(task) {
            all_tasks.push(task.clone());
        }
    }
    let next_poll = next_poll.map_or(first_poll, |next| next.min(first_poll));
    let (account, tasks) = (header.account.as_str(), to_json(&all_tasks)?);
    let row = params![key, account, tasks, now.as_micros(), next_poll.as_micros()];
    run(tx, WRITE_JOB, row)?;
    if header.action == Action::Refresh {
        let refreshed: Vec<&Target> = asks.iter().map(|ask| &ask.target).collect();
        mark_overlapped(tx, &header.account, &refreshed)?;
    }
    Ok(())
}
