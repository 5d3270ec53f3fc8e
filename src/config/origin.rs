//! From a section `[origin.NAME]` to an [`Origin`].

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::section::{Findings, Found, Section, Wrong, nearest};
use super::timed::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, in_order, timed};
use super::{Origin, Repository, Tree, gate, mapping, prefetch, value};
use crate::domain::guard::Guard;
use crate::domain::names::{AccountName, OriginName};
use crate::domain::path::RelPath;
use crate::domain::stage::{self, After, Stages};
use crate::domain::url::Base;
use crate::domain::watch::{Links, Means};

/// An origin, and where in the file it stands.
pub(super) struct Placed {
    pub(super) origin: Origin,
    /// What of its account's day is kept for it, in percent.
    pub(super) share: Option<Found<u64>>,
    tree: Range<usize>,
    /// Where its options of a prefetch stand.
    pub(super) prefetch: Range<usize>,
}

/// Reads one origin.
pub(super) fn origin(
    name: &str,
    mut section: Section<'_>,
    accounts: &[String],
    findings: &mut Findings,
) -> Option<Placed> {
    let tree = tree(&mut section, findings);
    let is_repository = tree.as_ref().is_some_and(|tree| matches!(tree.value, Tree::Repository(_)));
    let branch = section.or("branch", None, branch, findings);
    let branch = branch.or_else(|| is_repository.then(|| "refs/heads/main".to_owned()));
    if is_repository && !section.has("branch") {
        findings.follow(&section, "branch", "\"main\"".to_owned(), "of a repository".to_owned());
    }
    let prefix = section.or("prefix", RelPath::root(), prefix, findings);
    let account = account_of(&mut section, accounts, findings);
    let written = mapping::read(&mut section, findings);
    let prefetch = prefetch::options(&mut section, findings);
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
    let guard = guard(section.table("hold", findings), findings);
    let gate = gate::gate(section.table("gate", findings), findings);
    let share = section.get("quota_share", value::count(0..=100), findings);
    section.finish(findings);
    let root_path = tree.as_ref().and_then(|tree| match &tree.value {
        Tree::Root(root) => Some(root.as_path()),
        Tree::Repository(_) => None,
    });
    let mapping = written?.check(account.as_ref(), root_path, findings);
    let (tree, account, mapping, stages) = (tree?, account?, mapping?, stages?);
    Some(Placed {
        origin: Origin {
            name: OriginName::from(name),
            tree: tree.value,
            branch,
            prefix,
            gate,
            account,
            prefetch: prefetch.value,
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
            guard,
        },
        share,
        tree: tree.span,
        prefetch: prefetch.span,
    })
}

/// Reads what holds its files: a root, or a repository.
fn tree(section: &mut Section<'_>, findings: &mut Findings) -> Option<Found<Tree>> {
    let repository = section.get("repository", value::path, findings);
    let fetch_from = section.get("fetch_from", value::remote, findings);
    let Some(repository) = repository else {
        if let Some(fetch_from) = fetch_from {
            let help = "name the `repository` that is fetched into, or leave this out";
            let wrong = Wrong::new("`fetch_from` needs a `repository`", help);
            findings.refuse(fetch_from.span, "this value", wrong);
        }
        if section.has("repository") {
            return None;
        }
        let root = section.required("root", "\"/srv/www\"", value::path, findings)?;
        return Some(Found { value: Tree::Root(root.value), span: root.span });
    };
    if let Some(root) = section.get("root", value::path, findings) {
        let message = "an origin has a `root` or a `repository`, not both";
        let help = "leave `repository` out: the files of a root are watched, whoever writes them";
        findings.refuse(root.span, "this value", Wrong::new(message, help));
        return None;
    }
    let fetch_from = fetch_from.map(|found| found.value);
    let value = Tree::Repository(Repository { path: repository.value, fetch_from });
    Some(Found { value, span: repository.span })
}

/// Reads a branch: its name, or the whole name of a ref.
fn branch(value: &toml::de::DeValue<'_>) -> Result<Option<String>, Wrong> {
    let text = value::text(value)?;
    let is_plain = |c: char| c.is_alphanumeric() || "/-_.+@".contains(c);
    if text.starts_with(['-', '/']) || text.contains("..") || !text.chars().all(is_plain) {
        let help = "write it like \"main\" or \"refs/heads/main\"";
        return Err(Wrong::new(format!("can't be \"{text}\": that is no branch"), help));
    }
    Ok(Some(if text.starts_with("refs/") { text } else { format!("refs/heads/{text}") }))
}

/// Reads the directory of a repository that is served.
fn prefix(value: &toml::de::DeValue<'_>) -> Result<RelPath, Wrong> {
    let text = value::text(value)?;
    let help =
        "write it from the repository's root on, like \"public\"; leave it out for all of it";
    RelPath::new(text.trim_matches('/').as_bytes())
        .map_err(|error| Wrong::new(format!("can't be used: {error}"), help))
}

/// Reads `[origin.NAME.hold]`.
fn guard(section: Option<Section<'_>>, findings: &mut Findings) -> Guard {
    let usual = Guard::default();
    let Some(mut section) = section else {
        return usual;
    };
    let percent = value::count(0..=100);
    let guard = Guard {
        changed_percent: section.or("changed_percent", usual.changed_percent, &percent, findings),
        removed_percent: section.or("removed_percent", usual.removed_percent, &percent, findings),
        least_files: section.or(
            "least_files",
            usual.least_files,
            value::count(1..=1_000_000_000),
            findings,
        ),
        // A deploy may take several days' worth.
        quota_percent: section.or(
            "quota_percent",
            usual.quota_percent,
            value::count(0..=10_000),
            findings,
        ),
        root: section.or("root", usual.root, value::boolean, findings),
    };
    section.finish(findings);
    guard
}

fn texts(list: Option<&Found<Vec<Found<String>>>>) -> Option<Vec<String>> {
    list.map(|list| list.value.iter().map(|found| found.value.clone()).collect())
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
        (true, [only]) => {
            let why = "the only account".to_owned();
            findings.follow(section, "account", format!("\"{only}\""), why);
            Some(AccountName::from(*only))
        }
        (true, [first, ..]) => {
            section.missing("account", &format!("\"{first}\""), findings);
            None
        }
        _ => named,
    }
}

/// Refuses a state directory that the daemon would watch while it writes there.
pub(super) fn outside(state_dir: &Found<PathBuf>, placed: &Placed, findings: &mut Findings) {
    let Some(root) = placed.origin.root() else {
        return;
    };
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
    let of = |origin: &Origin| (origin.tree.clone(), origin.branch.clone(), origin.prefix.clone());
    if of(&placed.origin) != of(other) {
        return;
    }
    if let Some(domain) = placed.origin.mapping.bases().iter().find(shared) {
        let message = format!(
            "origins `{}` and `{}` have the same tree and both serve {}",
            other.name,
            placed.origin.name,
            domain.url()
        );
        let help = "each change would be asked for twice: make them one origin";
        findings.refuse(placed.tree.clone(), "the same tree", Wrong::new(message, help));
    }
}
