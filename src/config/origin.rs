//! From a section `[origin.NAME]` to an [`Origin`].

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::{Findings, Found, Section, Wrong, nearest};
use super::timed::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, in_order, timed};
use super::{Origin, value};
use crate::domain::mapping::{DirectoryUrls, Field, Mapping, MappingError, Spec};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::stage::{self, After, Stages};
use crate::domain::url::Base;
use crate::domain::watch::{Links, Means};

/// An origin, and where in the file it stands.
pub(super) struct Placed {
    pub(super) origin: Origin,
    root: Range<usize>,
}

/// Reads one origin.
pub(super) fn origin(
    name: &str,
    mut section: Section<'_>,
    accounts: &[String],
    findings: &mut Findings,
) -> Option<Placed> {
    let root = section.required("root", "\"/srv/www\"", value::path, findings);
    let account = account_of(&mut section, accounts, findings);
    if !section.has("domains") {
        section.missing("domains", "[\"https://www.example.com\"]", findings);
    }
    let domains = section.list("domains", value::text, findings);
    let index = section.list("index", value::text, findings);
    let directory_urls =
        section.or("directory_urls", DirectoryUrls::default(), value::directory_urls, findings);
    let exclude = section.list("exclude", value::text, findings);
    let exclude_defaults = section.or("exclude_defaults", true, value::boolean, findings);
    let prefetch = section.list("prefetch", value::text, findings);
    let stages = stages(&mut section, findings);
    let short = value::time(MILLISECOND..=HOUR);
    let settle = timed(&mut section, "settle", SECOND, &short, findings);
    let mut deploy_deadline = timed(&mut section, "deploy_deadline", 10 * SECOND, &short, findings);
    let mut unstable_after = timed(&mut section, "unstable_after", MINUTE, &short, findings);
    in_order(&section, ("settle", &settle), ("deploy_deadline", &mut deploy_deadline), findings);
    in_order(&section, ("settle", &settle), ("unstable_after", &mut unstable_after), findings);
    let delete_settle =
        section.or("delete_settle", 30 * SECOND, value::time(Duration::ZERO..=HOUR), findings);
    let reconcile_every =
        section.or("reconcile_every", HOUR, value::time(SECOND..=7 * DAY), findings);
    let transient =
        section.or("transient", 5 * SECOND, value::time(Duration::ZERO..=HOUR), findings);
    let watch = section.or("watch", Means::default(), value::means, findings);
    let links = section.or("links", Links::default(), value::links, findings);
    let poll_every = section.or("poll_every", MINUTE, value::time(SECOND..=7 * DAY), findings);
    let digest_rate =
        section.or("digest_mb_per_second", 20, value::count(0..=100_000), findings) * 1_000_000;
    section.finish(findings);
    let domains = domains?;
    let lists = [Some(&domains), index.as_ref(), exclude.as_ref(), prefetch.as_ref()];
    let [domain_texts, index_texts, exclude_texts, prefetch_texts] = lists.map(texts);
    let mapping = Mapping::new(Spec {
        // Without one the origin is refused below; what else is wrong is said all the same.
        account: account.clone().unwrap_or_else(|| "".into()),
        domains: domain_texts.unwrap_or_default(),
        index: index_texts.unwrap_or_else(|| vec!["index.html".to_owned()]),
        directory_urls,
        exclude: exclude_texts.unwrap_or_default(),
        exclude_defaults,
        prefetch: prefetch_texts.unwrap_or_default(),
    });
    let mapping = mapping.map_err(|errors| {
        for error in errors {
            let [domains, index, exclude, prefetch] = lists;
            let list = match error.field {
                Field::Domains => domains,
                Field::Index => index,
                Field::Exclude => exclude,
                Field::Prefetch => prefetch,
            };
            if let Some(list) = list {
                refuse(&error, list, findings);
            }
        }
    });
    let (root, account, mapping, stages) = (root?, account?, mapping.ok()?, stages?);
    refuse_absolute("exclude", exclude.as_ref(), &root.value, findings);
    refuse_absolute("prefetch", prefetch.as_ref(), &root.value, findings);
    Some(Placed {
        origin: Origin {
            name: OriginName::from(name),
            root: root.value,
            account,
            stages,
            mapping,
            settle: settle.value,
            deploy_deadline: deploy_deadline.value,
            unstable_after: unstable_after.value,
            delete_settle,
            reconcile_every,
            transient,
            watch,
            links,
            poll_every,
            digest_rate,
        },
        root: root.span,
    })
}

/// Reads in which order a deploy goes.
fn stages(section: &mut Section<'_>, findings: &mut Findings) -> Option<Stages> {
    let assets = section.list("assets", value::text, findings);
    let feeds = section.list("feeds", value::text, findings);
    let after = section.or("stage_after", After::default(), value::stage_after, findings);
    let usual = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>();
    let assets_texts = texts(assets.as_ref()).unwrap_or_else(|| usual(&stage::ASSETS));
    let feeds_texts = texts(feeds.as_ref()).unwrap_or_else(|| usual(&stage::FEEDS));
    let stages = Stages::new(assets_texts, feeds_texts, after).map_err(|bad| {
        for (is_feed, item, why) in bad {
            let (key, list) = if is_feed { ("feeds", &feeds) } else { ("assets", &assets) };
            let span = list.as_ref().and_then(|list| list.value.get(item)).map(|item| &item.span);
            if let Some(span) = span {
                let help = "write it like \"*.css\" or \"static/**\"";
                findings.refuse(
                    span.clone(),
                    "this value",
                    Wrong::new(format!("`{key}`: {why}"), help),
                );
            }
        }
    });
    stages.ok()
}

/// Refuses globs that spell the root out: they would match nothing.
fn refuse_absolute(
    key: &str,
    globs: Option<&Found<Vec<Found<String>>>>,
    root: &Path,
    findings: &mut Findings,
) {
    for glob in globs.iter().flat_map(|globs| &globs.value) {
        if let Ok(rest) = Path::new(&glob.value).strip_prefix(root) {
            let wrong = Wrong::new(
                format!("`{key}`: `{}` begins with the root", glob.value),
                format!("globs are relative to it: write \"{}\"", rest.display()),
            );
            findings.refuse(glob.span.clone(), "this value", wrong);
        }
    }
}

/// Reads `account`, which may be left out when there is one account.
fn account_of(
    section: &mut Section<'_>,
    accounts: &[String],
    findings: &mut Findings,
) -> Option<AccountName> {
    let known: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let list = known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
    let absent = !section.has("account");
    let read = |value: &toml::de::DeValue<'_>| {
        let name = value::text(value)?;
        if known.is_empty() || known.contains(&name.as_str()) {
            return Ok(AccountName::from(name.as_str()));
        }
        let help = nearest(&name, &known).map_or_else(
            || format!("known accounts: {}", list.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        Err(Wrong::new(format!("names \"{name}\", and there is no `[account.{name}]`"), help))
    };
    let named = section.get("account", read, findings).map(|found| found.value);
    match (absent, known.as_slice()) {
        (true, [only]) => Some(AccountName::from(*only)),
        (true, [first, ..]) => {
            section.missing("account", &format!("\"{first}\""), findings);
            None
        }
        _ => named,
    }
}

/// Refuses what the mapping refused, where it stands.
fn refuse(error: &MappingError, list: &Found<Vec<Found<String>>>, findings: &mut Findings) {
    let item = error.item.and_then(|item| list.value.get(item));
    let span = item.map_or(&list.span, |item| &item.span);
    let is_within = |place: &Range<usize>| span.start <= place.start && place.end <= span.end;
    let mut places = findings.problems.iter().filter_map(|problem| problem.span.as_ref());
    if item.is_none() && places.any(is_within) {
        // The list is empty because all that it held was refused.
        return;
    }
    let help = match error.field {
        Field::Domains => "write it like \"https://www.example.com\"",
        Field::Index => "write the name alone, like \"index.html\"",
        Field::Exclude | Field::Prefetch => {
            "write it like \"*.html\" or \"news/**\"; `\\` before a character takes it literally"
        }
    };
    let message = format!("`{}`: {}", error.field.as_str(), error.why);
    findings.refuse(span.clone(), "this value", Wrong::new(message, help));
}

/// Refuses a state directory that the daemon would watch while it writes there.
pub(super) fn outside(state_dir: &Found<PathBuf>, placed: &Placed, findings: &mut Findings) {
    let root = &placed.origin.root;
    if state_dir.value.starts_with(root) {
        let wrong = Wrong::new(
            format!("`state_dir` lies below the root of origin `{}`", placed.origin.name),
            format!("move it out of {}: the daemon would watch itself write", root.display()),
        );
        findings.refuse(state_dir.span.clone(), "this value", wrong);
    }
}

/// Refuses a second origin with the same root and domain: each change would be asked for twice.
pub(super) fn twice(placed: &Placed, other: &Origin, findings: &mut Findings) {
    let shared = |base: &&Base| other.mapping.bases().contains(base);
    if placed.origin.root != other.root {
        return;
    }
    if let Some(domain) = placed.origin.mapping.bases().iter().find(shared) {
        let message = format!(
            "origins `{}` and `{}` have the same root and both serve {}",
            other.name,
            placed.origin.name,
            domain.url()
        );
        let help = "each change would be asked for twice: make them one origin";
        findings.refuse(placed.root.clone(), "the same root", Wrong::new(message, help));
    }
}

fn texts(list: Option<&Found<Vec<Found<String>>>>) -> Option<Vec<String>> {
    list.map(|list| list.value.iter().map(|found| found.value.clone()).collect())
}
