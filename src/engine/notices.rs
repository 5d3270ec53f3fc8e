//! Notices: has the alarms that stand posted, to each receiver by a loop of its own.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::step::Step;
use super::{EngineError, Turn};
use crate::domain::facts::Facts;
use crate::notice::{Poster, failing_since};
use crate::web::{Desks, alarms};

/// How often it is looked whether an alarm is raised or over.
const EVERY: Duration = Duration::from_secs(5);

/// Posts to one receiver.
pub struct Notices {
    poster: Poster,
    desks: Desks,
    told: watch::Sender<Facts>,
}

impl Notices {
    /// Makes the loop; nothing happens before the first turn.
    #[must_use]
    pub const fn new(poster: Poster, desks: Desks, told: watch::Sender<Facts>) -> Self {
        Self { poster, desks, told }
    }
}

#[async_trait]
impl Turn for Notices {
    const MAY_BE_CUT: bool = true;

    /// Looks which alarms stand, and posts the oldest notice that is due.
    async fn turn(&mut self) -> Result<Step, EngineError> {
        let desk = self.desks.0.borrow().clone();
        let alarms = alarms::now(&desk).await?;
        let outcome = self.poster.step(&alarms).await?;
        let now = desk.clock.server_now();
        let name = self.poster.name();
        if let Some(why) = outcome.tried.as_ref().filter(|why| !why.is_empty()) {
            tracing::warn!(notice = name, "a notice could not be posted: {why}");
        }
        self.told.send_if_modified(|facts| {
            let known = facts.notices.entry(name.to_owned()).or_default();
            let before = known.clone();
            known.waiting = outcome.waiting;
            known.failing_since = failing_since(known.failing_since, &outcome, now);
            if let Some(why) = &outcome.tried {
                known.why.clone_from(why);
            }
            *known != before
        });
        let is_posted = outcome.tried.as_ref().is_some_and(String::is_empty);
        if is_posted && outcome.waiting > 0 {
            return Ok(Step::Worked);
        }
        Ok(Step::Idle { until: Some(now.plus(EVERY)) })
    }
}
