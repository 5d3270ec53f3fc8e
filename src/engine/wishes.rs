//! What a change is asked for, wherever it was seen: in a tree or in a repository.

use std::collections::HashSet;
use std::sync::Arc;

use crate::domain::change::{Change, ChangeKind};
use crate::domain::deploy::DeployId;
use crate::domain::facts::{OriginFacts, Unmapped};
use crate::domain::hint::Witness;
use crate::domain::intent::{Action, Wish};
use crate::domain::mapping::{Mapped, Mapping};
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::stage::Stages;
use crate::domain::time::Timestamp;
use crate::store::Removals;

/// Unmapped paths that are shown.
const MOST_SHOWN: usize = 100;

/// An origin's rules for what follows from a change.
pub(super) struct Rules {
    pub(super) origin: OriginName,
    pub(super) mapping: Arc<Mapping>,
    pub(super) stages: Stages,
}

/// In which deploy a change was seen, and by whom.
pub(super) struct Seen<'d> {
    pub(super) deploy: &'d DeployId,
    pub(super) witness: Witness,
    pub(super) at: Timestamp,
    /// When what follows may be planned.
    pub(super) not_before: Timestamp,
    /// Why it waits for a person.
    pub(super) hold: Option<String>,
}

impl Rules {
    /// Returns what a change makes us wish for, in the stage of its deploy that it belongs to.
    pub(super) fn wishes(&self, change: &Change, seen: &Seen<'_>) -> Mapped<Wish> {
        let (at, not_before) = (seen.at, seen.not_before);
        let mapped =
            self.mapping.wishes(&self.origin, change, seen.deploy, seen.witness, at, not_before);
        let is_removed = change.kind == ChangeKind::Removed;
        let placed = |wish: Wish| {
            // What is gone is dropped at once, and a prefetch comes after its refresh anyway.
            let is_staged = !is_removed && wish.action == Action::Refresh;
            let stages = is_staged.then_some(&self.stages);
            let stage = stages.map_or(wish.stage, |stages| stages.of(&wish.target, &change.path));
            Wish { hold: seen.hold.clone(), stage, ..wish }
        };
        Mapped { made: mapped.made.into_iter().map(placed).collect(), ..mapped }
    }

    /// Makes what returned be dropped from caches, and returns what is to be remembered of what never
    /// changes under its name.
    pub(super) fn remember<'c>(
        &self,
        changes: impl Iterator<Item = &'c mut Change>,
        returned: &HashSet<RelPath>,
        at: Timestamp,
    ) -> Removals {
        let mut removals = Removals { at, ..Removals::default() };
        for change in changes {
            match change.kind {
                ChangeKind::Created if returned.contains(&change.path) => {
                    change.force = true;
                    removals.over.push(change.path.clone());
                }
                ChangeKind::Removed if self.mapping.is_immutable(&change.path) => {
                    removals.seen.push(change.path.clone());
                }
                _ => {}
            }
        }
        removals
    }

    /// Shows a path that something is wrong with.
    pub(super) fn show_unmapped(&self, facts: &mut OriginFacts, path: &RelPath, why: String) {
        tracing::warn!(origin = %self.origin, ?path, "something is wrong with a changed file: {why}");
        let shown = Unmapped { path: path.to_string(), why };
        facts.unmapped.retain(|known| known.path != shown.path);
        facts.unmapped.insert(0, shown);
        facts.unmapped.truncate(MOST_SHOWN);
    }
}
