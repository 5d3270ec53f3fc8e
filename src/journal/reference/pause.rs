//! The verbs of the reference about holding and pausing.

use super::memory::{Memory, Row};
use crate::domain::deploy::DeployId;
use crate::domain::intent::{Wait, Waiting};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::time::Timestamp;
use crate::journal::{JournalError, Pause};

type Answer<T> = Result<T, JournalError>;

#[expect(
    clippy::unnecessary_wraps,
    reason = "verbs look alike, whether this journal can fail in them or not"
)]
impl Memory {
    pub(super) fn hold(&mut self, deploy: &DeployId, why: &str) -> Answer<u64> {
        let mut held = 0;
        for row in &mut self.intents {
            if row.intent.deploy.as_ref() == Some(deploy) && row.is_free() && !row.intent.approved {
                row.set_pending(Some(Waiting {
                    wait: Wait::Hold,
                    why: why.to_owned(),
                    until: None,
                }));
                held += 1;
            }
        }
        Ok(held)
    }

    pub(super) fn pause(
        &mut self,
        account: &AccountName,
        origin: Option<&OriginName>,
        who: &str,
        now: Timestamp,
    ) -> Answer<bool> {
        let key = (account.clone(), origin.cloned());
        let is_new = !self.pauses.contains_key(&key);
        self.pauses.entry(key).or_insert_with(|| (now, who.to_owned()));
        Ok(is_new)
    }

    pub(super) fn resume(
        &mut self,
        account: &AccountName,
        origin: Option<&OriginName>,
    ) -> Answer<bool> {
        Ok(self.pauses.remove(&(account.clone(), origin.cloned())).is_some())
    }

    pub(super) fn pauses(&mut self) -> Answer<Vec<Pause>> {
        let pauses = self.pauses.iter().map(|((account, origin), (since, by))| {
            let waits = |row: &&Row| {
                row.is_free()
                    && row.intent.account == *account
                    && (origin.is_none() || row.origin == *origin)
            };
            Pause {
                account: account.clone(),
                origin: origin.clone(),
                since: *since,
                by: by.clone(),
                waiting: self.intents.iter().filter(waits).count() as u64,
            }
        });
        Ok(pauses.collect())
    }

    /// Returns whether an intent's origin or account is paused.
    pub(super) fn is_paused(&self, row: &Row) -> bool {
        let paused = |origin| self.pauses.contains_key(&(row.intent.account.clone(), origin));
        paused(None) || row.origin.is_some() && paused(row.origin.clone())
    }
}
