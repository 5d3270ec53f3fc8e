//! From what changed to what is committed: one deploy for each push.

use std::sync::PoisonError;
use std::time::Duration;

use super::states::Changes;
use super::{Pushes, Trouble};
use crate::domain::change::{Change, ChangeKind};
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::hint::Witness;
use crate::domain::intent::Outgoing;
use crate::domain::push::{CommitId, Fate};
use crate::engine::wishes::Seen;
use crate::store::{End, Gating, PushEnd, PushId, Record, Removals, Tip};
use crate::telemetry::meters::Meter;

/// Changes that are committed at once: of a larger push the last part moves the tip.
const CHUNK: usize = 20_000;
/// What is recorded of a deploy is planned this long after though the end of it is missing.
const UNTIL_CLOSED: Duration = Duration::from_secs(60);

/// Why something is recorded.
pub(super) struct Cause {
    pub(super) witness: Witness,
    /// What the web servers have to serve.
    pub(super) commit: Option<CommitId>,
}

impl Pushes {
    pub(super) fn blank(&self) -> Record {
        Record::blank(self.settings.origin.clone(), self.clock.server_now())
    }

    /// Records what follows from changes, with the tip they lead to and the end of the push that made
    /// them; `push` has its number, and what is to be said of it. Returns the deploy, if anything that
    /// is served changed.
    pub(super) async fn record(
        &mut self,
        changes: Changes,
        cause: &Cause,
        tip: Option<Tip>,
        push: Option<(PushId, &str)>,
    ) -> Result<Option<DeployId>, Trouble> {
        let mapping = &self.rules.mapping;
        let mut changes = changes.into_changes(|path| mapping.excluded(path, false).is_none());
        let created = changes.iter().filter(|change| change.kind == ChangeKind::Created);
        let immutable = created.filter(|change| mapping.is_immutable(&change.path));
        let new: Vec<_> = immutable.map(|change| change.path.clone()).collect();
        let returned = self.store.seen_removed(&self.settings.origin, new).await?;
        let now = self.clock.server_now();
        let mut removals = self.rules.remember(changes.iter_mut(), &returned, now);
        let opened = Deploy {
            id: DeployId::new(now, self.clock.random()),
            origin: self.settings.origin.clone(),
            opened_at: now,
            closed_at: None,
        };
        let deploy = (!changes.is_empty()).then(|| opened.id.clone());
        let held =
            if cause.witness == Witness::Operator { [None, None] } else { self.held(&changes) };
        let mut wished = 0;
        let mut rest = changes.as_slice();
        loop {
            let (chunk, left) = rest.split_at(rest.len().min(CHUNK));
            let (is_first, is_last) = (rest.len() == changes.len(), left.is_empty());
            rest = left;
            let mut outgoing = Vec::new();
            if is_first && deploy.is_some() {
                outgoing.push(Outgoing::Deploy(opened.clone()));
            }
            for change in chunk {
                let [removed, all] = &held;
                let removed = removed.as_ref().filter(|_| change.kind == ChangeKind::Removed);
                let seen = Seen {
                    deploy: &opened.id,
                    witness: cause.witness,
                    at: now,
                    not_before: now.plus(UNTIL_CLOSED),
                    hold: all.as_ref().or(removed).cloned(),
                };
                let mapped = self.rules.wishes(change, &seen);
                let is_removed = change.kind == ChangeKind::Removed;
                if is_removed {
                    let shown = change.path.to_string();
                    self.facts.unmapped.retain(|known| known.path != shown);
                }
                // What is gone has no page to be mended.
                for unmappable in mapped.unmappable.into_iter().filter(|_| !is_removed) {
                    let why = unmappable.why.to_string();
                    self.rules.show_unmapped(&mut self.facts, &unmappable.path, why);
                }
                wished += mapped.made.len();
                outgoing.extend(mapped.made.into_iter().map(Outgoing::Wish));
            }
            if is_last && deploy.is_some() {
                let closed = Deploy { closed_at: Some(now), ..opened.clone() };
                outgoing.push(Outgoing::Deploy(closed));
            }
            let ends =
                push.filter(|_| is_last).map(|(id, why)| (id, end(wished, deploy.clone(), why)));
            let pairs: Vec<_> =
                chunk.iter().map(|change| (change.kind, change.path.clone())).collect();
            let record = Record {
                outgoing,
                // What returned is forgotten once it is asked for.
                removals: if is_last { std::mem::take(&mut removals) } else { Removals::default() },
                changes: deploy.iter().map(|id| (id.clone(), pairs.clone())).collect(),
                gate: self.settings.gated.then(|| Gating { commit: cause.commit.clone() }),
                push: is_last
                    .then(|| PushEnd { ends: ends.into_iter().collect(), tip: tip.clone() }),
                ..self.blank()
            };
            self.store.record(record).await?;
            let of = [self.settings.origin.as_str(), cause.witness.as_str()];
            self.meters.add(Meter::Changes, &of, chunk.len() as u64);
            if is_last {
                break;
            }
        }
        self.recorded.iter().for_each(|recorded| recorded.notify_one());
        Ok(deploy)
    }

    /// Returns why removals, and why all, have to wait for a person.
    fn held(&self, changes: &[Change]) -> [Option<String>; 2] {
        let files = self.index.read().unwrap_or_else(PoisonError::into_inner).files();
        let count = |is_counted: fn(ChangeKind) -> bool| {
            changes.iter().filter(|change| is_counted(change.kind)).count() as u64
        };
        let removed = count(|kind| kind == ChangeKind::Removed);
        // Nobody has an old copy of what is new.
        let touched = count(|kind| kind != ChangeKind::Created);
        let guard = &self.settings.guard;
        let why = [
            (
                guard.holds_removed(removed, files),
                format!("{removed} of {files} files vanished at once"),
            ),
            (
                guard.holds_changed(touched, files),
                format!("{touched} of {files} files changed at once"),
            ),
        ];
        why.map(|(holds, why)| {
            if holds {
                let origin = &self.settings.origin;
                tracing::warn!(event = "held", %origin, "what was pushed waits for a person: {why}");
            }
            holds.then_some(why)
        })
    }
}

/// Says how a push ends that made so many wishes.
fn end(wished: usize, deploy: Option<DeployId>, why: &str) -> End {
    let (fate, why) = match (&deploy, wished) {
        (None, _) => (Fate::Nothing, "nothing that is served changed".to_owned()),
        (Some(_), 0) => {
            (Fate::Nothing, "what changed is new, and never changes under its name".to_owned())
        }
        (Some(_), _) => (Fate::Intents, why.to_owned()),
    };
    End { fate, why, deploy }
}
