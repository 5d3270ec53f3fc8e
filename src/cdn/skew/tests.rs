use super::*;
use crate::clock::ManualClock;

const SECOND: i64 = 1_000_000;

#[test]
fn only_differences_that_matter_are_learnt() {
    let now = Timestamp::parse("2026-11-22T04:05:06Z").expect("valid");
    let clock = ManualClock::new(now, 1);
    for (date, offset) in [
        ("Sun, 22 Nov 2026 04:05:06 GMT", 0),
        ("Sun, 22 Nov 2026 04:05:08 GMT", 0),
        ("Sun, 22 Nov 2026 04:25:06 GMT", 1200 * SECOND),
        // Within the tolerance of what is known.
        ("Sun, 22 Nov 2026 04:25:07 GMT", 1200 * SECOND),
        ("not a date", 1200 * SECOND),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1200 * SECOND),
        ("Sun, 22 Nov 2026 04:05:00 GMT", -6 * SECOND),
        // Our clock was set right.
        ("Sun, 22 Nov 2026 04:05:05 GMT", 0),
    ] {
        let headers = HeaderMap::from_iter([(DATE, date.parse().expect("a value"))]);
        learn(&*clock, &headers, now);
        assert_eq!(clock.offset(), offset, "{date}");
    }
    learn(&*clock, &HeaderMap::new(), now);
    assert_eq!(clock.offset(), 0);
}
