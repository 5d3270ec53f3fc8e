//! After the call: accepted, or certainly not executed.

use rusqlite::{Transaction, params};

use super::batches::{self, Header, StoredAsk, adopt, asks, turn};
use super::flight;
use super::rows::{all, run};
use crate::domain::task::{BatchKey, Fence, TaskId};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;
use crate::journal::check::BatchState;
use crate::journal::{JournalError, fate};

const REQUEST_ID: &str = "-- journal.request_id
UPDATE batch SET request_id = ?2 WHERE key = ?1";

const CLOSE_ASKS: &str = "-- journal.close_asks
UPDATE ask SET state = 'ended' WHERE batch = ?1 AND state = 'open'";

const CHARGED: &str = "-- journal.charged
SELECT day, amount FROM debit WHERE batch = ?1 AND send = ?2";

const GIVE_BACK: &str = "-- journal.give_back
UPDATE ledger SET used = used - ?4 WHERE account = ?1 AND day = ?2 AND quota = ?3";

const UNDEBIT: &str = "-- journal.undebit
DELETE FROM debit WHERE batch = ?1 AND send = ?2";

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
            let fate = fate::of_refusal(verdict, intent.attempt, own, why, not_before);
            flight::settle(tx, &intent, fate, now)?;
        }
    }
    Ok(())
}

/// Gives back what the last sending was charged. What an earlier one was charged stays: it ended in
/// doubt, and may have been spent.
fn give_back(tx: &Transaction<'_>, header: &Header) -> Result<(), JournalError> {
    let key = header.key.as_str();
    let (account, quota) = (header.account.as_str(), header.quota.as_str());
    let charged = all(tx, CHARGED, params![key, header.sends], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    for (day, amount) in charged {
        run(tx, GIVE_BACK, params![account, day, quota, amount])?;
    }
    run(tx, UNDEBIT, params![key, header.sends]).map(drop)
}
