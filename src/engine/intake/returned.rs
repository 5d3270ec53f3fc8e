//! What never changes under its name, was removed and returns: then it may well have changed.

use std::collections::HashSet;

use super::judge::Judgement;
use super::{Intake, Trouble, tree};
use crate::domain::hint::Witness;
use crate::domain::path::RelPath;
use crate::source::look::Seen;
use crate::store::Removals;

impl Intake {
    /// Returns those paths that are new, never change under their name, and were seen removed.
    pub(super) async fn returned(
        &self,
        paths: &[tree::Known],
        seen: &[Seen],
    ) -> Result<HashSet<RelPath>, Trouble> {
        let is_new = |prior: bool, seen: &Seen| {
            !prior && !matches!(seen, Seen::Absent | Seen::Dangling | Seen::Directory | Seen::Other)
        };
        let new: Vec<RelPath> = paths
            .iter()
            .zip(seen)
            .filter(|((path, prior), seen)| {
                is_new(prior.is_some(), seen) && self.rules.mapping.is_immutable(path)
            })
            .map(|((path, _), _)| path.clone())
            .collect();
        if new.is_empty() {
            return Ok(HashSet::new());
        }
        Ok(self.store.seen_removed(&self.settings.origin, new).await?)
    }

    /// Makes what returned be dropped from caches, and notes what is to be remembered.
    pub(super) fn remember(
        &self,
        judged: &mut [(Witness, Judgement)],
        returned: &HashSet<RelPath>,
    ) -> Removals {
        let changes = judged.iter_mut().filter_map(|(_, judgement)| judgement.change.as_mut());
        let changes = changes.map(|(change, _)| change);
        self.rules.remember(changes, returned, self.clock.server_now())
    }
}
