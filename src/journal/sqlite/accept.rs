//! Taking wishes in: the door of the journal.

use rusqlite::{Transaction, params};

use super::deploys::{self, caused};
use super::doubt::RELEASE_ALL;
use super::hold::hold;
use super::order;
use super::rows::{first, run, to_json};
use crate::domain::deploy::DeployId;
use crate::domain::intent::{Cause, Outgoing, Wait, Wish};
use crate::domain::names::{NodeId, OriginName};
use crate::domain::stage::After;
use crate::domain::time::Timestamp;
use crate::journal::{AcceptedWishes, JournalError, MAX_CAUSES};

const THROUGH: &str = "-- journal.through
SELECT through FROM accepted WHERE node = ?1";

const SET_THROUGH: &str = "-- journal.set_through
INSERT INTO accepted (node, through) VALUES (?1, ?2)
ON CONFLICT DO UPDATE SET through = excluded.through";

const FREE_TWIN: &str = "-- journal.free_twin
SELECT id, causes FROM intent
WHERE account = ?1 AND action = ?2 AND kind = ?3 AND target = ?4
AND state = 'pending' AND (wait IS NULL OR wait <> 'hold')";

const JOIN: &str = "-- journal.join
UPDATE intent SET force = force OR ?2, causes = causes + 1, priority = min(priority, ?4),
approved = approved OR ?5, origin = CASE WHEN ?5 THEN ?6 ELSE origin END,
not_before = CASE WHEN wait IS NULL THEN min(not_before, ?3) ELSE not_before END WHERE id = ?1";

/// What waits for quota and presses more than it did may go by what is kept for its like.
const PRESS: &str = "-- journal.press
UPDATE intent SET not_before = min(not_before, ?3), wait_until = min(not_before, ?3)
WHERE id = ?1 AND wait = 'quota' AND priority > ?2";

const CREATE: &str = "-- journal.create
INSERT INTO intent
(account, action, kind, target, force, created_at, deploy, origin, approved, causes, state,
not_before, wait, wait_why, priority, stage, stage_complete)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, 'pending', ?10, ?11, ?12, ?13, ?14, ?15)";

const HELD_TWIN: &str = "-- journal.held_twin
SELECT id FROM intent WHERE account = ?1 AND action = ?2 AND kind = ?3 AND target = ?4
AND state <> 'ended' AND wait = 'hold' AND deploy IS ?5 ORDER BY id LIMIT 1";

const ADD_FORCE: &str = "-- journal.add_force
UPDATE intent SET force = force OR ?2, priority = min(priority, ?3) WHERE id = ?1";

const ADD_CAUSE: &str = "-- journal.add_cause
INSERT INTO cause (intent, ordinal, payload) VALUES (?1, ?2, ?3)";

const DROP_CAUSES: &str = "-- journal.drop_causes
DELETE FROM cause WHERE intent = ?1 AND ordinal <= ?2";

pub(super) fn accept(
    tx: &Transaction<'_>,
    node: &NodeId,
    items: &[(u64, Outgoing)],
    now: Timestamp,
) -> Result<AcceptedWishes, JournalError> {
    let through = first(tx, THROUGH, [node.as_str()], |row| Ok(row.get::<_, i64>(0)?))?;
    let mut result = AcceptedWishes {
        through: through.unwrap_or(0).cast_unsigned(),
        ..AcceptedWishes::default()
    };
    for (sequence, item) in items {
        if *sequence <= result.through {
            continue;
        }
        result.through = *sequence;
        if let Outgoing::Wish(wish) = item
            && wish.hold.is_none()
            && wish.is_wide_refresh()
        {
            run(tx, RELEASE_ALL, params![wish.account.as_str(), now.as_micros()])?;
        }
        match item {
            Outgoing::Wish(wish) if enter(tx, wish, now)? => result.created += 1,
            Outgoing::Wish(_) => result.absorbed += 1,
            Outgoing::Deploy(deploy) => deploys::take(tx, deploy, now)?,
            Outgoing::Hold { deploy, why } => hold(tx, deploy, why).map(drop)?,
        }
    }
    let through = result.through.cast_signed();
    run(tx, SET_THROUGH, params![node.as_str(), through])?;
    Ok(result)
}

/// Returns the number of the free pending intent of a target, and how many causes it has.
pub(super) fn free_twin(
    tx: &Transaction<'_>,
    (account, action, kind, target): (&str, &str, &str, &str),
) -> Result<Option<(i64, u32)>, JournalError> {
    first(tx, FREE_TWIN, [account, action, kind, target], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Lets a wish join the free pending intent of its target, or makes it an intent: then returns true.
/// A wish to be held that its deploy's held intent stands for makes none.
pub(super) fn enter(
    tx: &Transaction<'_>,
    wish: &Wish,
    now: Timestamp,
) -> Result<bool, JournalError> {
    let key = (
        wish.account.as_str(),
        wish.action.as_str(),
        wish.target.kind.as_str(),
        wish.target.text.as_str(),
    );
    let (not_before, rank) = (wish.not_before.as_micros(), wish.priority.rank());
    let (origin, approved) =
        (wish.cause.origin.as_ref().map(OriginName::as_str), wish.is_approved());
    if let Some((id, causes)) = free_twin(tx, key)? {
        run(tx, PRESS, params![id, rank, not_before])?;
        run(tx, JOIN, params![id, wish.force, not_before, rank, approved, origin])?;
        order::join(tx, id, wish)?;
        add_cause(tx, id, causes + 1, &wish.cause)?;
        caused(tx, wish.cause.deploy.as_ref(), id)?;
        return Ok(false);
    }
    let deploy = wish.cause.deploy.as_ref().map(DeployId::as_str);
    if wish.hold.is_some() {
        let row = params![key.0, key.1, key.2, key.3, deploy];
        if let Some(held) = first(tx, HELD_TWIN, row, |row| Ok(row.get::<_, i64>(0)?))? {
            run(tx, ADD_FORCE, params![held, wish.force, rank])?;
            return Ok(false);
        }
    }
    let wait = wish.hold.as_ref().map(|_| Wait::Hold.as_str());
    let (account, action, kind, target) = key;
    let at = now.as_micros();
    let (force, why) = (wish.force, &wish.hold);
    let (stage, complete) = (wish.stage.order.number(), wish.stage.after == After::Complete);
    #[rustfmt::skip]
    let row = params![
        account, action, kind, target, force, at, deploy, origin, approved, not_before, wait, why,
        rank, stage, complete,
    ];
    run(tx, CREATE, row)?;
    let id = tx.last_insert_rowid();
    add_cause(tx, id, 1, &wish.cause)?;
    caused(tx, wish.cause.deploy.as_ref(), id)?;
    Ok(true)
}

/// Writes cause number `ordinal` of an intent down, and lets the one go that is too old now.
pub(super) fn add_cause(
    tx: &Transaction<'_>,
    intent: i64,
    ordinal: u32,
    cause: &Cause,
) -> Result<(), JournalError> {
    run(tx, ADD_CAUSE, params![intent, ordinal, to_json(cause)?])?;
    if ordinal > MAX_CAUSES {
        run(tx, DROP_CAUSES, params![intent, ordinal - MAX_CAUSES])?;
    }
    Ok(())
}
