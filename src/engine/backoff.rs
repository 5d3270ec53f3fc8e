//! Back-off with full jitter.

use std::time::Duration;

/// Returns a random wait between zero and `base` doubled `failures - 1` times, at most `cap`.
#[must_use]
pub fn full_jitter(base: Duration, cap: Duration, failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let most = base.saturating_mul(1 << doublings).min(cap);
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(random % micros)
}

/// Returns `wait` shortened or lengthened by up to a tenth.
#[must_use]
pub fn spread(wait: Duration, random: u64) -> Duration {
    let tenths = u32::try_from(random % 201).unwrap_or(100);
    wait.saturating_mul(900 + tenths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_below_the_cap() {
        let (base, cap) = (Duration::from_secs(1), Duration::from_secs(300));
        assert!(full_jitter(base, cap, 1, u64::MAX) < base);
        assert!(full_jitter(base, cap, 60, u64::MAX) < cap);
        assert!(full_jitter(base, cap, 4, 7_999_999) >= Duration::from_secs(7));
    }

    #[test]
    fn a_spread_wait_is_within_a_tenth() {
        let wait = Duration::from_secs(100);
        assert_eq!(spread(wait, 0), Duration::from_secs(90));
        assert_eq!(spread(wait, 200), Duration::from_secs(110));
    }
}
