//! What the two listeners share, and the ripening of tasks: effects are applied to the edge when
//! they are due, by a timer, and before any call or visitor is answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::domain::intent::Action;

use super::edge::Edge;
use super::model::Model;
use super::model::tasks::Effect;

/// Prefetches that ask the origin at the same time.
const FETCHES: usize = 16;

/// The longest sleep of the timer: a wall clock may step.
const NAP: Duration = Duration::from_secs(60);

/// The state behind both listeners.
pub(crate) struct Shared {
    model: Mutex<Model>,
    pub(crate) edge: Edge,
    pub(crate) clock: SharedClock,
    pub(crate) stop: CancellationToken,
    /// Prefetches that are due.
    fetches: mpsc::UnboundedSender<Effect>,
    woken: Notify,
    ended: Notify,
}

impl Shared {
    /// Makes the state, and the receiving end for [`ripen`](Self::ripen).
    pub(crate) fn new(
        model: Model,
        edge: Edge,
        clock: SharedClock,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Effect>) {
        let (fetches, receiver) = mpsc::unbounded_channel();
        let shared = Self {
            model: Mutex::new(model),
            edge,
            clock,
            stop: CancellationToken::new(),
            fetches,
            woken: Notify::new(),
            ended: Notify::new(),
        };
        (Arc::new(shared), receiver)
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the timer look again at what is due.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Applies the refreshes that are due, and hands due prefetches on.
    pub(crate) fn apply_due(&self) {
        let now = self.clock.now();
        // The lock is held throughout, so that nobody is told Complete before it is true.
        let mut model = self.model();
        for effect in model.due(now) {
            match effect.action {
                Action::Refresh => {
                    let result = self.edge.refresh(&effect.target, effect.force);
                    model.end(effect.row, result);
                }
                // The receiver lives as long as the sandbox does.
                Action::Prefetch => drop(self.fetches.send(effect)),
            }
        }
    }

    /// Applies everything that is due and waits until no prefetch is under way.
    pub(crate) async fn settle(&self) {
        loop {
            let ended = self.ended.notified();
            self.apply_due();
            if !self.model().working() {
                return;
            }
            ended.await;
        }
    }

    /// Runs the timer and the prefetches until the sandbox stops.
    pub(crate) async fn ripen(self: Arc<Self>, mut fetches: mpsc::UnboundedReceiver<Effect>) {
        let permits = Arc::new(Semaphore::new(FETCHES));
        let mut running = JoinSet::new();
        loop {
            self.apply_due();
            let next = self.model().next_due();
            let nap = next.map_or(NAP, |at| at.since(self.clock.now()).min(NAP));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.woken.notified() => {}
                () = tokio::time::sleep(nap) => {}
                Some(_) = running.join_next() => {}
                Some(effect) = fetches.recv() => {
                    running.spawn(Arc::clone(&self).fetch(effect, Arc::clone(&permits)));
                }
            }
        }
    }

    async fn fetch(self: Arc<Self>, effect: Effect, permits: Arc<Semaphore>) {
        let _permit = permits.acquire().await;
        let result = self.edge.prefetch(&effect.target.text).await;
        self.model().end(effect.row, result);
        self.ended.notify_waiters();
    }
}
