//! The verbs of the reference about deploys and what they caused.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::{Memory, Row};
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::intent::{Action, IntentId, Outcome, State, Wait};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::QuotaKind;
use crate::domain::stage::{After, Order};
use crate::domain::time::Timestamp;
use crate::journal::order::{PASSED_BY, patience, waiting};
use crate::journal::{Attention, DeployReport, JournalError};

type Answer<T> = Result<T, JournalError>;

impl Row {
    fn is_ordered(&self, account: &AccountName) -> bool {
        let is_refresh = self.intent.action == Action::Refresh;
        is_refresh && self.intent.account == *account && self.stage.order != Order::Any
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "verbs look alike, whether this journal can fail in them or not"
)]
impl Memory {
    /// Writes down that a deploy opened or closed.
    pub(super) fn take_deploy(&mut self, deploy: &Deploy, now: Timestamp) {
        let known = self.deploys.entry(deploy.id.clone()).or_insert_with(|| deploy.clone());
        known.closed_at = known.closed_at.max(deploy.closed_at);
        if deploy.closed_at.is_none() {
            for other in self.deploys.values_mut() {
                if other.origin == deploy.origin && other.id != deploy.id {
                    other.closed_at = other.closed_at.or(Some(now));
                }
            }
            return;
        }
        let mut accounts: BTreeSet<AccountName> = BTreeSet::new();
        for row in &mut self.intents {
            let opened = row.intent.deploy.as_ref() == Some(&deploy.id);
            if opened && row.is_pending() {
                accounts.insert(row.intent.account.clone());
                if row.wait().is_none() {
                    row.not_before = row.not_before.min(now);
                    row.set_pending(None);
                }
            }
        }
        for account in accounts {
            self.release(&account, &QuotaKind::ALL, now);
        }
    }

    /// Lets an intent stand for one that it superseded, in the deploys of that.
    pub(super) fn stand_for(&mut self, superseded: IntentId, by: IntentId) {
        let of = self.caused.iter().filter(|(_, intent)| *intent == superseded);
        let more: Vec<_> = of.map(|(deploy, _)| (deploy.clone(), by)).collect();
        self.caused.extend(more);
    }

    /// Keeps the stages of closed deploys apart, and lets those go that nothing holds back any more.
    pub(super) fn keep_order(&mut self, account: &AccountName, now: Timestamp) {
        let is_staged = |row: &Row| {
            let waits = matches!(row.wait(), None | Some(Wait::Stage));
            row.is_pending() && waits && row.is_ordered(account)
        };
        let staged = self.intents.iter().filter(|row| is_staged(row));
        let staged: BTreeSet<(DeployId, After)> =
            staged.filter_map(|row| Some((row.intent.deploy.clone()?, row.stage.after))).collect();
        for (deploy, after) in staged {
            let lowest = self.lowest(account, &deploy, after);
            let closed_at = self.deploys.get(&deploy).and_then(|deploy| deploy.closed_at);
            let until = closed_at.map(|closed_at| closed_at.plus(patience(after)));
            for row in &mut self.intents {
                let is_of = row.intent.deploy.as_ref() == Some(&deploy) && row.stage.after == after;
                if !is_of || !is_staged(row) {
                    continue;
                }
                let goes = lowest.is_none_or(|lowest| row.stage.order <= lowest);
                match until.filter(|until| *until > now) {
                    _ if goes && row.wait() == Some(Wait::Stage) => {
                        row.not_before = row.not_before.min(now);
                        row.set_pending(None);
                    }
                    Some(until) if !goes && row.wait().is_none() => {
                        row.not_before = until;
                        row.set_pending(Some(waiting(row.stage.order, &deploy, until)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Returns the first stage of a deploy that later ones wait for.
    fn lowest(&self, account: &AccountName, deploy: &DeployId, after: After) -> Option<Order> {
        let is_caused = |row: &&Row| self.caused.contains(&(deploy.clone(), row.intent.id));
        let is_awaited = |row: &&Row| match row.intent.state {
            State::Submitting => true,
            State::Submitted => after == After::Complete,
            State::Pending { .. } => row.wait().is_none_or(|wait| !PASSED_BY.contains(&wait)),
            State::Ended { .. } => false,
        };
        let ordered = self.intents.iter().filter(|row| row.is_ordered(account));
        ordered.filter(is_caused).filter(is_awaited).map(|row| row.stage.order).min()
    }

    pub(super) fn deploys(
        &mut self,
        origin: Option<&OriginName>,
        limit: usize,
    ) -> Answer<Vec<Deploy>> {
        let wanted = |deploy: &&Deploy| origin.is_none_or(|origin| deploy.origin == *origin);
        let mut deploys: Vec<Deploy> = self.deploys.values().filter(wanted).cloned().collect();
        deploys
            .sort_by(|left, right| (right.opened_at, &right.id).cmp(&(left.opened_at, &left.id)));
        deploys.truncate(limit);
        Ok(deploys)
    }

    pub(super) fn large_deploys(
        &mut self,
        account: &AccountName,
        least: u64,
        limit: usize,
    ) -> Answer<Vec<(Timestamp, DeployId)>> {
        let counts = |deploy: &&Deploy| {
            let intents = self.intents.iter().filter(|row| {
                let intent = &row.intent;
                intent.account == *account
                    && intent.action == Action::Refresh
                    && self.caused.contains(&(deploy.id.clone(), intent.id))
            });
            intents.count() as u64 >= least.max(1)
        };
        let large = self.deploys.values().filter(|deploy| deploy.closed_at.is_some());
        let large = large.filter(counts);
        let mut large: Vec<_> =
            large.filter_map(|deploy| Some((deploy.closed_at?, deploy.id.clone()))).collect();
        large.sort_unstable();
        Ok(large.split_off(large.len().saturating_sub(limit)))
    }

    pub(super) fn deploy(&mut self, deploy: &DeployId) -> Answer<Option<Deploy>> {
        Ok(self.deploys.get(deploy).cloned())
    }

    /// Returns what deploys caused, the newest first, for each of them.
    pub(super) fn newest_caused(&self, deploys: &[DeployId]) -> Vec<IntentId> {
        let caused = self.caused.iter().filter(|(deploy, _)| deploys.contains(deploy));
        let mut caused: Vec<IntentId> = caused.map(|(_, intent)| *intent).collect();
        caused.sort_by_key(|intent| std::cmp::Reverse(*intent));
        caused
    }

    pub(super) fn deploy_report(
        &mut self,
        deploys: &[DeployId],
        most: usize,
        limit: usize,
    ) -> Answer<DeployReport> {
        let caused = self.newest_caused(deploys);
        let mut report = DeployReport { more: caused.len() > most, ..DeployReport::default() };
        let caused: BTreeSet<IntentId> = caused.into_iter().take(most).collect();
        for row in self.intents.iter().filter(|row| caused.contains(&row.intent.id)) {
            let stands = match &row.intent.state {
                State::Pending { .. } => "pending",
                State::Submitting => "submitting",
                State::Submitted => "submitted",
                State::Ended { at, outcome } => {
                    report.ended_at = report.ended_at.max(Some(*at));
                    outcome.as_str()
                }
            };
            *report.intents.entry(stands.to_owned()).or_default() += 1;
            let is_finished = matches!(
                row.intent.state,
                State::Ended { outcome: Outcome::Done | Outcome::Superseded(_), .. }
            );
            if !is_finished && report.unfinished.len() < limit {
                report.unfinished.push(Attention::of(row.intent.clone()));
            }
        }
        let mut asks = BTreeMap::new();
        for kept in self.batches.values() {
            let carries = |intents: &[IntentId]| intents.iter().any(|id| caused.contains(id));
            let asked = kept.batch.asks.iter().filter(|ask| carries(&ask.intents)).count() as u64;
            if asked == 0 {
                continue;
            }
            *asks.entry((kept.batch.action, kept.batch.kind)).or_default() += asked;
            if let Some(at) = kept.job.as_ref().map(|job| job.accepted_at) {
                let (first, last) = report.accepted.unwrap_or((at, at));
                report.accepted = Some((first.min(at), last.max(at)));
            }
        }
        report.asks = asks.into_iter().map(|((action, kind), n)| (action, kind, n)).collect();
        Ok(report)
    }
}
