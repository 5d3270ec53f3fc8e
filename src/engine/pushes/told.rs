//! Pushes of an origin whose files lie in a directory: they only say where to look.
//!
//! Enters: what the inbox holds for the origin. Leaves: hints through the origin's door, and a fate for
//! each push once the intake has seen what was written before.
//! **Invariant:** a push stays open until that was seen: a restart asks again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::SharedClock;
use crate::config::Origin;
use crate::domain::deploy::DeployId;
use crate::domain::facts::Facts;
use crate::domain::hint::{Hint, Reach, Witness};
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::push::{Fate, Listed};
use crate::domain::time::Timestamp;
use crate::engine::EngineError;
use crate::engine::step::Step;
use crate::source::HintSender;
use crate::store::{Changed, End, History, OpenPush, PushEnd, PushId, Store};

/// Pushes that are looked at together: each may name thousands of paths, and is read anew in each look.
const MOST: usize = 100;
/// Deploys since a push that are looked through for its paths.
const MOST_DEPLOYS: usize = 1_000;
/// How often to look whether the intake has seen all: doubling from the first to the second, for a root
/// may be away for long.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The pushes that an origin with a directory is told of.
pub struct ToldPushes {
    origin: OriginName,
    branch: Option<String>,
    prefix: RelPath,
    store: Store,
    clock: SharedClock,
    door: HintSender,
    facts: watch::Receiver<Facts>,
    /// The ticket by which what each push tells is seen.
    tickets: BTreeMap<PushId, u64>,
    /// When it was looked last.
    looked_at: Timestamp,
    /// How long to wait before looking again.
    again: Duration,
    /// When what ended long ago is forgotten next.
    prune_at: Timestamp,
}

impl ToldPushes {
    /// Makes the loop of an origin; it does nothing until it is stepped.
    #[must_use]
    pub fn new(
        origin: &Origin,
        store: Store,
        clock: SharedClock,
        door: HintSender,
        facts: watch::Receiver<Facts>,
    ) -> Self {
        Self {
            origin: origin.name.clone(),
            branch: origin.branch.clone(),
            prefix: origin.prefix.clone(),
            store,
            clock,
            door,
            facts,
            tickets: BTreeMap::new(),
            looked_at: Timestamp::EPOCH,
            again: AGAIN.0,
            prune_at: Timestamp::EPOCH,
        }
    }

    /// Has the intake look where pushes point, and ends those that it has looked for.
    pub async fn step(&mut self) -> Result<Step, EngineError> {
        let now = self.clock.server_now();
        if self.prune_at <= now {
            self.store.prune_deliveries(now).await?;
            self.prune_at = now.plus(Duration::from_secs(86_400));
        }
        let seen = self.facts.borrow().origins.get(&self.origin).map_or(0, |facts| facts.seen);
        // Deliveries come in crowds: those that came meanwhile are looked for together.
        let rests_until = self.looked_at.plus(AGAIN.0);
        let is_resting = self.looked_at <= now && now < rests_until;
        if is_resting && self.tickets.values().min().is_some_and(|ticket| *ticket > seen) {
            return Ok(Step::Idle { until: Some(rests_until) });
        }
        self.looked_at = now;
        let open = self.store.open_pushes(&self.origin, now, MOST).await?;
        self.tickets.retain(|id, _| open.iter().any(|open| open.id == *id));
        let fresh: Vec<_> =
            open.iter().filter(|open| !self.tickets.contains_key(&open.id)).collect();
        let is_new = !fresh.is_empty();
        if is_new {
            let hints: Vec<Hint> = fresh.iter().flat_map(|open| self.hints(open)).collect();
            self.door.send_all(hints);
            let ticket = self.door.call();
            self.tickets.extend(fresh.iter().map(|open| (open.id, ticket)));
        }
        let is_seen =
            |open: &&OpenPush| self.tickets.get(&open.id).is_some_and(|ticket| *ticket <= seen);
        let since = open.iter().filter(is_seen).map(|open| open.at).min();
        let history = match since {
            Some(since) => self.store.history(&self.origin, since, None, MOST_DEPLOYS).await?,
            None => Vec::new(),
        };
        let over = open.iter().filter(is_seen);
        let ends: Vec<_> = over.map(|open| (open.id, self.end(open, &history))).collect();
        let is_waiting = ends.len() < open.len();
        let again = if is_new || !ends.is_empty() { AGAIN.0 } else { self.again };
        self.again = (again * 2).min(AGAIN.1);
        if !ends.is_empty() {
            let end = PushEnd { ends, tip: None };
            self.store.end_pushes(&self.origin, end, now).await?;
            if open.len() == MOST {
                // Others may wait behind them.
                return Ok(Step::Worked);
            }
        }
        Ok(Step::Idle { until: is_waiting.then(|| now.plus(again)) })
    }

    /// Whether a push is about the branch that the directory holds.
    fn concerns(&self, open: &OpenPush) -> bool {
        self.branch.as_ref().is_none_or(|branch| *branch == open.push.reference)
    }

    fn hints(&self, open: &OpenPush) -> Vec<Hint> {
        if !self.concerns(open) || is_deletion(open) {
            return Vec::new();
        }
        let hint = |path, reach| Hint { path, reach, witness: Witness::Webhook };
        match &open.push.listed {
            Listed::All(paths) => {
                let below = paths.iter().filter_map(|path| path.from(&self.prefix));
                below.map(|path| hint(path, Reach::Path)).collect()
            }
            Listed::Cut { .. } => vec![hint(RelPath::root(), Reach::Subtree)],
        }
    }

    /// Says what became of a push: whether anything that it names has changed since it came.
    /// `history` holds the deploys since then, or since others came that are looked for together.
    fn end(&self, open: &OpenPush, history: &[History]) -> End {
        let nothing = |why: &str| End { fate: Fate::Nothing, why: why.to_owned(), deploy: None };
        if !self.concerns(open) {
            return nothing("it is about another branch");
        }
        if is_deletion(open) {
            return nothing("the branch was deleted; what is on disk decides");
        }
        let is_named = |path: &RelPath| match &open.push.listed {
            Listed::All(paths) => {
                paths.iter().any(|named| named.from(&self.prefix).as_ref() == Some(path))
            }
            Listed::Cut { .. } => true,
        };
        let is_of = |changes: &[Changed]| changes.iter().any(|(_, path)| is_named(path));
        let found = history.iter().rev().find(|(_, changes)| is_of(changes));
        match found {
            Some((deploy, _)) => self.intents(deploy.clone()),
            None => nothing(
                "nothing on disk has changed since it came; what a deploy brings later is seen when \
                 it is written",
            ),
        }
    }

    fn intents(&self, deploy: DeployId) -> End {
        let why = format!("found on disk, in the root of {}", self.origin);
        End { fate: Fate::Intents, why, deploy: Some(deploy) }
    }
}

/// Whether a branch is gone; a sender that names no commits says nothing of that.
const fn is_deletion(open: &OpenPush) -> bool {
    open.push.before.is_some() && open.push.after.is_none()
}
