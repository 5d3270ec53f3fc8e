//! What a delivery says.
//!
//! | sender | tells of the paths |
//! |---|---|
//! | GitHub | all, but of 2,048 commits and 3,000 files a commit at most, and not those of dropped commits |
//! | GitLab | the newest 20 commits'; of a renamed file its new name only |
//! | Gitea, Forgejo, Gogs | as many commits' as they are configured to tell, 5 by default; how many there are (not Gogs) |
//! | Bitbucket | nothing but the commits' names |
//! | our own form | what it likes |
//!
//! Only GitHub says whether commits were dropped (a forced push), whose files are in no list: so only a
//! list of GitHub's, or one of our own form, can be known to be whole. All others are
//! [cut](Listed::Cut), and say why.
//!
//! The list of a push is the union of its commits' lists. A merge's own list is what it changes of its
//! first parent (GitLab, Gitea; GitHub doesn't say): what it resolves by hand is named so. Where it takes
//! back what came with another parent (`-s ours`), no list names that.
//! So a list helps to find changes; a tree or a clone decides.

use serde::Deserialize;

use self::capped::Capped;
use super::verify::event;
use super::{Headers, Refused};
use crate::domain::hook::Provider;
use crate::domain::path::escape;
use crate::domain::push::{CommitId, Listed, NoCommit, Push, Told};

mod bitbucket;
mod capped;
mod forge;
mod listing;
mod own;

/// The most refs that one delivery may move: each is a row for each origin that it concerns.
pub const MOST_REFS: usize = 10_000;

/// The longest name of a ref in bytes: git keeps a ref in a file, and a path has no more (`PATH_MAX`).
const LONGEST_REF: usize = 4096;

/// Why it can't be said what a delivery tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its body isn't the JSON that the provider sends.
    #[error("the payload is not what such a sender sends: {0}; is the hook's provider right?")]
    Json(String),
    /// Its headers, or the form around the JSON, are odd.
    #[error(transparent)]
    Request(#[from] Refused),
    /// It names no ref, or names it shortly.
    #[error("`{0}` is not the whole name of a ref, such as refs/heads/main")]
    Reference(String),
    /// It names no commit where one must be.
    #[error(transparent)]
    Commit(#[from] NoCommit),
    /// It says that refs moved, and not which.
    #[error("it says that refs moved, and names none")]
    NoRefs,
    /// It moves more refs than are taken.
    #[error("it names more than {MOST_REFS} refs")]
    ManyRefs,
    /// It says from where a ref moved, and not to where.
    #[error("`before` is there, and `after` is not: a row of zeros stands for a ref that is gone")]
    HalfMove,
}

/// Reads what a verified delivery says.
pub fn told(provider: &Provider, headers: &Headers, body: &[u8]) -> Result<Told, Unreadable> {
    let event = event(provider, headers)?;
    match provider {
        Provider::GitHub | Provider::Gitea | Provider::Forgejo | Provider::Gogs => {
            if event != "push" {
                return Ok(Told::Other(event.to_owned()));
            }
            let push = forge::push(provider, &headers.payload(body)?)?;
            Ok(Told::Pushes(vec![push]))
        }
        Provider::GitLabToken | Provider::GitLab => forge::gitlab(provider, event, body),
        Provider::Bitbucket => match event {
            "push" | "repo:push" => bitbucket::cloud(body),
            other => Ok(Told::Other(other.to_owned())),
        },
        Provider::BitbucketServer => match event {
            "push" | "repo:refs_changed" => bitbucket::data_center(body),
            other => Ok(Told::Other(other.to_owned())),
        },
        Provider::StandardWebhooks | Provider::Generic(_) => own::told(body),
    }
}

/// Reads JSON; what the reader says of it may repeat what it read.
fn json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(text).map_err(|error| Unreadable::Json(shown(&error.to_string())))
}

/// Shows foreign text: on one line, and the beginning of it.
fn shown(text: &str) -> String {
    escape(text.chars().take(100).collect::<String>().as_bytes())
}

/// Makes the pushes of a delivery that may move several refs.
fn pushes<T>(
    moves: Capped<T, MOST_REFS>,
    push: impl FnMut(T) -> Result<Push, Unreadable>,
) -> Result<Told, Unreadable> {
    if moves.more {
        return Err(Unreadable::ManyRefs);
    }
    if moves.items.is_empty() {
        return Err(Unreadable::NoRefs);
    }
    moves.items.into_iter().map(push).collect::<Result<_, _>>().map(Told::Pushes)
}

/// Returns whether a text is the whole name of a ref by git's rules (git-check-ref-format).
#[must_use]
pub fn is_reference(name: &str) -> bool {
    let is_odd = |byte: u8| byte <= b' ' || byte == 0x7f || b"~^:?*[\\".contains(&byte);
    let is_part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none()
    };
    name.len() <= LONGEST_REF
        && name.strip_prefix("refs/").is_some_and(|rest| rest.contains('/'))
        && name.split('/').all(is_part)
        && !name.bytes().any(is_odd)
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
}

/// Checks the whole name of a ref.
fn reference(name: &str) -> Result<String, Unreadable> {
    if is_reference(name) { Ok(name.to_owned()) } else { Err(Unreadable::Reference(shown(name))) }
}

/// Makes a push of which no paths are told.
fn bare(reference: String, before: Option<CommitId>, after: Option<CommitId>, why: &str) -> Push {
    Push { reference, before, after, listed: Listed::nothing(why) }
}
