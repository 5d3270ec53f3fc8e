//! Settling: when a path that was marked is looked at, and to which deploy what is found belongs.
//!
//! **Invariant:** a mark is forgotten only after a look that began later than it, or when the
//! settler collapses and says that the whole tree must be reconciled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::deploy::Deploy;
use super::hint::Witness;
use super::path::RelPath;

/// How long things wait, by the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// A path is looked at this long after its last mark.
    pub settle: Duration,
    /// A deploy closes at the latest this long after it opened.
    pub deploy_deadline: Duration,
    /// A path that never rests is taken as it is this long after its first mark.
    pub unstable_after: Duration,
    /// A path must stay absent this long before it counts as removed.
    pub delete_settle: Duration,
    /// A path that was absent or empty for longer than this counts as changed even if its old bytes
    /// return; one that is empty for that long is taken as empty.
    pub transient: Duration,
}

/// When a path was marked first and last since it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marked {
    first: Duration,
    last: Duration,
}

/// That a path was seen absent or empty, and in which deploy that was seen first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Absence {
    /// Since when it is not what it was.
    away_since: Duration,
    /// Since when it is absent; none while it is there.
    absent_since: Option<Duration>,
    deploy: Arc<Deploy>,
}

/// A path whose look has come. It is handed back through [`Settler::found`] or
/// [`Settler::give_back`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Where to look.
    pub path: RelPath,
    /// Who marked it first.
    pub witness: Witness,
    /// The deploy that a change found now belongs to.
    pub deploy: Arc<Deploy>,
    /// Whether a path that is still changing is to be taken as it is.
    pub anyway: bool,
    /// If the path is still absent it counts as removed, in this deploy.
    pub removal: Option<Arc<Deploy>>,
    /// Whether the path has been absent or empty for longer than `transient`: whatever it is now, it
    /// counts as changed.
    pub was_away: bool,
    marked: Option<Marked>,
    absence: Option<Absence>,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All there is to know, removal included: the path is clean unless it was marked meanwhile.
    Settled,
    /// It is still changing: it stays dirty.
    Changing,
    /// It is absent though it was there: it waits.
    Absent,
    /// It is empty though it had bytes: they may be about to be written.
    Empty,
}

#[derive(Debug)]
struct Dirty {
    witness: Witness,
    marked: Option<Marked>,
    absence: Option<Absence>,
    looking: bool,
    /// The time under which it stands in the queue, never later than its due time.
    queued: Option<Duration>,
}

impl Dirty {
    const fn is_active(&self) -> bool {
        self.looking || self.marked.is_some()
    }

    fn is_absent(&self) -> bool {
        self.absence.as_ref().is_some_and(|absence| absence.absent_since.is_some())
    }
}

#[derive(Debug)]
struct Open {
    deploy: Arc<Deploy>,
    /// When it closes at the latest.
    deadline: Duration,
    /// Whether somebody said that more comes: then quiet does not close it, only its deadline does.
    bracketed: bool,
}

/// Decides for one origin when marked paths are looked at. It keeps no clock: `now` is boot time.
#[derive(Debug)]
pub struct Settler {
    waits: Waits,
    most: usize,
    dirty: BTreeMap<RelPath, Dirty>,
    queue: BTreeSet<(Duration, RelPath)>,
    /// How many paths are marked or being looked at: all but waiting absences.
    active: usize,
    /// How many paths were seen absent.
    absent: usize,
    open: Option<Open>,
    collapsed: bool,
}

impl Settler {
    /// Makes a settler that holds at most `most` paths.
    #[must_use]
    pub const fn new(waits: Waits, most: usize) -> Self {
        Self {
            waits,
            most,
            dirty: BTreeMap::new(),
            queue: BTreeSet::new(),
            active: 0,
            absent: 0,
            open: None,
            collapsed: false,
        }
    }

    /// Returns how many paths are not settled yet, waiting absences included.
    #[must_use]
    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Returns how many paths were last seen absent and wait for that to be believed.
    #[must_use]
    pub const fn absent(&self) -> usize {
        self.absent
    }

    /// Returns whether a path is not settled.
    #[must_use]
    pub fn is_dirty(&self, path: &RelPath) -> bool {
        self.dirty.contains_key(path)
    }

    /// Returns whether a path is marked: then a look follows, whatever else there is.
    #[must_use]
    pub fn is_marked(&self, path: &RelPath) -> bool {
        self.dirty.get(path).is_some_and(|dirty| dirty.marked.is_some())
    }

    /// Marks a path. If no deploy is open, `fresh` is.
    pub fn mark(&mut self, path: &RelPath, witness: Witness, now: Duration, fresh: &Arc<Deploy>) {
        if !self.dirty.contains_key(path) && self.dirty.len() >= self.most {
            // The reconcile that must follow finds what is forgotten here.
            self.dirty.clear();
            self.queue.clear();
            self.active = 0;
            self.absent = 0;
            self.open.take_if(|open| !open.bracketed);
            self.collapsed = true;
            return;
        }
        self.open_with(fresh, now);
        self.change(path, witness, |dirty| {
            let first = dirty.marked.map_or(now, |marked| marked.first);
            dirty.marked = Some(Marked { first, last: now });
        });
    }

    /// Returns, once, whether there were too many paths to hold: the whole tree must be reconciled.
    pub const fn take_collapse(&mut self) -> bool {
        std::mem::replace(&mut self.collapsed, false)
    }

    /// Returns at most `limit` paths whose look has come. While a deploy is past its deadline only
    /// what was due by then is handed out; then [`closing`](Self::closing) offers it.
    pub fn due(&mut self, now: Duration, limit: usize, fresh: &Arc<Deploy>) -> Vec<Look> {
        let mut looks = Vec::new();
        while looks.len() < limit {
            let upto = self.open.as_ref().map_or(now, |open| now.min(open.deadline));
            let Some((at, path)) = self.queue.first().cloned() else {
                break;
            };
            if at > upto {
                break;
            }
            self.queue.pop_first();
            let waits = self.waits;
            let Some(dirty) = self.dirty.get_mut(&path) else {
                continue;
            };
            dirty.queued = None;
            match due_at(waits, dirty) {
                Some(due) if due > upto => {
                    dirty.queued = Some(due);
                    self.queue.insert((due, path));
                    continue;
                }
                None => continue,
                Some(_) => {}
            }
            let deploy = self.open_with(fresh, now);
            let Some(dirty) = self.dirty.get_mut(&path) else {
                continue;
            };
            let was_active = dirty.is_active();
            dirty.looking = true;
            self.active += usize::from(!was_active);
            let marked = dirty.marked.take();
            let absence = dirty.absence.clone();
            looks.push(Look {
                witness: dirty.witness,
                deploy,
                anyway: marked
                    .is_some_and(|marked| marked.first.saturating_add(waits.unstable_after) <= now),
                removal: absence
                    .as_ref()
                    .filter(|absence| {
                        let removed = |at: Duration| at.saturating_add(waits.delete_settle) <= now;
                        absence.absent_since.is_some_and(removed)
                    })
                    .map(|absence| Arc::clone(&absence.deploy)),
                // It came back, if it did, when it was marked last.
                was_away: absence.as_ref().is_some_and(|absence| {
                    let until = marked.map_or(now, |marked| marked.last);
                    absence.away_since.saturating_add(waits.transient) <= until
                }),
                marked,
                absence,
                path,
            });
        }
        looks
    }

    /// Takes what a look found.
    pub fn found(&mut self, look: &Look, found: Found, now: Duration) {
        self.change(&look.path, look.witness, |dirty| {
            dirty.looking = false;
            match found {
                Found::Settled => {
                    dirty.absence = None;
                    if look.anyway && dirty.marked.is_none() {
                        // It was taken while it may have been changing: it is followed up.
                        dirty.marked = Some(Marked { first: now, last: now });
                    }
                }
                Found::Changing => {
                    if let Some(absence) = &mut dirty.absence {
                        absence.absent_since = None;
                    }
                    let first = look.marked.map_or(now, |marked| marked.first);
                    dirty.marked = Some(Marked { first, last: now });
                }
                Found::Absent | Found::Empty => {
                    let fresh = || Absence {
                        away_since: now,
                        absent_since: None,
                        deploy: Arc::clone(&look.deploy),
                    };
                    let absence = dirty.absence.get_or_insert_with(fresh);
                    let since = absence.absent_since.unwrap_or(now);
                    absence.absent_since = (found == Found::Absent).then_some(since);
                }
            }
        });
    }

    /// Takes a look back that came to nothing, or whose finding could not be stored: it is due as
    /// it was, whatever [`found`](Self::found) was told.
    pub fn give_back(&mut self, look: Look, now: Duration) {
        self.open_with(&look.deploy, now);
        self.change(&look.path, look.witness, |dirty| {
            dirty.looking = false;
            dirty.absence = look.absence;
            let first = look.marked.into_iter().chain(dirty.marked).map(|marked| marked.first);
            let last = dirty.marked.or(look.marked).map(|marked| marked.last);
            dirty.marked = first.min().zip(last).map(|(first, last)| Marked { first, last });
        });
    }

    /// Counts every absence from now on: it was not watched whether the path came back.
    pub fn restart_absences(&mut self, now: Duration) {
        for dirty in self.dirty.values_mut() {
            if let Some(absence) = &mut dirty.absence {
                absence.away_since = now;
                absence.absent_since = absence.absent_since.map(|_| now);
            }
        }
    }

    /// Returns the open deploy if it can be closed: nothing but waiting absences is dirty, or its
    /// deadline passed and what was due by then has been looked at.
    #[must_use]
    pub fn closing(&self, now: Duration) -> Option<&Arc<Deploy>> {
        let open = self.open.as_ref()?;
        let deadline = open.deadline;
        let is_clean = self.is_quiet() && !open.bracketed;
        let deadline_passed = now >= deadline
            && self.queue.first().is_none_or(|(at, _)| *at > deadline)
            && !self.dirty.values().any(|dirty| dirty.looking);
        (is_clean || deadline_passed).then_some(&open.deploy)
    }

    /// Returns whether nothing but waiting absences is dirty.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.active == 0
    }

    /// Opens a deploy in place of the open one, which quiet does not close before `until`: what is
    /// dirty falls into it.
    pub fn begin(&mut self, deploy: &Arc<Deploy>, until: Duration) {
        self.open = Some(Open { deploy: Arc::clone(deploy), deadline: until, bracketed: true });
    }

    /// Lets quiet close the open deploy again, or the usual deadline from now on.
    pub fn end(&mut self, now: Duration) {
        if let Some(open) = self.open.as_mut().filter(|open| open.bracketed) {
            open.bracketed = false;
            open.deadline = open.deadline.min(now.saturating_add(self.waits.deploy_deadline));
        }
    }

    /// Returns the open deploy.
    #[must_use]
    pub fn open(&self) -> Option<&Arc<Deploy>> {
        self.open.as_ref().map(|open| &open.deploy)
    }

    /// Returns whether all is settled that was marked, absent or empty at `since` or before.
    #[must_use]
    pub fn has_settled(&self, since: Duration) -> bool {
        !self.dirty.values().any(|dirty| {
            let marked = dirty.marked.is_some_and(|marked| marked.first <= since);
            let away = dirty.absence.as_ref().is_some_and(|absence| absence.away_since <= since);
            dirty.looking || marked || away
        })
    }

    /// Closes the open deploy: what is still dirty falls into the next.
    pub fn closed(&mut self) {
        self.open = None;
    }

    /// Returns whether this deploy is open.
    #[must_use]
    pub fn is_open(&self, deploy: &Deploy) -> bool {
        self.open.as_ref().is_some_and(|open| open.deploy.id == deploy.id)
    }

    /// Returns the earliest boot time at which there may be something to do; it may be past.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        let deadline = self.open.as_ref().map(|open| open.deadline);
        let queued = self.queue.first().map(|(at, _)| *at);
        queued.into_iter().chain(deadline).min()
    }

    fn open_with(&mut self, fresh: &Arc<Deploy>, now: Duration) -> Arc<Deploy> {
        let open = self.open.get_or_insert_with(|| Open {
            deploy: Arc::clone(fresh),
            deadline: now.saturating_add(self.waits.deploy_deadline),
            bracketed: false,
        });
        Arc::clone(&open.deploy)
    }

    /// Changes what is held of a path, and keeps queue and count in step.
    fn change(&mut self, path: &RelPath, witness: Witness, change: impl FnOnce(&mut Dirty)) {
        if !self.dirty.contains_key(path) {
            let clean =
                Dirty { witness, marked: None, absence: None, looking: false, queued: None };
            self.dirty.insert(path.clone(), clean);
        }
        let Some(dirty) = self.dirty.get_mut(path) else {
            return;
        };
        let (was_active, was_absent) = (dirty.is_active(), dirty.is_absent());
        change(dirty);
        self.active -= usize::from(was_active);
        self.active += usize::from(dirty.is_active());
        self.absent -= usize::from(was_absent);
        self.absent += usize::from(dirty.is_absent());
        let due = if dirty.looking { None } else { due_at(self.waits, dirty) };
        // A later due time leaves the queue alone: `due` moves the path on when it gets there.
        if due.is_some_and(|due| dirty.queued.is_none_or(|queued| due < queued)) {
            if let Some(queued) = std::mem::replace(&mut dirty.queued, due) {
                self.queue.remove(&(queued, path.clone()));
            }
            self.queue.extend(due.map(|due| (due, path.clone())));
        }
        if !dirty.looking && due.is_none() {
            if let Some(queued) = dirty.queued {
                self.queue.remove(&(queued, path.clone()));
            }
            self.dirty.remove(path);
        }
    }
}

/// A mark goes before an absence: what was touched is left alone until it rests.
fn due_at(waits: Waits, dirty: &Dirty) -> Option<Duration> {
    if let Some(Marked { first, last }) = dirty.marked {
        let settled = last.saturating_add(waits.settle);
        return Some(settled.min(first.saturating_add(waits.unstable_after)));
    }
    let absence = dirty.absence.as_ref()?;
    Some(match absence.absent_since {
        Some(since) => since.saturating_add(waits.delete_settle),
        None => absence.away_since.saturating_add(waits.transient),
    })
}

#[cfg(test)]
mod tests;
