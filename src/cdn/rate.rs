//! How often each operation may be called.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::wire::Operation;
use crate::clock::SharedClock;
use crate::domain::limits::Limits;

/// Boot time, for governor to measure with.
struct BootTime(SharedClock);

impl governor::clock::Clock for BootTime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.boot()
    }
}

type Limit = RateLimiter<NotKeyed, InMemoryState, BootTime, NoOpMiddleware<Duration>>;

/// The rates of an account, one per operation.
pub(super) struct Rates {
    clock: SharedClock,
    limits: Vec<Limit>,
}

impl Rates {
    /// Spaces calls evenly: a burst would put twice the figure into one second of the CDN's.
    pub(super) fn new(clock: SharedClock, limits: &Limits) -> Self {
        let limit = |operation: &Operation| {
            let figure =
                NonZeroU32::new(operation.calls_per_second(limits)).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_second(figure).allow_burst(NonZeroU32::MIN);
            Limit::direct_with_clock(quota, BootTime(clock.clone()))
        };
        Self { limits: Operation::ALL.iter().map(limit).collect(), clock }
    }

    /// Waits until `operation` may be called.
    pub(super) async fn wait_for(&self, operation: Operation) {
        while let Err(not_yet) = self.limits[operation as usize].check() {
            self.clock.sleep(not_yet.wait_time_from(self.clock.boot())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::domain::time::Timestamp;

    #[tokio::test]
    async fn calls_are_spaced_evenly_in_the_clocks_time() {
        let clock = ManualClock::new(Timestamp::EPOCH, 1);
        let rates = Rates::new(clock.clone(), &Limits::DOCUMENTED);
        for operation in Operation::ALL {
            let (begun, figure) = (clock.boot(), operation.calls_per_second(&Limits::DOCUMENTED));
            for _ in 0..=figure {
                rates.wait_for(*operation).await;
            }
            let took = clock.boot().saturating_sub(begun).as_millis();
            assert_eq!(took, 1000, "{operation} may be called {figure} times a second");
        }
        clock.advance(Duration::from_secs(3600));
        let begun = clock.boot();
        rates.wait_for(Operation::DescribeRefreshTasks).await;
        assert_eq!(clock.boot(), begun, "who rested needn't wait");
        rates.wait_for(Operation::DescribeRefreshTasks).await;
        assert_eq!(clock.boot(), begun + Duration::from_millis(200), "but may not make up for it");
    }
}
