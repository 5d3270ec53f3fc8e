//! From looks to what is committed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::judge::{IndexStep, Judgement, changed_since, judge};
use super::{CHUNK, Intake, Trouble, tree};
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::hint::Witness;
use crate::domain::index::{Entry, Index};
use crate::domain::intent::Outgoing;
use crate::domain::path::RelPath;
use crate::domain::settle::Look;
use crate::domain::time::Timestamp;
use crate::source::look::Seen;
use crate::store::Record;

/// An open deploy's wishes are planned this long after its deadline even if its closing is lost.
const DEADLINE_GRACE: Duration = Duration::from_secs(1);
/// How the reason begins that is shown of a path until it can be read.
const UNREADABLE: &str = "it cannot be read: ";

impl Intake {
    /// Looks at the next paths of a baseline: what is older than it is taken as it is, everything
    /// else is marked. Ends the baseline after the last one.
    pub(super) async fn continue_baseline(
        &mut self,
        identity: tree::Identity,
    ) -> Result<bool, Trouble> {
        let Some(mut state) = self.state.clone() else {
            return Ok(false);
        };
        let count = CHUNK.min(self.backlog.len());
        let paths: Vec<_> = self.backlog.iter().take(count).map(|path| self.prior(path)).collect();
        let seen = self.see(identity, &paths, None).await?;
        let (now, fresh) = (self.clock.boot(), self.fresh());
        let index = Arc::make_mut(&mut self.index);
        for ((path, prior), seen) in paths.iter().zip(seen) {
            match seen {
                Seen::File(entry)
                    if prior.is_none() && !changed_since(&entry, state.baseline_at) =>
                {
                    index.apply(path, Some(entry));
                }
                Seen::Absent | Seen::Directory | Seen::Other if prior.is_none() => {}
                _ => self.settler.mark(path, Witness::Scan, now, &fresh),
            }
        }
        let chunks = index.take_writes();
        state.baseline_done = count == self.backlog.len();
        let done = state.baseline_done;
        self.commit(Record { chunks, origin_record: Some(state), ..self.blank() }).await?;
        self.backlog.drain(..count);
        if done {
            tracing::info!(
                origin = %self.settings.origin,
                files = self.index.files(),
                "the baseline is complete: changes from now on are refreshed"
            );
        }
        Ok(true)
    }

    /// Looks at paths whose time has come, records what follows, and closes the deploy when it may
    /// be closed. Returns whether there was anything to do.
    pub(super) async fn look(&mut self, identity: tree::Identity) -> Result<bool, Trouble> {
        // What was touched while the tree was walked is left alone until it rests.
        let heard = self.take_hints();
        let fresh = self.fresh();
        let looks = self.settler.due(self.clock.boot(), CHUNK, &fresh);
        let paths: Vec<_> = looks.iter().map(|look| self.prior(&look.path)).collect();
        let removing = looks.iter().any(|look| look.removal.is_some());
        let removing = removing.then(|| self.index.files());
        let seen = match self.see(identity, &paths, removing).await {
            Ok(seen) => seen,
            Err(trouble) => {
                self.give_back(looks);
                return Err(trouble);
            }
        };
        let closing = self.settler.closing(self.clock.boot()).is_some();
        if looks.is_empty() && !closing {
            return Ok(heard);
        }
        let saw_directory = seen.contains(&Seen::Directory);
        let judged = self.judge(&looks, paths, seen);
        let (record, closes) = self.draft(judged);
        let opened = record.outgoing.iter().find_map(|outgoing| match outgoing {
            Outgoing::Deploy(deploy) if deploy.closed_at.is_none() => Some(deploy.id.clone()),
            _ => None,
        });
        if let Err(trouble) = self.commit(record).await {
            self.give_back(looks);
            return Err(trouble);
        }
        self.announced = opened.or_else(|| self.announced.take());
        if closes {
            self.settler.closed();
            self.announced = None;
        }
        if saw_directory {
            // Perhaps one that could not be watched and can be now.
            self.armed.take_if(|armed| armed.gap().is_some());
        }
        Ok(true)
    }

    fn give_back(&mut self, looks: Vec<Look>) {
        let now = self.clock.boot();
        for look in looks {
            self.settler.give_back(look, now);
        }
    }

    async fn see(
        &self,
        identity: tree::Identity,
        paths: &[(RelPath, Option<Entry>)],
        removing: Option<u64>,
    ) -> Result<Vec<Seen>, Trouble> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let (root, clock) = (self.settings.root.clone(), Arc::clone(&self.clock));
        let paths = paths.to_vec();
        let seen =
            spawn_blocking(move || tree::look_all(&root, identity, &paths, removing, &clock))
                .await??;
        Ok(seen)
    }

    /// Judges looks, telling settler and index.
    fn judge(
        &mut self,
        looks: &[Look],
        paths: Vec<(RelPath, Option<Entry>)>,
        seen: Vec<Seen>,
    ) -> Vec<(Witness, Judgement)> {
        let now = self.clock.boot();
        let baseline =
            self.state.as_ref().filter(|state| !state.baseline_done).map(|state| state.baseline_at);
        let mut judged = Vec::with_capacity(looks.len());
        let mut outdated = HashSet::new();
        for ((look, (path, prior)), seen) in looks.iter().zip(paths).zip(seen) {
            let mut judgement = judge(look, prior.as_ref(), seen, baseline);
            if self.mapping.excluded(&path, false).is_some() {
                // It was excluded since it was indexed: the index forgets it, and nothing follows.
                judgement.index = IndexStep::Forget;
                judgement.change = None;
            }
            match judgement.index {
                IndexStep::Leave => {}
                IndexStep::Hold(entry) => Arc::make_mut(&mut self.index).apply(&path, Some(entry)),
                IndexStep::Forget => Arc::make_mut(&mut self.index).apply(&path, None),
            }
            if let Some(why) = judgement.trouble.take() {
                self.show_unmapped(&path, format!("{UNREADABLE}{why}"));
            } else if !self.facts.unmapped.is_empty() {
                let shown = path.to_string();
                self.facts
                    .unmapped
                    .retain(|known| known.path != shown || !known.why.starts_with(UNREADABLE));
            }
            if judgement.change.is_some() {
                outdated.extend(prior.map(|prior| prior.fingerprint.shared()));
            }
            self.settler.found(look, judgement.found, now);
            judged.push((look.witness, judgement));
        }
        // Links to a file change with it, and the watch hears of the one name that was used.
        if let Some(look) = looks.first().filter(|_| !outdated.is_empty()) {
            for path in self.index.sharing(&outdated) {
                self.settler.mark(&path, Witness::Scan, now, &look.deploy);
            }
        }
        judged
    }

    /// Writes down what follows from judgements, and the closing of the deploy if it may close;
    /// returns whether it does.
    fn draft(&mut self, judged: Vec<(Witness, Judgement)>) -> (Record, bool) {
        let now = self.clock.server_now();
        let mut announced = self.announced.clone();
        let mut late: Vec<Arc<Deploy>> = Vec::new();
        let mut outgoing = Vec::new();
        for (witness, judgement) in judged {
            let Some((change, deploy)) = judgement.change else {
                continue;
            };
            let is_open = self.settler.is_open(&deploy);
            let not_before = if is_open { self.deadline(&deploy) } else { now };
            let origin = &self.settings.origin;
            let mapped = self.mapping.wishes(origin, &change, &deploy.id, witness, now, not_before);
            tracing::debug!(
                %origin, path = ?change.path, kind = ?change.kind, deploy = %deploy.id, "changed"
            );
            for unmappable in mapped.unmappable {
                self.show_unmapped(&unmappable.path, unmappable.why.to_string());
            }
            if mapped.made.is_empty() {
                continue;
            }
            if !is_open {
                if !late.iter().any(|known| known.id == deploy.id) {
                    late.push(deploy);
                }
            } else if announced.as_ref() != Some(&deploy.id) {
                announced = Some(deploy.id.clone());
                outgoing.push(Outgoing::Deploy(Deploy::clone(&deploy)));
            }
            outgoing.extend(mapped.made.into_iter().map(Outgoing::Wish));
        }
        let ending = |deploy: &Arc<Deploy>| {
            Outgoing::Deploy(Deploy { closed_at: Some(now), ..Deploy::clone(deploy) })
        };
        outgoing.extend(late.iter().map(ending));
        let closing = self.settler.closing(self.clock.boot());
        let is_announced = |deploy: &DeployId| announced.as_ref() == Some(deploy);
        outgoing.extend(closing.filter(|deploy| is_announced(&deploy.id)).map(ending));
        let closes = closing.is_some();
        let chunks = Arc::make_mut(&mut self.index).take_writes();
        (Record { chunks, outgoing, ..self.blank() }, closes)
    }

    fn deadline(&self, deploy: &Deploy) -> Timestamp {
        let open = self.settings.waits.deploy_deadline + DEADLINE_GRACE;
        deploy.opened_at.plus(open)
    }

    /// Records, and tells who forwards. After a failure the index is read back.
    async fn commit(&mut self, record: Record) -> Result<(), Trouble> {
        let state = record.origin_record.clone();
        let news = !record.outgoing.is_empty();
        if record.chunks.is_empty() && !news && state.is_none() {
            return Ok(());
        }
        if let Err(error) = self.store.record(record).await {
            self.read_back().await;
            return Err(error.into());
        }
        if state.is_some() {
            self.state = state;
        }
        if news {
            self.recorded.notify_one();
        }
        Ok(())
    }

    /// Makes the index what the store holds; if that fails too, the next turn begins with it.
    async fn read_back(&mut self) {
        self.loaded = false;
        if let Ok(chunks) = self.store.chunks(&self.settings.origin).await
            && let Ok(index) = Index::load(chunks)
        {
            self.index = Arc::new(index);
            self.loaded = true;
        }
    }
}
