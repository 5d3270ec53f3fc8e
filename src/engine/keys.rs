//! Keys: keeps an account's access key fresh, and fetches it anew when the CDN refuses it.

use std::sync::Arc;
use std::time::Duration;

use crate::cdn::Cdn;
use crate::clock::SharedClock;

use super::account::AccountBoard;
use super::step::Step;

/// However often the CDN refuses the key, it is fetched anew for that at most this often.
const REFUSED_EVERY: Duration = Duration::from_secs(60);

/// Keeps one account's access key fresh.
pub struct Keys {
    cdn: Arc<dyn Cdn>,
    clock: SharedClock,
    board: AccountBoard,
    /// When it was last fetched for a refusal, by the boot clock.
    fetched_at: Option<Duration>,
}

impl Keys {
    /// Makes the loop; nothing happens before [`step`](Self::step).
    #[must_use]
    pub fn new(cdn: Arc<dyn Cdn>, clock: SharedClock, board: AccountBoard) -> Self {
        Self { cdn, clock, board, fetched_at: None }
    }

    /// Looks whether the key is due, has changed where it comes from, or was refused.
    pub async fn step(&mut self) -> Step {
        let boot = self.clock.boot();
        let rest = self
            .fetched_at
            .map_or(Duration::ZERO, |at| REFUSED_EVERY.saturating_sub(boot.saturating_sub(at)));
        let refused = rest.is_zero() && self.board.take_refusal();
        if refused {
            self.fetched_at = Some(boot);
        }
        let renewed = self.cdn.renew(refused).await;
        self.board.know_key(renewed.facts);
        if renewed.is_new {
            // What was refused meanwhile was refused with the old one.
            let _ = self.board.take_refusal();
            self.board.new_key(self.clock.server_now());
        }
        let again = self.board.is_refused().then(|| self.clock.server_now().plus(rest));
        Step::Idle { until: again.into_iter().chain([renewed.next]).min() }
    }
}
