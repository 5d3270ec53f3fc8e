//! From the text to a [`Config`], noting everything that is wrong on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;
use url::Url;

use super::credentials::key_source;
use super::origin::{Placed, origin, outside, twice};
use super::prefetch::differently;
use super::section::{Findings, Section, Wrong};
use super::timed::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, in_order, timed};
use super::{
    Account, Config, Cover, Log, LogFormat, LogLevel, hooks, limits, notices, page, value,
};
use crate::domain::endpoint::{Proxy, endpoint_problem, is_loopback};
use crate::domain::names::AccountName;
use crate::domain::plan::{BATCH, Policy};
use crate::domain::quota::purse::Rules;
use crate::domain::quota::{PerKind, QuotaKind};
use crate::domain::verdict::Verdicts;

/// The gap that keeps a slow listing of tasks from being taken for an absence (rule 4).
const DOUBT_GAP: std::time::Duration = MINUTE;

/// No account is allowed as much a day: a larger figure is a slip of the keyboard.
const QUOTA_MAX: u64 = 1_000_000_000;

/// What Alibaba Cloud allows a new account a day (quota page of the CDN's documentation, 2026).
const fn usual_quota(kind: QuotaKind) -> u64 {
    match kind {
        QuotaKind::Url => 10_000,
        // Not published for tags: a guess on the safe side.
        QuotaKind::Directory | QuotaKind::IgnoreParams | QuotaKind::Tag => 100,
        QuotaKind::Regex => 20,
        QuotaKind::Prefetch => 1_000,
    }
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
        let help = if error.message().contains("duplicate") {
            "write each key and each section once"
        } else {
            "the form is `key = value`, a text stands in double quotes, a section begins `[name]`"
        };
        let message = error.message().replace('\n', ", ");
        let wrong = Wrong::new(format!("this is not TOML: {message}"), help);
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
    let state_dir = top.required("state_dir", "\"/var/lib/refreshd\"", value::path, findings);
    let control_socket = top.get("control_socket", value::socket, findings);
    let log =
        top.table("log", findings).map_or_else(Log::default, |section| log(section, findings));

    let mut accounts = BTreeMap::new();
    let mut account_names = Vec::new();
    for (name, section) in top.named_tables("account", findings) {
        if let Some(account) = account(&name, section, credentials, findings) {
            accounts.insert(account.name.clone(), account);
        }
        account_names.push(name);
    }
    let mut origins: Vec<Placed> = Vec::new();
    let mut origin_names = Vec::new();
    for (name, section) in top.named_tables("origin", findings) {
        if let Some(mut placed) = origin(&name, section, &account_names, findings) {
            if let Some(state_dir) = &state_dir {
                outside(state_dir, &placed, findings);
            }
            for other in &origins {
                twice(&placed, &other.origin, findings);
                differently(&placed, other, findings);
            }
            if let Some(account) = accounts.get_mut(&placed.origin.account) {
                placed.origin.mapping.hold_to(account.limits.url_bytes);
                keep_share(&placed, account, findings);
            }
            origins.push(placed);
        }
        origin_names.push(name);
    }
    let none = [
        (account_names.is_empty(), "account", "main", "the CDN's endpoint and keys"),
        (origin_names.is_empty(), "origin", "www", "a root and its domains"),
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
    let origins = origins.into_iter().map(|placed| (placed.origin.name.clone(), placed.origin));
    let hooks = hooks::hooks(top.table("hooks", findings), findings);
    let senders = top.named_tables("hook", findings).into_iter().filter_map(|(name, section)| {
        hooks::hook(&name, section, &origin_names, credentials, findings)
    });
    let senders = senders.map(|hook| (hook.name.clone(), hook)).collect();
    let web = page::web(top.table("web", findings), credentials, findings);
    let receivers = top
        .named_tables("notice", findings)
        .into_iter()
        .filter_map(|(name, section)| notices::notice(&name, section, credentials, findings));
    let receivers = receivers.map(|notice| (notice.name.clone(), notice)).collect();
    Some(Config {
        path: path.to_owned(),
        state_dir: state_dir?.value,
        control_socket: control_socket.map(|found| found.value),
        log,
        accounts,
        origins: origins.collect(),
        hooks,
        senders,
        web,
        notices: receivers,
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
    let endpoint =
        section.required("endpoint", "\"https://cdn.aliyuncs.com\"", value::endpoint, findings);
    let trusted = section.or("endpoint_is_trusted", None, value::trusted_host, findings);
    let endpoint = endpoint.filter(|found| {
        let problem = endpoint_problem(&found.value, trusted.as_deref());
        if let Some(why) = problem {
            findings.refuse(found.span.clone(), "this value", refused_endpoint(&found.value, why));
        }
        problem.is_none()
    });
    let proxy = section.or("proxy", Proxy::None, value::proxy, findings);
    let credentials = key_source(&mut section, credentials, findings);
    let timeout =
        section.or("timeout", 10 * SECOND, value::time(100 * MILLISECOND..=30 * SECOND), findings);
    let batch = section.or("batch", BATCH as u64, value::count(1..=1_000), findings);
    let poll = value::time(MILLISECOND..=3 * DAY);
    let poll_first = timed(&mut section, "poll_first", 5 * MINUTE, &poll, findings);
    let poll_gap =
        section.or("poll_gap", 10 * SECOND, value::time(MILLISECOND..=10 * MINUTE), findings);
    let mut poll_max = timed(&mut section, "poll_max", 10 * MINUTE, &poll, findings);
    let mut poll_give_up = timed(&mut section, "poll_give_up", 6 * HOUR, &poll, findings);
    in_order(&section, ("poll_first", &poll_first), ("poll_max", &mut poll_max), findings);
    in_order(&section, ("poll_max", &poll_max), ("poll_give_up", &mut poll_give_up), findings);
    let doubt_gap =
        timed(&mut section, "doubt_gap", DOUBT_GAP, value::time(MILLISECOND..=HOUR), findings);
    if let Some(endpoint) = &endpoint
        && !is_loopback(&endpoint.value)
        && doubt_gap.value < DOUBT_GAP
    {
        let wrong = Wrong::new(
            "`doubt_gap` is shorter than 60 s",
            "write \"60s\" or more: the CDN lists a task late, and it would be asked for twice",
        );
        findings.refuse(doubt_gap.span, "this value", wrong);
    }
    let (quota, rules) = quota(section.table("quota", findings), findings);
    let limits = limits::read(section.table("limits", findings), findings);
    let cover = cover(section.table("cover", findings), findings);
    let verdicts = verdicts(section.tables("verdict", findings), findings);
    section.finish(findings);
    Some(Account {
        name: AccountName::from(name),
        endpoint: endpoint?.value,
        endpoint_is_trusted: trusted,
        proxy,
        credentials: credentials?,
        timeout,
        batch: usize::try_from(batch).unwrap_or(1),
        poll_first: poll_first.value,
        poll_gap,
        poll_max: poll_max.value,
        poll_give_up: poll_give_up.value,
        doubt_gap: doubt_gap.value,
        quota,
        limits,
        rules,
        cover,
        verdicts,
    })
}

fn refused_endpoint(endpoint: &Url, why: &str) -> Wrong {
    let host = endpoint.host_str().unwrap_or_default();
    let help = match endpoint.scheme() {
        "https" if !host.is_empty() && !host.ends_with(".aliyuncs.com") => format!(
            "write it like \"https://cdn.aliyuncs.com\"; if that host is truly to get signed calls, \
             add `endpoint_is_trusted = \"{host}\"`"
        ),
        _ => "write it like \"https://cdn.aliyuncs.com\"".to_owned(),
    };
    Wrong::new(format!("`endpoint` can't be `{}`: {why}", value::shown(endpoint)), help)
}

/// How long a changed URL may stay stale to spare one unchanged object a revalidation. Measured with
/// `refreshd simulate` on ten years of a site and a twentieth of the usual limits (2026-11-22), mean lag
/// and unchanged objects hit: 30 min 1,203 s and 3,032; 3 h 1,262 s and 2,302; 12 h 1,940 s and 1,189.
pub(super) const SPARE: Duration = Duration::from_secs(3 * 3_600);

/// How much of a day is kept for urgent work unless the operator says otherwise, in percent.
const RESERVE: u64 = 5;

fn quota(section: Option<Section<'_>>, findings: &mut Findings) -> (PerKind<u64>, Rules) {
    let usual = Rules { reserve: RESERVE, ..Rules::default() };
    let Some(mut section) = section else {
        return (PerKind::from_fn(usual_quota), usual);
    };
    let read = value::count(0..=QUOTA_MAX);
    let quota =
        PerKind::from_fn(|kind| section.or(kind.as_str(), usual_quota(kind), &read, findings));
    let reserve = section.or("reserve", RESERVE, value::count(0..=100), findings);
    let cap = section.or("wide_per_hour", 0, value::count(0..=1_000_000), findings);
    section.finish(findings);
    (quota, Rules { reserve, wide_per_hour: (cap > 0).then_some(cap), ..usual })
}

fn cover(section: Option<Section<'_>>, findings: &mut Findings) -> Cover {
    let mut cover = Cover::default();
    let Some(mut section) = section else {
        return cover;
    };
    if !section.or("widen", true, value::boolean, findings) {
        cover.policy = Policy::PerUrl;
    }
    cover.spare = section.or("spare", SPARE, value::time(Duration::ZERO..=30 * DAY), findings);
    let expressions = section.list("expressions", value::expression, findings);
    cover.expressions =
        expressions.into_iter().flat_map(|found| found.value).map(|found| found.value).collect();
    section.finish(findings);
    cover
}

/// Reads what an operator teaches about codes of the CDN.
fn verdicts(sections: Vec<Section<'_>>, findings: &mut Findings) -> Verdicts {
    let mut taught = BTreeMap::new();
    for mut section in sections {
        let code = section.required("code", "\"Some.Code\"", value::code, findings);
        let means = section.required("means", "\"later\"", value::verdict, findings);
        section.finish(findings);
        if let (Some(code), Some(means)) = (code, means)
            && taught.insert(code.value.to_ascii_lowercase(), means.value).is_some()
        {
            let wrong =
                Wrong::new(format!("`{}` is taught twice", code.value), "leave one of the two");
            findings.refuse(code.span, "again", wrong);
        }
    }
    Verdicts::teach(taught)
}

/// Writes an origin's share into the rules of its account, and refuses one too many.
fn keep_share(placed: &Placed, account: &mut Account, findings: &mut Findings) {
    let (Some(share), origin) = (&placed.share, &placed.origin) else { return };
    let others: u64 = account.rules.shares.values().sum();
    if others + share.value > 100 {
        let wrong = Wrong::new(
            format!(
                "the shares of account `{}` come to {} percent",
                account.name,
                others + share.value
            ),
            format!("write at most {} here, or less for another origin", 100 - others),
        );
        findings.refuse(share.span.clone(), "this value", wrong);
    } else if share.value > 0 {
        account.rules.shares.insert(origin.name.clone(), share.value);
    }
}
