//! Before the call: batch, asks and debit in one transaction.

use std::collections::BTreeSet;

use rusqlite::{Transaction, params};

use super::batches::{Header, holds_lead, remainder, turn};
use super::debit::charge;
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
SELECT i.priority, i.id, c.payload ->> '$.origin'
FROM intent AS i JOIN cause AS c ON c.intent = i.id AND c.ordinal = i.causes
WHERE i.id = ?1 AND i.account = ?2 AND i.action = ?3 AND i.state = 'pending'
AND (i.wait IS NULL OR i.wait NOT IN ('hold', 'pause')) AND i.force <= ?4
AND NOT EXISTS (SELECT 1 FROM pause AS p WHERE p.account = i.account AND p.origin IN ('', i.origin))";

const KNOWN: &str = "-- journal.batch_known
SELECT 1 FROM batch WHERE key = ?1";

const WRITE: &str = "-- journal.write_batch
INSERT INTO batch (key, account, action, kind, force, quota, state, fence, staged_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'staged', ?7, ?8)";

const WRITE_ASK: &str = "-- journal.write_ask
INSERT INTO ask (batch, ordinal, kind, target, state, priority, origin)
VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6)";

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
    let Some(payers) = payers(tx, batch)? else {
        return Ok(Staged::Stale);
    };
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
    write(tx, batch, &payers, &header, fence)?;
    charge(tx, &header, now)?;
    Ok(Staged::Ready)
}

/// Who pays for an ask: priority, number and origin of the most pressing of its intents, and of these
/// the oldest.
type Payer = (u8, i64, Option<String>);

/// Returns who pays for each ask, if the batch is new and every intent in it is pending, free, named
/// once, and gets the force it needs: a url refresh drops copies by itself.
fn payers(tx: &Transaction<'_>, batch: &Batch) -> Result<Option<Vec<Payer>>, JournalError> {
    let known = first(tx, KNOWN, [batch.key.as_str()], |_| Ok(()))?;
    if known.is_some() || batch.asks.is_empty() {
        return Ok(None);
    }
    let drops = batch.force || batch.kind == Kind::Url;
    let (account, action) = (batch.account.as_str(), batch.action.as_str());
    let mut seen = BTreeSet::new();
    let mut payers = Vec::with_capacity(batch.asks.len());
    for ask in &batch.asks {
        let mut payer: Option<Payer> = None;
        for intent in &ask.intents {
            let row = params![intent.0, account, action, drops];
            let free = first(tx, CAN_GO, row, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let Some(free) = free.filter(|_| seen.insert(*intent)) else {
                return Ok(None);
            };
            payer = payer.into_iter().chain([free]).min();
        }
        let Some(payer) = payer else {
            return Ok(None);
        };
        payers.push(payer);
    }
    Ok(Some(payers))
}

fn write(
    tx: &Transaction<'_>,
    batch: &Batch,
    payers: &[Payer],
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
    for ((ordinal, ask), (priority, _, origin)) in (0_i64..).zip(&batch.asks).zip(payers) {
        let (kind, text) = (ask.target.kind.as_str(), ask.target.text.as_str());
        let origin = origin.as_deref().unwrap_or_default();
        run(tx, WRITE_ASK, params![key, ordinal, kind, text, priority, origin])?;
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
    charge(tx, &header, now)?;
    tally(tx, &header.account, header.action, ".resent", now)?;
    Ok(batch)
}
