//! Batches whose answer never came: looked up, sent again, or taken apart (rule 4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Dispatch;
use crate::cdn::wire::row_type;
use crate::cdn::{Cdn, TaskQuery};
use crate::domain::ask::Target;
use crate::domain::pace::{Errand, Gate, Pace};
use crate::domain::task::{Batch, TaskId, TaskRow};
use crate::domain::time::{Day, Timestamp};
use crate::domain::url::listed_target;
use crate::domain::verdict::{Failure, Scope, Verdict};
use crate::journal::{Doubt, JournalError};

/// A batch that was sent this often, each time without an answer or a trace, is taken apart, so that
/// a target that the CDN chokes on can't hold up its kind for ever …
const SENDS: u32 = 2;
/// … and once alone, waits this long.
const ASIDE: Duration = Duration::from_secs(3600);
/// The CDN keeps tasks for three days (API reference 1.7); a minute is left for its clock.
const HISTORY: Duration = Duration::from_secs(3 * 86_400 - 60);

impl Dispatch {
    /// Returns whether the next step about a batch in doubt may be taken: a look, or a second call.
    pub(super) fn doubt_gate(&self, doubt: &Doubt, now: Timestamp) -> Gate {
        let pace = self.board.pace();
        if doubt.negatives >= 2 {
            return pace.gate(Errand::of(doubt.batch.action, doubt.batch.kind), now);
        }
        if is_blind(doubt, &pace, now) { Gate::Open } else { pace.gate(Errand::Tasks, now) }
    }

    /// Looks a batch in doubt up (rule 4), or sends it again once two looks have found nothing.
    pub(super) async fn resolve(&mut self, doubt: Doubt) -> Result<(), JournalError> {
        let now = self.clock.server_now();
        if doubt.negatives >= 2 {
            let batch = self.journal.resend(&doubt.batch.key, self.fence, now).await?;
            if doubt.sends >= SENDS {
                let why = format!(
                    "the CDN was asked {} times and neither answered nor lists it",
                    doubt.sends
                );
                return self.take_apart(&batch, &Verdict::Split, &why, now).await;
            }
            if Day::of(doubt.staged_at) != Day::of(now) {
                // It was paid for on a day that is over: what today has left is for a plan to say.
                let again = Verdict::Later { after: None, scope: Scope::Batch };
                let why = "the CDN neither answered nor lists it, and the day has turned";
                return self.take_apart(&batch, &again, why, now).await;
            }
            tracing::warn!(batch = %batch.key, batch.asks = batch.asks.len(), "two looks found nothing of a batch in doubt; it is sent again");
            self.board.again("doubt", batch.asks.len());
            return self.call(batch).await;
        }
        let is_blind = is_blind(&doubt, &self.board.pace(), now);
        let found =
            if is_blind { Ok(Vec::new()) } else { look_up(self.cdn.as_ref(), &doubt, now).await };
        let now = self.clock.server_now();
        let found = match found {
            Ok(found) => {
                if !is_blind {
                    self.board.answered(Errand::Tasks, now);
                }
                found
            }
            Err(failure) => {
                let verdict = self.account.verdicts.judge(&failure);
                let random = self.clock.random();
                self.board.failed(Errand::Tasks, (&failure, &verdict), now, random);
                if verdict.may_pass() {
                    // Not a look: nothing was learnt. Look when the CDN answers again; other kinds go on.
                    tracing::debug!(batch = %doubt.batch.key, "a look at a batch in doubt failed: {failure}");
                    return Ok(());
                }
                tracing::warn!(batch = %doubt.batch.key, batch.asks = doubt.batch.asks.len(), "a batch in doubt can't be looked up, so it may be asked for twice: {failure}");
                Vec::new()
            }
        };
        // After the second look without a find there is nothing left to wait for.
        let is_last = found.is_empty() && doubt.negatives >= 1;
        let look_at = if is_last { now } else { now.plus(self.account.doubt_gap) };
        let first_poll = now.plus(self.account.poll_first);
        self.journal.looked(&doubt.batch.key, self.fence, &found, look_at, first_poll, now).await?;
        self.board.wake_poll();
        tracing::info!(batch = %doubt.batch.key, found = found.len(), asks = doubt.batch.asks.len(), "looked up a batch in doubt");
        Ok(())
    }

    /// Gives up a batch that leaves no trace: its intents come back, in smaller ones after a split,
    /// behind what waits already.
    async fn take_apart(
        &mut self,
        batch: &Batch,
        verdict: &Verdict,
        why: &str,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        tracing::warn!(batch = %batch.key, batch.asks = batch.asks.len(), "a batch is taken apart: {why}");
        let is_alone = batch.asks.len() == 1 && *verdict == Verdict::Split;
        let not_before = if is_alone { now.plus(ASIDE) } else { now };
        self.planned.clear();
        self.journal.refused(&batch.key, self.fence, verdict, why, not_before, now).await
    }
}

/// Returns whether a look could not tell anything: such batches are never listed, or listing is not
/// allowed and it is not time yet to try again.
fn is_blind(doubt: &Doubt, pace: &Pace, now: Timestamp) -> bool {
    !doubt.batch.can_be_adopted() || pace.is_closed(Errand::Tasks, now)
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
    let hosts: BTreeSet<&str> = batch.asks.iter().map(|ask| ask.target.host()).collect();
    let mut found = BTreeMap::new();
    for host in hosts {
        let mut query = TaskQuery::of_domain(
            (batch.action, batch.kind),
            host,
            doubt.staged_at.max(now.minus(HISTORY)),
            now.plus(Duration::from_secs(60)),
        );
        query.page = 1;
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
