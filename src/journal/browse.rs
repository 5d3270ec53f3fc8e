//! Looking through all that there is and was: for page, API and commands.
//!
//! **Invariant:** an answer looks at a bounded number of rows, however long the history is; where more
//! may be found it says where to go on.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::JournalError;
use super::check::{AskState, BatchState};
use crate::domain::ask::{Kind, Target};
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::hint::Witness;
use crate::domain::intent::{
    Action, Cause, Intent, IntentId, Outcome, Priority, State, Wait, Wish,
};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::PerKind;
use crate::domain::quota::forecast::Hours;
use crate::domain::stage::Stage;
use crate::domain::task::{BatchKey, TaskId, TaskStatus};
use crate::domain::time::Timestamp;

/// Intents that one page looks at, whether they are wanted or not: some 10 ms of the one writer.
pub const MAX_LOOKED_AT: usize = 5_000;
/// Intents that are counted for one page of deploys, and so of one deploy at most.
pub const MAX_COUNTED: usize = 10_000;

/// Where an intent stands, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateWord {
    /// Not asked yet.
    Pending,
    /// In a call under way or in doubt.
    Submitting,
    /// In an accepted job.
    Submitted,
    /// At its end.
    Ended,
}

impl StateWord {
    /// All states, in the order of an intent's life.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Submitting, Self::Submitted, Self::Ended];

    /// Returns the word used in code, CLI and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Submitting => "submitting",
            Self::Submitted => "submitted",
            Self::Ended => "ended",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Names a state.
    #[must_use]
    pub const fn of(state: &State) -> Self {
        match state {
            State::Pending { .. } => Self::Pending,
            State::Submitting => Self::Submitting,
            State::Submitted => Self::Submitted,
            State::Ended { .. } => Self::Ended,
        }
    }
}

/// How an intent ended, as a word: those of [`Outcome`].
pub const OUTCOMES: [&str; 5] = ["done", "failed", "superseded", "rejected", "cancelled"];

/// Which intents are wanted; without anything all are.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    /// Those that stand so.
    pub state: Option<StateWord>,
    /// Those that wait so.
    pub wait: Option<Wait>,
    /// Those that ended so: one of [`OUTCOMES`].
    pub outcome: Option<&'static str>,
    /// Refreshes or prefetches.
    pub action: Option<Action>,
    /// Those of targets of this kind.
    pub kind: Option<Kind>,
    /// Those that came from this tree.
    pub origin: Option<OriginName>,
    /// Those of this account.
    pub account: Option<AccountName>,
    /// Those that this deploy caused, be it as one of several.
    pub deploy: Option<DeployId>,
    /// Those whose target contains this.
    pub part: Option<String>,
}

/// By which way the wanted intents are found: each is an index in the order of the intents' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Through what a deploy caused.
    Deploy,
    /// Through what ended otherwise than done.
    Outcome,
    /// Through what is open.
    Open,
    /// Through all.
    All,
}

impl Filter {
    pub(super) fn way(&self) -> Way {
        let is_open = self.state.is_some_and(|state| state != StateWord::Ended);
        match self.outcome {
            _ if self.deploy.is_some() => Way::Deploy,
            Some(outcome) if outcome != "done" => Way::Outcome,
            _ if is_open || self.wait.is_some() => Way::Open,
            _ => Way::All,
        }
    }
}

/// A part of what is wanted, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The part.
    pub intents: Vec<Intent>,
    /// What to go on after; none when all was looked at.
    pub next: Option<IntentId>,
}

/// All that is known of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The intent.
    pub intent: Intent,
    /// Its newest causes, the newest first.
    pub causes: Vec<Cause>,
    /// What was asked for it, the first first.
    pub asks: Vec<Asked>,
}

/// What was asked for an intent, and what became of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The batch.
    pub key: BatchKey,
    /// What was named: the intent's target, or what stood for it.
    pub target: Target,
    /// Where the ask stands.
    pub state: AskState,
    /// Where its batch stands.
    pub batch: BatchState,
    /// What the CDN last said of it.
    pub status: Option<TaskStatus>,
    /// The CDN's name of the call that accepted it.
    pub request_id: Option<String>,
    /// The CDN's task ids.
    pub tasks: Vec<TaskId>,
    /// How often the batch was sent.
    pub sends: u32,
    /// When it was last written down before its call.
    pub staged_at: Timestamp,
    /// When its batch was accepted or refused.
    pub settled_at: Option<Timestamp>,
    /// When the CDN accepted it.
    pub accepted_at: Option<Timestamp>,
    /// When its job ended.
    pub ended_at: Option<Timestamp>,
    /// Why the batch was refused or is in doubt.
    pub why: Option<String>,
}

/// A deploy with how its intents stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedDeploy {
    /// The deploy.
    pub deploy: Deploy,
    /// How many of its intents stand where: by state, and those that ended by outcome.
    pub intents: BTreeMap<String, u64>,
    /// Whether it caused more than were counted.
    pub more: bool,
}

/// Refreshes that ended done, and since when all of them are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When each was created and when it ended, the newest end first.
    pub refreshes: Vec<(Timestamp, Timestamp)>,
    /// Since when none is missing.
    pub since: Timestamp,
}

/// What came of asking for an intent once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// There is no such intent, or no more.
    Unknown,
    /// It is asked for as a new intent.
    Made(IntentId),
    /// A pending intent of the same target asks for it.
    Joined(IntentId),
    /// It was waiting, and is due now.
    Due,
    /// It needs none, for this reason.
    Needless(String),
}

/// How a person picked the intents that are asked for once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    /// Each by itself: it is urgent.
    Single,
    /// By what they have in common: each keeps its priority, and only the newest of its target goes.
    Alike,
}

/// What came of calling intents off.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CalledOff {
    /// Those that ended by it.
    pub cancelled: Vec<IntentId>,
    /// Those that were pending and stay it, because others than the deploy in question wait for them.
    pub spared: Vec<IntentId>,
}

impl Again {
    /// Says why an intent that stands so is not asked for once more; none where it is.
    /// `intent` is `id`, or what stands for that.
    pub(super) fn needless(id: IntentId, intent: &Intent) -> Option<Self> {
        let why = match &intent.state {
            State::Pending { waiting, .. } => match waiting.as_ref().map(|waiting| waiting.wait) {
                Some(Wait::Retry | Wait::Quota) => return None,
                Some(Wait::Hold) => match &intent.deploy {
                    Some(deploy) => {
                        format!("it is held for a person: refreshd approve {deploy}")
                    }
                    None => "it is held for a person".to_owned(),
                },
                Some(wait) => format!("it is pending and waits: {}", wait.as_str()),
                None => "it is pending and goes out soon".to_owned(),
            },
            State::Submitting | State::Submitted => "it is under way".to_owned(),
            State::Ended { outcome, .. } => match outcome {
                Outcome::Failed(_) | Outcome::Rejected(_) | Outcome::Cancelled(_) => return None,
                Outcome::Done => {
                    "it is done; `refreshd refresh` asks for its target anew".to_owned()
                }
                Outcome::Superseded(by) => format!("intent {} stands for it", by.0),
            },
        };
        let by = intent.id.0;
        let why = if intent.id == id { why } else { format!("intent {by} stands for it: {why}") };
        Some(Self::Needless(why))
    }

    /// Says why only the newest intent of a target is asked for once more.
    pub(super) fn newer() -> Self {
        Self::Needless("its target was asked for since".to_owned())
    }
}

/// Looks through what there is and was, and takes single intents up again or calls them off.
#[async_trait]
pub trait Browse: Send + Sync + 'static {
    /// Returns wanted intents, newest first, at most `limit` of those after `after`. Looks at
    /// [`MAX_LOOKED_AT`] at most: a page may be short, even empty, and others follow.
    async fn list(
        &self,
        filter: &Filter,
        after: Option<IntentId>,
        limit: usize,
    ) -> Result<Page, JournalError>;

    /// Returns all that is known of an intent.
    async fn story(&self, intent: IntentId) -> Result<Option<Story>, JournalError>;

    /// Returns deploys of an origin, or of all, newest first, at most `limit` of those that opened before
    /// `after`, and where to go on. Counts [`MAX_COUNTED`] intents at most: a page may be short.
    async fn counted_deploys(
        &self,
        origin: Option<&OriginName>,
        after: Option<&(Timestamp, DeployId)>,
        limit: usize,
    ) -> Result<(Vec<CountedDeploy>, bool), JournalError>;

    /// Returns texts of targets that begin so, in order, at most `limit`.
    async fn targets(&self, begin: &str, limit: usize) -> Result<Vec<String>, JournalError>;

    /// Returns deploys whose names begin so, newest first, at most `limit`.
    async fn deploys_named(&self, begin: &str, limit: usize)
    -> Result<Vec<DeployId>, JournalError>;

    /// Returns refreshes that ended done at `since` or later; looks at the newest `limit` that ended at all.
    async fn ended(&self, since: Timestamp, limit: usize) -> Result<Ended, JournalError>;

    /// Returns what an account spent in each hour of the day of `now`, backfill included.
    async fn spent_today(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<PerKind<Hours>, JournalError>;

    /// Asks for intents once more: one that failed, was rejected or cancelled becomes an approved one,
    /// or joins the pending one of its target; one that waits for its retry or for quota is due now. For one
    /// that was superseded what stands for it in the end is looked at. Returns what came of each.
    async fn retry(
        &self,
        intents: &[IntentId],
        picked: Picked,
        now: Timestamp,
    ) -> Result<Vec<(IntentId, Again)>, JournalError>;

    /// Calls off what of these is pending, "by `who`". With a deploy only what it alone caused: what
    /// another deploy or a person wants, too, is spared.
    async fn cancel(
        &self,
        intents: &[IntentId],
        of: Option<&DeployId>,
        who: &str,
        now: Timestamp,
    ) -> Result<CalledOff, JournalError>;
}

/// Returns whether somebody else than a deploy is among the newest causes of its intent.
pub(super) fn is_wanted_besides(causes: &[Cause], deploy: &DeployId) -> bool {
    let is_other =
        |cause: &Cause| cause.witness == Witness::Operator || cause.deploy.as_ref() != Some(deploy);
    causes.iter().any(is_other)
}

/// Returns the wish that asks for an intent once more.
pub(super) fn again(intent: &Intent, picked: Picked, now: Timestamp) -> Wish {
    Wish {
        account: intent.account.clone(),
        action: intent.action,
        target: intent.target.clone(),
        force: intent.force,
        priority: match picked {
            Picked::Single => Priority::Urgent,
            Picked::Alike => intent.priority,
        },
        not_before: now,
        stage: Stage::default(),
        hold: None,
        cause: Cause { witness: Witness::Operator, at: now, ..intent.cause.clone() },
    }
}
