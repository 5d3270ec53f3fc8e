//! Batches whose answer never came: looked up, sent again, or taken apart (rule 4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{BACKOFF_BASE, BACKOFF_CAP, Dispatch, explain};
use crate::cdn::wire::row_type;
use crate::cdn::{Cdn, TaskQuery};
use crate::domain::ask::Target;
use crate::domain::task::{Batch, TaskId, TaskRow};
use crate::domain::time::Timestamp;
use crate::domain::url::listed_target;
use crate::domain::verdict::{Failure, Verdict, judge};
use crate::engine::backoff::full_jitter;
use crate::journal::{Doubt, JournalError};

/// A batch that was sent this often, each time without an answer or a trace, is taken apart, so that
/// a target that the CDN chokes on can't hold up its kind for ever …
const SENDS: u32 = 2;
/// … and once alone, waits this long.
const ASIDE: Duration = Duration::from_secs(3600);
/// The CDN keeps tasks for three days (API reference 1.7); a minute is left for its clock.
const HISTORY: Duration = Duration::from_secs(3 * 86_400 - 60);

impl Dispatch {
    /// Looks a batch in doubt up (rule 4), or sends it again once two looks have found nothing.
    pub(super) async fn resolve(&mut self, doubt: Doubt) -> Result<(), JournalError> {
        let now = self.clock.server_now();
        if doubt.negatives >= 2 {
            let batch = self.journal.resend(&doubt.batch.key, self.fence, now).await?;
            if doubt.sends >= SENDS {
                return self.take_apart(&batch, doubt.sends, now).await;
            }
            tracing::warn!(batch.key = %batch.key, batch.asks = batch.asks.len(), "two looks found nothing of a batch in doubt; it is sent again");
            return self.call(batch).await;
        }
        let found = match look_up(self.cdn.as_ref(), &doubt, now).await {
            Ok(found) => found,
            Err(failure) => {
                // Not a negative look: nothing was learnt. Look when the CDN answers again; other
                // kinds go on.
                self.refusals = self.refusals.saturating_add(1);
                let wait =
                    full_jitter(BACKOFF_BASE, BACKOFF_CAP, self.refusals, self.clock.random());
                let now = self.clock.server_now();
                self.no_look_before = now.plus(wait.max(Duration::from_secs(1)));
                self.board.note(&explain(&failure));
                if matches!(judge(&failure), Verdict::Renew | Verdict::Operator) {
                    self.board.key_refused();
                }
                return Ok(());
            }
        };
        let now = self.clock.server_now();
        // After the second look without a find there is nothing left to wait for.
        let is_last = found.is_empty() && doubt.negatives >= 1;
        let look_at = if is_last { now } else { now.plus(self.account.doubt_gap) };
        let first_poll = now.plus(self.account.poll_first);
        self.journal.looked(&doubt.batch.key, self.fence, &found, look_at, first_poll, now).await?;
        self.board.wake_poll();
        tracing::info!(batch.key = %doubt.batch.key, found = found.len(), asks = doubt.batch.asks.len(), "looked up a batch in doubt");
        Ok(())
    }

    /// Gives up a batch that leaves no trace however often it is sent: its intents come back in
    /// smaller ones, behind what waits already.
    async fn take_apart(
        &mut self,
        batch: &Batch,
        sends: u32,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let why = format!("the CDN was asked {sends} times and neither answered nor lists it");
        tracing::warn!(batch.key = %batch.key, batch.asks = batch.asks.len(), "a batch is taken apart: {why}");
        let not_before = if batch.asks.len() > 1 { now } else { now.plus(ASIDE) };
        self.planned.clear();
        self.journal.refused(&batch.key, self.fence, &Verdict::Split, &why, not_before, now).await
    }
}

/// Returns the asks of a batch in doubt that the CDN lists, with their task ids.
///
/// Only rows made in a whole second after the staging count: an older one is somebody else's.
async fn look_up(
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
        && row.created_at.is_some_and(|created| created >= doubt.staged_at);
    let asks = batch.asks.iter().map(|ask| &ask.target);
    let listed = after.then(|| listed_target(batch.kind, &row.object_path))?;
    asks.into_iter().find(|target| **target == listed).cloned()
}
