//! What follows from a look: pure.

use std::sync::Arc;

use crate::domain::change::{Change, ChangeKind};
use crate::domain::deploy::Deploy;
use crate::domain::hint::Witness;
use crate::domain::index::{Entry, compare};
use crate::domain::settle::{Found, Look};
use crate::domain::time::Timestamp;
use crate::source::look::{DOUBT_NS, Seen};

/// What is to be done about a path that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// What the settler is told.
    pub(super) found: Found,
    /// What becomes of the index.
    pub(super) index: IndexStep,
    /// What changed, and in which deploy.
    pub(super) change: Option<(Change, Arc<Deploy>)>,
    /// Why the path could not be looked at, to be shown.
    pub(super) trouble: Option<String>,
}

impl Judgement {
    /// Whether the path was removed.
    pub(super) fn is_removal(&self) -> bool {
        self.change.as_ref().is_some_and(|(change, _)| change.kind == ChangeKind::Removed)
    }
}

/// What becomes of a path in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexStep {
    /// What is held stays.
    Leave,
    /// This is held from now on.
    Hold(Entry),
    /// Nothing is held any more.
    Forget,
}

/// Judges a look. `baseline` is the time of a baseline that is not complete: files that only a scan
/// brought up, are new to the index and older than it are taken as they are. What the watch brought
/// up is a change: a file moved in with its directory keeps its old times.
pub(super) fn judge(
    look: &Look,
    prior: Option<&Entry>,
    seen: Seen,
    baseline: Option<Timestamp>,
) -> Judgement {
    let nothing = |found| Judgement { found, index: IndexStep::Leave, change: None, trouble: None };
    match seen {
        Seen::Changing(_) | Seen::Unreadable(None, _) if !look.anyway => nothing(Found::Changing),
        Seen::File(entry)
            if entry.fingerprint.size == 0
                && prior.is_some_and(|prior| prior.fingerprint.size > 0)
                && !look.was_away
                && !look.anyway =>
        {
            nothing(Found::Empty)
        }
        Seen::File(entry) | Seen::Changing(entry) => present(look, prior, entry, baseline),
        Seen::Unreadable(Some(entry), why) => {
            // Bytes that can't be read may have changed if the fingerprint moved.
            let known = prior.filter(|prior| prior.fingerprint == entry.fingerprint);
            let known = known.map(|known| Entry { linked: entry.linked, ..*known });
            let judged = present(look, prior, known.unwrap_or(entry), baseline);
            Judgement { trouble: Some(why), ..judged }
        }
        Seen::Unreadable(None, why) => Judgement { trouble: Some(why), ..nothing(Found::Settled) },
        Seen::Absent | Seen::Dangling | Seen::Directory | Seen::Other => {
            match (prior, &look.removal) {
                (None, _) => nothing(Found::Settled),
                (Some(_), None) => nothing(Found::Absent),
                (Some(_), Some(deploy)) => {
                    let path = look.path.clone();
                    let kind = ChangeKind::Removed;
                    let change = Change { path, kind, digest: None, force: true };
                    Judgement {
                        index: IndexStep::Forget,
                        change: Some((change, Arc::clone(deploy))),
                        ..nothing(Found::Settled)
                    }
                }
            }
        }
    }
}

fn present(
    look: &Look,
    prior: Option<&Entry>,
    entry: Entry,
    baseline: Option<Timestamp>,
) -> Judgement {
    let known_since = baseline.filter(|_| prior.is_none() && look.witness == Witness::Scan);
    // Visitors, and the edge with them, may have been told that it is gone.
    let away = || prior.filter(|_| look.was_away).map(|_| (ChangeKind::Modified, true));
    let change = compare(prior, Some(&entry))
        .or_else(away)
        .filter(|_| known_since.is_none_or(|baseline| changed_since(&entry, baseline)))
        .map(|(kind, force)| {
            let path = look.path.clone();
            let change = Change { path, kind, digest: entry.digest, force };
            (change, Arc::clone(&look.deploy))
        });
    Judgement { found: Found::Settled, index: IndexStep::Hold(entry), change, trouble: None }
}

/// Whether a file may have changed since an instant of wall time: files are stamped by a clock that
/// lags by a tick.
pub(super) fn changed_since(entry: &Entry, instant: Timestamp) -> bool {
    let instant = instant.as_micros().saturating_mul(1_000);
    entry.fingerprint.changed_ns >= instant.saturating_sub(DOUBT_NS)
}

#[cfg(test)]
mod tests;
