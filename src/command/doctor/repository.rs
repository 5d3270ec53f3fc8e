//! Repositories: are they there, may the daemon read them, and who tells of a push.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::AS_ROOT;
use super::finding::Finding;
use super::tree::{self, Walked};
use super::who::Who;
use crate::command::words::count;
use crate::config::{Config, Origin, Repository};
use crate::domain::path::{RelPath, escape};
use crate::domain::push::CommitId;
use crate::source::git::{self, Git, GitError};

const UNAVAILABLE: &str = "the origin is unavailable: nothing of it is refreshed";
/// What of a repository a question reads.
const NEEDED: [&[u8]; 5] = [b"HEAD", b"config", b"objects", b"packed-refs", b"refs"];

/// Looks at the repositories of a configuration, and for the program that reads them.
pub(super) async fn look(config: &Config, who: &Who) -> Vec<Finding> {
    let origins = config.origins.values();
    let held: Vec<_> = origins.filter_map(|origin| Some((origin, origin.repository()?))).collect();
    if held.is_empty() {
        return Vec::new();
    }
    let program = git::version().await;
    let has_git = program.is_ok();
    let mut findings = vec![judge_program(program)];
    for (origin, repository) in held {
        let about = format!("repository of {}", origin.name);
        let kept = repository.fetch_from.is_some();
        let found = if kept { kept_by(&about, repository, who) } else { Vec::new() };
        let is_kept_badly = super::finding::is_broken(&found);
        findings.extend(found);
        match is_there(&about, repository, who) {
            Err(_) if is_kept_badly => {}
            Err(finding) => findings.push(finding),
            Ok(()) if has_git => findings.push(branch(&about, origin, repository, who).await),
            Ok(()) => {}
        }
        let is_named = config.senders.values().any(|hook| hook.origins.contains(&origin.name));
        if !kept && !is_named {
            findings.extend(announced(&about, &repository.path, who));
        }
    }
    findings
}

fn judge_program(version: Result<String, GitError>) -> Finding {
    match version {
        Ok(version) => Finding::ok("git", version),
        Err(error) => Finding::broken("git", error.to_string())
            .costs("no repository can be read: nothing of these origins is refreshed")
            .mend("install git, where the daemon finds it: PATH"),
    }
}

/// Returns the directory in which git keeps what it knows: a clone has one of its own for that.
fn inside(repository: &Path) -> PathBuf {
    let inside = repository.join(".git");
    if inside.is_dir() { inside } else { repository.to_owned() }
}

/// Looks whether it is there, and whether all of it can be read.
fn is_there(about: &str, repository: &Repository, who: &Who) -> Result<(), Finding> {
    let (path, shown) = (&repository.path, repository.path.display());
    let correct = "correct `repository` in the configuration";
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if who.sees_more() && error.kind() == ErrorKind::PermissionDenied => {
            return Err(Finding::not_checked(about, format!("{shown}: {error}")).mend(AS_ROOT));
        }
        Err(error) if error.kind() == ErrorKind::NotFound && repository.fetch_from.is_some() => {
            let what = format!("{shown} is not there yet: the first fetch makes it");
            return Err(Finding::advice(about, what)
                .costs("nothing is refreshed before that")
                .mend("refreshd status   # says how the fetch goes"));
        }
        Err(error) => {
            let what = format!("{shown} can't be looked at: {error}");
            let mend = format!("git clone --bare URL {shown}   # or {correct}");
            return Err(Finding::broken(about, what).costs(UNAVAILABLE).mend(mend));
        }
    };
    if !metadata.is_dir() {
        let what = format!("{shown} is not a directory");
        return Err(Finding::broken(about, what).costs(UNAVAILABLE).mend(correct));
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    let stopped = who.stopped_at(&real);
    if stopped.is_some() || !who.may_read(&real, &metadata) {
        let at = stopped.unwrap_or(&real).display();
        let what = format!("{at} is closed to {}", who.title());
        let mend = format!("chmod o+rx {at}   # or give it a group that the daemon is in");
        return Err(Finding::broken(about, what).costs(UNAVAILABLE).mend(mend));
    }
    let is_needless = |path: &RelPath, _| {
        path.parent().is_some_and(|parent| parent.is_root()) && !NEEDED.contains(&path.name())
    };
    match tree::walk(&inside(path), who, is_needless) {
        Walked { unreadable: Some(first), unreadables, .. } => {
            use std::os::unix::ffi::OsStrExt;
            let first = escape(first.as_os_str().as_bytes());
            let number = count(unreadables, "path");
            let what = format!("{number} can't be read by {}; the first is {first}", who.title());
            let mend = format!(
                "chmod -R o+rX {shown} && git -C {shown} config core.sharedRepository world"
            );
            let costs = "commits that are kept there can't be compared";
            Err(Finding::broken(about, what).costs(costs).mend(mend))
        }
        Walked { unseen: Some(unseen), .. } => {
            let what = format!("{} can't be listed by who asks", unseen.display());
            Err(Finding::not_checked(about, what).mend(AS_ROOT))
        }
        _ => Ok(()),
    }
}

/// Asks git for the branch and what it holds.
async fn branch(about: &str, origin: &Origin, repository: &Repository, who: &Who) -> Finding {
    let (git, shown) = (Git::new(&repository.path), repository.path.display());
    let reference = origin.branch.as_deref().unwrap_or_default();
    let prefix = &origin.prefix;
    let found = async {
        let Some(tip) = git.tip(reference).await? else { return Ok(None) };
        let files = git.files(&tip, prefix).await?;
        Ok::<_, GitError>(Some((tip, files.len() as u64)))
    };
    let found: Option<(CommitId, u64)> = match found.await {
        Ok(found) => found,
        Err(error) => {
            let what = format!("{shown} can't be asked: {error}");
            let mend = "correct `repository` in the configuration, or look at it: git fsck";
            return Finding::broken(about, what).costs(UNAVAILABLE).mend(mend);
        }
    };
    let Some((tip, files)) = found else {
        let what = format!("{shown} has no {reference}");
        let costs = "nothing of it is refreshed before there is one";
        if repository.fetch_from.is_some() {
            let mend = "refreshd status   # says how the fetch goes";
            return Finding::advice(about, format!("{what} yet")).costs(costs).mend(mend);
        }
        let mend = format!("push it, or correct `branch`: git -C {shown} for-each-ref");
        return Finding::broken(about, what).costs(costs).mend(mend);
    };
    if files == 0 && !prefix.is_root() {
        let what = format!("{reference} of {shown} has no files below {prefix}");
        let mend =
            format!("correct `prefix`: git -C {shown} ls-tree -d -r --name-only {reference}");
        return Finding::broken(about, what).costs("no push changes anything").mend(mend);
    }
    let (files, tip) = (count(files, "file"), tip.short());
    let below = if prefix.is_root() { String::new() } else { format!(" below {prefix}") };
    let name = who.title();
    Finding::ok(
        about,
        format!("{shown}: {files}{below} in {reference} at {tip}, readable by {name}"),
    )
}

/// Judges whether the daemon can fetch into a repository, or make it.
fn kept_by(about: &str, repository: &Repository, who: &Who) -> Vec<Finding> {
    let (path, user) = (&repository.path, &who.name);
    let Some(existing) = path.ancestors().find(|path| path.exists()) else { return Vec::new() };
    let Ok(metadata) = existing.metadata() else { return Vec::new() };
    let (at, shown) = (existing.display(), path.display());
    let costs = "nothing is fetched: pushes are not seen";
    let is_made = existing == path;
    if is_made && metadata.uid() != who.uid && metadata.uid() != 0 {
        let what = format!(
            "{shown} belongs to user {}, and a fetch runs what its settings name",
            metadata.uid()
        );
        let mend = format!("chown -R {user} {shown}   # or leave `fetch_from` out");
        return vec![Finding::broken(about, what).costs(costs).mend(mend)];
    }
    if who.stopped_at(existing).is_some() || !who.may_write(existing, &metadata) {
        let what = format!("{at} can't be written by {}", who.title());
        let mend = if is_made {
            format!("chown -R {user} {shown}")
        } else {
            format!("install -d -m 0750 -o {user} {}", path.parent().unwrap_or(path).display())
        };
        return vec![Finding::broken(about, what).costs(costs).mend(mend)];
    }
    Vec::new()
}

/// Returns the hook that tells of pushes, and whether it tells refreshd; none where it can't be read.
pub(super) fn post_receive(repository: &Path) -> Option<(PathBuf, bool)> {
    let file = inside(repository).join("hooks/post-receive");
    match std::fs::read(&file) {
        Ok(text) => {
            let says = text.windows(8).any(|word| word == b"refreshd");
            Some((file, says))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Some((file, false)),
        Err(_) => None,
    }
}

/// Says when nobody tells of pushes to a repository.
fn announced(about: &str, repository: &Path, who: &Who) -> Option<Finding> {
    let costs = "a push is found when the branch is compared, every `reconcile_every`, not at once";
    let Some((file, says)) = post_receive(repository) else {
        let what = format!("the hooks of {} can't be read by who asks", repository.display());
        return who.sees_more().then(|| Finding::not_checked(about, what).mend(AS_ROOT));
    };
    let shown = file.display();
    if !says {
        let what = format!("nobody tells the daemon of a push: {shown} doesn't, and no [hook.*]");
        let mend = format!(
            "printf '#!/bin/sh\\nexec refreshd hook post-receive\\n' > {shown}\n\
             chmod 0755 {shown}\n\
             # one that does other things too: docs/pushes.md"
        );
        return Some(Finding::advice(about, what).costs(costs).mend(mend));
    }
    let runs = file.metadata().is_ok_and(|metadata| metadata.mode() & 0o111 != 0);
    (!runs).then(|| {
        let what = format!("git does not run {shown}: it may not be executed");
        Finding::advice(about, what).costs(costs).mend(format!("chmod 0755 {shown}"))
    })
}
