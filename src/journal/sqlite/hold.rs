//! Holding what a deploy wished for.

use rusqlite::{Transaction, params};

use super::rows::{first, run};
use crate::domain::deploy::DeployId;
use crate::domain::intent::IntentId;
use crate::journal::JournalError;

const HOLD: &str = "-- journal.hold
UPDATE intent SET wait = 'hold', wait_why = ?2, wait_until = NULL
WHERE deploy = ?1 AND state = 'pending' AND (wait IS NULL OR wait <> 'hold') AND approved = 0";

const APPROVED: &str = "-- journal.is_approved
SELECT 1 FROM intent WHERE id = ?1 AND approved";

/// Returns whether a person asked for an intent or let it go.
pub(super) fn is_approved(tx: &Transaction<'_>, id: IntentId) -> Result<bool, JournalError> {
    Ok(first(tx, APPROVED, [id.0], |_| Ok(()))?.is_some())
}

pub(super) fn hold(
    tx: &Transaction<'_>,
    deploy: &DeployId,
    why: &str,
) -> Result<u64, JournalError> {
    Ok(run(tx, HOLD, params![deploy.as_str(), why])? as u64)
}
