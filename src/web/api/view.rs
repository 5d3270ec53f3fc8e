//! What is known, in the shapes of `/api/v1`: times are RFC 3339 text in UTC, to the microsecond.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::intent::{Cause, Intent, Outcome, State};
use crate::domain::task::TaskStatus;
use crate::domain::time::Timestamp;
use crate::journal::browse::{Asked, CountedDeploy, StateWord, Story};

/// Writes a time that may be none.
pub(super) fn maybe(time: Option<Timestamp>) -> Option<String> {
    time.map(Timestamp::to_rfc3339)
}

/// What was wrong with a request; nothing was changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Problems {
    /// A sentence for each problem.
    pub problems: Vec<String>,
}

/// An intent.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntentView {
    /// Its number; rises with time.
    pub id: i64,
    /// Whose CDN.
    pub account: String,
    /// `refresh` or `prefetch`.
    pub action: String,
    /// How the target is meant: `url`, `directory`, `regex`, `ignore_params` or `tag`.
    pub kind: String,
    /// What for.
    pub target: String,
    /// Where it stands: `pending`, `submitting`, `submitted` or `ended`.
    pub state: String,
    /// What it waits for, while it is pending.
    pub wait: Option<String>,
    /// How it ended: `done`, `failed`, `superseded`, `rejected` or `cancelled`.
    pub outcome: Option<String>,
    /// Why it waits or ended so.
    pub why: Option<String>,
    /// When it is looked at again, where that is known.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// What stands for it, where it is superseded.
    pub superseded_by: Option<i64>,
    /// How often it was asked in vain.
    pub attempt: u32,
    /// `urgent`, `normal` or `backfill`.
    pub priority: String,
    /// Whether cached copies are dropped, not only revalidated.
    pub force: bool,
    /// Whether a person asked for it or let it go.
    pub approved: bool,
    /// The tree that its newest cause came from; none for a person's wish.
    pub origin: Option<String>,
    /// The path of its newest cause.
    pub path: Option<String>,
    /// The deploy that opened it.
    pub deploy: Option<String>,
    /// How many causes it has.
    pub causes: u32,
    /// When its first cause was accepted.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it ended.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
}

impl From<Intent> for IntentView {
    fn from(intent: Intent) -> Self {
        let attempt = intent.attempt();
        let (mut wait, mut outcome, mut why, mut until) = (None, None, None, None);
        let (mut superseded_by, mut ended_at) = (None, None);
        match &intent.state {
            State::Pending { waiting: Some(waiting), .. } => {
                wait = Some(waiting.wait.as_str().to_owned());
                why = Some(waiting.why.clone());
                until = maybe(waiting.until);
            }
            State::Ended { at, outcome: ended } => {
                ended_at = Some(at.to_rfc3339());
                outcome = Some(ended.as_str().to_owned());
                match ended {
                    Outcome::Done => {}
                    Outcome::Superseded(by) => superseded_by = Some(by.0),
                    Outcome::Failed(text) | Outcome::Rejected(text) | Outcome::Cancelled(text) => {
                        why = Some(text.clone());
                    }
                }
            }
            State::Pending { .. } | State::Submitting | State::Submitted => {}
        }
        Self {
            id: intent.id.0,
            account: intent.account.to_string(),
            action: intent.action.to_string(),
            kind: intent.target.kind.to_string(),
            state: StateWord::of(&intent.state).as_str().to_owned(),
            target: intent.target.text,
            wait,
            outcome,
            why,
            until,
            superseded_by,
            attempt,
            priority: intent.priority.to_string(),
            force: intent.force,
            approved: intent.approved,
            origin: intent.cause.origin.map(|origin| origin.to_string()),
            path: intent.cause.path.map(|path| path.to_string()),
            deploy: intent.deploy.map(|deploy| deploy.to_string()),
            causes: intent.causes,
            created_at: intent.created_at.to_rfc3339(),
            ended_at,
        }
    }
}

/// Why something must become fresh.
#[derive(Debug, Serialize, ToSchema)]
pub struct CauseView {
    /// Who saw it: `watch`, `scan`, `webhook`, `operator` or `schedule`.
    pub witness: String,
    /// When it was recorded.
    #[schema(format = DateTime)]
    pub at: String,
    /// In which tree.
    pub origin: Option<String>,
    /// Where in it.
    pub path: Option<String>,
    /// What happened: the letter `A`, `M` or `D`.
    pub change: Option<String>,
    /// In which deploy.
    pub deploy: Option<String>,
}

impl From<Cause> for CauseView {
    fn from(cause: Cause) -> Self {
        Self {
            witness: cause.witness.as_str().to_owned(),
            at: cause.at.to_rfc3339(),
            origin: cause.origin.map(|origin| origin.to_string()),
            path: cause.path.map(|path| path.to_string()),
            change: cause.change.map(|change| change.letter().to_owned()),
            deploy: cause.deploy.map(|deploy| deploy.to_string()),
        }
    }
}

/// What was asked for an intent.
#[derive(Debug, Serialize, ToSchema)]
pub struct AskView {
    /// The key of its batch.
    pub batch: String,
    /// Where the batch stands: `staged`, `unknown`, `accepted` or `refused`.
    pub batch_state: String,
    /// How what was named is meant.
    pub kind: String,
    /// What was named: the intent's target, or what stood for it.
    pub target: String,
    /// Where the ask stands: `open`, `accepted` or `ended`.
    pub state: String,
    /// What the CDN last said of it: `running`, `complete` or `failed`.
    pub status: Option<String>,
    /// How far the CDN is, in percent.
    pub percent: Option<u8>,
    /// Why the batch was refused or is in doubt, or the task failed.
    pub why: Option<String>,
    /// The CDN's name of the call that accepted it.
    pub request_id: Option<String>,
    /// The CDN's task ids.
    pub tasks: Vec<String>,
    /// How often the batch was sent.
    pub sends: u32,
    /// When it was written down before its call.
    #[schema(format = DateTime)]
    pub staged_at: String,
    /// When its batch was accepted or refused.
    #[schema(format = DateTime)]
    pub settled_at: Option<String>,
    /// When the CDN accepted it.
    #[schema(format = DateTime)]
    pub accepted_at: Option<String>,
    /// When its job ended.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
}

impl From<Asked> for AskView {
    fn from(asked: Asked) -> Self {
        let (status, percent, failed) = match asked.status {
            None => (None, None, None),
            Some(TaskStatus::Running { percent }) => (Some("running"), Some(percent), None),
            Some(TaskStatus::Complete) => (Some("complete"), None, None),
            Some(TaskStatus::Failed(why)) => (Some("failed"), None, Some(why)),
        };
        Self {
            batch: asked.key.to_string(),
            batch_state: asked.batch.as_str().to_owned(),
            kind: asked.target.kind.to_string(),
            target: asked.target.text,
            state: asked.state.as_str().to_owned(),
            status: status.map(str::to_owned),
            percent,
            why: failed.or(asked.why),
            request_id: asked.request_id,
            tasks: asked.tasks.into_iter().map(|task| task.0).collect(),
            sends: asked.sends,
            staged_at: asked.staged_at.to_rfc3339(),
            settled_at: maybe(asked.settled_at),
            accepted_at: maybe(asked.accepted_at),
            ended_at: maybe(asked.ended_at),
        }
    }
}

/// All that is known of an intent.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoryView {
    /// The intent.
    pub intent: IntentView,
    /// Its newest causes, the newest first: 20 at most.
    pub causes: Vec<CauseView>,
    /// What was asked for it, the first first.
    pub asks: Vec<AskView>,
}

impl From<Story> for StoryView {
    fn from(story: Story) -> Self {
        Self {
            intent: story.intent.into(),
            causes: story.causes.into_iter().map(CauseView::from).collect(),
            asks: story.asks.into_iter().map(AskView::from).collect(),
        }
    }
}

/// A deploy with how its intents stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeployView {
    /// Its name.
    pub id: String,
    /// Whose.
    pub origin: String,
    /// When it opened.
    #[schema(format = DateTime)]
    pub opened_at: String,
    /// When it closed; none while it is open.
    #[schema(format = DateTime)]
    pub closed_at: Option<String>,
    /// How many of its intents stand where: by state, and those that ended by outcome.
    pub intents: BTreeMap<String, u64>,
    /// Whether it caused more than were counted: 10,000 are.
    pub more: bool,
}

impl From<CountedDeploy> for DeployView {
    fn from(counted: CountedDeploy) -> Self {
        Self {
            id: counted.deploy.id.to_string(),
            origin: counted.deploy.origin.to_string(),
            opened_at: counted.deploy.opened_at.to_rfc3339(),
            closed_at: maybe(counted.deploy.closed_at),
            intents: counted.intents,
            more: counted.more,
        }
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Items<T> {
    /// The part; it may be short, even empty, and others follow.
    pub items: Vec<T>,
    /// What to send as `after` to go on; none at the end.
    pub next: Option<String>,
}
