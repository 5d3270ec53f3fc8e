//! Making sure that all that was written by now is seen, and deploys that somebody holds open.
//!
//! The kernel tells of a write before the system call that makes it returns, so that a watch which
//! has emptied its queue since it was asked has heard of every earlier write: no file needs to be
//! made in the tree to see it come back. What sends no events is compared.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::{Intake, Trouble};
use crate::domain::deploy::{Deploy, DeployId, LONGEST_BRACKET};
use crate::domain::intent::Outgoing;
use crate::domain::path::RelPath;
use crate::store::Record;

/// Who wants to be told that all was seen.
#[derive(Debug, Default)]
pub(super) struct Called {
    /// The newest ticket that nothing was done about yet.
    pub(super) ticket: Option<u64>,
    /// Whether the deploy that is held open is to close then.
    pub(super) ends: bool,
    /// The newest ticket that was served.
    pub(super) served: u64,
}

/// How far it is with seeing all that was written before the watch caught up.
pub(super) struct Seeing {
    ticket: Option<u64>,
    ends: bool,
    /// So many comparisons must have begun, and the last of them ended.
    comparisons: u64,
    progress: Progress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// Comparisons go on, or what they found is not marked yet.
    Finding,
    /// What was marked by then is to settle.
    Settling(Duration),
    /// And what changed with it, for a file has more names.
    Following(Duration),
    /// This deploy is to close.
    Closing(Option<DeployId>),
}

impl Intake {
    /// Begins to make sure that all that was written by now is seen, if somebody asked for it.
    pub(super) async fn begin_seeing(&mut self) -> Result<bool, Trouble> {
        // Who waits for a deploy to close must not keep it from closing.
        let is_closing = |seeing: &Seeing| matches!(seeing.progress, Progress::Closing(_));
        if self.called.ends && self.seeing.as_ref().is_some_and(is_closing) {
            self.see_again();
        }
        let is_called = self.called.ticket.is_some() || self.called.ends;
        if !is_called || self.seeing.is_some() || !self.compared {
            return Ok(false);
        }
        // The root may have been swapped a moment ago.
        self.glance().await?;
        let Some(armed) = &self.armed else {
            return Ok(false);
        };
        let watch = Arc::clone(&armed.watch);
        spawn_blocking(move || watch.catch_up()).await?;
        let hints = self.door.1.drain_paths();
        self.take_hints(hints);
        let must_compare =
            self.subtrees.contains_key(&RelPath::root()) || !self.polled().is_empty();
        self.seeing = Some(Seeing {
            ticket: self.called.ticket.take(),
            ends: std::mem::take(&mut self.called.ends),
            comparisons: self.comparisons + u64::from(must_compare),
            progress: Progress::Finding,
        });
        Ok(true)
    }

    /// Whether somebody waits for a comparison that has not begun.
    pub(super) fn must_compare(&self) -> bool {
        self.seeing.as_ref().is_some_and(|seeing| seeing.comparisons > self.comparisons)
    }

    /// Begins anew, once the tree is watched and compared, what was under way.
    pub(super) fn see_again(&mut self) {
        if let Some(seeing) = self.seeing.take() {
            self.called.ticket = self.called.ticket.or(seeing.ticket);
            self.called.ends |= seeing.ends;
        }
    }

    /// Goes on with what [`begin_seeing`](Self::begin_seeing) began; returns whether it came further.
    pub(super) fn go_on_seeing(&mut self) -> bool {
        let Some(mut seeing) = self.seeing.take() else {
            return false;
        };
        let now = self.clock.boot();
        if self.comparing.is_none() && self.subtrees.is_empty() && self.polled().is_empty() {
            // What was polled is watched by now.
            seeing.comparisons = seeing.comparisons.min(self.comparisons);
        }
        let is_marked =
            self.subtrees.is_empty() && self.backlog.is_empty() && self.missing.is_empty();
        let has_compared =
            self.comparing.is_none() && self.comparisons >= seeing.comparisons && is_marked;
        let has_settled = |since| is_marked && self.settler.has_settled(since);
        let open = self.settler.open().map(|deploy| &deploy.id);
        let progress = match &seeing.progress {
            Progress::Finding if has_compared => Progress::Settling(now),
            Progress::Settling(since) if has_settled(*since) => Progress::Following(now),
            Progress::Following(since) if has_settled(*since) => Progress::Closing(open.cloned()),
            Progress::Closing(deploy) if deploy.is_none() || deploy.as_ref() != open => {
                self.called.served = seeing.ticket.unwrap_or(self.called.served);
                return true;
            }
            _ => {
                self.seeing = Some(seeing);
                return false;
            }
        };
        if seeing.ends && seeing.progress == Progress::Finding {
            self.settler.end(now);
        }
        seeing.progress = progress;
        self.seeing = Some(seeing);
        true
    }

    /// Takes over what the store says of a deploy that somebody holds open: with the same name after
    /// a restart.
    pub(super) async fn take_bracket(&mut self) -> Result<(), Trouble> {
        let origin = self.settings.origin.clone();
        let Some(bracket) = self.store.bracket(&origin).await? else {
            return Ok(());
        };
        if self.bracket.as_ref().is_none_or(|known| known.deploy != bracket.deploy) {
            let now = self.clock.server_now();
            let deploy = Deploy {
                id: bracket.deploy.clone(),
                origin,
                opened_at: bracket.began_at,
                closed_at: None,
            };
            // What was open so far is a plan of its own.
            let open = self.settler.open().filter(|open| self.announced.as_ref() == Some(&open.id));
            let ending = open.map(|open| Deploy { closed_at: Some(now), ..Deploy::clone(open) });
            let outgoing = ending.into_iter().chain([deploy.clone()]).map(Outgoing::Deploy);
            self.commit(Record { outgoing: outgoing.collect(), ..self.blank() }).await?;
            let left = bracket.until().since(now).min(LONGEST_BRACKET);
            self.settler.begin(&Arc::new(deploy), self.clock.boot() + left);
            self.announced = Some(bracket.deploy.clone());
            self.notes[3].clear();
        }
        self.called.ends = bracket.ending;
        self.bracket = Some(bracket);
        Ok(())
    }

    /// Says that a deploy which somebody holds open ends by itself, if it does.
    pub(super) fn note_overtime(&mut self) {
        let Some(bracket) = self.bracket.as_ref().filter(|bracket| !bracket.ending) else {
            return;
        };
        if self.settler.closing(self.clock.boot()).is_some() {
            let (origin, deploy) = (&self.settings.origin, &bracket.deploy);
            let minutes = LONGEST_BRACKET.as_secs() / 60;
            self.notes[3] = format!(
                "deploy {deploy} was held open for {minutes} minutes and ended by itself: nobody \
                 said `refreshd deploy end {origin}`"
            );
            tracing::warn!(%origin, %deploy, "{}", self.notes[3]);
        }
    }
}
