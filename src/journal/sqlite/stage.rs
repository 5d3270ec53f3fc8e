//! Before the call: batch, asks and debit in one transaction.

use std::collections::BTreeSet;

use rusqlite::{Transaction, params};

use super::batches::{Header, charge, holds_lead, remainder, turn};
use super::flight::tally;
use super::quota::allowance;
use super::rows::{first, run};
use crate::domain::ask::Kind;
use crate::domain::quota::PerKind;
use crate::domain::task::{Batch, BatchKey, Fence};
use crate::domain::time::{Day, Timestamp};
use crate::journal::check::BatchState;
use crate::journal::{JournalError, Staged};

const CAN_GO: &str = "-- journal.can_go
SELECT 1 FROM intent WHERE id = ?1 AND account = ?2 AND action = ?3 AND state = 'pending'
AND (wait IS NULL OR wait NOT IN ('hold', 'pause')) AND force <= ?4 AND NOT EXISTS
(SELECT 1 FROM pause AS p WHERE p.account = intent.account AND p.origin IN ('', intent.origin))";

const KNOWN: &str = "-- journal.batch_known
SELECT 1 FROM batch WHERE key = ?1";

const WRITE: &str = "-- journal.write_batch
INSERT INTO batch (key, account, action, kind, force, quota, state, fence, staged_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'staged', ?7, ?8)";

const WRITE_ASK: &str = "-- journal.write_ask
INSERT INTO ask (batch, ordinal, kind, target, state) VALUES (?1, ?2, ?3, ?4, 'open')";

const CARRY: &str = "-- journal.carry
INSERT INTO ask_intent (batch, ordinal, intent) VALUES (?1, ?2, ?3)";

const SUBMITTING: &str = "-- journal.submitting
UPDATE intent SET state = 'submitting', wait = NULL, wait_why = NULL, wait_until = NULL
WHERE id = ?1";

const SEND_AGAIN: &str = "-- journal.send_again
UPDATE batch SET state = 'staged', look_at = NULL, fence = ?2, staged_at = ?3, sends = sends + 1
WHERE key = ?1";

pub(super) fn stage(
    tx: &Transaction<'_>,
    batch: &Batch,
    fence: Fence,
    limits: &PerKind<u64>,
    now: Timestamp,
) -> Result<Staged, JournalError> {
    holds_lead(tx, &batch.account, fence)?;
    if !can_go(tx, batch)? {
        return Ok(Staged::Stale);
    }
    let budget = allowance(tx, &batch.account, batch.quota_kind(), limits, Day::of(now))?;
    if u64::try_from(batch.asks.len()).unwrap_or(u64::MAX) > budget.left() {
        return Ok(Staged::OverBudget);
    }
    let header = Header {
        key: batch.key.clone(),
        account: batch.account.clone(),
        action: batch.action,
        kind: batch.kind,
        force: batch.force,
        quota: batch.quota_kind(),
        state: BatchState::Staged,
        staged_at: now,
        sends: 1,
        negatives: 0,
        last_negative: None,
    };
    write(tx, batch, &header, fence)?;
    charge(tx, &header, now, batch.asks.len())?;
    Ok(Staged::Ready)
}

/// Returns whether the batch is new and every intent in it is pending, free, named once, and gets
/// the force it needs: a url refresh drops copies by itself.
fn can_go(tx: &Transaction<'_>, batch: &Batch) -> Result<bool, JournalError> {
    let known = first(tx, KNOWN, [batch.key.as_str()], |_| Ok(()))?;
    if known.is_some() || batch.asks.is_empty() {
        return Ok(false);
    }
    let drops = batch.force || batch.kind == Kind::Url;
    let (account, action) = (batch.account.as_str(), batch.action.as_str());
    let mut seen = BTreeSet::new();
    for ask in &batch.asks {
        if ask.intents.is_empty() {
            return Ok(false);
        }
        for intent in &ask.intents {
            let free = first(tx, CAN_GO, params![intent.0, account, action, drops], |_| Ok(()))?;
            if free.is_none() || !seen.insert(*intent) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn write(
    tx: &Transaction<'_>,
    batch: &Batch,
    header: &Header,
    fence: Fence,
) -> Result<(), JournalError> {
    let key = batch.key.as_str();
    run(
        tx,
        WRITE,
        params![
            key,
            batch.account.as_str(),
            batch.action.as_str(),
            batch.kind.as_str(),
            batch.force,
            header.quota.as_str(),
            fence.0,
            header.staged_at.as_micros(),
        ],
    )?;
    for (ordinal, ask) in (0_i64..).zip(&batch.asks) {
        let (kind, text) = (ask.target.kind.as_str(), ask.target.text.as_str());
        run(tx, WRITE_ASK, params![key, ordinal, kind, text])?;
        for intent in &ask.intents {
            run(tx, CARRY, params![key, ordinal, intent.0])?;
            run(tx, SUBMITTING, [intent.0])?;
        }
    }
    Ok(())
}

pub(super) fn resend(
    tx: &Transaction<'_>,
    key: &BatchKey,
    fence: Fence,
    now: Timestamp,
) -> Result<Batch, JournalError> {
    let mut header = turn(tx, key, fence, BatchState::Unknown)?;
    run(tx, SEND_AGAIN, params![key.as_str(), fence.0, now.as_micros()])?;
    header.sends += 1;
    let batch = remainder(tx, &header)?;
    charge(tx, &header, now, batch.asks.len())?;
    tally(tx, &header.account, header.action, ".resent", now)?;
    Ok(batch)
}
