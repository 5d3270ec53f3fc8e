//! The payload of GitHub, which GitLab, Gitea, Forgejo and Gogs took over, each with changes.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::capped::Capped;
use super::listing::Listing;
use super::{Unreadable, json, reference, shown};
use crate::domain::hook::Provider;
use crate::domain::push::{CommitId, Listed, MOST_LISTED, Push, Told};

/// The most commits that GitHub names (its documentation of the event `push`); of others no more are read.
const MOST_COMMITS: usize = 2048;

/// The most files of a commit that GitHub names (same place).
const MOST_FILES: usize = 3000;

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    /// GitHub only.
    forced: Option<bool>,
    /// Read one after the other: each may be large.
    #[serde(borrow)]
    commits: Option<Capped<&'a RawValue, MOST_COMMITS>>,
    /// How many commits there are: GitLab, and Gitea and Forgejo since 1.18.
    #[serde(alias = "total_commits_count")]
    total_commits: Option<u64>,
}

#[derive(Deserialize)]
struct Commit {
    id: Option<String>,
    added: Option<Names>,
    removed: Option<Names>,
    modified: Option<Names>,
}

type Names = Capped<String, MOST_LISTED>;

/// What a delivery of GitLab is about: a system hook has the second.
#[derive(Deserialize)]
struct Kind {
    object_kind: Option<String>,
    event_name: Option<String>,
}

/// Reads a delivery of GitLab; `event` is the word of its header, which is not signed.
pub(super) fn gitlab(provider: &Provider, event: &str, body: &[u8]) -> Result<Told, Unreadable> {
    let kind: Kind = json(body)?;
    let kind = kind.object_kind.or(kind.event_name).unwrap_or_else(|| event.to_owned());
    match kind.as_str() {
        "push" | "tag_push" | "Push Hook" | "Tag Push Hook" => {
            Ok(Told::Pushes(vec![push(provider, body)?]))
        }
        other => Ok(Told::Other(shown(other))),
    }
}

/// Reads a push.
pub(super) fn push(provider: &Provider, text: &[u8]) -> Result<Push, Unreadable> {
    let payload: Payload<'_> = json(text)?;
    let before = CommitId::parse(&payload.before)?;
    let after = CommitId::parse(&payload.after)?;
    let reference = reference(&payload.reference)?;
    let listed = listed(provider, &payload, before.as_ref(), after.as_ref())?;
    Ok(Push { reference, before, after, listed })
}

fn listed(
    provider: &Provider,
    payload: &Payload<'_>,
    before: Option<&CommitId>,
    after: Option<&CommitId>,
) -> Result<Listed, Unreadable> {
    let mut listing = Listing::default();
    let (commits, more) =
        payload.commits.as_ref().map_or((&[][..], false), |list| (&list.items, list.more));
    let count = commits.len();
    let total = payload.total_commits.unwrap_or_default();
    if after.is_none() {
        listing.cut(|| "the ref was deleted".to_owned());
    } else if before.is_none() {
        listing.cut(|| "the ref is new, and its files may have come before".to_owned());
    } else if payload.forced == Some(true) {
        listing.cut(|| "commits were dropped (a forced push), and no list names theirs".to_owned());
    } else if total > count as u64 {
        listing.cut(|| format!("{count} of {total} commits are named"));
    } else if more || count == MOST_COMMITS {
        listing.cut(|| format!("{count} commits are named, the most that are"));
    } else if count == 0 && before != after {
        listing.cut(|| "no commit is named, though the ref moved".to_owned());
    }
    for commit in commits {
        let commit: Commit = json(commit.get().as_bytes())?;
        let id = || shown(commit.id.as_deref().unwrap_or_default());
        let lists = [&commit.added, &commit.removed, &commit.modified];
        let names = || lists.iter().copied().flatten();
        match names().map(|list| list.items.len()).sum::<usize>() {
            // So does GitHub where the list would take too long, and a merge may well have none.
            0 => listing.cut(|| format!("commit {} names no files", id())),
            files if files >= MOST_FILES || names().any(|list| list.more) => {
                listing.cut(|| format!("commit {} names {files} files, perhaps not all", id()));
            }
            _ => {}
        }
        names().flat_map(|list| &list.items).for_each(|name| listing.name(name));
    }
    if payload.forced.is_none() {
        listing.cut(|| {
            let renames = match provider {
                Provider::GitLabToken | Provider::GitLab => ", nor where a renamed file was",
                _ => "",
            };
            format!("{} doesn't say whether commits were dropped{renames}", provider.as_str())
        });
    }
    Ok(listing.done())
}
