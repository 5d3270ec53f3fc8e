//! What differs between the states that may have been served.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::{Done, Pushes, Trouble};
use crate::domain::change::{Change, ChangeKind};
use crate::domain::index::{Digest, Entry, Fingerprint, Index};
use crate::domain::path::RelPath;
use crate::domain::push::CommitId;
use crate::source::git::Listed;

/// What happened to each path, over one step or several: each state may have been served, and kept.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<RelPath, (ChangeKind, bool)>);

impl Changes {
    /// Adds what happened next to a path; `force` as in [`Change`].
    pub(super) fn add(&mut self, path: RelPath, kind: ChangeKind, force: bool) {
        let was_removed = |before: &(ChangeKind, bool)| before.0 == ChangeKind::Removed;
        let is_back = kind == ChangeKind::Created && self.0.get(&path).is_some_and(was_removed);
        // Visitors, and the edge with them, may have been told that it is gone.
        let news = if is_back { (ChangeKind::Modified, true) } else { (kind, force) };
        self.0.insert(path, news);
    }

    /// Leaves out a path.
    pub(super) fn leave_out(&mut self, path: &RelPath) {
        self.0.remove(path);
    }

    /// Returns whether nothing happened.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what happened, by path, to what passes.
    pub(super) fn into_changes(self, passes: impl Fn(&RelPath) -> bool) -> Vec<Change> {
        let known = self.0.into_iter().filter(|(path, _)| passes(path));
        known
            .map(|(path, (kind, force))| {
                let force = force || kind == ChangeKind::Removed;
                Change { path, kind, digest: None, force }
            })
            .collect()
    }
}

/// What is kept of a file of the tip: by which bytes it is known.
fn entry(listed: &Listed) -> Entry {
    let mut digest = [0; 16];
    for (byte, pair) in digest.iter_mut().zip(listed.blob.as_bytes().chunks(2)) {
        let pair = str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
    }
    // A link and a file of the same bytes are not the same.
    let linked = listed.is_link;
    let fingerprint = Fingerprint { inode: u64::from(linked), ..Fingerprint::default() };
    Entry { fingerprint, digest: Some(Digest(digest)), doubtful: false, linked }
}

impl Pushes {
    /// Adds what one step changes.
    pub(super) async fn add(&mut self, changes: &mut Changes, step: &Done) -> Result<(), Trouble> {
        let (before, after) = (step.0.as_ref(), &step.1);
        if let Some(before) = before
            && !self.git.has(before).await?
        {
            return self.add_without(changes, before, after).await;
        }
        let found = self.git.diff(before, Some(after), &self.settings.prefix).await?;
        for (kind, path) in found {
            changes.add(path, kind, false);
        }
        Ok(())
    }

    /// Adds what changed since a commit that is gone, as far as it can be known.
    async fn add_without(
        &mut self,
        changes: &mut Changes,
        before: &CommitId,
        after: &CommitId,
    ) -> Result<(), Trouble> {
        let files = self.git.files(after, &self.settings.prefix).await?;
        let is_known = self.known.as_ref() == Some(before);
        let how = if is_known { "its list of files" } else { "all files" };
        self.notes[1] = format!(
            "commit {} is gone from the repository: {how} stood for it when {} came",
            before.short(),
            after.short()
        );
        tracing::warn!(origin = %self.settings.origin, "{}", self.notes[1]);
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut gone: Vec<RelPath> = Vec::new();
        if is_known {
            for directory in index.directories_below(&RelPath::root()) {
                let names =
                    index.names(&directory).filter_map(|(name, _)| directory.join(&name).ok());
                gone.extend(names.filter(|path| !files.contains_key(path)));
            }
        }
        for path in gone {
            changes.add(path, ChangeKind::Removed, false);
        }
        for (path, listed) in files {
            match index.get(&path).filter(|_| is_known) {
                Some(held) if held == entry(&listed) => {}
                None if is_known => changes.add(path, ChangeKind::Created, false),
                _ => changes.add(path, ChangeKind::Modified, false),
            }
        }
        Ok(())
    }

    /// Lists the files of the tip, for who counts them. What can't be listed is counted as it was.
    pub(super) async fn list(&mut self, tip: Option<&CommitId>) {
        if self.tried.as_ref() == tip {
            return;
        }
        self.tried = tip.cloned();
        let Some(commit) = tip else { return };
        let files = match self.git.files(commit, &self.settings.prefix).await {
            Ok(files) => files,
            Err(error) => {
                tracing::debug!(origin = %self.settings.origin, %error, "the tip can't be listed");
                return;
            }
        };
        let mut index = Index::new();
        for (path, listed) in &files {
            if self.rules.mapping.excluded(path, false).is_none() {
                index.apply(path, Some(entry(listed)));
            }
        }
        // It is stored nowhere.
        drop(index.take_writes());
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        self.known = tip.cloned();
    }
}
