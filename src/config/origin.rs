//! From a section `[origin.NAME]` to an [`Origin`].

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::section::{Findings, Found, Section, Wrong, nearest};
use super::timed::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, in_order, timed};
use super::{DirectoryUrls, Origin, value};
use crate::domain::names::{AccountName, OriginName};

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
    let domains = domains(&mut section, findings);
    let index = texts(section.list("index", value::file_name, findings));
    let directory_urls = section.or(
        "directory_urls",
        DirectoryUrls::default(),
        value::directory_urls,
        findings,
    );
    let exclude = texts(section.list("exclude", value::glob, findings));
    let exclude_defaults = section.or("exclude_defaults", true, value::boolean, findings);
    let prefetch = texts(section.list("prefetch", value::glob, findings));
    let short = value::time(MILLISECOND..=HOUR);
    let settle = timed(&mut section, "settle", SECOND, &short, findings);
    let deploy_deadline = timed(
        &mut section,
        "deploy_deadline",
        10 * SECOND,
        &short,
        findings,
    );
    let unstable_after = timed(&mut section, "unstable_after", MINUTE, &short, findings);
    in_order(
        ("settle", &settle),
        ("deploy_deadline", &deploy_deadline),
        findings,
    );
    in_order(
        ("settle", &settle),
        ("unstable_after", &unstable_after),
        findings,
    );
    let delete_settle = section.or(
        "delete_settle",
        30 * SECOND,
        value::time(Duration::ZERO..=HOUR),
        findings,
    );
    let reconcile_every = section.or(
        "reconcile_every",
        HOUR,
        value::time(SECOND..=7 * DAY),
        findings,
    );
    section.finish(findings);
    let root = root?;
    Some(Placed {
        origin: Origin {
            name: OriginName::from(name),
            root: root.value,
            account: account?,
            domains: domains?,
            index: index.unwrap_or_else(|| vec!["index.html".to_owned()]),
            directory_urls,
            exclude: exclude.unwrap_or_default(),
            exclude_defaults,
            prefetch: prefetch.unwrap_or_default(),
            settle: settle.value,
            deploy_deadline: deploy_deadline.value,
            unstable_after: unstable_after.value,
            delete_settle,
            reconcile_every,
        },
        root: root.span,
    })
}

/// Reads `account`, which may be left out when there is one account.
fn account_of(
    section: &mut Section<'_>,
    accounts: &[String],
    findings: &mut Findings,
) -> Option<AccountName> {
    let known: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let list = known
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>();
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
        Err(Wrong::new(
            format!("names \"{name}\", and there is no `[account.{name}]`"),
            help,
        ))
    };
    let named = section
        .get("account", read, findings)
        .map(|found| found.value);
    match (absent, known.as_slice()) {
        (true, [only]) => Some(AccountName::from(*only)),
        (true, [first, ..]) => {
            section.missing("account", &format!("\"{first}\""), findings);
            None
        }
        _ => named,
    }
}

/// Reads `domains`: at least one, none twice.
fn domains(section: &mut Section<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    const EXAMPLE: &str = "[\"https://www.example.com\"]";
    if !section.has("domains") {
        section.missing("domains", EXAMPLE, findings);
    }
    let Found { value: list, span } = section.list("domains", value::domain, findings)?;
    let mut domains: Vec<String> = Vec::with_capacity(list.len());
    for Found {
        value: domain,
        span,
    } in list
    {
        if domains.iter().any(|other| bare(other) == bare(&domain)) {
            let wrong = Wrong::new(
                format!("`domains` names \"{domain}\" twice"),
                "name it once: http and https share a cache entry",
            );
            findings.refuse(span, "again", wrong);
        }
        domains.push(domain);
    }
    if domains.is_empty()
        && !findings
            .problems
            .iter()
            .any(|problem| within(problem, &span))
    {
        let wrong = Wrong::new("`domains` is empty", format!("write `domains = {EXAMPLE}`"));
        findings.refuse(span, "this list", wrong);
    }
    Some(domains)
}

fn within(problem: &super::Problem, span: &Range<usize>) -> bool {
    problem
        .span
        .as_ref()
        .is_some_and(|inner| span.start <= inner.start && inner.end <= span.end)
}

/// Returns a base URL without what does not tell cache entries apart.
fn bare(domain: &str) -> String {
    let rest = domain.split_once("://").map_or(domain, |(_, rest)| rest);
    rest.trim_end_matches('/').to_ascii_lowercase()
}

/// Refuses a state directory that the daemon would watch while it writes there.
pub(super) fn outside(state_dir: &Found<PathBuf>, placed: &Placed, findings: &mut Findings) {
    let root = &placed.origin.root;
    if state_dir.value.starts_with(root) {
        let wrong = Wrong::new(
            format!(
                "`state_dir` lies below the root of origin `{}`",
                placed.origin.name
            ),
            format!(
                "move it out of {}: the daemon would watch itself write",
                root.display()
            ),
        );
        findings.refuse(state_dir.span.clone(), "this value", wrong);
    }
}

/// Refuses a second origin with the same root and domain: each change would be asked for twice.
pub(super) fn twice(placed: &Placed, other: &Origin, findings: &mut Findings) {
    let shared = |domain: &&String| {
        other
            .domains
            .iter()
            .any(|known| bare(known) == bare(domain))
    };
    if placed.origin.root != other.root {
        return;
    }
    if let Some(domain) = placed.origin.domains.iter().find(shared) {
        let message = format!(
            "origins `{}` and `{}` have the same root and both serve \"{domain}\"",
            other.name, placed.origin.name
        );
        let help = "each change would be asked for twice: make them one origin";
        findings.refuse(
            placed.root.clone(),
            "the same root",
            Wrong::new(message, help),
        );
    }
}

fn texts(list: Option<Found<Vec<Found<String>>>>) -> Option<Vec<String>> {
    list.map(|list| list.value.into_iter().map(|found| found.value).collect())
}
