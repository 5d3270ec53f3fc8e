//! What an answer comes to, and what the quota's answer does.

use std::time::Duration;

use super::{Dispatch, FIRST_LOOK, PRUNINGS, QUIET, QUOTA_EVERY};
use crate::cdn::Accepted;
use crate::domain::pace::Errand;
use crate::domain::task::Batch;
use crate::domain::time::{Day, Timestamp};
use crate::domain::verdict::{Failure, Scope, Verdict};
use crate::journal::JournalError;
use crate::telemetry::meters::Meter;

/// What a domain is closed for first when the CDN takes nothing for it until a person mends it.
const UNFIT: Duration = Duration::from_secs(600);
/// A refusal that nobody has heard of is tried once more after this long.
const STRANGE: Duration = Duration::from_secs(60);

/// What a call for a batch came to: accepted, or failed with this verdict.
pub(super) type Answer = Result<Accepted, (Failure, Verdict)>;

impl Dispatch {
    /// Learns from the answer to a batch, and writes it down.
    pub(super) async fn hear(
        &mut self,
        batch: Batch,
        answer: Result<Accepted, Failure>,
    ) -> Result<(), JournalError> {
        let errand = Errand::of(batch.action, batch.kind);
        let now = self.clock.server_now();
        let answer = match answer {
            Ok(accepted) => {
                self.board.answered(errand, now);
                self.lessons.accepted(&batch);
                self.board.pace().open_kind(batch.quota_kind());
                let hosts = batch.asks.iter().map(|ask| ask.target.host());
                for host in self.board.pace().open_hosts(hosts) {
                    tracing::info!(account = %self.account.name, host, "the CDN takes refreshes of the domain again");
                }
                Ok(accepted)
            }
            Err(failure) => {
                let verdict = self.learn(&batch, &failure, now);
                Err((failure, verdict))
            }
        };
        self.write(batch, answer).await
    }

    /// Decides what a failure means for this batch, and learns for the next ones.
    fn learn(&mut self, batch: &Batch, failure: &Failure, now: Timestamp) -> Verdict {
        self.planned.clear();
        let judged = self.account.verdicts.judge(failure);
        self.board.failed(
            Errand::of(batch.action, batch.kind),
            (failure, &judged),
            now,
            self.clock.random(),
        );
        let is_alone = batch.asks.len() == 1;
        let code = failure.code.as_deref().unwrap_or_default();
        let is_known = self.account.verdicts.know(code);
        let at_once = Verdict::Later { after: None, scope: Scope::Batch };
        match judged {
            Verdict::Split | Verdict::Smaller if is_alone && is_known => {
                self.lessons.refused(batch);
                Verdict::Never
            }
            Verdict::Split => {
                if !is_known && !is_alone && self.lessons.is_new(code) {
                    return Verdict::Later { after: Some(STRANGE), scope: Scope::Batch };
                }
                self.lessons.refused(batch);
                Verdict::Split
            }
            Verdict::Smaller => {
                let most = self.lessons.too_many(batch, now);
                tracing::warn!(account = %self.account.name, "the CDN takes no {} asks at once; today at most {most} go together", batch.asks.len());
                Verdict::Smaller
            }
            Verdict::Domain | Verdict::Later { scope: Scope::Domain, .. } => {
                if self.lessons.set_apart(batch) {
                    // Which of the domains it was shows when each is asked for alone.
                    return at_once;
                }
                let least = match judged {
                    Verdict::Later { after, .. } => after.unwrap_or(STRANGE),
                    _ => UNFIT,
                };
                self.close_hosts(batch, least, failure, now);
                judged
            }
            Verdict::NextDay => {
                let (kind, why) = (batch.quota_kind(), failure.to_string());
                self.board.pace().close_kind(kind, &why, now, self.clock.random());
                // What it says of the other kinds may be news, too.
                self.quota_at = now;
                judged
            }
            Verdict::Later { scope: Scope::Queue, .. } => {
                // A full queue and a spent day are told in the same words (API reference 2.2).
                self.quota_at = now;
                judged
            }
            _ => judged,
        }
    }

    fn close_hosts(&self, batch: &Batch, least: Duration, failure: &Failure, now: Timestamp) {
        let why = failure.to_string();
        let hosts = batch.asks.iter().map(|ask| ask.target.host());
        for host in hosts.collect::<std::collections::BTreeSet<_>>() {
            let random = self.clock.random();
            let (until, is_news) = self.board.pace().close_host(host, least, &why, now, random);
            if is_news {
                tracing::warn!(account = %self.account.name, host, %until, "the CDN takes no refreshes of the domain: {why}");
            }
        }
    }

    /// Writes an answer down; keeps it if the journal can't take it now.
    pub(super) async fn write(&mut self, batch: Batch, answer: Answer) -> Result<(), JournalError> {
        let result = match &answer {
            Ok(accepted) => self.write_accepted(&batch, accepted).await,
            Err((failure, verdict)) => self.write_failed(&batch, failure, verdict).await,
        };
        if result.is_err() {
            self.unwritten = Some((batch, answer));
        }
        result
    }

    async fn write_accepted(&self, batch: &Batch, accepted: &Accepted) -> Result<(), JournalError> {
        let now = self.clock.server_now();
        let first_poll = now.plus(self.account.poll_first);
        let (tasks, request_id) = (&accepted.tasks, &accepted.request_id);
        self.journal.accepted(&batch.key, self.fence, tasks, request_id, now, first_poll).await?;
        self.count(batch, "accepted");
        // Written down is written down, whether it can be measured or not.
        for (since, _) in self.journal.carried(&batch.key).await.unwrap_or_default() {
            self.board.meters().took(Meter::ToAccept, &[], now.since(since));
        }
        tracing::info!(
            batch = %batch.key,
            batch.asks = batch.asks.len(),
            batch.action = %batch.action,
            batch.kind = %batch.kind,
            batch.first = batch.asks.first().map_or("", |ask| ask.target.text.as_str()),
            tasks = tasks.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(","),
            request_id,
            "the CDN accepted a batch"
        );
        self.board.wake_poll();
        Ok(())
    }

    async fn write_failed(
        &self,
        batch: &Batch,
        failure: &Failure,
        verdict: &Verdict,
    ) -> Result<(), JournalError> {
        let (now, why) = (self.clock.server_now(), failure.to_string());
        if *verdict == Verdict::Unknown {
            let look_at = now.plus(FIRST_LOOK.min(self.account.doubt_gap));
            self.journal.doubted(&batch.key, self.fence, &why, look_at, now).await?;
            tracing::warn!(batch = %batch.key, request_id = failure.request_id, "a call's outcome is unknown and will be looked up: {why}");
            self.count(batch, "doubt");
            return Ok(());
        }
        let not_before = self.not_before(batch, verdict, now);
        self.journal.refused(&batch.key, self.fence, verdict, &why, not_before, now).await?;
        tracing::warn!(account = %self.account.name, batch = %batch.key, batch.asks = batch.asks.len(), request_id = failure.request_id, ?verdict, "the CDN refused a batch: {why}");
        self.count(batch, "refused");
        if *verdict != Verdict::Never {
            self.board.again(verdict.word(), batch.asks.len());
        }
        Ok(())
    }

    fn count(&self, batch: &Batch, result: &str) {
        let account = self.account.name.as_str();
        let of = [account, batch.action.as_str(), batch.kind.as_str(), result];
        self.board.meters().count(Meter::Batches, &of);
    }

    /// When intents of a refused batch may be planned again.
    fn not_before(&self, batch: &Batch, verdict: &Verdict, now: Timestamp) -> Timestamp {
        let pace = self.board.pace();
        let gate = || {
            let at = pace.gate(Errand::of(batch.action, batch.kind), now).at();
            at.or(pace.probe_at()).unwrap_or(now)
        };
        match verdict {
            Verdict::NextDay => Day::of(now).next().start().plus(Duration::from_secs(1)),
            // Nobody knows the code: it may pass.
            Verdict::Split if batch.asks.len() == 1 => now.plus(STRANGE),
            // The pace is shut until there is another key; then at once.
            Verdict::Renew | Verdict::Split | Verdict::Smaller | Verdict::Never => now,
            Verdict::Domain | Verdict::Later { scope: Scope::Domain, .. } => {
                let hosts = batch.asks.iter().map(|ask| ask.target.host());
                hosts
                    .filter_map(|host| pace.closed_host(host, now))
                    .map(|(at, _)| at)
                    .max()
                    .unwrap_or(now)
            }
            Verdict::Later { after, .. } => gate().max(now.plus(after.unwrap_or_default())),
            Verdict::Forbidden | Verdict::Operator | Verdict::Unknown => gate(),
        }
    }

    /// Reads what the CDN says is left (rule 4), and when to ask again.
    pub(super) async fn ask_quota(&mut self, now: Timestamp) -> Result<(), JournalError> {
        for _ in 0..PRUNINGS {
            if self.journal.prune(now).await? == 0 {
                break;
            }
        }
        // Not sooner: the CDN's count may turn a little after the day, and what it said of yesterday
        // would be taken for somebody's spending of today.
        let turn = Day::of(now).next().start().plus(QUIET);
        match self.cdn.quota().await {
            Ok(reported) => {
                let after = self.clock.server_now();
                self.board.answered(Errand::Quota, after);
                let reconciled = self
                    .journal
                    .quota_reported(&self.account.name, &reported, now, QUIET, after)
                    .await?;
                let replaced = reconciled.replaced;
                tracing::debug!(account = %self.account.name, replaced, "the CDN reported its quota");
                self.treasurer.reconciled(&reconciled, after).await?;
                // After a restless answer it is asked again when there may have been quiet.
                let again = if replaced { QUOTA_EVERY } else { 2 * QUIET };
                self.quota_at = after.plus(again).min(turn);
            }
            Err(failure) => {
                // The refusal may have set the clock right.
                let after = self.clock.server_now();
                let verdict = self.account.verdicts.judge(&failure);
                let random = self.clock.random();
                self.board.failed(Errand::Quota, (&failure, &verdict), after, random);
                tracing::debug!(account = %self.account.name, "the CDN's quota could not be read; going on with our own count: {failure}");
                self.quota_at = after.plus(Duration::from_secs(60)).min(turn);
            }
        }
        Ok(())
    }
}
