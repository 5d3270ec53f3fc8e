//! Why intents are not done, counted by reason.

use rusqlite::{Transaction, params};

use super::rows::{action, all, bounded, count, maybe_time, target, to_json};
use crate::domain::deploy::DeployId;
use crate::journal::{JournalError, MAX_REASONED, Reason};

macro_rules! reasons {
    ($name:literal, $from:literal) => {
        concat!(
            "-- ",
            $name,
            "
SELECT g.action, g.stands, g.why, g.number, g.until, i.kind, i.target
FROM (
    SELECT action, coalesce(wait, outcome, state) AS stands,
    coalesce(CASE WHEN wait IS NULL THEN outcome_why ELSE wait_why END, '') AS why,
    count(*) AS number, min(id) AS oldest,
    CASE WHEN count(wait_until) = count(*) THEN min(wait_until) END AS until
    FROM ",
            $from,
            " GROUP BY action, stands, why
) AS g JOIN intent AS i ON i.id = g.oldest
ORDER BY g.stands <> 'failed', g.number DESC, g.oldest LIMIT ?1"
        )
    };
}

const OF_ALL: &str = reasons!(
    "journal.reasons",
    "(SELECT id, action, state, wait, wait_why, wait_until, outcome, outcome_why
    FROM intent INDEXED BY intent_attention
    WHERE (wait IS NOT NULL AND (wait <> 'hold' OR deploy IS NULL)) OR outcome = 'failed'
    ORDER BY id DESC LIMIT ?2)"
);

const OF_DEPLOYS: &str = reasons!(
    "journal.reasons_of_deploys",
    "intent WHERE id IN (SELECT intent FROM deploy_intent
    WHERE deploy IN (SELECT value FROM json_each(?3)) ORDER BY intent DESC LIMIT ?2)
    AND (state <> 'ended' OR outcome NOT IN ('done', 'superseded'))"
);

pub(super) fn reasons(
    tx: &Transaction<'_>,
    deploys: Option<&[DeployId]>,
    limit: usize,
) -> Result<Vec<Reason>, JournalError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Reason {
            action: action(row, 0)?,
            stands: row.get(1)?,
            why: row.get(2)?,
            number: count(row, 3)?,
            until: maybe_time(row, 4)?,
            target: target(row, 5)?,
        })
    };
    let (limit, most) = (bounded(limit), bounded(MAX_REASONED));
    match deploys {
        None => all(tx, OF_ALL, [limit, most], read),
        Some(deploys) => all(tx, OF_DEPLOYS, params![limit, most, to_json(&deploys)?], read),
    }
}
