//! How far our clock is from the CDN's, as answers tell by their `Date`.

use reqwest::header::{DATE, HeaderMap, HeaderValue};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::time::Timestamp;

#[cfg(test)]
mod tests;

/// Differences up to this many microseconds are none: the header has whole seconds, and the answer
/// travelled.
const TOLERANCE: u64 = 2_000_000;

/// Compares an answer's `Date` with `received_at`, our steady time when its head came, and teaches the
/// clock a difference that matters and is news.
pub(super) fn learn(clock: &dyn Clock, headers: &HeaderMap, received_at: Timestamp) {
    let Some(server) = headers.get(DATE).and_then(parse) else {
        return;
    };
    let difference = server.as_micros().saturating_sub(received_at.as_micros());
    let known = clock.offset();
    let offset = if difference.unsigned_abs() <= TOLERANCE {
        0
    } else if difference.saturating_sub(known).unsigned_abs() <= TOLERANCE {
        known
    } else {
        difference
    };
    if offset != known {
        let seconds = offset / 1_000_000;
        if offset == 0 {
            info!("this machine's clock and the CDN's agree again");
        } else {
            let way = if offset > 0 { "behind" } else { "ahead of" };
            warn!(
                clock.offset_seconds = seconds,
                "this machine's clock is {} s {way} the CDN's; calls and the quota's day go by the CDN's; \
                 `timedatectl set-ntp true` mends it",
                seconds.unsigned_abs()
            );
        }
        clock.learn_offset(offset);
    }
}

/// Reads `Sun, 22 Nov 2026 04:05:06 GMT`. A date before this was written is a server's slip.
fn parse(value: &HeaderValue) -> Option<Timestamp> {
    // 2026-01-01T00:00:00Z
    const PLAUSIBLE_SINCE: Timestamp = Timestamp::from_seconds(1_767_225_600);
    let date = jiff::fmt::rfc2822::parse(value.to_str().ok()?).ok()?;
    let date = Timestamp::from_micros(date.timestamp().as_microsecond());
    (date >= PLAUSIBLE_SINCE).then_some(date)
}
