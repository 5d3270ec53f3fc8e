//! `POST /wishes`: an operator asks for a refresh or a prefetch by hand.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::domain::ask::{Kind, Target};
use crate::domain::guard::is_root;
use crate::domain::hint::Witness;
use crate::domain::intent::{Action, Cause, Outgoing, Priority, Wish};
use crate::domain::names::AccountName;
use crate::domain::url::canonical_target;
use crate::store::StoreError;

use super::Desk;
use super::who::Changer;

/// What an operator asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Refresh or prefetch.
    pub action: Action,
    /// How the targets are meant; `url` for a prefetch.
    pub kind: Kind,
    /// The targets, in an operator's spelling.
    pub targets: Vec<String>,
    /// Whether cached copies are to be dropped, not only revalidated.
    pub force: bool,
    /// Whether it is in no hurry: it goes last, by what the day leaves over.
    #[serde(default)]
    pub backfill: bool,
    /// Whether a refresh of everything that a domain serves is meant.
    #[serde(default)]
    pub yes: bool,
    /// Whose CDN; may be left out when the host tells, or when there is one account.
    pub account: Option<AccountName>,
}

/// What was written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// The canonical targets, in order.
    pub recorded: Vec<String>,
    /// Why these wait for now, if they do: a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What was wrong; nothing was written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// A sentence for each problem.
    pub problems: Vec<String>,
}

/// Answers `POST /wishes`: 202 once the wishes are durable, 422 with every problem, or 503 when they
/// could not be written down.
pub async fn answer(
    State(desk): State<Desk>,
    Changer(who): Changer,
    Json(request): Json<Request>,
) -> Response {
    match record(&desk, &request, &who).await {
        Ok(Ok(recorded)) => (StatusCode::ACCEPTED, Json(recorded)).into_response(),
        Ok(Err(problems)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Json(Refused { problems })).into_response()
        }
        Err(error) => {
            let problems = vec![error.to_string()];
            (StatusCode::SERVICE_UNAVAILABLE, Json(Refused { problems })).into_response()
        }
    }
}

/// Writes down what a person asks for; the inner error says all that is wrong with it.
pub(super) async fn record(
    desk: &Desk,
    request: &Request,
    who: &str,
) -> Result<Result<Recorded, Vec<String>>, StoreError> {
    let outgoing = match wishes(desk, request) {
        Ok(outgoing) => outgoing,
        Err(problems) => return Ok(Err(problems)),
    };
    let recorded = outgoing.iter().map(|wish| wish.target.text.clone()).collect();
    let accounts: BTreeSet<AccountName> =
        outgoing.iter().map(|wish| wish.account.clone()).collect();
    let outgoing = outgoing.into_iter().map(Outgoing::Wish).collect();
    desk.store.record_operator(outgoing).await?;
    let (action, targets) = (request.action, request.targets.len());
    tracing::info!(%who, %action, targets, "a person asked");
    desk.recorded.notify_one();
    Ok(Ok(Recorded { recorded, notes: notes(desk, &accounts).await }))
}

/// Says which accounts are paused. They are recorded all the same, so that a failure here is not theirs.
async fn notes(desk: &Desk, accounts: &BTreeSet<AccountName>) -> Vec<String> {
    let pauses = desk.journal.pauses().await.unwrap_or_default();
    pauses
        .into_iter()
        .filter(|pause| pause.origin.is_none() && accounts.contains(&pause.account))
        .map(|pause| {
            let (account, since, by) = (&pause.account, pause.since, &pause.by);
            format!(
                "account {account} is paused since {since} by {by}: it goes out after \
                 `refreshd resume --account {account}`"
            )
        })
        .collect()
}

fn wishes(desk: &Desk, request: &Request) -> Result<Vec<Wish>, Vec<String>> {
    let now = desk.clock.server_now();
    let mut wishes = Vec::new();
    let mut problems = Vec::new();
    if request.targets.is_empty() {
        problems.push("no target was named".to_owned());
    }
    if request.action == Action::Prefetch && request.kind != Kind::Url {
        problems.push("only URLs can be prefetched".to_owned());
    }
    for text in &request.targets {
        let target = canonical_target(request.kind, text).map_err(|error| error.to_string());
        let target = target.and_then(|target| {
            if is_root(&target) && !request.yes {
                return Err(format!(
                    "`{target}` is all that {} serves, and every visitor would wait for the origin \
                     server: name what changed, or add --yes",
                    target.host()
                ));
            }
            let directory = request.action == Action::Prefetch && target.text.ends_with('/');
            // API reference 1.5: a trailing `/` is refused.
            if directory {
                Err(format!("`{target}` is a directory; the CDN prefetches files only"))
            } else {
                Ok(target)
            }
        });
        let wish = target.and_then(|target| {
            let account = account_of(desk, request.account.as_ref(), &target)?;
            if let Some(account) = desk.accounts.get(&account) {
                account.limits.refuse_longer(&target).map_err(|error| error.to_string())?;
            }
            Ok(Wish {
                account,
                action: request.action,
                // A url refresh always drops the cached copy.
                force: request.force
                    || (request.action == Action::Refresh && request.kind == Kind::Url),
                target,
                // A person waits for it.
                priority: if request.backfill { Priority::Backfill } else { Priority::Urgent },
                not_before: now,
                stage: crate::domain::stage::Stage::default(),
                hold: None,
                cause: Cause {
                    witness: Witness::Operator,
                    at: now,
                    origin: None,
                    path: None,
                    change: None,
                    digest: None,
                    deploy: None,
                },
            })
        });
        match wish {
            Ok(wish) => wishes.push(wish),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(wishes) } else { Err(problems) }
}

/// Finds whose CDN serves a target.
pub(super) fn account_of(
    desk: &Desk,
    named: Option<&AccountName>,
    target: &Target,
) -> Result<AccountName, String> {
    let known = || desk.accounts.keys().map(AccountName::as_str).collect::<Vec<_>>().join(", ");
    if let Some(name) = named {
        return desk
            .accounts
            .contains_key(name)
            .then(|| name.clone())
            .ok_or_else(|| format!("there is no account `{name}`; configured: {}", known()));
    }
    let host = target.host();
    let serving = |(_, account): &(&AccountName, &super::AccountDesk)| {
        account.hosts.iter().any(|known| known == host)
    };
    let mut accounts = desk.accounts.iter();
    match (accounts.clone().find(serving), accounts.next(), desk.accounts.len()) {
        (Some((name, _)), _, _) | (None, Some((name, _)), 1) => Ok(name.clone()),
        _ => {
            Err(format!("no origin serves `{host}`; name the account with --account ({})", known()))
        }
    }
}
