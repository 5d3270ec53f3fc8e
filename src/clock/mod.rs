//! This room asks the system for time and randomness, so that no other room does.
//!
//! Enters: nothing. Leaves: wall time, boot time, the server's offset, waiting, random numbers.
//! **Invariant:** everything else takes a [`Clock`] or a value; clippy's `disallowed-methods`
//! holds that.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::time::Timestamp;

/// Wall time, boot time, the server's offset, waiting and randomness.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Returns this machine's wall time; it may step.
    fn now(&self) -> Timestamp;

    /// Returns the time since boot, suspension included; it never steps back.
    fn boot(&self) -> Duration;

    /// Returns 64 random bits: for nonces, keys and jitter, not for secrets.
    fn random(&self) -> u64;

    /// Returns the wall time at which the clock was made, carried on by the time since: unlike
    /// [`now`](Self::now) it never steps.
    fn steady(&self) -> Timestamp;

    /// Returns microseconds to add to [`steady`](Self::steady) to get the CDN's time.
    fn offset(&self) -> i64;

    /// Sets the offset, as learnt from an answer's `Date`.
    fn learn_offset(&self, micros: i64);

    /// Waits until at least `duration` has passed; a suspension of the machine may add to it.
    async fn sleep(&self, duration: Duration);

    /// Returns the CDN's time, which decides the quota day, signs requests and is what is stored. A
    /// step of the wall clock doesn't move it: what waits goes on waiting as long as it was to.
    fn server_now(&self) -> Timestamp {
        Timestamp::from_micros(self.steady().as_micros().saturating_add(self.offset()))
    }
}

/// The clock everything shares.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    /// Wall time less the time since boot, when the clock was made.
    booted_at: Timestamp,
    offset: AtomicI64,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { booted_at: wall_time().minus(time_since_boot()), offset: AtomicI64::new(0) }
    }
}

#[expect(clippy::disallowed_methods, reason = "this room is where time is asked for")]
fn wall_time() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

fn time_since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl SystemClock {
    /// Makes a clock to share.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self::default())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall_time()
    }

    fn boot(&self) -> Duration {
        time_since_boot()
    }

    fn steady(&self) -> Timestamp {
        self.booted_at.plus(self.boot())
    }

    #[expect(clippy::disallowed_methods, reason = "this room is where randomness is asked for")]
    fn random(&self) -> u64 {
        // Without randomness from the kernel nonces would repeat; the time still differs.
        getrandom::u64().unwrap_or_else(|_| self.now().as_micros().unsigned_abs())
    }

    fn offset(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    fn learn_offset(&self, micros: i64) {
        self.offset.store(micros, Ordering::Relaxed);
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A clock that moves only when told to, or slept on: for tests and for virtual time.
#[derive(Debug)]
pub struct ManualClock {
    started_at: Timestamp,
    now: AtomicI64,
    boot: AtomicU64,
    offset: AtomicI64,
    seed: AtomicU64,
}

impl ManualClock {
    /// Makes a clock that stands at `now`, with a seed for its random numbers.
    #[must_use]
    pub fn new(now: Timestamp, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            started_at: now,
            now: AtomicI64::new(now.as_micros()),
            boot: AtomicU64::new(0),
            offset: AtomicI64::new(0),
            seed: AtomicU64::new(seed),
        })
    }

    /// Lets time pass: wall time and boot time alike.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.boot.fetch_add(micros, Ordering::SeqCst);
        self.now.fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as an administrator or NTP would.
    pub fn step_wall(&self, to: Timestamp) {
        self.now.store(to.as_micros(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.boot.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Timestamp {
        self.started_at.plus(self.boot())
    }

    /// `SplitMix64` over the seed, so that a test repeats.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.seed.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn offset(&self) -> i64 {
        self.offset.load(Ordering::SeqCst)
    }

    fn learn_offset(&self, micros: i64) {
        self.offset.store(micros, Ordering::SeqCst);
    }

    /// Lets the time pass at once. Rounded up: who waits in a loop gets on.
    async fn sleep(&self, duration: Duration) {
        self.advance(duration + Duration::from_nanos(999));
    }
}
