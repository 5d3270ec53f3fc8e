//! The room's invariants, as a function over everything a journal holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ask::Target;
use crate::domain::intent::{Action, Intent, IntentId, State, Wait};
use crate::domain::names::AccountName;
use crate::domain::quota::QuotaKind;
use crate::domain::task::BatchKey;
use crate::domain::time::Day;

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// Its call is under way.
    Staged,
    /// Nobody knows what became of it.
    Unknown,
    /// All that was left of it was accepted.
    Accepted,
    /// What was left of it was refused.
    Refused,
}

impl BatchState {
    /// Returns the word used in SQL and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

/// Where an ask stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskState {
    /// Being submitted or in doubt.
    Open,
    /// In a job.
    Accepted,
    /// Refused, complete, failed or given up.
    Ended,
}

impl AskState {
    /// Returns the word used in SQL and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Ended => "ended",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Accepted, Self::Ended].into_iter().find(|state| state.as_str() == text)
    }
}

/// A batch as the checks see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchView {
    /// Its key.
    pub key: BatchKey,
    /// Whose.
    pub account: AccountName,
    /// What it is debited to.
    pub quota: QuotaKind,
    /// Where it stands.
    pub state: BatchState,
    /// Each ask with the intents it carries.
    pub asks: Vec<(Target, AskState, Vec<IntentId>)>,
    /// Whether a job of it is under way.
    pub job: bool,
    /// What it was charged, by day.
    pub debits: Vec<(Day, i64)>,
}

/// A line of the ledger as the checks see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerView {
    /// Whose.
    pub account: AccountName,
    /// On which day.
    pub day: Day,
    /// Of which kind.
    pub quota: QuotaKind,
    /// What is spent.
    pub used: i64,
    /// What the CDN's answers added to our own count, or took from it.
    pub corrected: i64,
}

/// Everything a journal holds that the invariants speak of.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// By number.
    pub intents: Vec<Intent>,
    /// By key.
    pub batches: Vec<BatchView>,
    /// By account, day and kind.
    pub ledger: Vec<LedgerView>,
}

impl Snapshot {
    /// Returns what contradicts the invariants, one sentence each; empty when all is sound.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.twins();
        problems.extend(self.carried());
        problems.extend(self.standing());
        problems.extend(self.spending());
        problems
    }

    /// At most one pending, unheld intent for each (account, action, target).
    fn twins(&self) -> Vec<String> {
        let mut seen: BTreeSet<(&AccountName, Action, &Target)> = BTreeSet::new();
        self.intents
            .iter()
            .filter(|intent| match &intent.state {
                State::Pending { waiting, .. } => {
                    waiting.as_ref().is_none_or(|w| w.wait != Wait::Hold)
                }
                _ => false,
            })
            .filter(|intent| !seen.insert((&intent.account, intent.action, &intent.target)))
            .map(|intent| format!("{:?} has a free pending twin", intent.id))
            .collect()
    }

    /// A submitting intent is in exactly one open ask, a submitted one in exactly one accepted ask,
    /// any other in neither: none is lost, none is in two places.
    fn carried(&self) -> Vec<String> {
        let mut places: BTreeMap<IntentId, (u32, u32)> = BTreeMap::new();
        for (_, state, intents) in self.batches.iter().flat_map(|batch| &batch.asks) {
            for intent in intents {
                let (open, accepted) = places.entry(*intent).or_default();
                match state {
                    AskState::Open => *open += 1,
                    AskState::Accepted => *accepted += 1,
                    AskState::Ended => {}
                }
            }
        }
        self.intents
            .iter()
            .filter_map(|intent| {
                let found = places.get(&intent.id).copied().unwrap_or_default();
                let expected = match intent.state {
                    State::Submitting => (1, 0),
                    State::Submitted => (0, 1),
                    State::Pending { .. } | State::Ended { .. } => (0, 0),
                };
                (found != expected).then(|| {
                    format!(
                        "{:?} is {:?}, but in {found:?} (open, accepted) asks",
                        intent.id, intent.state
                    )
                })
            })
            .collect()
    }

    /// Open asks are in live batches and only there; accepted asks have a job under way.
    fn standing(&self) -> Vec<String> {
        self.batches
            .iter()
            .filter_map(|batch| {
                let any = |wanted| batch.asks.iter().any(|(_, state, _)| *state == wanted);
                let live = matches!(batch.state, BatchState::Staged | BatchState::Unknown);
                (any(AskState::Open) != live || any(AskState::Accepted) != batch.job)
                    .then(|| format!("batch {} and its asks disagree: {batch:?}", batch.key))
            })
            .collect()
    }

    /// What is spent is what was charged, and what the CDN's answers corrected.
    fn spending(&self) -> Vec<String> {
        let mut charged: BTreeMap<(&AccountName, Day, QuotaKind), i64> = BTreeMap::new();
        for batch in &self.batches {
            for (day, amount) in &batch.debits {
                *charged.entry((&batch.account, *day, batch.quota)).or_default() += amount;
            }
        }
        let mut problems = Vec::new();
        for line in &self.ledger {
            let debits = charged.remove(&(&line.account, line.day, line.quota)).unwrap_or(0);
            if line.used != line.corrected + debits || line.used < 0 {
                problems.push(format!("{line:?} does not add up with debits of {debits}"));
            }
        }
        problems.extend(
            charged
                .into_iter()
                .filter(|(_, amount)| *amount != 0)
                .map(|(key, amount)| format!("{key:?}: {amount} charged outside the ledger")),
        );
        problems
    }
}
