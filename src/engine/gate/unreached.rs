//! Commits that a deploy is to serve and that the repository has not come to: of them its last commit
//! proves nothing.

use std::collections::BTreeSet;

use super::Settings;
use crate::config::Tree;
use crate::domain::push::CommitId;
use crate::source::git::Git;
use crate::store::{GatedDeploy, Store, StoreError};

/// Which commits the repository was seen to have come to.
#[derive(Debug, Default)]
pub(super) struct Reached(BTreeSet<CommitId>);

impl Reached {
    /// Returns those commits of waiting deploys that the repository lacks, or has beyond the last one
    /// whose changes are recorded. What can't be told counts among them.
    pub(super) async fn others(
        &mut self,
        settings: &Settings,
        store: &Store,
        waiting: &[GatedDeploy],
    ) -> Result<BTreeSet<CommitId>, StoreError> {
        let Tree::Repository(repository) = &settings.tree else {
            return Ok(BTreeSet::new());
        };
        let tip = store.tip(&settings.origin).await?.and_then(|tip| tip.commit);
        let git = Git::new(&repository.path);
        let commits: BTreeSet<&CommitId> =
            waiting.iter().filter_map(|gated| gated.commit.as_ref()).collect();
        self.0.retain(|commit| commits.contains(commit));
        let mut others = BTreeSet::new();
        for commit in commits {
            if self.0.contains(commit) {
                continue;
            }
            if is_reached(&git, commit, tip.as_ref()).await {
                self.0.insert(commit.clone());
            } else {
                others.insert(commit.clone());
            }
        }
        Ok(others)
    }
}

async fn is_reached(git: &Git, commit: &CommitId, tip: Option<&CommitId>) -> bool {
    if tip == Some(commit) {
        return true;
    }
    // A commit that was dropped is none of the tip's past, and none of its future.
    git.has(commit).await.unwrap_or(false)
        && match tip {
            Some(tip) => git.is_ancestor(tip, commit).await.is_ok_and(|is_ahead| !is_ahead),
            None => false,
        }
}
