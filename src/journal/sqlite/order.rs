//! Stages: what of a deploy waits for the rest of it.

use rusqlite::{Transaction, params};

use super::rows::{all, first, maybe_time, run};
use crate::domain::deploy::DeployId;
use crate::domain::intent::Wish;
use crate::domain::names::AccountName;
use crate::domain::stage::{After, Order};
use crate::domain::time::Timestamp;
use crate::journal::JournalError;
use crate::journal::order::{patience, waiting};

pub(super) const STAGED: &str = "-- journal.staged_deploys
SELECT DISTINCT deploy, stage_complete FROM intent WHERE account = ?1 AND state = 'pending'
AND action = 'refresh' AND stage > 0 AND (wait IS NULL OR wait = 'stage') AND deploy IS NOT NULL";

const CLOSED_AT: &str = "-- journal.closed_at
SELECT closed_at FROM deploy WHERE id = ?1";

const LOWEST: &str = "-- journal.lowest_stage
SELECT min(i.stage) FROM deploy_intent AS d CROSS JOIN intent AS i ON i.id = d.intent
WHERE d.deploy = ?1 AND i.account = ?2 AND i.action = 'refresh' AND i.stage > 0
AND (i.state = 'submitting' OR (?3 AND i.state = 'submitted')
OR (i.state = 'pending' AND (i.wait IS NULL OR i.wait NOT IN ('quota', 'hold', 'pause'))))";

const RELEASE: &str = "-- journal.release_stage
UPDATE intent SET wait = NULL, wait_why = NULL, wait_until = NULL, not_before = min(not_before, ?5)
WHERE deploy = ?1 AND account = ?2 AND stage_complete = ?3 AND state = 'pending' AND wait = 'stage'
AND action = 'refresh' AND stage > 0 AND (?4 IS NULL OR stage <= ?4)";

const KEEP_APART: &str = "-- journal.keep_apart
UPDATE intent SET wait = 'stage', wait_why = ?5, wait_until = ?6, not_before = ?6
WHERE deploy = ?1 AND account = ?2 AND stage_complete = ?3 AND state = 'pending' AND wait IS NULL
AND action = 'refresh' AND stage = ?4";

const ANY_ORDER: &str = "-- journal.any_order
UPDATE intent SET stage = 0, not_before = CASE wait WHEN 'stage' THEN ?2 ELSE not_before END,
wait_why = CASE wait WHEN 'stage' THEN NULL ELSE wait_why END,
wait_until = CASE wait WHEN 'stage' THEN NULL ELSE wait_until END,
wait = CASE wait WHEN 'stage' THEN NULL ELSE wait END WHERE id = ?1";

const MOVE: &str = "-- journal.move_stage
UPDATE intent SET deploy = ?2, stage = ?3, stage_complete = ?4 WHERE id = ?1 AND wait = 'stage'";

/// Keeps the stages of closed deploys apart, and lets those go that nothing holds back any more.
pub(super) fn keep_order(
    tx: &Transaction<'_>,
    account: &AccountName,
    now: Timestamp,
) -> Result<(), JournalError> {
    let name = account.as_str();
    let staged = all(tx, STAGED, [name], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    for (deploy, complete) in staged {
        let lowest: Option<u8> =
            first(tx, LOWEST, params![deploy, name, complete], |row| Ok(row.get(0)?))?.flatten();
        let row = params![deploy, name, complete, lowest, now.as_micros()];
        run(tx, RELEASE, row)?;
        let closed_at = first(tx, CLOSED_AT, [&deploy], |row| Ok(maybe_time(row, 0)?))?.flatten();
        let after = if complete { After::Complete } else { After::Accepted };
        let until = closed_at.map(|closed_at| closed_at.plus(patience(after)));
        let (Some(lowest), Some(until)) = (lowest, until.filter(|until| *until > now)) else {
            continue;
        };
        for order in Order::ALL.into_iter().filter(|order| order.number() > lowest) {
            let why = waiting(order, &DeployId::from_text(deploy.clone()), until).why;
            let row = params![deploy, name, complete, order.number(), why, until.as_micros()];
            run(tx, KEEP_APART, row)?;
        }
    }
    Ok(())
}

/// Lets a wish that joins an intent say when that goes: one without an order frees it, any other takes
/// what waits for its stage into its own deploy.
pub(super) fn join(tx: &Transaction<'_>, intent: i64, wish: &Wish) -> Result<(), JournalError> {
    if wish.stage.order == Order::Any {
        run(tx, ANY_ORDER, params![intent, wish.not_before.as_micros()])?;
    } else if let Some(deploy) = &wish.cause.deploy {
        let complete = wish.stage.after == After::Complete;
        let row = params![intent, deploy.as_str(), wish.stage.order.number(), complete];
        run(tx, MOVE, row)?;
    }
    Ok(())
}
