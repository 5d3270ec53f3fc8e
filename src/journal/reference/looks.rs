//! Quota, looking and forgetting: the reference's verbs that move no intent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::memory::{Debit, Kept, Memory, Row};
use crate::domain::alarm::{Lag, Troubles};
use crate::domain::ask::Target;
use crate::domain::intent::{Action, Cause, Intent, IntentId, Outcome, Priority, State, Wait};
use crate::domain::names::AccountName;
use crate::domain::quota::forecast::{HISTORY_DAYS, History};
use crate::domain::quota::purse::{HOUR, MINUTE, Recent, Spending};
use crate::domain::quota::{Allowance, PerKind, QuotaKind, Reconciled, Reported};
use crate::domain::task::BatchKey;
use crate::domain::time::{Day, Timestamp};
use crate::journal::check::{BatchState, BatchView, LedgerView, Snapshot};
use crate::journal::{Attention, Counts, JournalError, KEPT_DAYS, MAX_CAUSES};

type Answer<T> = Result<T, JournalError>;

#[expect(
    clippy::unnecessary_wraps,
    reason = "verbs look alike, whether this journal can fail in them or not"
)]
impl Memory {
    pub(super) fn quota(
        &mut self,
        account: &AccountName,
        limits: &PerKind<u64>,
        now: Timestamp,
    ) -> Answer<PerKind<Allowance>> {
        Ok(PerKind::from_fn(|kind| {
            let said = self.limits.get(&(account.clone(), kind)).copied();
            Allowance {
                limit: limits[kind].min(said.unwrap_or(u64::MAX)),
                used: u64::try_from(self.used(account, Day::of(now), kind)).unwrap_or(0),
            }
        }))
    }

    pub(super) fn quota_reported(
        &mut self,
        account: &AccountName,
        reported: &PerKind<Option<Reported>>,
        asked_at: Timestamp,
        quiet: Duration,
        now: Timestamp,
    ) -> Answer<Reconciled> {
        let day = Day::of(now);
        if Day::of(asked_at) != day {
            return Ok(Reconciled::default());
        }
        let before = self.foreign(account, day);
        let restless = self.batches.values().any(|kept| {
            let since = asked_at.minus(quiet);
            let stirred = kept.is_live() || kept.settled_at.is_some_and(|at| at > since);
            kept.batch.account == *account && stirred
        });
        for (kind, answer) in reported.iter() {
            let Some(answer) = answer else { continue };
            self.limits.insert((account.clone(), kind), answer.quota);
            let spent = answer.quota.saturating_sub(answer.remain).cast_signed();
            let ours = self.used(account, day, kind);
            if !restless || spent > ours {
                let line = self.corrected.entry((account.clone(), day, kind));
                *line.or_default() += spent - ours;
            }
            if !restless && answer.remain > 0 {
                self.release(account, &[kind], now);
            }
        }
        let after = self.foreign(account, day);
        let grown = |kind| after[kind].saturating_sub(before[kind]);
        Ok(Reconciled { replaced: !restless, foreign: PerKind::from_fn(grown) })
    }

    /// What others spent of a day: what was corrected upwards.
    fn foreign(&self, account: &AccountName, day: Day) -> PerKind<u64> {
        PerKind::from_fn(|kind| {
            let corrected = self.corrected.get(&(account.clone(), day, kind));
            corrected.map_or(0, |amount| u64::try_from(*amount).unwrap_or(0))
        })
    }

    pub(super) fn spending(&mut self, account: &AccountName, now: Timestamp) -> Answer<Spending> {
        let day = Day::of(now);
        let mut spending = Spending { foreign: self.foreign(account, day), ..Spending::default() };
        let ours = || self.batches.values().filter(|kept| kept.batch.account == *account);
        for kept in ours() {
            for debit in kept.debits.iter().filter(|debit| debit.day == day) {
                if let Some(origin) = &debit.origin {
                    let spent = spending.origins.entry(origin.clone()).or_default();
                    spent[kept.batch.quota_kind()] += 1;
                }
            }
        }
        let mut recent: BTreeMap<(Timestamp, &str, QuotaKind, &str), u64> = BTreeMap::new();
        for kept in ours() {
            let kind = kept.batch.quota_kind();
            let window = match kind {
                QuotaKind::Url => MINUTE,
                QuotaKind::Directory | QuotaKind::Regex | QuotaKind::Tag => HOUR,
                QuotaKind::IgnoreParams | QuotaKind::Prefetch => continue,
            };
            if kept.staged_at > now.minus(window) {
                for debit in &kept.debits {
                    let key = (kept.staged_at, kept.batch.key.as_str(), kind, debit.host.as_str());
                    *recent.entry(key).or_default() += 1;
                }
            }
        }
        let recent = recent.into_iter().map(|((at, _, kind, host), amount)| Recent {
            at,
            kind,
            host: host.to_owned(),
            amount,
        });
        spending.recent = recent.collect();
        Ok(spending)
    }

    pub(super) fn past(&mut self, account: &AccountName, now: Timestamp) -> Answer<History> {
        let today = Day::of(now);
        let first = Day::from_number(today.number() - HISTORY_DAYS);
        let mut history = History::default();
        for kept in self.batches.values().filter(|kept| kept.batch.account == *account) {
            let known = |debit: &&Debit| (first..today).contains(&debit.day);
            for debit in kept.debits.iter().filter(known) {
                if debit.priority != Priority::Backfill {
                    history.add(debit.day, debit.hour, kept.batch.quota_kind(), 1);
                }
            }
        }
        Ok(history)
    }

    pub(super) fn alarm(
        &mut self,
        account: &AccountName,
        kind: QuotaKind,
        percent: u64,
        now: Timestamp,
    ) -> Answer<bool> {
        Ok(self.alarms.insert((account.clone(), Day::of(now), kind, percent)))
    }

    /// Lets what waits for these quotas be planned anew.
    pub(super) fn release(&mut self, account: &AccountName, kinds: &[QuotaKind], now: Timestamp) {
        let waits = |row: &&mut Row| {
            row.intent.account == *account
                && row.wait() == Some(Wait::Quota)
                && row.not_before > now
                && kinds.contains(&QuotaKind::of(row.intent.action, row.intent.target.kind))
        };
        for row in self.intents.iter_mut().filter(waits) {
            row.not_before = now;
            row.wait_until(now);
        }
    }

    pub(super) fn counts(&mut self) -> Answer<Counts> {
        let sum = |what| self.tally.get(what).copied().unwrap_or(0);
        let mut counts = Counts {
            done: sum("done"),
            failed: sum("failed"),
            superseded: sum("superseded"),
            rejected: sum("rejected"),
            cancelled: sum("cancelled"),
            resent: sum("resent"),
            overlapped: sum("overlapped"),
            ..Counts::default()
        };
        for row in &self.intents {
            match row.intent.state {
                State::Pending { .. } => counts.pending += 1,
                State::Submitting => counts.submitting += 1,
                State::Submitted => counts.submitted += 1,
                State::Ended { .. } => {}
            }
            if let Some(wait) = row.wait() {
                *counts.waiting.entry(wait.as_str()).or_default() += 1;
            }
        }
        let unknown = |kept: &&Kept| kept.state == BatchState::Unknown;
        counts.unknown = self.batches.values().filter(unknown).count() as u64;
        Ok(counts)
    }

    pub(super) fn oldest_open(&mut self) -> Answer<Option<Timestamp>> {
        let open = self.intents.iter().filter(|row| row.is_open());
        Ok(open.map(|row| row.intent.created_at).min())
    }

    pub(super) fn troubles(&mut self, now: Timestamp) -> Answer<Troubles> {
        let failed_today = |row: &&Row| {
            let ended = match &row.intent.state {
                State::Ended { at, outcome: Outcome::Failed(_) } => *at,
                _ => return false,
            };
            Day::of(ended) == Day::of(now)
        };
        let in_doubt = self.batches.values().filter(|kept| kept.state == BatchState::Unknown);
        let failed: Vec<&Row> = self.intents.iter().filter(failed_today).collect();
        let is_left = |row: &&&Row| {
            let is_later = |later: &&Row| {
                let (intent, now) = (&row.intent, &later.intent);
                now.id > intent.id && later.is(&intent.account, intent.action, &intent.target)
            };
            let came = |later: &Row| {
                later.is_open()
                    || matches!(&later.intent.state, State::Ended { outcome: Outcome::Done, .. })
            };
            !self.intents.iter().filter(is_later).any(came)
        };
        let could_go = |row: &&Row| {
            let is_pending = matches!(row.intent.state, State::Pending { .. });
            row.is_open()
                && row.intent.action == Action::Refresh
                && row.wait().is_none()
                && (!is_pending || row.not_before <= now && !self.is_paused(row))
        };
        let mut lags: BTreeMap<(AccountName, &str), Lag> = BTreeMap::new();
        for row in self.intents.iter().filter(could_go) {
            let (account, kind) = (row.intent.account.clone(), row.intent.target.kind);
            let mut since = row.intent.created_at;
            if matches!(row.intent.state, State::Pending { .. }) {
                since = since.max(row.not_before);
            }
            let quota = QuotaKind::of(Action::Refresh, kind);
            let new = Lag { account: account.clone(), kind: quota, since };
            let lag = lags.entry((account, kind.as_str())).or_insert(new);
            lag.since = lag.since.min(since);
        }
        Ok(Troubles {
            failed_today: failed.len() as u64,
            failed_left: failed.iter().filter(is_left).count() as u64,
            oldest_doubt: in_doubt.map(|kept| kept.staged_at).min(),
            lags: lags.into_values().collect(),
        })
    }

    pub(super) fn carried(
        &mut self,
        key: &BatchKey,
    ) -> Answer<Vec<(Timestamp, Option<Timestamp>)>> {
        let Some(kept) = self.batches.get(key) else {
            return Ok(Vec::new());
        };
        let carried: BTreeSet<IntentId> =
            kept.batch.asks.iter().flat_map(|ask| ask.intents.iter().copied()).collect();
        let of = self.intents.iter().filter(|row| carried.contains(&row.intent.id));
        let times = |row: &Row| {
            let causes = row.causes.iter().rev().take(MAX_CAUSES as usize);
            let since = causes.map(|cause| cause.at).min().unwrap_or(row.intent.created_at);
            let done = match &row.intent.state {
                State::Ended { at, outcome: Outcome::Done } => Some(*at),
                _ => None,
            };
            (since, done)
        };
        Ok(of.map(times).collect())
    }

    pub(super) fn attention(&mut self, limit: usize) -> Answer<Vec<Attention>> {
        let failed = |intent: &Intent| {
            matches!(&intent.state, State::Ended { outcome: Outcome::Failed(_), .. })
        };
        let newest = self.intents.iter().rev();
        let waits = |row: &Row| {
            let in_a_set = row.wait() == Some(Wait::Hold) && row.intent.deploy.is_some();
            row.wait().is_some() && !in_a_set
        };
        let shown = newest.filter(|row| waits(row) || failed(&row.intent));
        let shown = shown.take(limit).map(|row| row.intent.clone());
        Ok(shown.map(Attention::of).collect())
    }

    pub(super) fn history(
        &mut self,
        account: &AccountName,
        action: Action,
        target: &Target,
        limit: usize,
    ) -> Answer<Vec<(Intent, Vec<Cause>)>> {
        let newest = self.intents.iter().rev();
        let named = newest.filter(|row| row.is(account, action, target));
        Ok(named
            .take(limit)
            .map(|row| {
                let causes = row.causes.iter().rev().take(MAX_CAUSES as usize);
                (row.intent.clone(), causes.cloned().collect())
            })
            .collect())
    }

    pub(super) fn waiting(&mut self, wait: Wait) -> Answer<u64> {
        let waiting = self.intents.iter().filter(|row| row.wait() == Some(wait));
        Ok(waiting.count() as u64)
    }

    pub(super) fn prune(&mut self, now: Timestamp) -> Answer<u64> {
        let day = Day::from_number(Day::of(now).number() - KEPT_DAYS);
        let before = day.start();
        let ended = |row: &Row| match row.intent.state {
            State::Ended { at, .. } if at < before => Some((at, row.intent.id)),
            _ => None,
        };
        let mut old: Vec<_> = self.intents.iter().filter_map(ended).collect();
        old.sort();
        old.truncate(1_000);
        let gone: BTreeSet<IntentId> = old.iter().map(|(_, id)| *id).collect();
        self.intents.retain(|row| !gone.contains(&row.intent.id));
        for kept in self.batches.values_mut() {
            for ask in &mut kept.batch.asks {
                ask.intents.retain(|id| !gone.contains(id));
            }
        }
        let is_old = |kept: &Kept| {
            let old = kept.settled_at.is_some_and(|at| at < before);
            !kept.is_live() && !kept.has_job() && old
        };
        // A day's line may be kept longer than some of its batches: it must still add up.
        for kept in self.batches.values().filter(|kept| is_old(kept)) {
            let (account, kind) = (&kept.batch.account, kept.batch.quota_kind());
            for debit in &kept.debits {
                let line = self.corrected.entry((account.clone(), debit.day, kind));
                *line.or_default() += 1;
            }
        }
        self.batches.retain(|_, kept| !is_old(kept));
        self.caused.retain(|(_, intent)| !gone.contains(intent));
        self.deploys.retain(|_, deploy| deploy.closed_at.is_none_or(|at| at >= before));
        let charged: BTreeSet<(AccountName, Day, QuotaKind)> = self.debited();
        self.corrected.retain(|key, _| key.1 >= day || charged.contains(key));
        Ok(gone.len() as u64)
    }

    fn debited(&self) -> BTreeSet<(AccountName, Day, QuotaKind)> {
        let batches = self.batches.values();
        batches
            .flat_map(|kept| {
                let (account, kind) = (&kept.batch.account, kept.batch.quota_kind());
                let days = kept.debits.iter().map(|debit| debit.day);
                days.map(move |day| (account.clone(), day, kind))
            })
            .collect()
    }

    pub(super) fn snapshot(&mut self) -> Answer<Snapshot> {
        let view = |kept: &Kept| BatchView {
            key: kept.batch.key.clone(),
            account: kept.batch.account.clone(),
            quota: kept.batch.quota_kind(),
            state: kept.state,
            asks: (kept.batch.asks.iter().zip(&kept.asks))
                .map(|(ask, (state, _))| {
                    let mut intents = ask.intents.clone();
                    intents.sort();
                    (ask.target.clone(), *state, intents)
                })
                .collect(),
            job: kept.has_job(),
            debits: {
                let mut by_day: BTreeMap<Day, i64> = BTreeMap::new();
                for debit in &kept.debits {
                    *by_day.entry(debit.day).or_default() += 1;
                }
                by_day.into_iter().collect()
            },
        };
        let mut lines = self.debited();
        lines.extend(self.corrected.keys().cloned());
        let mut ledger: Vec<LedgerView> = lines
            .into_iter()
            .map(|(account, day, quota)| LedgerView {
                used: self.used(&account, day, quota),
                corrected: *self.corrected.get(&(account.clone(), day, quota)).unwrap_or(&0),
                account,
                day,
                quota,
            })
            .collect();
        ledger.sort_by_key(|line| (line.account.clone(), line.day, line.quota.as_str()));
        Ok(Snapshot {
            intents: self.intents.iter().map(|row| row.intent.clone()).collect(),
            batches: self.batches.values().map(view).collect(),
            ledger,
        })
    }
}
