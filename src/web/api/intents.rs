//! Intents: lists of them, the story of one, once more, and called off.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ask::{self, Asked, MOST, Named, Told};
use super::problem::Problem;
use super::view::{IntentView, Items, Problems, StoryView};
use crate::domain::ask::Kind;
use crate::domain::deploy::DeployId;
use crate::domain::intent::{Action, IntentId, Wait};
use crate::domain::names::AccountName;
use crate::journal::browse::{Again, Filter, OUTCOMES, Picked, StateWord};
use crate::web::Desk;
use crate::web::who::Changer;

/// Which intents are wanted; without anything all are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Those that stand so.
    #[param(schema_with = ask::state_schema)]
    #[schema(schema_with = ask::state_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Those that wait so.
    #[param(schema_with = ask::wait_schema)]
    #[schema(schema_with = ask::wait_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// Those that ended so.
    #[param(schema_with = ask::outcome_schema)]
    #[schema(schema_with = ask::outcome_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Refreshes or prefetches.
    #[param(schema_with = ask::action_schema)]
    #[schema(schema_with = ask::action_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Those of targets of this kind.
    #[param(schema_with = ask::kind_schema)]
    #[schema(schema_with = ask::kind_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Those that came from this tree.
    #[param(schema_with = ask::text_schema)]
    #[schema(schema_with = ask::text_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Those of this account.
    #[param(schema_with = ask::text_schema)]
    #[schema(schema_with = ask::text_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Those that this deploy caused.
    #[param(schema_with = ask::text_schema)]
    #[schema(schema_with = ask::text_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy: Option<String>,
    /// Those whose target contains this.
    #[param(schema_with = ask::text_schema)]
    #[schema(schema_with = ask::text_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// How many at most: 1 to 500, usually 100. Refused in a body.
    #[param(schema_with = ask::limit_schema)]
    #[schema(ignore)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// What an answer named as `next`.
    #[param(schema_with = ask::text_schema)]
    #[schema(ignore)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Wanted {
    fn filter(&self) -> Result<Filter, Problem> {
        for (key, text) in [
            ("origin", &self.origin),
            ("account", &self.account),
            ("deploy", &self.deploy),
            ("q", &self.q),
        ] {
            ask::filled(key, text.as_ref())?;
        }
        let outcome = |text: &str| OUTCOMES.into_iter().find(|known| *known == text);
        Ok(Filter {
            state: ask::word("state", self.state.as_ref(), StateWord::parse, &ask::states())?,
            wait: ask::word("wait", self.wait.as_ref(), Wait::parse, &ask::waits())?,
            outcome: ask::word("outcome", self.outcome.as_ref(), outcome, &OUTCOMES)?,
            action: ask::word("action", self.action.as_ref(), Action::parse, &ask::actions())?,
            kind: ask::word("kind", self.kind.as_ref(), Kind::parse, &ask::kinds())?,
            origin: self.origin.as_deref().map(Into::into),
            account: self.account.as_deref().map(Into::into),
            deploy: self.deploy.clone().map(DeployId::from_text),
            part: self.q.clone(),
        })
    }

    /// Reads which intents are to be changed: at least something must be said of them.
    fn named(&self) -> Result<Filter, Problem> {
        if self.limit.is_some() || self.after.is_some() {
            let problem = "`limit` and `after` are for lists: a change is about all of a filter";
            return Err(Problem::bad(problem));
        }
        let filter = self.filter()?;
        if filter == Filter::default() {
            let problem = "name which: an empty filter would be about all intents";
            return Err(Problem::bad(problem));
        }
        Ok(filter)
    }
}

fn cursor(text: &str) -> Option<IntentId> {
    text.parse().ok().map(IntentId)
}

/// Lists intents, newest first.
#[utoipa::path(
    get, path = "/intents", tag = "intents", params(Wanted),
    responses((status = 200, body = Items<IntentView>), (status = 400, body = Problems))
)]
pub(super) async fn list(
    State(desk): State<Desk>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<Items<IntentView>>, Problem> {
    let filter = wanted.filter()?;
    let limit = ask::limit(wanted.limit.as_deref())?;
    let after = ask::after(wanted.after.as_deref(), cursor)?;
    let page = desk.journal.list(&filter, after, limit).await?;
    Ok(Json(Items {
        items: page.intents.into_iter().map(IntentView::from).collect(),
        next: page.next.map(|next| next.0.to_string()),
    }))
}

fn unknown(id: IntentId) -> Problem {
    Problem::unknown(format!("there is no intent {}, or no more: 90 days are kept", id.0))
}

/// Tells all that is known of an intent.
#[utoipa::path(
    get, path = "/intents/{id}", tag = "intents",
    params(("id" = i64, Path, description = "Its number", minimum = 1)),
    responses((status = 200, body = StoryView), (status = 400, body = Problems), (status = 404, body = Problems))
)]
pub(super) async fn tell(
    State(desk): State<Desk>,
    named: Named,
) -> Result<Json<StoryView>, Problem> {
    let id = named.intent()?;
    let story = desk.journal.story(id).await?.ok_or_else(|| unknown(id))?;
    Ok(Json(story.into()))
}

/// Refuses an account that nobody would ask for any more.
fn configured(desk: &Desk, account: &AccountName) -> Result<(), Problem> {
    if desk.accounts.contains_key(account) {
        return Ok(());
    }
    let problem = format!("account `{account}` is not configured: nothing would go out for it");
    Err(Problem::new(StatusCode::CONFLICT, problem))
}

/// What came of asking for intents once more.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Retried {
    /// How many are asked for as new intents.
    pub made: u64,
    /// How many a pending intent of the same target asks for.
    pub joined: u64,
    /// How many waited and are due now.
    pub due: u64,
    /// How many need none: their target was asked for since, or their account is not configured.
    pub needless: u64,
    /// The new or pending intent, where one was named.
    pub intent: Option<i64>,
}

/// Asks for an intent once more.
#[utoipa::path(
    post, path = "/intents/{id}/retry", tag = "intents",
    params(("id" = i64, Path, description = "Its number", minimum = 1)),
    responses(
        (status = 200, body = Retried), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 404, body = Problems),
        (status = 409, description = "It needs none, or its account is gone", body = Problems)
    )
)]
pub(super) async fn retry(
    State(desk): State<Desk>,
    Changer(who): Changer,
    named: Named,
) -> Result<Json<Retried>, Problem> {
    let id = named.intent()?;
    let story = desk.journal.story(id).await?.ok_or_else(|| unknown(id))?;
    configured(&desk, &story.intent.account)?;
    let now = desk.clock.server_now();
    let came = desk.journal.retry(&[id], Picked::Single, now).await?;
    let retried = match came.into_iter().next() {
        None | Some((_, Again::Unknown)) => return Err(unknown(id)),
        Some((_, Again::Needless(why))) => {
            return Err(Problem::new(StatusCode::CONFLICT, format!("intent {}: {why}", id.0)));
        }
        Some((_, Again::Made(twin))) => {
            Retried { made: 1, intent: Some(twin.0), ..Retried::default() }
        }
        Some((_, Again::Joined(twin))) => {
            Retried { joined: 1, intent: Some(twin.0), ..Retried::default() }
        }
        Some((_, Again::Due)) => Retried { due: 1, intent: Some(id.0), ..Retried::default() },
    };
    tracing::info!(intent = id.0, %who, "a person asked for an intent once more");
    desk.wake_dispatchers();
    Ok(Json(retried))
}

/// Asks for all intents of a filter once more, which names how they ended or what they wait for: for each
/// target only the newest intent, with the priority that it had.
#[utoipa::path(
    post, path = "/intents/retry", tag = "intents", request_body = Wanted,
    responses(
        (status = 200, body = Retried), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 409, description = "The account is gone", body = Problems)
    )
)]
pub(super) async fn retry_all(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Told(wanted): Told<Wanted>,
) -> Result<Json<Retried>, Problem> {
    let filter = wanted.named()?;
    let can_end_so = matches!(filter.outcome, Some("failed" | "rejected" | "cancelled"));
    if !can_end_so && !matches!(filter.wait, Some(Wait::Retry | Wait::Quota)) {
        let problem = "name an `outcome` (failed, rejected, cancelled) or a `wait` (retry, quota)";
        return Err(Problem::bad(problem));
    }
    if let Some(account) = &filter.account {
        configured(&desk, account)?;
    }
    let (mut retried, mut after) = (Retried::default(), None);
    loop {
        let page = desk.journal.list(&filter, after, MOST).await?;
        let (mut ids, listed) = (Vec::new(), page.intents.len());
        let known = page.intents.iter().filter(|it| desk.accounts.contains_key(&it.account));
        ids.extend(known.map(|intent| intent.id));
        retried.needless += (listed - ids.len()) as u64;
        for (_, came) in desk.journal.retry(&ids, Picked::Alike, desk.clock.server_now()).await? {
            match came {
                Again::Made(_) => retried.made += 1,
                Again::Joined(_) => retried.joined += 1,
                Again::Due => retried.due += 1,
                Again::Unknown | Again::Needless(_) => retried.needless += 1,
            }
        }
        // Page by page, for whoever asks may hang up before the last.
        if !ids.is_empty() {
            let (made, joined, due) = (retried.made, retried.joined, retried.due);
            tracing::info!(made, joined, due, %who, "a person asked for intents once more");
            desk.wake_dispatchers();
        }
        after = page.next;
        if after.is_none() {
            return Ok(Json(retried));
        }
    }
}

/// How many intents were called off.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cancelled {
    /// How many.
    pub cancelled: u64,
    /// How many of the deploy stay, because another deploy or a person wants them, too.
    pub spared: u64,
}

/// Calls a pending intent off.
#[utoipa::path(
    post, path = "/intents/{id}/cancel", tag = "intents",
    params(("id" = i64, Path, description = "Its number", minimum = 1)),
    responses(
        (status = 200, body = Cancelled), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems),
        (status = 404, body = Problems), (status = 409, description = "It is not pending", body = Problems)
    )
)]
pub(super) async fn cancel(
    State(desk): State<Desk>,
    Changer(who): Changer,
    named: Named,
) -> Result<Json<Cancelled>, Problem> {
    let id = named.intent()?;
    let came = desk.journal.cancel(&[id], None, &who, desk.clock.server_now()).await?;
    if came.cancelled.is_empty() {
        let story = desk.journal.story(id).await?.ok_or_else(|| unknown(id))?;
        let (stands, _) = story.intent.state.stands();
        let problem = format!("intent {} is {stands}: only what is pending is called off", id.0);
        return Err(Problem::new(StatusCode::CONFLICT, problem));
    }
    tracing::info!(intent = id.0, %who, "a person called an intent off");
    desk.wake_dispatchers();
    Ok(Json(Cancelled { cancelled: 1, spared: 0 }))
}

/// Calls off all pending intents of a filter; of a deploy only what it alone caused.
#[utoipa::path(
    post, path = "/intents/cancel", tag = "intents", request_body = Wanted,
    responses(
        (status = 200, body = Cancelled), (status = 400, body = Problems),
        (status = 401, body = Problems), (status = 403, body = Problems)
    )
)]
pub(super) async fn cancel_all(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Told(wanted): Told<Wanted>,
) -> Result<Json<Cancelled>, Problem> {
    let filter = wanted.named()?;
    if filter.state.is_some_and(|state| state != StateWord::Pending) {
        return Err(Problem::bad("`state` is not `pending`: only what is pending is called off"));
    }
    let filter = Filter { state: Some(StateWord::Pending), ..filter };
    let (of, mut after) = (filter.deploy.as_ref(), None);
    let mut told = Cancelled { cancelled: 0, spared: 0 };
    loop {
        let page = desk.journal.list(&filter, after, MOST).await?;
        let ids: Vec<IntentId> = page.intents.iter().map(|intent| intent.id).collect();
        let came = desk.journal.cancel(&ids, of, &who, desk.clock.server_now()).await?;
        told.cancelled += came.cancelled.len() as u64;
        told.spared += came.spared.len() as u64;
        // Page by page, for whoever asks may hang up before the last.
        if !came.cancelled.is_empty() {
            tracing::info!(cancelled = told.cancelled, %who, "a person called intents off");
            desk.wake_dispatchers();
        }
        after = page.next;
        if after.is_none() {
            return Ok(Json(told));
        }
    }
}
