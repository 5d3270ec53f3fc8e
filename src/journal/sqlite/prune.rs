//! Forgetting what ended long ago; the sums stay.

use rusqlite::{Transaction, params};

use super::rows::run;
use crate::domain::quota::forecast::HISTORY_DAYS;
use crate::domain::time::{Day, Timestamp};
use crate::journal::{JournalError, KEPT_DAYS};

/// Intents that one call forgets at most.
const AT_MOST: i64 = 1_000;

const INTENTS: &str = "-- journal.prune_intents
DELETE FROM intent WHERE id IN
(SELECT id FROM intent WHERE state = 'ended' AND ended_at < ?1 ORDER BY ended_at, id LIMIT ?2)";

macro_rules! prunable {
    () => {
        "batch.settled_at IS NOT NULL AND batch.settled_at < ?1
AND batch.state IN ('accepted', 'refused')
AND NOT EXISTS (SELECT 1 FROM job WHERE job.batch = batch.key AND job.ended_at IS NULL)"
    };
}

/// A day's line may be kept longer than some of its batches: it must still add up.
const FOLD: &str = concat!(
    "-- journal.fold_debits
UPDATE ledger SET corrected = corrected + gone.amount
FROM (SELECT batch.account, batch.quota, debit.day, sum(debit.amount) AS amount
FROM debit JOIN batch ON batch.key = debit.batch WHERE ",
    prunable!(),
    " GROUP BY batch.account, batch.quota, debit.day) AS gone
WHERE ledger.account = gone.account AND ledger.quota = gone.quota AND ledger.day = gone.day"
);

const BATCHES: &str = concat!(
    "-- journal.prune_batches
DELETE FROM batch WHERE ",
    prunable!()
);

const LEDGER: &str = "-- journal.prune_ledger
DELETE FROM ledger WHERE day < ?1 AND NOT EXISTS (SELECT 1 FROM debit JOIN batch
ON batch.key = debit.batch WHERE debit.day = ledger.day AND batch.account = ledger.account
AND batch.quota = ledger.quota)";

const SPENDING: &str = "-- journal.prune_spending
DELETE FROM spending WHERE day < ?1";

const ALARMS: &str = "-- journal.prune_alarms
DELETE FROM alarm WHERE day < ?1";

const DEPLOYS: &str = "-- journal.prune_deploys
DELETE FROM deploy WHERE closed_at IS NOT NULL AND closed_at < ?1";

pub(super) fn prune(tx: &Transaction<'_>, now: Timestamp) -> Result<u64, JournalError> {
    let day = Day::from_number(Day::of(now).number() - KEPT_DAYS);
    let before = day.start().as_micros();
    let gone = run(tx, INTENTS, params![before, AT_MOST])?;
    run(tx, FOLD, [before])?;
    run(tx, BATCHES, [before])?;
    run(tx, LEDGER, [day.number()])?;
    run(tx, SPENDING, [Day::of(now).number() - HISTORY_DAYS])?;
    run(tx, ALARMS, [Day::of(now).number()])?;
    run(tx, DEPLOYS, [before])?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}
