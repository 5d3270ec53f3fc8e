//! The verbs of the reference about deploys and what they caused.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::Memory;
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::intent::{IntentId, Outcome, State};
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;
use crate::journal::{Attention, DeployReport, JournalError};

type Answer<T> = Result<T, JournalError>;

#[expect(
    clippy::unnecessary_wraps,
    reason = "verbs look alike, whether this journal can fail in them or not"
)]
impl Memory {
    /// Writes down that a deploy opened or closed.
    pub(super) fn take_deploy(&mut self, deploy: &Deploy, now: Timestamp) {
        let known = self.deploys.entry(deploy.id.clone()).or_insert_with(|| deploy.clone());
        known.closed_at = known.closed_at.or(deploy.closed_at);
        if deploy.closed_at.is_none() {
            for other in self.deploys.values_mut() {
                if other.origin == deploy.origin && other.id != deploy.id {
                    other.closed_at = other.closed_at.or(Some(now));
                }
            }
            return;
        }
        for row in &mut self.intents {
            let opened = row.deploy.as_ref() == Some(&deploy.id);
            if opened && row.is_pending() && row.wait().is_none() {
                row.not_before = row.not_before.min(now);
                row.set_pending(None);
            }
        }
    }

    /// Lets an intent stand for one that it superseded, in the deploys of that.
    pub(super) fn stand_for(&mut self, superseded: IntentId, by: IntentId) {
        let of = self.caused.iter().filter(|(_, intent)| *intent == superseded);
        let more: Vec<_> = of.map(|(deploy, _)| (deploy.clone(), by)).collect();
        self.caused.extend(more);
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

    pub(super) fn deploy(&mut self, deploy: &DeployId) -> Answer<Option<Deploy>> {
        Ok(self.deploys.get(deploy).cloned())
    }

    pub(super) fn deploy_report(
        &mut self,
        deploys: &[DeployId],
        limit: usize,
    ) -> Answer<DeployReport> {
        let caused = self.caused.iter().filter(|(deploy, _)| deploys.contains(deploy));
        let caused: BTreeSet<IntentId> = caused.map(|(_, intent)| *intent).collect();
        let mut report = DeployReport::default();
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
