//! From looks to what is committed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::judge::{IndexStep, Judgement, judge};
use super::{CHUNK, Intake, Trouble, tree};
use crate::domain::change::{Change, ChangeKind};
use crate::domain::deploy::{Bracket, Deploy, DeployId};
use crate::domain::hint::Witness;
use crate::domain::intent::Outgoing;
use crate::domain::settle::Look;
use crate::domain::time::Timestamp;
use crate::engine::wishes;
use crate::source::look::Seen;
use crate::store::{Changed, Record};
use crate::telemetry::meters::Meter;

/// An open deploy's wishes are planned this long after its deadline even if its closing is lost.
const DEADLINE_GRACE: Duration = Duration::from_secs(1);
/// For each path that is still to be looked at then it is so much longer: none may be planned before
/// all were counted, for together they may have to be held.
const LOOKING: Duration = Duration::from_millis(5);
/// What vanishes without a pause for longer than this does not vanish at once.
const AT_ONCE: Duration = Duration::from_secs(10 * 60);
/// Links to nothing that are looked at again when a file is made; the reconcile comes to the rest.
const MOST_DANGLING: usize = 1_000;
/// How the reason begins that is shown of a path until it can be read.
const UNREADABLE: &str = "it cannot be read: ";

impl Intake {
    /// Looks at paths whose time has come, records what follows, and closes the deploy when it may
    /// be closed. Returns whether there was anything to do.
    pub(super) async fn look(&mut self, identity: tree::Identity) -> Result<bool, Trouble> {
        // What was touched while the tree was walked is left alone until it rests.
        let hints = self.door.1.drain_paths();
        let heard = self.take_hints(hints);
        let fresh = self.fresh();
        let looks = self.settler.due(self.clock.boot(), CHUNK, &fresh);
        let paths: Vec<_> = looks.iter().map(|look| self.known(&look.path)).collect();
        let removing = looks.iter().any(|look| look.removal.is_some());
        let removing = removing.then(|| self.held().files());
        let seen = match self.see(identity, &paths, removing).await {
            Ok(seen) => self.returned(&paths, &seen).await.map(|returned| (seen, returned)),
            Err(trouble) => Err(trouble),
        };
        let (seen, returned) = match seen {
            Ok(seen) => seen,
            Err(trouble) => {
                self.give_back(looks);
                return Err(trouble);
            }
        };
        self.note_overtime();
        let closing = self.settler.closing(self.clock.boot()).is_some();
        if looks.is_empty() && !closing {
            return Ok(heard);
        }
        for (look, seen) in looks.iter().zip(&seen) {
            if *seen == Seen::Directory {
                // A link to a directory, or one that came where a file was.
                self.subtrees.insert(look.path.clone(), look.witness);
            }
            if *seen == Seen::Dangling {
                self.links.dangling.insert(look.path.clone());
            } else {
                self.links.dangling.remove(&look.path);
            }
        }
        self.hold_if_many_vanished(&looks);
        let mut judged = self.judge(&looks, paths, seen);
        let removals = self.remember(&mut judged, &returned);
        let removed = judged.iter().filter(|(_, judgement)| judgement.is_removal()).count();
        let changed = judged.iter().filter(|(_, judgement)| judgement.change.is_some());
        let changed: Vec<Witness> = changed.map(|(witness, _)| *witness).collect();
        let (record, closes) = self.draft(judged);
        let record = Record { removals, ..record };
        let opened = record.outgoing.iter().find_map(|outgoing| match outgoing {
            Outgoing::Deploy(deploy) if deploy.closed_at.is_none() => Some(deploy.id.clone()),
            _ => None,
        });
        if let Err(trouble) = self.commit(record).await {
            self.rush.unhold();
            self.give_back(looks);
            return Err(trouble);
        }
        for witness in changed {
            let of = [self.settings.origin.as_str(), witness.as_str()];
            self.meters.count(Meter::Changes, &of);
        }
        match &mut self.holding {
            Some((left, _)) => *left = left.saturating_sub(removed),
            // What is held is no reason to hold what goes after it.
            None => self.vanishing.1 += removed,
        }
        self.announced = opened.or_else(|| self.announced.take());
        if closes {
            let is_quiet = self.settler.is_quiet() && self.has_looked_everywhere();
            self.rush.closed(is_quiet, self.clock.boot());
            self.settler.closed();
            self.announced = None;
            self.bracket = None;
        }
        Ok(true)
    }

    /// Returns whether no comparison is under way or has left suspects to look at.
    fn has_looked_everywhere(&self) -> bool {
        self.comparing.is_none() && self.backlog.is_empty() && self.missing.is_empty()
    }

    /// Removals of a large part of the tree at once are held for a person: a mount that failed, a
    /// deploy that broke off. Removing takes its time, and the first are recorded before the last are
    /// seen: they count too, until nothing is absent any more or [`AT_ONCE`] is over. As many are held
    /// as are absent then, unless they return.
    fn hold_if_many_vanished(&mut self, looks: &[Look]) {
        let now = self.clock.boot();
        let absent = self.settler.absent() + self.missing.len();
        if absent == 0 || now.saturating_sub(self.vanishing.0) > AT_ONCE {
            self.vanishing = (now, 0);
        }
        if let Some((left, _)) = &mut self.holding {
            *left = absent.min(*left);
        }
        self.holding.take_if(|(left, _)| *left == 0);
        if !looks.iter().any(|look| look.removal.is_some()) {
            return;
        }
        let vanished = absent + self.vanishing.1;
        let files = self.held().files() + self.vanishing.1 as u64;
        if self.settings.guard.holds_removed(vanished as u64, files) {
            let holding = self.holding.get_or_insert_with(|| {
                tracing::warn!(
                    event = "held", origin = %self.settings.origin, vanished, files,
                    "so many files vanished at once that their refreshes wait for a person"
                );
                (0, format!("at least {vanished} of {files} files vanished at once"))
            });
            holding.0 = absent;
        }
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
        paths: &[tree::Known],
        removing: Option<u64>,
    ) -> Result<Vec<Seen>, Trouble> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let (tree, clock) = (self.tree.clone(), Arc::clone(&self.clock));
        let paths = paths.to_vec();
        let seen =
            spawn_blocking(move || tree::look_all(&tree, identity, &paths, removing, &clock))
                .await??;
        Ok(seen)
    }

    /// Judges looks, telling settler and index.
    fn judge(
        &mut self,
        looks: &[Look],
        paths: Vec<tree::Known>,
        seen: Vec<Seen>,
    ) -> Vec<(Witness, Judgement)> {
        let now = self.clock.boot();
        let baseline =
            self.state.as_ref().filter(|state| !state.baseline_done).map(|state| state.baseline_at);
        let mut judged = Vec::with_capacity(looks.len());
        let mut shared = HashSet::new();
        for ((look, (path, prior)), seen) in looks.iter().zip(paths).zip(seen) {
            let mut judgement = judge(look, prior.as_ref(), seen, baseline);
            if self.rules.mapping.excluded(&path, false).is_some() {
                // It was excluded since it was indexed: the index forgets it, and nothing follows.
                judgement.index = IndexStep::Forget;
                judgement.change = None;
            }
            match judgement.index {
                IndexStep::Leave => {}
                IndexStep::Hold(entry) => {
                    if judgement.change.is_some() && entry.linked {
                        shared.insert(entry.fingerprint.inode);
                    }
                    self.index_mut().apply(&path, Some(entry));
                }
                IndexStep::Forget => {
                    self.index_mut().apply(&path, None);
                    let shown = path.to_string();
                    self.facts.unmapped.retain(|known| known.path != shown);
                }
            }
            if let Some(why) = judgement.trouble.take() {
                self.show_unmapped(&path, format!("{UNREADABLE}{why}"));
            } else if !self.facts.unmapped.is_empty() {
                let shown = path.to_string();
                self.facts
                    .unmapped
                    .retain(|known| known.path != shown || !known.why.starts_with(UNREADABLE));
            }
            if judgement.change.is_some()
                && let Some(inode) = prior.map(|prior| prior.fingerprint.inode)
                && self.held().is_shared(inode)
            {
                shared.insert(inode);
            }
            self.settler.found(look, judgement.found, now);
            judged.push((look.witness, judgement));
        }
        let created = |judged: &(_, Judgement)| {
            judged.1.change.as_ref().is_some_and(|(change, _)| change.kind == ChangeKind::Created)
        };
        if let Some(look) = looks.first().filter(|_| judged.iter().any(created)) {
            for path in self.links.dangling.iter().take(MOST_DANGLING) {
                self.settler.mark(path, Witness::Scan, now, &look.deploy);
            }
        }
        // Other names of a file change with it, and the watch hears of the one that was used.
        if let Some(look) = looks.first().filter(|_| !shared.is_empty()) {
            let sharing = self.held().sharing(&shared);
            for path in sharing {
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
        let mut changes: BTreeMap<DeployId, Vec<Changed>> = BTreeMap::new();
        let mut is_held_anew = false;
        for (witness, judgement) in judged {
            let Some((change, deploy)) = judgement.change else {
                continue;
            };
            let pair = (change.kind, change.path.clone());
            changes.entry(deploy.id.clone()).or_default().push(pair);
            let is_open = self.settler.is_open(&deploy);
            let not_before = if is_open { self.deadline(&deploy) } else { now };
            let origin = &self.settings.origin;
            tracing::debug!(
                %origin, path = ?change.path, kind = ?change.kind, deploy = %deploy.id, "changed"
            );
            let is_removed = change.kind == ChangeKind::Removed;
            let mut hold = self.holding.as_ref().filter(|_| is_removed).map(|(_, why)| why.clone());
            if hold.is_none() {
                is_held_anew |= self.hurry(&change);
                hold = self.rush.held().map(str::to_owned);
            }
            let (id, at) = (&deploy.id, now);
            let seen = wishes::Seen { deploy: id, witness, at, not_before, hold };
            let mapped = self.rules.wishes(&change, &seen);
            // What is gone has no page to be mended.
            for unmappable in mapped.unmappable.into_iter().filter(|_| !is_removed) {
                self.show_unmapped(&unmappable.path, unmappable.why.to_string());
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
        if let Some(why) = self.rush.held().filter(|_| is_held_anew) {
            // What was recorded before of these deploys is not planned yet.
            let hold = |deploy| Outgoing::Hold { deploy, why: why.to_owned() };
            outgoing.extend(changes.keys().cloned().map(hold));
        }
        let ending = |deploy: &Arc<Deploy>| {
            Outgoing::Deploy(Deploy { closed_at: Some(now), ..Deploy::clone(deploy) })
        };
        outgoing.extend(late.iter().map(ending));
        let closing = self.settler.closing(self.clock.boot());
        let is_announced = |deploy: &DeployId| announced.as_ref() == Some(deploy);
        outgoing.extend(closing.filter(|deploy| is_announced(&deploy.id)).map(ending));
        let closes = closing.is_some();
        let chunks = self.index_mut().take_writes();
        let changes = changes.into_iter().collect();
        let end_bracket = closes && self.bracket.is_some();
        (Record { chunks, outgoing, changes, end_bracket, ..self.blank() }, closes)
    }

    /// Counts a change; returns whether what the rush brings is held from now on.
    fn hurry(&mut self, change: &Change) -> bool {
        let (files, now) = (self.held().files(), self.clock.boot());
        let is_held = self.rush.changed(&self.settings.guard, change, files, now);
        if let Some(why) = self.rush.held().filter(|_| is_held) {
            tracing::warn!(event = "held", origin = %self.settings.origin, "what changes now waits for a person: {why}");
        }
        is_held
    }

    fn deadline(&self, deploy: &Deploy) -> Timestamp {
        let left = self.settler.dirty() + self.backlog.len();
        let looking = LOOKING * u32::try_from(left).unwrap_or(u32::MAX);
        let bracket = self.bracket.as_ref().filter(|bracket| bracket.deploy == deploy.id);
        let usual = deploy.opened_at.plus(self.settings.waits.deploy_deadline);
        bracket.map_or(usual, Bracket::until).plus(DEADLINE_GRACE + looking)
    }

    /// Records, and tells who forwards. After a failure the index is read back.
    pub(super) async fn commit(&mut self, mut record: Record) -> Result<(), Trouble> {
        let news = !record.outgoing.is_empty();
        if !record.chunks.is_empty() && record.origin_record.is_none() {
            record.origin_record.clone_from(&self.state);
        }
        if let Some(state) = &mut record.origin_record {
            state.files = self.held().files();
        } else if !news && record.changes.is_empty() && !record.end_bracket {
            return Ok(());
        }
        let state = record.origin_record.clone();
        if let Err(error) = self.store.record(record).await {
            self.read_back().await;
            return Err(error.into());
        }
        if state.is_some() {
            self.state = state;
        }
        if news {
            self.recorded.iter().for_each(|wake| wake.notify_one());
        }
        Ok(())
    }
}
