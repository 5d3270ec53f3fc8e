//! What the branches of repositories hold, for commands that ask no daemon.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Origin;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::source::git::Git;

/// Why a path is none of an origin's.
pub(super) const NOWHERE: &str =
    "lies below no origin's root, nor in a repository's served directory";

/// The files of origins that are repositories, as their branches have them now.
#[derive(Debug, Default)]
pub(super) struct Branches {
    files: BTreeMap<OriginName, BTreeSet<RelPath>>,
    /// What could not be read, a sentence for each origin.
    pub(super) troubles: Vec<String>,
}

impl Branches {
    /// Asks the repositories of these origins; others have none.
    pub(super) async fn of(origins: impl Iterator<Item = &Origin>) -> Self {
        let mut branches = Self::default();
        for origin in origins {
            match files(origin).await {
                Ok(files) => {
                    branches.files.insert(origin.name.clone(), files);
                }
                Err(why) => branches.troubles.push(format!("origin {}: {why}", origin.name)),
            }
        }
        branches
    }

    /// Returns the files of an origin, from its `prefix` on.
    pub(super) fn files(&self, origin: &Origin) -> impl Iterator<Item = &RelPath> {
        self.files.get(&origin.name).into_iter().flatten()
    }

    /// Returns whether an origin has a file: on the disk, or in its branch.
    pub(super) fn has(&self, origin: &Origin, path: &RelPath) -> bool {
        match origin.root() {
            Some(root) => path.under(root).symlink_metadata().is_ok(),
            None => self.files.get(&origin.name).is_some_and(|files| files.contains(path)),
        }
    }

    /// Returns whether an origin has a directory there.
    pub(super) fn has_directory(&self, origin: &Origin, path: &RelPath) -> bool {
        match origin.root() {
            Some(root) => path.under(root).is_dir(),
            None => self.files(origin).any(|file| file != path && file.is_within(path)),
        }
    }
}

async fn files(origin: &Origin) -> Result<BTreeSet<RelPath>, String> {
    let Some(repository) = origin.repository() else { return Ok(BTreeSet::new()) };
    let git = Git::new(&repository.path);
    let reference = origin.branch.as_deref().unwrap_or_default();
    let tip = git.tip(reference).await.map_err(|error| error.to_string())?;
    let tip = tip.ok_or_else(|| format!("{} has no {reference}", repository.path.display()))?;
    let files = git.files(&tip, &origin.prefix).await.map_err(|error| error.to_string())?;
    Ok(files.into_keys().collect())
}
