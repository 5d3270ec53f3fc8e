//! Intents that leave flight: done, failed, pending again, or superseded.

use rusqlite::{Row, Transaction, params};

use super::accept::{enter, free_twin};
use super::deploys::stand_for;
use super::rows::{account, action, all, first, run, target};
use crate::domain::ask::{Kind, Target};
use crate::domain::hint::Witness;
use crate::domain::intent::{Action, Cause, IntentId, Outcome, Priority, Wait, Waiting, Wish};
use crate::domain::names::AccountName;
use crate::domain::time::{Day, Timestamp};
use crate::journal::fate::Fate;
use crate::journal::{JournalError, MAX_CAUSES};

const OF_ASK: &str = "-- journal.intents_of_ask
SELECT i.id, i.account, i.action, i.kind, i.target, i.attempt, i.overlapped, i.state = 'pending'
FROM ask_intent AS a JOIN intent AS i ON i.id = a.intent
WHERE a.batch = ?1 AND a.ordinal = ?2 ORDER BY i.id";

const BY_ID: &str = "-- journal.intent_by_id
SELECT id, account, action, kind, target, attempt, overlapped, state = 'pending'
FROM intent WHERE id = ?1";

const PENDING: &str = "-- journal.pending
UPDATE intent SET state = 'pending', overlapped = 0, attempt = ?2, wait = ?3, wait_why = ?4,
wait_until = ?5, not_before = coalesce(?5, not_before) WHERE id = ?1";

const END: &str = "-- journal.end
UPDATE intent SET state = 'ended', overlapped = 0, wait = NULL, wait_why = NULL,
wait_until = NULL, ended_at = ?2, outcome = ?3, outcome_why = ?4, superseded_by = ?5 WHERE id = ?1";

const TALLY: &str = "-- journal.tally
INSERT INTO tally (day, account, action, outcome, number) VALUES (?1, ?2, ?3, ?4, 1)
ON CONFLICT DO UPDATE SET number = number + 1";

const CAUSES: &str = "-- journal.causes
SELECT payload FROM cause WHERE intent = ?1 ORDER BY ordinal";

const CAUSE_COUNTS: &str = "-- journal.cause_counts
SELECT a.causes + b.causes FROM intent AS a, intent AS b WHERE a.id = ?1 AND b.id = ?2";

const CLEAR_CAUSES: &str = "-- journal.clear_causes
DELETE FROM cause WHERE intent = ?1";

const PUT_CAUSE: &str = "-- journal.put_cause
INSERT INTO cause (intent, ordinal, payload) VALUES (?1, ?2, ?3)";

const TAKE_OVER: &str = "-- journal.take_over
UPDATE intent SET causes = ?3, force = intent.force OR taken.force,
priority = min(intent.priority, taken.priority), approved = intent.approved OR taken.approved
FROM (SELECT force, priority, approved FROM intent WHERE id = ?1) AS taken WHERE id = ?2";

const HELD_TWINS: &str = "-- journal.held_twins
SELECT id FROM intent WHERE account = ?1 AND action = ?2 AND kind = ?3 AND target = ?4
AND state <> 'ended' AND state = 'pending' AND wait = 'hold' AND id < ?5 AND force <= ?6";

const RUNNING_PREFETCHES: &str = "-- journal.running_prefetches
SELECT id, kind, target FROM intent WHERE account = ?1 AND action = 'prefetch'
AND state <> 'ended' AND state IN ('submitting', 'submitted') AND overlapped = 0";

const OVERLAP: &str = "-- journal.overlap
UPDATE intent SET overlapped = 1 WHERE id = ?1";

/// What must be known of an intent to move it.
#[derive(Clone, Debug)]
pub(super) struct Flying {
    pub(super) id: i64,
    pub(super) account: AccountName,
    pub(super) action: Action,
    pub(super) target: Target,
    pub(super) attempt: u32,
    pub(super) overlapped: bool,
    pub(super) pending: bool,
}

fn flying(row: &Row<'_>) -> Result<Flying, JournalError> {
    Ok(Flying {
        id: row.get(0)?,
        account: account(row, 1)?,
        action: action(row, 2)?,
        target: target(row, 3)?,
        attempt: row.get(5)?,
        overlapped: row.get(6)?,
        pending: row.get(7)?,
    })
}

/// Returns the intents that an ask carries.
pub(super) fn of_ask(
    tx: &Transaction<'_>,
    batch: &str,
    ordinal: i64,
) -> Result<Vec<Flying>, JournalError> {
    all(tx, OF_ASK, params![batch, ordinal], flying)
}

/// Returns an intent by its number.
pub(super) fn by_id(tx: &Transaction<'_>, id: IntentId) -> Result<Option<Flying>, JournalError> {
    first(tx, BY_ID, [id.0], flying)
}

/// Lets an intent meet its fate.
pub(super) fn settle(
    tx: &Transaction<'_>,
    intent: &Flying,
    fate: Fate,
    now: Timestamp,
) -> Result<(), JournalError> {
    match fate {
        Fate::Failed(why) => end(tx, intent, &Outcome::Failed(why), now),
        Fate::Again { attempt, waiting } => {
            pend(tx, intent, attempt, &waiting, now)?;
            refresh_after(tx, intent, now)
        }
    }
}

/// Makes an intent pending with a wait, or lets its free twin stand for it.
pub(super) fn pend(
    tx: &Transaction<'_>,
    intent: &Flying,
    attempt: u32,
    waiting: &Waiting,
    now: Timestamp,
) -> Result<(), JournalError> {
    let free = waiting.wait != Wait::Hold;
    let key = (
        intent.account.as_str(),
        intent.action.as_str(),
        intent.target.kind.as_str(),
        intent.target.text.as_str(),
    );
    match free_twin(tx, key)? {
        Some((twin, _)) if free && twin != intent.id => {
            merge(tx, intent.id, twin)?;
            finish(tx, intent, &Outcome::Superseded(IntentId(twin)), now)
        }
        _ => {
            let until = waiting.until.map(Timestamp::as_micros);
            let wait = waiting.wait.as_str();
            let row = params![intent.id, attempt, wait, waiting.why, until];
            run(tx, PENDING, row).map(drop)
        }
    }
}

/// Ends an intent, and refreshes after a prefetch that a refresh overlapped.
pub(super) fn end(
    tx: &Transaction<'_>,
    intent: &Flying,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<(), JournalError> {
    finish(tx, intent, outcome, now)?;
    refresh_after(tx, intent, now)
}

pub(super) fn finish(
    tx: &Transaction<'_>,
    intent: &Flying,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<(), JournalError> {
    let (word, why, by) = match outcome {
        Outcome::Done => ("done", None, None),
        Outcome::Failed(why) => ("failed", Some(why), None),
        Outcome::Superseded(by) => {
            stand_for(tx, intent.id, by.0)?;
            ("superseded", None, Some(by.0))
        }
        Outcome::Rejected(why) => ("rejected", Some(why), None),
        Outcome::Cancelled(why) => ("cancelled", Some(why), None),
    };
    run(tx, END, params![intent.id, now.as_micros(), word, why, by])?;
    tally(tx, &intent.account, intent.action, word, now)
}

/// Counts one more of `what` on the day of `now`.
pub(super) fn tally(
    tx: &Transaction<'_>,
    account: &AccountName,
    action: Action,
    what: &str,
    now: Timestamp,
) -> Result<(), JournalError> {
    let day = Day::of(now).number();
    let row = params![day, account.as_str(), action.as_str(), what];
    run(tx, TALLY, row).map(drop)
}

/// Gives the causes, the force and the approval of one intent to another, its twin.
pub(super) fn merge(tx: &Transaction<'_>, from: i64, into: i64) -> Result<(), JournalError> {
    let total: Option<i64> = first(tx, CAUSE_COUNTS, [from, into], |row| Ok(row.get(0)?))?;
    let total = total.unwrap_or(1);
    let read = |row: &Row<'_>| Ok(row.get::<_, String>(0)?);
    let mut causes = all(tx, CAUSES, [from], read)?;
    causes.extend(all(tx, CAUSES, [into], read)?);
    run(tx, CLEAR_CAUSES, [into])?;
    let kept = causes.iter().rev().take(MAX_CAUSES as usize);
    for (ordinal, cause) in (1..=total).rev().zip(kept) {
        run(tx, PUT_CAUSE, params![into, ordinal, cause])?;
    }
    run(tx, TAKE_OVER, [from, into, total]).map(drop)
}

/// Rule 9: the url of a prefetch that a refresh overlapped is refreshed again.
fn refresh_after(
    tx: &Transaction<'_>,
    intent: &Flying,
    now: Timestamp,
) -> Result<(), JournalError> {
    if !intent.overlapped {
        return Ok(());
    }
    enter(tx, &again(&intent.account, &intent.target, now), now)?;
    tally(tx, &intent.account, Action::Refresh, ".overlapped", now)
}

/// Returns the wish of rule 9.
fn again(account: &AccountName, target: &Target, now: Timestamp) -> Wish {
    Wish {
        account: account.clone(),
        action: Action::Refresh,
        target: target.clone(),
        force: false,
        priority: Priority::Normal,
        not_before: now,
        stage: crate::domain::stage::Stage::default(),
        hold: None,
        cause: Cause {
            witness: Witness::Schedule,
            at: now,
            origin: None,
            path: None,
            change: None,
            digest: None,
            deploy: None,
        },
    }
}

/// Lets an accepted intent supersede the held ones before it, unless they need a force that it has
/// not.
pub(super) fn supersede_held(
    tx: &Transaction<'_>,
    intent: &Flying,
    kind: Kind,
    force: bool,
    now: Timestamp,
) -> Result<(), JournalError> {
    let (account, action) = (intent.account.as_str(), intent.action.as_str());
    let (own_kind, text) = (intent.target.kind.as_str(), intent.target.text.as_str());
    let drops = force || kind == Kind::Url;
    let row = params![account, action, own_kind, text, intent.id, drops];
    for held in all(tx, HELD_TWINS, row, |row| Ok(row.get::<_, i64>(0)?))? {
        let held = Flying { id: held, overlapped: false, ..intent.clone() };
        let outcome = Outcome::Superseded(IntentId(intent.id));
        finish(tx, &held, &outcome, now)?;
    }
    Ok(())
}

/// Rule 9: marks prefetches that run while a refresh of their url is accepted.
pub(super) fn mark_overlapped(
    tx: &Transaction<'_>,
    account: &AccountName,
    refreshed: &[&Target],
) -> Result<(), JournalError> {
    let running = all(tx, RUNNING_PREFETCHES, [account.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, target(row, 1)?))
    })?;
    for (id, target) in running {
        if refreshed.iter().any(|wide| wide.may_reach(&target)) {
            run(tx, OVERLAP, [id])?;
        }
    }
    Ok(())
}
