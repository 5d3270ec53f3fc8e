//! Forward: carries what the store recorded to the journal, in sequence, and what is due once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::SharedClock;
use crate::domain::names::AccountName;
use crate::journal::Journal;
use crate::store::Store;
use crate::telemetry::meters::{Meter, Meters};

use super::EngineError;
use super::account::AccountBoard;
use super::step::Step;

/// Outbox rows carried in one turn: one transaction of the journal.
const ROWS: usize = 1000;

/// Carries one store's outbox to a journal.
pub struct Forward {
    store: Store,
    journal: Arc<dyn Journal>,
    clock: SharedClock,
    boards: watch::Receiver<BTreeMap<AccountName, AccountBoard>>,
    meters: Meters,
}

impl Forward {
    /// Makes a forwarder; nothing happens before [`step`](Self::step).
    #[must_use]
    pub fn new(
        store: Store,
        journal: Arc<dyn Journal>,
        clock: SharedClock,
        boards: watch::Receiver<BTreeMap<AccountName, AccountBoard>>,
    ) -> Self {
        Self { store, journal, clock, boards, meters: Meters::default() }
    }

    /// Has intents counted.
    #[must_use]
    pub fn metered(self, meters: Meters) -> Self {
        Self { meters, ..self }
    }

    /// Carries the oldest rows. A crash between accepting and acknowledging repeats the acceptance,
    /// which then changes nothing.
    pub async fn step(&mut self) -> Result<Step, EngineError> {
        let rows = self.store.outbox(ROWS).await?;
        if rows.is_empty() {
            let (sent, next) = self.store.send_echoes(self.clock.server_now()).await?;
            return Ok(if sent > 0 { Step::Worked } else { Step::Idle { until: next } });
        }
        let accepted =
            self.journal.accept(self.store.node(), &rows, self.clock.server_now()).await?;
        self.meters.add(Meter::Created, &[], accepted.created);
        self.meters.add(Meter::Absorbed, &[], accepted.absorbed);
        self.store.acknowledge(accepted.through).await?;
        tracing::debug!(
            intents.created = accepted.created,
            intents.absorbed = accepted.absorbed,
            "the journal accepted what was recorded"
        );
        self.boards.borrow().values().for_each(AccountBoard::wake_dispatch);
        Ok(Step::Worked)
    }
}
