//! From what is due to a plan.

use std::collections::BTreeMap;

use super::Dispatch;
use crate::domain::deploy::DeployId;
use crate::domain::intent::{Action, Intent};
use crate::domain::plan::{self, Plan, Policy, Widening};
use crate::domain::quota::QuotaKind;
use crate::domain::quota::purse::Purse;
use crate::domain::time::Timestamp;
use crate::journal::Due;

impl Dispatch {
    /// Makes a plan, beside the other tasks: it may have to count all that lives. A `whole` one keeps
    /// what is due together, as it is.
    pub(super) async fn draft(
        &mut self,
        due: Due,
        purse: Purse,
        whole: bool,
        now: Timestamp,
    ) -> (Plan, Due, Purse) {
        if !whole {
            self.note_large(&due.intents, now);
        }
        let again = self.recurrence.again(now);
        let (trees, cover) = (self.trees.clone(), self.account.cover.clone());
        let batch = self.account.batch;
        let limits = self.lessons.limits(self.account.limits, now);
        let plan = move || {
            let widening = Widening {
                policy: if whole { Policy::PerUrl } else { cover.policy },
                census: &trees,
                spare: cover.spare,
                again,
                expressions: &cover.expressions,
            };
            let plan = plan::plan(&plan::Input {
                now,
                intents: &due.intents,
                open_refreshes: &due.open_refreshes,
                in_flight: &due.in_flight,
                purse: &purse,
                batch,
                limits: &limits,
                whole,
                widening,
            });
            (plan, due, purse)
        };
        match tokio::task::spawn_blocking(plan).await {
            Ok(made) => made,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Remembers each large deploy when it is planned first.
    fn note_large(&mut self, intents: &[Intent], now: Timestamp) {
        let mut urls: BTreeMap<&DeployId, u64> = BTreeMap::new();
        for intent in intents.iter().filter(|intent| intent.action == Action::Refresh) {
            if let Some(deploy) = &intent.deploy {
                *urls.entry(deploy).or_default() += 1;
            }
        }
        let limit = self.account.quota[QuotaKind::Url];
        for (deploy, urls) in urls {
            self.recurrence.note(now, deploy, urls, limit);
        }
    }
}
