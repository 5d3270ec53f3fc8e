//! Durations with their places, for comparing one key with another.

use std::time::Duration;

use toml::de::DeValue;

use super::duration;
use super::section::{Findings, Found, Section, Wrong};

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Reads a duration and keeps its place for comparisons; a default stands where its section does.
pub(super) fn timed(
    section: &mut Section<'_>,
    key: &'static str,
    default: Duration,
    read: impl Fn(&DeValue<'_>) -> Result<Duration, Wrong>,
    findings: &mut Findings,
) -> Found<Duration> {
    let span = section.span();
    section.get(key, read, findings).unwrap_or(Found { value: default, span })
}

/// Refuses a pair of durations of which the first is longer than the second. A second that was not
/// written grows with the first: a default must not make a sensible value wrong.
pub(super) fn in_order(
    section: &Section<'_>,
    (short_key, short): (&str, &Found<Duration>),
    (long_key, long): (&str, &mut Found<Duration>),
    findings: &mut Findings,
) {
    if short.value <= long.value {
        return;
    }
    let (short_text, long_text) = (duration::show(short.value), duration::show(long.value));
    if !section.has(long_key) {
        long.value = short.value;
        let value = format!("\"{short_text}\"");
        findings.follow(section, long_key, value, format!("as long as `{short_key}`"));
        return;
    }
    let wrong = Wrong::new(
        format!("`{short_key}` ({short_text}) is longer than `{long_key}` ({long_text})"),
        format!("make `{long_key}` at least \"{short_text}\", or `{short_key}` shorter"),
    );
    // The later of the two places is a written value: a default has its section's, which is earlier.
    let place = if short.span.start > long.span.start { &short.span } else { &long.span };
    findings.refuse(place.clone(), "this value", wrong);
}
