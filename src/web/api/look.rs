//! Looking around: search, quota, lag and origins.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ask::{self, Asked};
use super::problem::Problem;
use super::view::{Items, Problems, maybe};
use crate::domain::lag;
use crate::domain::quota::QuotaKind;
use crate::domain::time::Day;
use crate::journal::browse::Filter;
use crate::web::{Desk, treasury};

/// What a search finds at most, of targets and of deploys.
const FOUND: usize = 50;
/// How far lag is looked back.
const LOOK_BACK: Duration = Duration::from_secs(24 * 3_600);
/// Ended intents that lag is told from at most: three times what a free day pays for.
const ENDED: usize = 30_000;

/// What is searched for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The beginning of a target, with or without `https://`, or of a deploy's name; or a part of a target
    /// among the newest intents.
    #[param(schema_with = ask::text_schema)]
    pub q: String,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Found {
    /// Targets: those that begin so, then others.
    pub targets: Vec<String>,
    /// Deploys, the newest first.
    pub deploys: Vec<String>,
}

/// Finds targets and deploys, at most 50 of each.
#[utoipa::path(
    get, path = "/search", tag = "looking", params(Wanted),
    responses((status = 200, body = Found), (status = 400, body = Problems))
)]
pub(super) async fn search(
    State(desk): State<Desk>,
    Asked(Wanted { q }): Asked<Wanted>,
) -> Result<Json<Found>, Problem> {
    if q.is_empty() {
        return Err(Problem::bad("`q` is empty"));
    }
    let mut targets = desk.journal.targets(&q, FOUND).await?;
    if !q.contains("://") {
        targets.extend(desk.journal.targets(&format!("https://{q}"), FOUND).await?);
    }
    let deploys = desk.journal.deploys_named(&q, FOUND).await?;
    let part = Filter { part: Some(q), ..Filter::default() };
    for intent in desk.journal.list(&part, None, FOUND).await?.intents {
        if !targets.contains(&intent.target.text) {
            targets.push(intent.target.text);
        }
    }
    targets.truncate(FOUND);
    let deploys = deploys.iter().map(ToString::to_string).collect();
    Ok(Json(Found { targets, deploys }))
}

/// One kind's day of an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct KindView {
    /// Which.
    pub kind: String,
    /// What the day allows.
    pub limit: u64,
    /// What is spent, by us and by others as far as known.
    pub used: u64,
    /// What is left.
    pub left: u64,
    /// How much of it only urgent work may spend.
    pub reserve: u64,
    /// What others than this daemon spent, as far as known.
    pub foreign: u64,
    /// What this daemon spent in each hour of the day (UTC+8).
    pub hours: Vec<u64>,
    /// How many more the rest of the day is likely to cost; none before there is an earlier day.
    pub expected: Option<u64>,
    /// When the day's allowance is likely to be spent; none if it lasts.
    #[schema(format = DateTime)]
    pub runs_out: Option<String>,
}

/// What is kept for an origin, and what it spent.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShareView {
    /// Which origin.
    pub origin: String,
    /// Of which kind.
    pub kind: String,
    /// How much is kept for it.
    pub share: u64,
    /// How much it spent.
    pub used: u64,
}

/// An account's day.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotaView {
    /// Whose.
    pub account: String,
    /// When the day turns: 00:00 UTC+8.
    #[schema(format = DateTime)]
    pub turns_at: String,
    /// By kind.
    pub kinds: Vec<KindView>,
    /// By origin and kind, where something is kept or spent.
    pub shares: Vec<ShareView>,
}

/// Tells how the day of each account stands.
#[utoipa::path(
    get, path = "/quota", tag = "looking", responses((status = 200, body = Items<QuotaView>))
)]
pub(super) async fn quota(State(desk): State<Desk>) -> Result<Json<Items<QuotaView>>, Problem> {
    let now = desk.clock.server_now();
    let mut items = Vec::with_capacity(desk.accounts.len());
    for (name, account) in &desk.accounts {
        let allowances = desk.journal.quota(name, &account.quota, now).await?;
        let of_day = treasury::of(&desk, name, account, &allowances).await?;
        let spent = desk.journal.spent_today(name, now).await?;
        let kinds = QuotaKind::ALL.into_iter().filter_map(|kind| {
            let (allowance, kept) = (allowances[kind], of_day.kinds.get(kind.as_str())?);
            Some(KindView {
                kind: kind.as_str().to_owned(),
                limit: allowance.limit,
                used: allowance.used,
                left: allowance.left(),
                reserve: kept.reserve,
                foreign: kept.foreign,
                hours: spent[kind].to_vec(),
                expected: kept.expected,
                runs_out: maybe(kept.runs_out),
            })
        });
        let mut shares = Vec::new();
        for (origin, by_kind) in &of_day.origins {
            for (kind, share) in by_kind.iter().filter(|(_, kept)| kept.share + kept.used > 0) {
                let (origin, kind) = (origin.to_string(), (*kind).to_owned());
                shares.push(ShareView { origin, kind, share: share.share, used: share.used });
            }
        }
        items.push(QuotaView {
            account: name.to_string(),
            turns_at: Day::of(now).next().start().to_rfc3339(),
            kinds: kinds.collect(),
            shares,
        });
    }
    Ok(Json(Items { items, next: None }))
}

/// How long refreshes took that ended in ten minutes.
#[derive(Debug, Serialize, ToSchema)]
pub struct LagPoint {
    /// When these ten minutes began.
    #[schema(format = DateTime)]
    pub at: String,
    /// How many ended done.
    pub refreshes: u64,
    /// Seconds from creation to end of the slowest.
    pub worst_seconds: f64,
    /// Seconds from creation to end of the one in the middle.
    pub median_seconds: f64,
}

/// How late changes are.
#[derive(Debug, Serialize, ToSchema)]
pub struct LagView {
    /// Since when no refresh is missing: a day, or less after very many.
    #[schema(format = DateTime)]
    pub since: String,
    /// Ten minutes in which something ended, the oldest first.
    pub points: Vec<LagPoint>,
    /// The age of the oldest change that is open now, in seconds.
    pub oldest_open_seconds: Option<f64>,
}

/// Tells how late changes were in the last 24 hours.
#[utoipa::path(get, path = "/lag", tag = "looking", responses((status = 200, body = LagView)))]
pub(super) async fn lag(State(desk): State<Desk>) -> Result<Json<LagView>, Problem> {
    let now = desk.clock.server_now();
    let ended = desk.journal.ended(now.minus(LOOK_BACK), ENDED).await?;
    let oldest = desk.journal.oldest_open().await?;
    let points = lag::points(&ended.refreshes).into_iter().map(|point| LagPoint {
        at: point.at.to_rfc3339(),
        refreshes: point.number,
        worst_seconds: point.worst.as_secs_f64(),
        median_seconds: point.median.as_secs_f64(),
    });
    Ok(Json(LagView {
        since: ended.since.to_rfc3339(),
        points: points.collect(),
        oldest_open_seconds: oldest.map(|oldest| now.since(oldest).as_secs_f64()),
    }))
}

/// An origin.
#[derive(Debug, Serialize, ToSchema)]
pub struct OriginView {
    /// Its name.
    pub name: String,
    /// Whose CDN serves it.
    pub account: String,
    /// The directories that hold all its URLs.
    pub bases: Vec<String>,
    /// Where its files are; none where a repository holds them.
    pub root: Option<String>,
    /// How it is looked at: `baseline`, `watching`, `polling` or `unavailable`.
    pub state: String,
    /// By which means.
    pub watch: String,
    /// Files known of it.
    pub files: u64,
    /// Since when changes are known.
    #[schema(format = DateTime)]
    pub baseline_at: Option<String>,
    /// Why nothing more is asked for it: `paused since TIME by WHO`.
    pub paused: Option<String>,
}

/// Lists the origins.
#[utoipa::path(
    get, path = "/origins", tag = "looking", responses((status = 200, body = Items<OriginView>))
)]
pub(super) async fn origins(State(desk): State<Desk>) -> Result<Json<Items<OriginView>>, Problem> {
    let pauses = desk.journal.pauses().await?;
    let facts: BTreeMap<_, _> = desk.facts.borrow().origins.clone();
    let items = desk.origins.iter().map(|(name, origin)| {
        let known = facts.get(name).cloned().unwrap_or_default();
        let pause = pauses.iter().find(|pause| {
            pause.account == origin.account && pause.origin.as_ref().is_none_or(|of| of == name)
        });
        OriginView {
            name: name.to_string(),
            account: origin.account.to_string(),
            bases: origin.bases.iter().map(|base| base.text.clone()).collect(),
            root: origin.root.as_ref().map(|root| root.display().to_string()),
            state: known.state.as_str().to_owned(),
            watch: known.watch,
            files: known.files,
            baseline_at: maybe(known.baseline_at),
            paused: pause.map(|pause| format!("paused since {} by {}", pause.since, pause.by)),
        }
    });
    Ok(Json(Items { items: items.collect(), next: None }))
}
