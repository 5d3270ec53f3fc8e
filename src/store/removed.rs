//! What was seen removed of what never changes under its name: if it returns, somebody may still
//! hold what it was before, or that it was gone.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::{Transaction, params};

use super::{Store, StoreError, statements as sql};
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::time::Timestamp;

/// How long a removal is remembered: longer than the year that such files are cached for.
const KEPT: Duration = Duration::from_secs(400 * 86_400);
/// How many removals are remembered of an origin, the newest.
const MOST: i64 = 100_000;

/// What a record adds to this memory and takes from it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Removals {
    /// What was removed now.
    pub seen: Vec<RelPath>,
    /// What returned, and is being refreshed.
    pub over: Vec<RelPath>,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Returns those of the paths that were seen removed and have not returned since.
    pub async fn seen_removed(
        &self,
        origin: &OriginName,
        paths: Vec<RelPath>,
    ) -> Result<HashSet<RelPath>, StoreError> {
        let origin = origin.clone();
        self.database
            .call("store.seen_removed", move |tx| {
                let mut statement = tx.prepare_cached(sql::SEEN_REMOVED)?;
                let mut seen = HashSet::new();
                for path in paths {
                    if statement.exists(params![origin.as_str(), path.as_bytes()])? {
                        seen.insert(path);
                    }
                }
                Ok(seen)
            })
            .await
    }
}

/// Writes down what was removed and what returned, and forgets what is old or too much.
pub(super) fn write(
    tx: &Transaction<'_>,
    origin: &OriginName,
    removals: &Removals,
) -> Result<(), StoreError> {
    let origin = origin.as_str();
    for path in &removals.over {
        tx.prepare_cached(sql::RETURNED)?.execute(params![origin, path.as_bytes()])?;
    }
    let at = removals.at.as_micros();
    for path in &removals.seen {
        tx.prepare_cached(sql::REMOVED)?.execute(params![origin, path.as_bytes(), at])?;
    }
    if !removals.seen.is_empty() {
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        tx.prepare_cached(sql::FORGET_REMOVED)?
            .execute(params![origin, at.saturating_sub(kept)])?;
        tx.prepare_cached(sql::BOUND_REMOVED)?.execute(params![origin, MOST])?;
    }
    Ok(())
}
