//! `GET why`: from a URL or a path to what became of it, or the reason why nothing did.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ask::{self, Asked};
use super::problem::Problem;
use super::view::{Problems, StoryView, maybe};
use crate::domain::ask::{Kind, Target};
use crate::domain::change::ChangeKind;
use crate::domain::facts::OriginState;
use crate::domain::intent::Action;
use crate::domain::mapping::Explained;
use crate::domain::names::{AccountName, OriginName};
use crate::domain::path::RelPath;
use crate::domain::url::CanonicalUrl;
use crate::web::{Desk, OriginDesk, wishes};

/// Intents that are told of each target, the newest.
const TOLD: usize = 3;
/// Targets that are told of.
const TARGETS: usize = 50;

/// What is asked about.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// A URL, or a path: absolute, or relative to an origin's root.
    #[param(schema_with = ask::text_schema)]
    pub q: String,
    /// The origin that the path is of.
    #[param(schema_with = ask::text_schema)]
    pub origin: Option<String>,
}

/// What a rule said.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleView {
    /// Of what: a file's path, or from a `/` on what is served because of it.
    pub about: String,
    /// The rule's key in the configuration.
    pub rule: String,
    /// Its number, from 1, where there are several.
    pub number: Option<usize>,
    /// Whether it did anything.
    pub fired: bool,
    /// What it did, or why nothing.
    pub why: String,
}

/// A file, and what its change comes to.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileView {
    /// Of which origin.
    pub origin: String,
    /// Its path.
    pub path: String,
    /// Whether the index knows it.
    pub known: bool,
    /// Since when changes are known.
    #[schema(format = DateTime)]
    pub baseline_at: Option<String>,
    /// What each rule says, in the order in which they are asked.
    pub rules: Vec<RuleView>,
    /// What is asked for when it is modified.
    pub targets: Vec<String>,
}

/// A target and its newest intents.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetView {
    /// Whose CDN.
    pub account: String,
    /// `refresh` or `prefetch`.
    pub action: String,
    /// How the target is meant.
    pub kind: String,
    /// The target.
    pub target: String,
    /// Its newest intents, the newest first: three at most.
    pub intents: Vec<StoryView>,
}

/// The whole story.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhyView {
    /// What was asked about, in its one spelling.
    pub about: String,
    /// The file, in each origin that may hold it; none of a URL.
    pub files: Vec<FileView>,
    /// What was asked for.
    pub targets: Vec<TargetView>,
    /// Why nothing was asked for, a sentence each; none when something was.
    pub reasons: Vec<String>,
}

/// A target of an account.
type Named = (AccountName, Action, Target);

/// Tells what became of a URL or a path, or why nothing did.
#[utoipa::path(
    get, path = "/why", tag = "looking", params(Wanted),
    responses((status = 200, body = WhyView), (status = 400, body = Problems), (status = 404, body = Problems))
)]
pub(super) async fn tell(
    State(desk): State<Desk>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<WhyView>, Problem> {
    if wanted.q.is_empty() {
        return Err(Problem::bad("`q` is empty"));
    }
    let is_hosts = |host: &String| {
        wanted.q.strip_prefix(host.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    if wanted.q.contains("://") {
        return of_url(&desk, &wanted.q).await;
    }
    if desk.accounts.values().any(|account| account.hosts.iter().any(is_hosts)) {
        return of_url(&desk, &format!("https://{}", wanted.q)).await;
    }
    of_path(&desk, &wanted).await
}

async fn of_url(desk: &Desk, text: &str) -> Result<Json<WhyView>, Problem> {
    let url = CanonicalUrl::parse(text).map_err(|error| Problem::bad(error.to_string()))?;
    let target = Target::new(Kind::Url, url.as_str());
    let about = url.as_str().to_owned();
    let Ok(account) = wishes::account_of(desk, None, &target) else {
        let reasons = vec![format!("no origin serves {}", url.host())];
        return Ok(Json(WhyView { about, files: Vec::new(), targets: Vec::new(), reasons }));
    };
    let mut named: Vec<Named> = [Action::Refresh, Action::Prefetch]
        .map(|action| (account.clone(), action, target.clone()))
        .to_vec();
    let bare = url.without_query();
    let whole = Target::new(Kind::IgnoreParams, bare.as_str());
    named.push((account.clone(), Action::Refresh, whole));
    let above = bare.as_str().match_indices('/').skip(2).map(|(end, _)| &bare.as_str()[..=end]);
    named.extend(
        above.map(|text| (account.clone(), Action::Refresh, Target::new(Kind::Directory, text))),
    );
    let targets = histories(desk, named).await?;
    let mut reasons = Vec::new();
    if targets.is_empty() {
        let serves = |(_, origin): &(&OriginName, &OriginDesk)| {
            origin.mapping.hosts().any(|host| host == url.host())
        };
        for (name, _) in desk.origins.iter().filter(serves) {
            reasons.push(since_when(desk, name, "nothing was asked for under this URL").await);
        }
        if reasons.is_empty() {
            reasons.push(format!("no origin serves {}, and nobody asked for it", url.host()));
        }
    }
    Ok(Json(WhyView { about, files: Vec::new(), targets, reasons }))
}

async fn of_path(desk: &Desk, wanted: &Wanted) -> Result<Json<WhyView>, Problem> {
    let places = places(desk, wanted)?;
    let (mut files, mut named, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    let mut known_to_any = false;
    for (name, origin, path) in &places {
        let known = desk.store.knows(name, path).await?;
        known_to_any |= known;
        let explained = origin.mapping.explain(path, ChangeKind::Modified, false);
        let asks = explained.asks.iter().cloned();
        named.push((
            known,
            asks.map(|(action, target)| (origin.account.clone(), action, target)).collect(),
        ));
        files.push(file(desk, name, path, known, explained));
    }
    let about = places.first().map(|(_, _, path)| path.to_string()).unwrap_or_default();
    // A relative path is that of the origins that know it; of all when none does.
    let is_meant = |known: bool| known || !known_to_any;
    let mut targets = Vec::new();
    for ((known, named), (place, file)) in named.into_iter().zip(places.iter().zip(&files)) {
        if !is_meant(known) {
            continue;
        }
        let (name, origin, path) = place;
        let found: Vec<TargetView> = histories(desk, named).await?;
        if found.is_empty() {
            reasons.push(reason(desk, name, origin, path, file).await);
        }
        targets.extend(found);
    }
    files.retain(|file| is_meant(file.known));
    if !targets.is_empty() {
        reasons.clear();
    }
    Ok(Json(WhyView { about, files, targets, reasons }))
}

/// Returns where the path may lie.
fn places<'d>(
    desk: &'d Desk,
    wanted: &Wanted,
) -> Result<Vec<(&'d OriginName, &'d OriginDesk, RelPath)>, Problem> {
    let path = std::path::Path::new(&wanted.q);
    let relative = |origin: &OriginDesk| {
        if !path.is_absolute() {
            return RelPath::new(wanted.q.trim_start_matches("./")).ok();
        }
        origin.root.as_deref().and_then(|root| RelPath::below(root, path))
    };
    let wanted_origin = |name: &OriginName| {
        wanted.origin.as_ref().is_none_or(|origin| origin.as_str() == name.as_str())
    };
    let origins = desk.origins.iter().filter(|(name, _)| wanted_origin(name));
    let places: Vec<_> = origins
        .filter_map(|(name, origin)| Some((name, origin, relative(origin)?)))
        .filter(|(_, _, path)| !path.is_root())
        .collect();
    if places.is_empty() {
        let known: Vec<&str> = desk.origins.keys().map(OriginName::as_str).collect();
        let (q, known) = (ask::shown(&wanted.q), known.join(", "));
        let problem = format!("`{q}` is no path in an origin and no URL; origins: {known}");
        return Err(Problem::unknown(problem));
    }
    Ok(places)
}

fn file(
    desk: &Desk,
    name: &OriginName,
    path: &RelPath,
    known: bool,
    explained: Explained,
) -> FileView {
    let facts = desk.facts.borrow();
    let rules = explained.steps.into_iter().map(|step| RuleView {
        about: step.about,
        rule: step.rule.as_str().to_owned(),
        number: step.number,
        fired: step.fired,
        why: step.why,
    });
    FileView {
        origin: name.to_string(),
        path: path.to_string(),
        known,
        baseline_at: maybe(facts.origins.get(name).and_then(|facts| facts.baseline_at)),
        rules: rules.collect(),
        targets: explained.asks.iter().map(|(_, target)| target.text.clone()).collect(),
    }
}

/// Says why nothing was asked for a path.
async fn reason(
    desk: &Desk,
    name: &OriginName,
    origin: &OriginDesk,
    path: &RelPath,
    file: &FileView,
) -> String {
    if let Some(rule) = file.rules.iter().find(|rule| rule.fired && rule.rule == "exclude") {
        return format!("origin {name}: `exclude`: {}", rule.why);
    }
    if file.targets.is_empty() {
        let unmappable = origin.mapping.urls(path).unmappable;
        return match unmappable.first() {
            Some(unmappable) => format!("origin {name}: it has no URL: {}", unmappable.why),
            None => format!("origin {name}: the rules ask for nothing when it changes"),
        };
    }
    if !file.known && !origin.is_pushed {
        let nothing = "it is not known: nothing of that name was seen";
        return since_when(desk, name, nothing).await;
    }
    since_when(desk, name, "not changed").await
}

/// Says since when something is so of an origin, or what keeps it from being known.
async fn since_when(desk: &Desk, name: &OriginName, what: &str) -> String {
    let facts = desk.facts.borrow().origins.get(name).cloned().unwrap_or_default();
    if facts.state == OriginState::Unavailable {
        return format!("origin {name}: the tree is unavailable: {}", facts.note);
    }
    let mut text = match facts.baseline_at {
        Some(at) => format!("origin {name}: {what} since the baseline at {at}"),
        None => format!("origin {name}: {what} since it is watched"),
    };
    if facts.dirty > 0 || desk.store.outbox_len().await.is_ok_and(|number| number > 0) {
        text.push_str("; what was seen just now is still being looked at");
    }
    if facts.state == OriginState::Baseline {
        text.push_str("; the tree is being compared");
    }
    text
}

/// Tells the newest intents of targets; of those that have none nothing.
async fn histories(desk: &Desk, named: Vec<Named>) -> Result<Vec<TargetView>, Problem> {
    let mut told = Vec::new();
    for (account, action, target) in named.into_iter().take(TARGETS) {
        let mut intents = Vec::new();
        for (intent, _) in desk.journal.history(&account, action, &target, TOLD).await? {
            intents.extend(desk.journal.story(intent.id).await?.map(StoryView::from));
        }
        if !intents.is_empty() {
            told.push(TargetView {
                account: account.to_string(),
                action: action.to_string(),
                kind: target.kind.to_string(),
                target: target.text,
                intents,
            });
        }
    }
    Ok(told)
}
