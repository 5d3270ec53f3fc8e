//! What an intake shows of itself.

use super::Intake;
use super::compare::Comparing;
use crate::domain::deploy::Bracket;
use crate::domain::facts::{OriginFacts, OriginState, PolledFacts};
use crate::domain::path::RelPath;

/// Polled subtrees that are shown.
const MOST_SHOWN: usize = 100;

impl Intake {
    /// Returns what is known of the origin now.
    #[must_use]
    pub fn facts(&self) -> OriginFacts {
        let notes = std::iter::once(&self.facts.note).chain(&self.notes);
        let notes: Vec<&str> = notes.map(String::as_str).filter(|note| !note.is_empty()).collect();
        let index = self.held();
        let (undigested, undigested_bytes) = index.undigested();
        let known = OriginFacts {
            files: index.files(),
            directories: index.directories(),
            undigested,
            undigested_bytes,
            comparing: self.comparing.as_ref().map(Comparing::seen),
            baseline_at: self.state.as_ref().map(|state| state.baseline_at),
            dirty: (self.settler.dirty()
                + self.backlog.len()
                + self.missing.len()
                + self.subtrees.len()) as u64,
            seen: self.called.served,
            deploy: self.settler.open().map(|deploy| deploy.id.clone()),
            announced: self.announced.clone(),
            held_open_until: self.bracket.as_ref().map(Bracket::until),
            note: notes.join("; "),
            ..self.facts.clone()
        };
        drop(index);
        let Some(armed) = &self.armed else {
            return OriginFacts { watch: "none".to_owned(), ..known };
        };
        let coverage = armed.watch.coverage();
        OriginFacts {
            watch: coverage.means.to_owned(),
            watches: coverage.watches,
            polled: coverage
                .polled
                .iter()
                .take(MOST_SHOWN)
                .map(|polled| PolledFacts { path: polled.path.shown(), why: polled.why.clone() })
                .collect(),
            advice: coverage.advice,
            overflows: coverage.overflows,
            ..known
        }
    }

    pub(super) fn origin_state(&self) -> OriginState {
        let is_polled = self.polled().first().is_some_and(RelPath::is_root);
        match &self.state {
            // Before it is compared nobody knows what changed while nobody watched.
            Some(state) if state.baseline_done && self.compared && is_polled => {
                OriginState::Polling
            }
            Some(state) if state.baseline_done && self.compared => OriginState::Watching,
            _ => OriginState::Baseline,
        }
    }

    pub(super) fn show_unmapped(&mut self, path: &RelPath, why: String) {
        self.rules.show_unmapped(&mut self.facts, path, why);
    }
}
