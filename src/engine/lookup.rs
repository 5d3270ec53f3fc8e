//! Looking up a batch whose answer never came (rule 4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cdn::wire::row_type;
use crate::cdn::{Cdn, TaskQuery};
use crate::domain::ask::Target;
use crate::domain::task::{TaskId, TaskRow};
use crate::domain::time::Timestamp;
use crate::domain::url::listed_target;
use crate::domain::verdict::Failure;
use crate::journal::Doubt;

/// The CDN keeps tasks for three days (API reference 1.7); a minute is left for its clock.
const HISTORY: Duration = Duration::from_secs(3 * 86_400 - 60);

/// Returns the asks of a batch in doubt that the CDN lists, with their task ids.
///
/// Only rows made in a whole second after the staging count: an older one is somebody else's.
pub async fn look_up(
    cdn: &dyn Cdn,
    doubt: &Doubt,
    now: Timestamp,
) -> Result<Vec<(Target, TaskId)>, Failure> {
    let batch = &doubt.batch;
    if !batch.can_be_adopted() {
        return Ok(Vec::new());
    }
    let hosts: BTreeSet<&str> = batch.asks.iter().map(|ask| ask.target.host()).collect();
    let mut found = BTreeMap::new();
    for host in hosts {
        let mut query = TaskQuery {
            action: batch.action,
            kind: batch.kind,
            domain: host.to_owned(),
            from: doubt.staged_at.max(now.minus(HISTORY)),
            to: now.plus(Duration::from_secs(60)),
            page: 1,
        };
        let mut seen = 0;
        loop {
            let page = cdn.tasks(&query).await?;
            seen += page.rows.len() as u64;
            for row in &page.rows {
                if let Some(target) = ours(doubt, row) {
                    found.entry(target).or_insert_with(|| row.task.clone());
                }
            }
            if page.rows.is_empty() || seen >= page.total {
                break;
            }
            query.page += 1;
        }
    }
    Ok(found.into_iter().collect())
}

fn ours(doubt: &Doubt, row: &TaskRow) -> Option<Target> {
    let batch = &doubt.batch;
    let kind = row_type(batch.action, batch.kind);
    let after = row.object_type.eq_ignore_ascii_case(kind)
        && row
            .created_at
            .is_some_and(|created| created >= doubt.staged_at);
    let asks = batch.asks.iter().map(|ask| &ask.target);
    let listed = after.then(|| listed_target(batch.kind, &row.object_path))?;
    asks.into_iter().find(|target| **target == listed).cloned()
}
