//! The schema's history: each step once, in order, in a transaction of its own.

use rusqlite::{Connection, TransactionBehavior};

use super::DatabaseError;

/// The steps, oldest first; a released one is never edited.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001_first.sql")];

/// Brings the schema up to the last of `steps`, or refuses one that is newer.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), DatabaseError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let newer = DatabaseError::Newer { found: version, known };
    let Some(pending) = usize::try_from(version).ok().and_then(|done| steps.get(done..)) else {
        return Err(newer);
    };
    for (number, step) in (version + 1..).zip(pending) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
