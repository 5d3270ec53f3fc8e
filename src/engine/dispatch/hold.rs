//! What a guard holds, and what an operator paused.

use super::Dispatch;
use crate::domain::guard::Held;
use crate::domain::time::Timestamp;
use crate::journal::JournalError;

impl Dispatch {
    /// Holds what a person has to decide on.
    pub(super) async fn hold(&self, held: &Held, now: Timestamp) -> Result<(), JournalError> {
        for (deploy, why) in &held.deploys {
            let intents = self.journal.hold(deploy, why).await?;
            tracing::warn!(event = "held", account = %self.account.name, %deploy, intents, "a deploy waits for a person: {why}");
        }
        self.journal.park(&held.intents, now).await?;
        if let Some((_, waiting)) = held.intents.first() {
            let intents = held.intents.len();
            tracing::warn!(event = "held", account = %self.account.name, intents, "a refresh waits for a person: {}", waiting.why);
        }
        Ok(())
    }

    /// Returns whether the whole account is paused.
    pub(super) async fn is_paused(&self) -> Result<bool, JournalError> {
        let pauses = self.journal.pauses().await?;
        Ok(pauses.iter().any(|pause| pause.account == self.account.name && pause.origin.is_none()))
    }
}
