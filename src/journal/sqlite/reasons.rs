//! Why intents are not done, counted by reason.

use rusqlite::{Transaction, params};

use super::rows::{action, all, bounded, count, maybe_time, target, to_json};
use crate::domain::deploy::DeployId;
use crate::journal::{JournalError, Reason};

macro_rules! reasons {
    ($name:literal, $scope:literal) => {
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
    FROM intent WHERE ",
            $scope,
            " GROUP BY action, stands, why
) AS g JOIN intent AS i ON i.id = g.oldest
ORDER BY g.stands <> 'failed', g.number DESC, g.oldest LIMIT ?1"
        )
    };
}

const OF_ALL: &str = reasons!(
    "journal.reasons",
    "(wait IS NOT NULL AND (wait <> 'hold' OR deploy IS NULL)) OR outcome = 'failed'"
);

const OF_DEPLOYS: &str = reasons!(
    "journal.reasons_of_deploys",
    "id IN (SELECT intent FROM deploy_intent WHERE deploy IN (SELECT value FROM json_each(?2)))
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
    match deploys {
        None => all(tx, OF_ALL, [bounded(limit)], read),
        Some(deploys) => all(tx, OF_DEPLOYS, params![bounded(limit), to_json(&deploys)?], read),
    }
}
