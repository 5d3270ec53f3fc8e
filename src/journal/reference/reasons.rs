//! Why intents are not done, counted by reason.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::memory::{Memory, Row};
use crate::domain::deploy::DeployId;
use crate::domain::intent::{IntentId, Outcome, State, Wait};
use crate::journal::{Attention, JournalError, MAX_REASONED, Reason};

#[expect(
    clippy::unnecessary_wraps,
    reason = "verbs look alike, whether this journal can fail in them or not"
)]
impl Memory {
    pub(super) fn reasons(
        &mut self,
        deploys: Option<&[DeployId]>,
        limit: usize,
    ) -> Result<Vec<Reason>, JournalError> {
        let caused: BTreeSet<IntentId> = deploys
            .map(|deploys| self.newest_caused(deploys).into_iter().take(MAX_REASONED).collect())
            .unwrap_or_default();
        let is_told = |row: &&Row| match (deploys, &row.intent.state) {
            (None, State::Ended { outcome, .. }) => matches!(outcome, Outcome::Failed(_)),
            (None, _) => match row.wait() {
                Some(Wait::Hold) => row.intent.deploy.is_none(),
                wait => wait.is_some(),
            },
            (Some(_), State::Ended { outcome: Outcome::Done | Outcome::Superseded(_), .. }) => {
                false
            }
            (Some(_), _) => caused.contains(&row.intent.id),
        };
        let mut reasons = BTreeMap::new();
        let mut told: Vec<&Row> =
            self.intents.iter().rev().filter(is_told).take(MAX_REASONED).collect();
        told.reverse();
        for row in told {
            let told = Attention::of(row.intent.clone());
            let (stands, until) = row.intent.state.stands();
            let key = (row.intent.action.as_str(), stands, told.why.clone());
            let (_, reason) = reasons.entry(key).or_insert_with(|| {
                let reason = Reason {
                    action: row.intent.action,
                    stands: stands.to_owned(),
                    why: told.why,
                    number: 0,
                    until,
                    target: row.intent.target.clone(),
                };
                (row.intent.id, reason)
            });
            reason.number += 1;
            // The earliest, and none if one has none.
            reason.until = reason.until.min(until);
        }
        let mut reasons: Vec<_> = reasons.into_values().collect();
        reasons.sort_by_key(|(oldest, reason)| {
            (reason.stands != "failed", Reverse(reason.number), *oldest)
        });
        Ok(reasons.into_iter().take(limit).map(|(_, reason)| reason).collect())
    }
}
