//! What is due, and why the rest waits.

use std::collections::BTreeSet;

use rusqlite::{Transaction, params};

use super::flight::{by_id, pend};
use super::hold::is_approved;
use super::order::keep_order;
use super::pause::is_paused;
use super::rows::{action, all, bounded, first, intent, intents, maybe_time, target, word};
use crate::domain::ask::{Kind, Target};
use crate::domain::intent::{Action, IntentId, Priority, Wait, Waiting};
use crate::domain::names::AccountName;
use crate::domain::time::Timestamp;
use crate::journal::{Due, JournalError};

const DUE: &str = intents!(
    "journal.due",
    "WHERE i.account = ?1 AND i.state = 'pending'
    AND (i.wait IS NULL OR i.wait NOT IN ('hold', 'pause'))
    AND i.priority = ?3 AND i.not_before <= ?2
    AND NOT EXISTS (SELECT 1 FROM pause AS p WHERE p.account = i.account AND p.origin = i.origin)
    ORDER BY i.not_before, i.id LIMIT ?4"
);

const NEXT: &str = "-- journal.next_due
SELECT i.not_before FROM intent AS i WHERE i.account = ?1 AND i.state = 'pending'
AND (i.wait IS NULL OR i.wait NOT IN ('hold', 'pause')) AND i.priority = ?3 AND i.not_before > ?2
AND NOT EXISTS (SELECT 1 FROM pause AS p WHERE p.account = i.account AND p.origin = i.origin)
ORDER BY i.not_before LIMIT 1";

const WIDE_REFRESHES: &str = "-- journal.wide_refreshes
SELECT DISTINCT kind, target FROM intent WHERE account = ?1 AND action = 'refresh'
AND kind IN ('directory', 'regex', 'ignore_params') AND state <> 'ended'";

const SAME_REFRESH: &str = "-- journal.same_refresh
SELECT 1 FROM intent WHERE account = ?1 AND action = 'refresh' AND kind = 'url' AND target = ?2
AND state <> 'ended' LIMIT 1";

const IN_FLIGHT: &str = "-- journal.in_flight
SELECT DISTINCT action, kind FROM batch
WHERE account = ?1 AND state IN ('staged', 'unknown') ORDER BY action, kind";

pub(super) fn due(
    tx: &Transaction<'_>,
    account: &AccountName,
    now: Timestamp,
    limit: usize,
) -> Result<Due, JournalError> {
    keep_order(tx, account, now)?;
    let name = account.as_str();
    let at = now.as_micros();
    let mut intents = Vec::new();
    let mut next_at = None;
    let priorities = if is_paused(tx, name)? { &[][..] } else { &Priority::ALL };
    // Each by its own part of the index: a scan of all would pass over what is parked.
    for priority in priorities.iter().map(|priority| priority.rank()) {
        let left = bounded(limit.saturating_sub(intents.len()));
        intents.extend(all(tx, DUE, params![name, at, priority, left], intent)?);
        let next = first(tx, NEXT, params![name, at, priority], |row| Ok(maybe_time(row, 0)?))?;
        next_at = next_at.into_iter().chain(next.flatten()).min();
    }
    let mut open: BTreeSet<Target> = BTreeSet::new();
    let mut prefetches =
        intents.iter().filter(|intent| intent.action == Action::Prefetch).peekable();
    if prefetches.peek().is_some() {
        open.extend(all(tx, WIDE_REFRESHES, [name], |row| target(row, 0))?);
    }
    for prefetch in prefetches {
        let text = prefetch.target.text.as_str();
        if first(tx, SAME_REFRESH, [name, text], |_| Ok(()))?.is_some() {
            open.insert(Target::new(Kind::Url, text));
        }
    }
    Ok(Due {
        intents,
        open_refreshes: open.into_iter().collect(),
        in_flight: all(tx, IN_FLIGHT, [name], |row| {
            Ok((action(row, 0)?, word(&row.get::<_, String>(1)?, Kind::parse)?))
        })?,
        next_at,
    })
}

pub(super) fn park(
    tx: &Transaction<'_>,
    parked: &[(IntentId, Waiting)],
    now: Timestamp,
) -> Result<(), JournalError> {
    for (id, waiting) in parked {
        if let Some(intent) = by_id(tx, *id)?
            && intent.pending
            && !(waiting.wait == Wait::Hold && is_approved(tx, *id)?)
        {
            pend(tx, &intent, intent.attempt, waiting, now)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::order::STAGED;
    use super::*;
    use crate::database::{Database, DatabaseError};

    #[tokio::test]
    async fn what_is_due_is_found_by_index_and_in_order() {
        let database = Database::in_memory().expect("opens");
        for (sql, index) in [
            (DUE, "intent_due"),
            (NEXT, "intent_due"),
            (WIDE_REFRESHES, "intent_open"),
            (SAME_REFRESH, "intent_open"),
            (STAGED, "intent_staged"),
        ] {
            let steps = database
                .call("test", move |tx| {
                    let mut explained = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    let count = explained.parameter_count();
                    let nulls = vec![None::<i64>; count];
                    let rows = explained
                        .query_map(rusqlite::params_from_iter(nulls), |row| row.get(3))?
                        .collect::<Result<Vec<String>, _>>()?;
                    Ok::<_, DatabaseError>(rows.join("; "))
                })
                .await
                .expect("explains");
            assert!(steps.contains(index), "{steps}");
            assert!(!steps.contains("TEMP B-TREE FOR ORDER"), "{steps}");
        }
    }
}
