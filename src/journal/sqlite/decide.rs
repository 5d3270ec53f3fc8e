//! What a person decides on: held intents.

use rusqlite::{Transaction, params};

use super::accept::free_twin;
use super::doubt::RELEASE_ALL;
use super::flight::{Flying, finish, merge};
use super::rows::{account, action, all, bounded, count, intent, intents, run, target};
use crate::domain::deploy::DeployId;
use crate::domain::intent::{IntentId, Outcome, is_wide_refresh};
use crate::domain::time::Timestamp;
use crate::journal::{Decision, HeldSet, JournalError, MAX_DECIDED, MAX_SAMPLE};

const HELD: &str = "-- journal.held_of_deploy
SELECT id, account, action, kind, target, attempt, overlapped FROM intent
WHERE wait = 'hold' AND deploy = ?1 AND id <= ?3 ORDER BY id LIMIT ?2";

/// Lets a pending intent be planned at the next turn.
pub(super) const FREE: &str = "-- journal.free
UPDATE intent SET wait = NULL, wait_why = NULL, wait_until = NULL, not_before = ?2 WHERE id = ?1";

const APPROVE: &str = "-- journal.approve
UPDATE intent SET approved = 1 WHERE id = ?1";

const SETS: &str = "-- journal.held_sets
SELECT deploy, count(*), max(id) FROM intent WHERE wait = 'hold' AND deploy IS NOT NULL
GROUP BY deploy ORDER BY deploy";

const OLDEST: &str = intents!(
    "journal.held_oldest",
    "WHERE i.wait = 'hold' AND i.deploy = ?1 ORDER BY i.id LIMIT ?2"
);

pub(super) fn decide(
    tx: &Transaction<'_>,
    (deploy, through): (&DeployId, Option<IntentId>),
    decision: Decision,
    who: &str,
    now: Timestamp,
) -> Result<u64, JournalError> {
    let through = through.map_or(i64::MAX, |intent| intent.0);
    let row = params![deploy.as_str(), bounded(MAX_DECIDED), through];
    let held = all(tx, HELD, row, |row| {
        Ok(Flying {
            id: row.get(0)?,
            account: account(row, 1)?,
            action: action(row, 2)?,
            target: target(row, 3)?,
            attempt: row.get(5)?,
            overlapped: row.get(6)?,
            pending: true,
        })
    })?;
    for intent in &held {
        match decision {
            Decision::Approve => free(tx, intent, now)?,
            Decision::Reject => finish(tx, intent, &Outcome::Rejected(format!("by {who}")), now)?,
        }
    }
    Ok(held.len() as u64)
}

/// Lets a held intent go out, or its free twin for it.
fn free(tx: &Transaction<'_>, intent: &Flying, now: Timestamp) -> Result<(), JournalError> {
    if is_wide_refresh(intent.action, intent.target.kind) {
        run(tx, RELEASE_ALL, params![intent.account.as_str(), now.as_micros()])?;
    }
    run(tx, APPROVE, [intent.id])?;
    let key = (
        intent.account.as_str(),
        intent.action.as_str(),
        intent.target.kind.as_str(),
        intent.target.text.as_str(),
    );
    match free_twin(tx, key)? {
        Some((twin, _)) => {
            merge(tx, intent.id, twin)?;
            finish(tx, intent, &Outcome::Superseded(IntentId(twin)), now)
        }
        None => run(tx, FREE, params![intent.id, now.as_micros()]).map(drop),
    }
}

pub(super) fn held(tx: &Transaction<'_>) -> Result<Vec<HeldSet>, JournalError> {
    let sets = all(tx, SETS, [], |row| {
        Ok((row.get::<_, String>(0)?, count(row, 1)?, IntentId(row.get(2)?)))
    })?;
    let mut held = Vec::with_capacity(sets.len());
    for (deploy, intents, through) in sets {
        let oldest = all(tx, OLDEST, params![deploy, bounded(MAX_SAMPLE)], intent)?;
        held.push(HeldSet::of(DeployId::from_text(deploy), intents, through, &oldest));
    }
    Ok(held)
}
