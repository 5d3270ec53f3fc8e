//! What the web servers have to serve: the files as they are now.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use tokio::task::spawn_blocking;

use crate::domain::index::{Digest, Entry};
use crate::domain::path::RelPath;
use crate::domain::push::CommitId;
use crate::domain::time::Timestamp;
use crate::domain::watch::Links;
use crate::source::git::{Git, GitError};
use crate::source::look::{Seen, look};
use crate::source::root::Root;

/// What is to be served of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A file with these bytes, and so many of them where that is known.
    File(Digest, Option<u64>),
    /// Nothing: it is not there.
    Nothing,
    /// What it is can't be told now.
    Unknown(String),
    /// Whatever they like: it is no file.
    Anything,
}

/// What a commit has at some paths.
#[derive(Debug, Default)]
pub(super) struct OfCommit {
    commit: Option<CommitId>,
    files: BTreeMap<RelPath, Wanted>,
}

/// Looks at files of a tree on disk, reading only those that moved since the last time.
pub(super) async fn of_root(
    (root, links): (PathBuf, Links),
    known: &mut BTreeMap<RelPath, Entry>,
    paths: Vec<RelPath>,
    now: Timestamp,
) -> Vec<(RelPath, Wanted)> {
    let (mut entries, all) = (std::mem::take(known), paths.clone());
    let looking = spawn_blocking(move || {
        let opened = Root::open(&root, links);
        let one = |path: RelPath| {
            let wanted = match &opened {
                Ok(root) => of_file(root, &path, &mut entries, now),
                Err(why) => Wanted::Unknown(why.to_string()),
            };
            (path, wanted)
        };
        let mut wanted: Vec<_> = paths.into_iter().map(one).collect();
        // Asked afterwards: what left while it was looked at is not gone either.
        let is_gone = opened.and_then(|root| root.is_still_there().and_then(|()| root.is_empty()));
        let why = match is_gone {
            Ok(false) => None,
            Ok(true) => Some("the root is empty, as one is that is not mounted".to_owned()),
            Err(why) => Some(why.to_string()),
        };
        if let Some(why) = why {
            let nothing = wanted.iter_mut().filter(|(_, wanted)| *wanted == Wanted::Nothing);
            nothing.for_each(|(_, wanted)| *wanted = Wanted::Unknown(why.clone()));
        }
        (wanted, entries)
    });
    match looking.await {
        Ok((wanted, entries)) => {
            *known = entries;
            wanted
        }
        Err(error) => {
            let unknown = |path| (path, Wanted::Unknown(error.to_string()));
            all.into_iter().map(unknown).collect()
        }
    }
}

fn of_file(
    root: &Root,
    path: &RelPath,
    known: &mut BTreeMap<RelPath, Entry>,
    now: Timestamp,
) -> Wanted {
    match look(root, path, known.get(path), now) {
        Seen::File(entry) => {
            known.insert(path.clone(), entry);
            let unread = || Wanted::Unknown("it was not read".to_owned());
            entry
                .digest
                .map_or_else(unread, |digest| Wanted::File(digest, Some(entry.fingerprint.size)))
        }
        Seen::Absent | Seen::Dangling => Wanted::Nothing,
        Seen::Directory | Seen::Other => Wanted::Anything,
        Seen::Changing(_) => Wanted::Unknown("it is being written".to_owned()),
        Seen::Unreadable(_, why) => Wanted::Unknown(format!("it cannot be read: {why}")),
    }
}

/// Tells what a commit has at these paths, asking the repository only for what is not `known` yet.
pub(super) async fn of_commit(
    (git, prefix): (&Git, &RelPath),
    known: &mut OfCommit,
    commit: Option<CommitId>,
    paths: Vec<RelPath>,
) -> Vec<(RelPath, Wanted)> {
    if known.commit != commit {
        *known = OfCommit { commit, files: BTreeMap::new() };
    }
    let new = paths.iter().filter(|path| !known.files.contains_key(*path));
    let new: Vec<RelPath> = new.cloned().collect();
    let read = match &known.commit {
        Some(commit) => read_commit(git, commit, prefix, &new).await,
        // There is no such branch: it has no files.
        None => Ok(new.into_iter().map(|path| (path, Wanted::Nothing)).collect()),
    };
    let failure = read.map(|read| known.files.extend(read)).err().map(|error| error.to_string());
    let wanted = |path: RelPath| {
        let unread = || Wanted::Unknown(failure.clone().unwrap_or_default());
        let wanted = known.files.get(&path).cloned().unwrap_or_else(unread);
        (path, wanted)
    };
    paths.into_iter().map(wanted).collect()
}

async fn read_commit(
    git: &Git,
    commit: &CommitId,
    prefix: &RelPath,
    paths: &[RelPath],
) -> Result<BTreeMap<RelPath, Wanted>, GitError> {
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    let listed = git.files(commit, prefix).await?;
    let digests = git.digests(commit, prefix, paths).await?;
    let wanted = |path: &RelPath| match (digests.get(path), listed.get(path)) {
        (Some(digest), _) => Wanted::File(*digest, None),
        // A link: what it leads to is the checkout's affair.
        (None, Some(_)) => Wanted::Anything,
        (None, None) => Wanted::Nothing,
    };
    Ok(paths.iter().map(|path| (path.clone(), wanted(path))).collect())
}

/// Reads the file of a tree on disk that is served at a URL's path; an error says why it can't be.
pub(super) async fn read(root: &Path, path: &str, most: usize) -> Result<Vec<u8>, String> {
    let path = path.split('?').next().unwrap_or_default();
    let bytes: Vec<u8> = percent_decode_str(path.trim_start_matches('/')).collect();
    let full = RelPath::new(bytes).map_err(|error| error.to_string())?.under(root);
    let reading = spawn_blocking(move || {
        let mut body = Vec::new();
        let file = std::fs::File::open(&full);
        let read = file.and_then(|file| file.take(most as u64).read_to_end(&mut body));
        read.map_err(|error| format!("the tree's {} cannot be read: {error}", full.display()))?;
        Ok(body)
    });
    reading.await.map_err(|error| error.to_string())?
}
