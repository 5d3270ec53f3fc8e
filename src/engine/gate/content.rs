//! Whether the web servers serve the bytes that the origin's files have, of every path that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::files::{self, OfCommit, Wanted};
use super::{Look, Settings};
use crate::config::Tree;
use crate::domain::deploy::DeployId;
use crate::domain::index::Entry;
use crate::domain::path::RelPath;
use crate::domain::push::CommitId;
use crate::domain::time::Timestamp;
use crate::domain::url::CanonicalUrl;
use crate::probe::server::Server;
use crate::probe::together::{self, Asking};
use crate::source::git::Git;
use crate::store::{GatedDeploy, Store, StoreError};

/// Requests to one web server at once.
const AT_ONCE: usize = 8;

/// A web server that differs so often is asked no more in the same look: it is not ready.
const MOST_DIFFERENCES: usize = 16;

/// A look begins no more questions after this long: what waits is looked at anew, and who is to know is told.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// The most that is read of a file whose size is not known.
const MOST_BYTES: u64 = 1 << 40;

/// A URL that a web server is asked for, and for the sake of which file.
#[derive(Clone, Copy)]
struct Ask<'a> {
    path: &'a RelPath,
    url: &'a CanonicalUrl,
    wanted: &'a Wanted,
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// What changed, by deploy and the newest thing it holds.
    changes: BTreeMap<(DeployId, i64), BTreeSet<RelPath>>,
    entries: BTreeMap<RelPath, Entry>,
    of_commit: OfCommit,
    proven: BTreeMap<RelPath, Proven>,
}

/// At which servers and URLs a path was seen to be served as it is to be.
#[derive(Debug)]
struct Proven {
    wanted: Wanted,
    at: BTreeSet<(usize, CanonicalUrl)>,
}

impl Content {
    /// Asks the servers for all that changed and is not proven yet.
    pub(super) async fn look(
        &mut self,
        settings: &Settings,
        store: &Store,
        servers: &[Server],
        (waiting, unreached): (&[GatedDeploy], &BTreeSet<CommitId>),
        now: Timestamp,
    ) -> Result<Look, StoreError> {
        self.read_changes(store, waiting).await?;
        let unseen = self.unseen(waiting, unreached);
        let paths: BTreeSet<&RelPath> = self.changes.values().flatten().collect();
        let paths: Vec<RelPath> = paths.into_iter().cloned().collect();
        let wanted = match &settings.tree {
            Tree::Root(root) => {
                let root = (root.clone(), settings.links);
                files::of_root(root, &mut self.entries, paths, now).await
            }
            Tree::Repository(repository) => {
                let tip = store.tip(&settings.origin).await?.and_then(|tip| tip.commit);
                let place = (&Git::new(&repository.path), &settings.prefix);
                files::of_commit(place, &mut self.of_commit, tip, paths).await
            }
        };
        let with_urls = |(path, wanted): (RelPath, Wanted)| {
            let urls = settings.mapping.own_urls(&path);
            let lacking = |commit: &&CommitId| {
                let short = commit.short();
                Wanted::Unknown(format!("the repository has not come to the commit {short} yet"))
            };
            let wanted = unseen.get(&path).map_or(wanted, lacking);
            (path, urls, wanted)
        };
        let all: Vec<_> = wanted.into_iter().map(with_urls).collect();
        let mut missing: BTreeMap<RelPath, String> = BTreeMap::new();
        for (path, _, wanted) in all.iter().filter(|(_, urls, _)| !urls.is_empty()) {
            if let Wanted::Unknown(why) = wanted {
                missing.insert(path.clone(), why.clone());
            }
        }
        let asks: Vec<Vec<Ask<'_>>> =
            (0..servers.len()).map(|server| self.open_asks(server, &all)).collect();
        let asking = servers.iter().zip(&asks);
        let asking = asking.map(|(server, asks)| -> Asking<'_, _> {
            Box::pin(ask_all(server, asks, LONGEST_LOOK))
        });
        let answers = together::all(asking.collect()).await;
        for ((number, asks), answers) in (0..).zip(&asks).zip(answers) {
            for (ask, answer) in asks.iter().zip(answers) {
                match answer {
                    Ok(()) => self.prove(number, ask),
                    Err(why) => {
                        let known = missing.entry(ask.path.clone()).or_default();
                        if known.is_empty() {
                            *known = why;
                        }
                    }
                }
            }
        }
        Ok(self.judge(waiting, &missing))
    }

    /// Returns the paths of deploys whose commit the repository has not come to, with that one.
    fn unseen<'c>(
        &self,
        waiting: &[GatedDeploy],
        unreached: &'c BTreeSet<CommitId>,
    ) -> BTreeMap<RelPath, &'c CommitId> {
        let of = |gated: &GatedDeploy| {
            let commit = unreached.get(gated.commit.as_ref()?)?;
            Some((commit, self.changes.get(&(gated.deploy.clone(), gated.through))?))
        };
        let paths = waiting.iter().filter_map(of);
        paths
            .flat_map(|(commit, paths)| paths.iter().map(move |path| (path.clone(), commit)))
            .collect()
    }

    fn prove(&mut self, server: usize, ask: &Ask<'_>) {
        let new = || Proven { wanted: ask.wanted.clone(), at: BTreeSet::new() };
        let proven = self.proven.entry(ask.path.clone()).or_insert_with(new);
        if proven.wanted != *ask.wanted {
            *proven = new();
        }
        proven.at.insert((server, ask.url.clone()));
    }

    fn is_proven(&self, server: usize, ask: &Ask<'_>) -> bool {
        self.proven.get(ask.path).is_some_and(|proven| {
            proven.wanted == *ask.wanted && proven.at.contains(&(server, ask.url.clone()))
        })
    }

    /// Reads what changed in deploys, once each: what changed again is to be proven again.
    async fn read_changes(
        &mut self,
        store: &Store,
        waiting: &[GatedDeploy],
    ) -> Result<(), StoreError> {
        let mut changes = BTreeMap::new();
        for gated in waiting {
            let key = (gated.deploy.clone(), gated.through);
            let paths = if let Some(paths) = self.changes.remove(&key) {
                paths
            } else {
                let found = store.changes(&gated.deploy).await?;
                let paths: BTreeSet<RelPath> = found.into_iter().map(|(_, path)| path).collect();
                self.proven.retain(|path, _| !paths.contains(path));
                paths
            };
            changes.insert(key, paths);
        }
        self.changes = changes;
        Ok(())
    }

    /// Returns what a server is still to be asked for.
    fn open_asks<'a>(
        &self,
        server: usize,
        all: &'a [(RelPath, Vec<CanonicalUrl>, Wanted)],
    ) -> Vec<Ask<'a>> {
        let asks = all
            .iter()
            .flat_map(|(path, urls, wanted)| urls.iter().map(move |url| Ask { path, url, wanted }));
        asks.filter(|ask| matches!(ask.wanted, Wanted::File(..) | Wanted::Nothing))
            .filter(|ask| !self.is_proven(server, ask))
            .collect()
    }

    /// Says which deploys are served as a whole, and what is missing of the oldest that is not.
    fn judge(&self, waiting: &[GatedDeploy], missing: &BTreeMap<RelPath, String>) -> Look {
        let mut look = Look::default();
        for gated in waiting {
            let changes = self.changes.get(&(gated.deploy.clone(), gated.through));
            let changes = changes.into_iter().flatten();
            let missed = changes.filter_map(|path| missing.get_key_value(path));
            // What was not asked for any more has no reason of its own.
            match missed.max_by_key(|(path, why)| (!why.is_empty(), std::cmp::Reverse(*path))) {
                None => look.opens.push(gated.clone()),
                Some((path, why)) if look.why.is_empty() => look.why = format!("{path}: {why}"),
                Some(_) => {}
            }
        }
        look
    }
}

/// Asks a server for all of these, a few at once; each answer says what differs. Once it differs often,
/// does not answer, or took long enough, the rest is as good as missing.
async fn ask_all(server: &Server, asks: &[Ask<'_>], longest: Duration) -> Vec<Result<(), String>> {
    let (next, differences) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = async || {
        let mut answers = Vec::new();
        while differences.load(Ordering::Relaxed) < MOST_DIFFERENCES {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(ask) = asks.get(number) else { break };
            let answer = ask_one(server, ask).await;
            if let Err(problem) = &answer {
                let weight = if problem.is_silent { MOST_DIFFERENCES } else { 1 };
                differences.fetch_add(weight, Ordering::Relaxed);
            }
            answers.push((number, answer.map_err(|problem| problem.why)));
        }
        answers
    };
    let workers = (0..AT_ONCE.min(asks.len())).map(|_| -> Asking<'_, _> { Box::pin(worker()) });
    let mut all: Vec<Result<(), String>> = asks.iter().map(|_| Err(String::new())).collect();
    let mut work = std::pin::pin!(together::all(workers.collect()));
    let answers = if let Ok(answers) = tokio::time::timeout(longest, &mut work).await {
        answers
    } else {
        differences.store(MOST_DIFFERENCES, Ordering::Relaxed);
        work.await
    };
    for (number, answer) in answers.into_iter().flatten() {
        if let Some(place) = all.get_mut(number) {
            *place = answer;
        }
    }
    all
}

/// Why something is not served as it should be.
struct Problem {
    why: String,
    /// Whether the server did not answer at all.
    is_silent: bool,
}

async fn ask_one(server: &Server, ask: &Ask<'_>) -> Result<(), Problem> {
    let differs = |why: String| Err(Problem { why, is_silent: false });
    let most = match ask.wanted {
        Wanted::File(_, Some(size)) => *size,
        Wanted::File(_, None) => MOST_BYTES,
        _ => 0,
    };
    let (name, host) = (server.name(), ask.url.host());
    let answer = server.served(ask.url, most).await.map_err(|why| Problem {
        why: format!("{name} does not answer for {host}: {why}"),
        is_silent: true,
    })?;
    let status = answer.status;
    match ask.wanted {
        Wanted::Nothing if matches!(status, 403 | 404 | 410) => Ok(()),
        Wanted::Nothing => {
            differs(format!("{name} still serves it for {host}, with status {status}"))
        }
        _ if status != 200 => differs(format!("{name} answers for {host} with status {status}")),
        Wanted::File(_, Some(size)) if answer.length > *size => {
            differs(format!("{name} serves more than its {size} bytes for {host}"))
        }
        Wanted::File(_, Some(size)) if answer.length < *size => {
            let length = answer.length;
            differs(format!("{name} serves {length} instead of its {size} bytes for {host}"))
        }
        Wanted::File(digest, _) if answer.digest != *digest => {
            differs(format!("{name} serves other bytes for {host}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::domain::gate::Servers;
    use crate::domain::index::Digest;

    #[tokio::test]
    async fn a_look_that_takes_too_long_keeps_what_was_answered_and_ends() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut servers = JoinSet::new();
        let router = axum::Router::new().fallback(|| async { "" });
        servers.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let urls = vec![format!("http://{address}").parse().expect("a URL")];
        let timeout = Duration::from_secs(60);
        let all = Server::all(&Servers { urls, timeout }).expect("a server");
        let mut first = [0; 16];
        first.copy_from_slice(&blake3::hash(b"").as_bytes()[..16]);
        let (path, wanted) =
            (RelPath::new("a").expect("a path"), Wanted::File(Digest(first), None));
        let url = CanonicalUrl::parse("https://www.example.com/a").expect("a URL");
        let asks: Vec<_> =
            (0..200).map(|_| Ask { path: &path, url: &url, wanted: &wanted }).collect();
        let answers = ask_all(&all[0], &asks, Duration::ZERO).await;
        assert_eq!(answers.len(), 200);
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), AT_ONCE);
        assert!(ask_all(&all[0], &asks, timeout).await.iter().all(Result::is_ok));
    }
}
