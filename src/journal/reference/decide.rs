//! The verbs of the reference about what a person decides on.

use std::collections::BTreeSet;

use super::memory::{Memory, Row};
use crate::domain::deploy::DeployId;
use crate::domain::intent::{Intent, IntentId, Outcome, Wait, is_wide_refresh};
use crate::domain::quota::QuotaKind;
use crate::domain::time::Timestamp;
use crate::journal::{Decision, HeldSet, JournalError, MAX_DECIDED, MAX_SAMPLE};

type Answer<T> = Result<T, JournalError>;

impl Memory {
    pub(super) fn decide(
        &mut self,
        (deploy, through): (&DeployId, Option<IntentId>),
        decision: Decision,
        who: &str,
        now: Timestamp,
    ) -> Answer<u64> {
        let held: Vec<Intent> = self
            .held_of(deploy)
            .into_iter()
            .filter(|row| through.is_none_or(|through| row.intent.id <= through))
            .take(MAX_DECIDED)
            .map(|row| row.intent.clone())
            .collect();
        for intent in &held {
            match decision {
                Decision::Approve => {
                    if is_wide_refresh(intent.action, intent.target.kind) {
                        self.release(&intent.account, &QuotaKind::ALL, now);
                    }
                    self.free(intent.id, now)?;
                }
                Decision::Reject => {
                    self.finish(intent.id, Outcome::Rejected(format!("by {who}")), now)?;
                }
            }
        }
        Ok(held.len() as u64)
    }

    /// Lets a held intent go out, or its free twin for it.
    fn free(&mut self, id: IntentId, now: Timestamp) -> Result<(), JournalError> {
        self.row(id)?.intent.approved = true;
        let own = self.row(id)?.intent.clone();
        let twin = self
            .intents
            .iter()
            .find(|row| row.is_free() && row.is(&own.account, own.action, &own.target))
            .map(|row| row.intent.id);
        if let Some(twin) = twin {
            return self.merge(id, twin, now);
        }
        let row = self.row(id)?;
        row.not_before = now;
        row.set_pending(None);
        Ok(())
    }

    /// Returns what is held of a deploy, oldest first.
    fn held_of(&self, deploy: &DeployId) -> Vec<&Row> {
        let held = self.intents.iter().filter(|row| row.wait() == Some(Wait::Hold));
        held.filter(|row| row.intent.deploy.as_ref() == Some(deploy)).collect()
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "verbs look alike, whether this journal can fail in them or not"
    )]
    pub(super) fn held(&mut self) -> Answer<Vec<HeldSet>> {
        let held = self.intents.iter().filter(|row| row.wait() == Some(Wait::Hold));
        let deploys: BTreeSet<DeployId> =
            held.filter_map(|row| row.intent.deploy.clone()).collect();
        let sets = deploys.into_iter().map(|deploy| {
            let rows = self.held_of(&deploy);
            let oldest: Vec<Intent> =
                rows.iter().take(MAX_SAMPLE).map(|row| row.intent.clone()).collect();
            let newest = rows.iter().map(|row| row.intent.id).max().unwrap_or(IntentId(0));
            HeldSet::of(deploy, rows.len() as u64, newest, &oldest)
        });
        Ok(sets.collect())
    }
}
