//! From the text to a [`Config`], noting everything that is wrong on the way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::section::{Findings, Found, Section, Wrong, nearest};
use super::{Account, Config, DirectoryUrls, Log, LogFormat, LogLevel, Origin, duration, value};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::{PerKind, QuotaKind};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The gap that keeps a slow listing of tasks from being taken for an absence (rule 4).
const DOUBT_GAP: Duration = MINUTE;

/// No account is allowed as much a day: a larger figure is a slip of the keyboard.
const QUOTA_MAX: u64 = 1_000_000_000;

/// What Alibaba Cloud allows a new account a day (quota page of the CDN's documentation, 2026).
const fn usual_quota(kind: QuotaKind) -> u64 {
    match kind {
        QuotaKind::Url => 10_000,
        QuotaKind::Directory | QuotaKind::IgnoreParams => 100,
        QuotaKind::Regex => 20,
        QuotaKind::Prefetch => 1_000,
    }
}

/// An origin, and where in the file it stands.
struct Placed {
    origin: Origin,
    root: Range<usize>,
}

/// Reads the whole file. There may be a configuration and problems: then the problems count.
pub(super) fn config(
    text: &str,
    path: &Path,
    credentials: Option<&Path>,
) -> (Option<Config>, Findings) {
    let mut findings = Findings::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let wrong = Wrong::new(
            format!("this is not TOML: {}", error.message().replace('\n', ", ")),
            "the form is `key = value`, a text stands in double quotes, a section begins `[name]`",
        );
        let span = error.span().unwrap_or(text.len()..text.len());
        findings.refuse(span, "here", wrong);
    }
    if !findings.problems.is_empty() {
        // What follows a broken line would be misjudged.
        return (None, findings);
    }
    let mut top = Section::top(&document);
    let config = top_level(&mut top, path, credentials, &mut findings);
    top.finish(&mut findings);
    (config, findings)
}

fn top_level(
    top: &mut Section<'_>,
    path: &Path,
    credentials: Option<&Path>,
    findings: &mut Findings,
) -> Option<Config> {
    let absolute = value::path(None);
    let state_dir = top.required("state_dir", "\"/var/lib/refreshd\"", &absolute, findings);
    let control_socket = top.get("control_socket", &absolute, findings);
    let log = top
        .table("log", findings)
        .map_or_else(Log::default, |section| log(section, findings));

    let mut accounts = BTreeMap::new();
    let mut account_names = Vec::new();
    for (name, section) in top.named_tables("account", findings) {
        if let Some(account) = account(&name, section, credentials, findings) {
            accounts.insert(account.name.clone(), account);
        }
        account_names.push(name);
    }
    let mut origins: Vec<Placed> = Vec::new();
    let mut origin_names = 0;
    for (name, section) in top.named_tables("origin", findings) {
        if let Some(placed) = origin(&name, section, &account_names, findings) {
            if let Some(state_dir) = &state_dir {
                outside(state_dir, &placed, findings);
            }
            for other in &origins {
                twice(&placed, &other.origin, findings);
            }
            origins.push(placed);
        }
        origin_names += 1;
    }
    let none = [
        (
            account_names.is_empty(),
            "account",
            "main",
            "the CDN's endpoint and keys",
        ),
        (origin_names == 0, "origin", "www", "a root and its domains"),
    ];
    for (missing, what, example, content) in none {
        if missing {
            let wrong = Wrong::new(
                format!("the file names no {what}"),
                format!("add a section `[{what}.{example}]` with {content}"),
            );
            findings.refuse(top.span(), "here", wrong);
        }
    }
    let origins = origins
        .into_iter()
        .map(|placed| (placed.origin.name.clone(), placed.origin));
    Some(Config {
        path: path.to_owned(),
        state_dir: state_dir?.value,
        control_socket: control_socket.map(|found| found.value),
        log,
        accounts,
        origins: origins.collect(),
    })
}

fn log(mut section: Section<'_>, findings: &mut Findings) -> Log {
    let log = Log {
        level: section.or("level", LogLevel::default(), value::level, findings),
        format: section.or("format", LogFormat::default(), value::format, findings),
    };
    section.finish(findings);
    log
}

fn account(
    name: &str,
    mut section: Section<'_>,
    credentials: Option<&Path>,
    findings: &mut Findings,
) -> Option<Account> {
    let key_file = value::path(credentials);
    let example = |file: &str| format!("\"/etc/refreshd/credentials/{file}\"");
    let endpoint = section.required(
        "endpoint",
        "\"https://cdn.aliyuncs.com\"",
        value::endpoint,
        findings,
    );
    let id = section.required(
        "access_key_id_file",
        &example("access_key_id"),
        &key_file,
        findings,
    );
    let secret = section.required(
        "access_key_secret_file",
        &example("access_key_secret"),
        &key_file,
        findings,
    );
    let timeout = section.or(
        "timeout",
        10 * SECOND,
        value::time(100 * MILLISECOND..=5 * MINUTE),
        findings,
    );
    let batch = section.or("batch", 100, value::count(1..=1_000), findings);
    let poll = value::time(MILLISECOND..=3 * DAY);
    let poll_first = timed(&mut section, "poll_first", 3 * MINUTE, &poll, findings);
    let poll_max = timed(&mut section, "poll_max", 10 * MINUTE, &poll, findings);
    let poll_give_up = timed(&mut section, "poll_give_up", 6 * HOUR, &poll, findings);
    in_order(
        ("poll_first", &poll_first),
        ("poll_max", &poll_max),
        findings,
    );
    in_order(
        ("poll_max", &poll_max),
        ("poll_give_up", &poll_give_up),
        findings,
    );
    let doubt_gap = timed(
        &mut section,
        "doubt_gap",
        DOUBT_GAP,
        &value::time(MILLISECOND..=HOUR),
        findings,
    );
    if let Some(endpoint) = &endpoint
        && !value::is_loopback(&endpoint.value)
        && doubt_gap.value < DOUBT_GAP
    {
        let wrong = Wrong::new(
            "`doubt_gap` is shorter than 60 s",
            "write \"60s\" or more: the CDN lists a task late, and it would be asked for twice",
        );
        findings.refuse(doubt_gap.span, "this value", wrong);
    }
    let quota = quota(section.table("quota", findings), findings);
    section.finish(findings);
    Some(Account {
        name: AccountName::from(name),
        endpoint: endpoint?.value,
        access_key_id_file: id?.value,
        access_key_secret_file: secret?.value,
        timeout,
        batch: usize::try_from(batch).unwrap_or(1),
        poll_first: poll_first.value,
        poll_max: poll_max.value,
        poll_give_up: poll_give_up.value,
        doubt_gap: doubt_gap.value,
        quota,
    })
}

fn quota(section: Option<Section<'_>>, findings: &mut Findings) -> PerKind<u64> {
    let Some(mut section) = section else {
        return PerKind::from_fn(usual_quota);
    };
    let read = value::count(0..=QUOTA_MAX);
    let quota =
        PerKind::from_fn(|kind| section.or(kind.as_str(), usual_quota(kind), &read, findings));
    section.finish(findings);
    quota
}

fn origin(
    name: &str,
    mut section: Section<'_>,
    accounts: &[String],
    findings: &mut Findings,
) -> Option<Placed> {
    let root = section.required("root", "\"/srv/www\"", value::path(None), findings);
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
fn outside(state_dir: &Found<PathBuf>, placed: &Placed, findings: &mut Findings) {
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
fn twice(placed: &Placed, other: &Origin, findings: &mut Findings) {
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

/// Reads a duration and keeps its place for comparisons; a default stands where its section does.
fn timed(
    section: &mut Section<'_>,
    key: &'static str,
    default: Duration,
    read: impl Fn(&toml::de::DeValue<'_>) -> Result<Duration, Wrong>,
    findings: &mut Findings,
) -> Found<Duration> {
    let span = section.span();
    section.get(key, read, findings).unwrap_or(Found {
        value: default,
        span,
    })
}

/// Refuses a pair of durations of which the first is longer than the second.
fn in_order(
    (short_key, short): (&str, &Found<Duration>),
    (long_key, long): (&str, &Found<Duration>),
    findings: &mut Findings,
) {
    if short.value <= long.value {
        return;
    }
    let (short_text, long_text) = (duration::show(short.value), duration::show(long.value));
    let wrong = Wrong::new(
        format!("`{short_key}` ({short_text}) is longer than `{long_key}` ({long_text})"),
        format!("make `{long_key}` at least \"{short_text}\", or `{short_key}` shorter"),
    );
    // The later of the two places is a written value: a default has its section's, which is earlier.
    let place = if short.span.start > long.span.start {
        &short.span
    } else {
        &long.span
    };
    findings.refuse(place.clone(), "this value", wrong);
}

fn texts(list: Option<Found<Vec<Found<String>>>>) -> Option<Vec<String>> {
    list.map(|list| list.value.into_iter().map(|found| found.value).collect())
}
