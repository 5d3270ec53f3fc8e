//! After the call: accepted, or certainly not executed.

use rusqlite::Transaction;

use super::batches::{self, StoredAsk, adopt, asks, turn};
use super::debit::give_back;
use super::flight;
use super::rows::run;
use crate::domain::task::{BatchKey, Fence, TaskId};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;
use crate::journal::check::BatchState;
use crate::journal::{JournalError, fate};

const REQUEST_ID: &str = "-- journal.request_id
UPDATE batch SET request_id = ?2 WHERE key = ?1";

const CLOSE_ASKS: &str = "-- journal.close_asks
UPDATE ask SET state = 'ended' WHERE batch = ?1 AND state = 'open'";

pub(super) fn accepted(
    tx: &Transaction<'_>,
    key: &BatchKey,
    fence: Fence,
    (tasks, request_id): (&[TaskId], &str),
    now: Timestamp,
    first_poll: Timestamp,
) -> Result<(), JournalError> {
    let header = turn(tx, key, fence, BatchState::Staged)?;
    let open = asks(tx, key, "open")?;
    let open: Vec<&StoredAsk> = open.iter().collect();
    adopt(tx, &header, &open, tasks, first_poll, now)?;
    batches::settle(tx, key, "accepted", now, None)?;
    run(tx, REQUEST_ID, [key.as_str(), request_id]).map(drop)
}

pub(super) fn refused(
    tx: &Transaction<'_>,
    key: &BatchKey,
    fence: Fence,
    (verdict, why): (&Verdict, &str),
    not_before: Timestamp,
    now: Timestamp,
) -> Result<(), JournalError> {
    let header = turn(tx, key, fence, BatchState::Staged)?;
    if *verdict == Verdict::Unknown {
        return Err(JournalError::OutOfTurn(key.clone()));
    }
    let open = asks(tx, key, "open")?;
    run(tx, CLOSE_ASKS, [key.as_str()])?;
    batches::settle(tx, key, "refused", now, Some(why))?;
    give_back(tx, &header)?;
    for ask in &open {
        for intent in flight::of_ask(tx, key.as_str(), ask.ordinal)? {
            let own = intent.target == ask.target;
            let alone = open.len() == 1;
            let fate = fate::of_refusal(verdict, intent.attempt, (own, alone), why, not_before);
            flight::settle(tx, &intent, fate, now)?;
        }
    }
    Ok(())
}
