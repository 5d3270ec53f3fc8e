//! One look at the origin: what is asked, and what the answers mean.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Gates, Look};
use crate::config::Tree;
use crate::domain::gate::{GateCommand, Opens, named_whole, position};
use crate::domain::path::escape;
use crate::domain::push::CommitId;
use crate::domain::time::Timestamp;
use crate::domain::url::CanonicalUrl;
use crate::probe::command;
use crate::probe::server::Server;
use crate::probe::together::{self, Asking};
use crate::source::git::Git;
use crate::store::{GatedDeploy, StoreError};

use super::files;

/// How much of an answer to the version's path is read.
const MOST_VERSION: usize = 64 * 1024;

/// How much of an answer is shown.
const SHOWN: usize = 80;

impl Gates {
    /// Looks whether the gate opens for deploys that are complete, the oldest first.
    pub(super) async fn look(&mut self, waiting: &[GatedDeploy]) -> Result<Look, StoreError> {
        let opens = self.settings.gate.opens.clone();
        match &opens {
            Opens::Settled => Ok(Look { opens: waiting.to_vec(), ..Look::default() }),
            Opens::Delay(delay) => {
                let now = self.clock.server_now();
                let at = |gated: &GatedDeploy| gated.ready_at.plus(*delay);
                let until: Option<Timestamp> = waiting.iter().map(at).filter(|at| *at > now).min();
                let opens = waiting.iter().filter(|gated| at(gated) <= now).cloned().collect();
                let why = until.map_or_else(String::new, |until| format!("it opens at {until}"));
                Ok(Look { opens, why, until, ..Look::default() })
            }
            Opens::Command(command) => Ok(self.command(command, waiting).await),
            Opens::Version { path, .. } => self.version(path, waiting).await,
            Opens::Content(_) => {
                let unreached = self.unreached(waiting).await?;
                let (settings, store) = (&self.settings, &self.store);
                let now = self.clock.now();
                let waiting = (waiting, &unreached);
                self.content.look(settings, store, &self.servers, waiting, now).await
            }
        }
    }

    async fn unreached(
        &mut self,
        waiting: &[GatedDeploy],
    ) -> Result<BTreeSet<CommitId>, StoreError> {
        self.reached.others(&self.settings, &self.store, waiting).await
    }

    async fn command(&self, command: &GateCommand, waiting: &[GatedDeploy]) -> Look {
        let origin = self.settings.origin.as_str();
        let newest = waiting.last();
        let deploy = newest.map_or("", |gated| gated.deploy.as_str());
        let commit = newest.and_then(|gated| gated.commit.as_ref());
        let commit = commit.map(|commit| ("REFRESHD_COMMIT", commit.as_str()));
        let variables = [("REFRESHD_ORIGIN", origin), ("REFRESHD_DEPLOY", deploy)];
        let variables: Vec<_> = variables.into_iter().chain(commit).collect();
        let ran = command::run(command, &variables).await;
        let output = escape(ran.output.trim_ascii());
        let Some(failure) = ran.failure else {
            return Look { opens: waiting.to_vec(), ..Look::default() };
        };
        let program = command.words.first().map_or("", String::as_str);
        let why = format!("the command {program} does not succeed: {failure}");
        if why != self.why {
            tracing::warn!(origin, deploy, output, "the gate stays closed: {why}");
        }
        Look { why, output, ..Look::default() }
    }

    /// Asks every web server for the version that it serves.
    async fn version(&mut self, path: &str, waiting: &[GatedDeploy]) -> Result<Look, StoreError> {
        let closed = |why: String| Ok(Look { why, ..Look::default() });
        let base = self.settings.mapping.bases().first().map(|base| base.url().host());
        let url = CanonicalUrl::parse(&format!("https://{}{path}", base.unwrap_or_default()));
        let url = match url {
            Ok(url) => url,
            Err(error) => return closed(error.to_string()),
        };
        let ask = |server: &'_ Server| -> Asking<'_, Result<Vec<u8>, String>> {
            let (server, url, name) = (server.clone(), url.clone(), server.name());
            Box::pin(async move {
                match server.body(&url, MOST_VERSION).await {
                    Ok((200, body)) => Ok(body),
                    Ok((status, _)) => Err(format!("{name} answers {path} with status {status}")),
                    Err(why) => Err(format!("{name} does not answer {path}: {why}")),
                }
            })
        };
        let mut bodies = Vec::new();
        for answer in together::all(self.servers.iter().map(ask).collect()).await {
            match answer {
                Ok(body) => bodies.push(body),
                Err(why) => return closed(why),
            }
        }
        let positions = match self.positions(path, &bodies, waiting).await? {
            Ok(positions) => positions,
            Err(why) => return closed(why),
        };
        let (server, least) = positions
            .into_iter()
            .enumerate()
            .min_by_key(|(_, position)| *position)
            .unwrap_or_default();
        let opens = waiting.iter().take(least).cloned().collect();
        let name = self.servers.get(server).map(Server::name).unwrap_or_default();
        let body = bodies.get(server).map(|body| trimmed(body)).unwrap_or_default();
        let body = escape(body.get(..SHOWN).unwrap_or(body));
        let wanted = waiting.get(least).and_then(|gated| gated.commit.as_ref());
        let wanted = wanted.map_or_else(
            || "and the tree has another".to_owned(),
            |commit| format!("and not the commit {}", commit.short()),
        );
        Ok(Look {
            opens,
            why: format!("{name} answers {path} with \"{body}\", {wanted}"),
            ..Look::default()
        })
    }

    /// Returns how many of the waiting deploys each server has, by what it answered; the inner error says
    /// why that can't be told.
    async fn positions(
        &mut self,
        path: &str,
        bodies: &[Vec<u8>],
        waiting: &[GatedDeploy],
    ) -> Result<Result<Vec<usize>, String>, StoreError> {
        let repository = match &self.settings.tree {
            Tree::Repository(repository) => repository,
            Tree::Root(root) => return Ok(has_file(root, path, bodies, waiting.len()).await),
        };
        let git = Git::new(&repository.path);
        let unreached = self.unreached(waiting).await?;
        let tip = self.store.tip(&self.settings.origin).await?.and_then(|tip| tip.commit);
        let commits: Vec<_> = waiting.iter().map(|gated| gated.commit.clone()).collect();
        // Up to here the tip stands for all; a server that has more has to say so.
        let is_unreached = |commit: &Option<CommitId>| {
            commit.as_ref().is_some_and(|commit| unreached.contains(commit))
        };
        let reached = commits.iter().position(is_unreached).unwrap_or(commits.len());
        let mut positions = Vec::new();
        for body in bodies {
            let answer = String::from_utf8_lossy(body);
            let by_tip = position(&answer, &commits[..reached], tip.as_ref());
            let position = by_tip.max(position(&answer, &commits, None));
            positions.push(come_to(&git, position, &commits, &answer).await);
        }
        Ok(Ok(positions))
    }
}

/// Returns for each server that it has all deploys, where it answered with the file of the tree, or none.
async fn has_file(
    root: &Path,
    path: &str,
    bodies: &[Vec<u8>],
    all: usize,
) -> Result<Vec<usize>, String> {
    let file = files::read(root, path, MOST_VERSION).await?;
    let has = |body: &Vec<u8>| if trimmed(body) == trimmed(&file) { all } else { 0 };
    Ok(bodies.iter().map(has).collect())
}

/// Returns how many deploys a server has that has at least `position` of them: more where it names a whole
/// commit of which the repository knows that it comes after theirs. There need not be a deploy of that
/// one: it may have changed nothing here.
async fn come_to(
    git: &Git,
    mut position: usize,
    commits: &[Option<CommitId>],
    answer: &str,
) -> usize {
    let Some(named) = named_whole(answer) else {
        return position;
    };
    while let Some(Some(commit)) = commits.get(position)
        && git.is_ancestor(commit, &named).await.unwrap_or(false)
    {
        position += 1;
    }
    position
}

/// Leaves out a line's end at the end.
fn trimmed(body: &[u8]) -> &[u8] {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body)
}
