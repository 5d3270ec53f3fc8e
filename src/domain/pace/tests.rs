use proptest::prelude::*;

use super::*;

const NOON: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn pace() -> Pace {
    Pace::new(|errand| if errand == Errand::Tasks { 5 } else { 50 })
}

fn after(seconds: u64) -> Timestamp {
    NOON.plus(Duration::from_secs(seconds))
}

fn fault() -> Heard {
    Heard::Fault { reached: true, after: Duration::ZERO, why: "HTTP 502".to_owned() }
}

fn key() -> Heard {
    Heard::Key { why: "InvalidAccessKeyId.NotFound".to_owned() }
}

const THROTTLED: Heard = Heard::Throttled { after: Duration::ZERO };

/// Calls as soon as the gate opens until `end`, and returns when.
fn calls(
    pace: &mut Pace,
    errand: Errand,
    from: Timestamp,
    end: Timestamp,
    heard: impl Fn(Timestamp) -> Heard,
) -> Vec<Timestamp> {
    let (mut now, mut calls) = (from, Vec::new());
    while now < end && calls.len() < 100_000 {
        match pace.gate(errand, now) {
            Gate::Open => {
                calls.push(now);
                pace.heard(errand, heard(now), now, 7);
                // A call takes a while, too.
                now = now.plus(Duration::from_millis(20));
            }
            Gate::Until(at) => now = at,
            Gate::Shut => return calls,
        }
    }
    calls
}

#[test]
fn ten_minutes_of_throttling_take_thirty_calls_and_five_minutes_to_forget() {
    let mut pace = pace();
    let storm = calls(&mut pace, Errand::Refresh, NOON, after(600), |_| THROTTLED);
    assert!((10..=30).contains(&storm.len()), "{} calls", storm.len());
    assert_eq!(pace.gate(Errand::TasksById, after(600)), Gate::Open, "others are as quick as ever");
    let first = pace.gate(Errand::Refresh, after(600)).at().unwrap_or(after(600));
    assert!(first <= after(660));
    let full = first.plus(Duration::from_secs(300));
    calls(&mut pace, Errand::Refresh, first, full, |_| Heard::Answer);
    let fast = calls(&mut pace, Errand::Refresh, full, full.plus(Duration::from_secs(10)), |_| {
        Heard::Answer
    });
    assert!(fast.len() >= 490, "{} calls in ten seconds", fast.len());
    assert_eq!(pace.note(full.plus(Duration::from_secs(10))), "");
}

#[test]
fn operations_that_are_throttled_together_take_thirty_calls_together() {
    let mut pace = pace();
    let (mut now, mut storm) = (NOON, 0);
    while now < after(600) {
        for errand in Errand::ALL {
            if pace.gate(errand, now) == Gate::Open {
                pace.heard(errand, THROTTLED, now, 7);
                storm += 1;
            }
        }
        now = now.plus(Duration::from_millis(20));
    }
    assert!((10..=30).contains(&storm), "{storm} calls");
    // What goes through once is paced for itself again.
    let now = now.plus(SLOWEST);
    pace.heard(Errand::Prefetch, Heard::Answer, now, 7);
    pace.heard(Errand::Refresh, THROTTLED, now, 7);
    assert_eq!(pace.gate(Errand::Prefetch, now.plus(Duration::from_secs(20))), Gate::Open);
    assert_ne!(pace.gate(Errand::Tasks, now.plus(Duration::from_secs(20))), Gate::Open);
}

#[test]
fn a_wait_that_the_answer_asks_for_is_kept() {
    let mut pace = pace();
    pace.heard(Errand::Quota, Heard::Throttled { after: Duration::from_secs(90) }, NOON, 0);
    assert_eq!(pace.gate(Errand::Quota, after(1)), Gate::Until(after(90)));
}

#[test]
fn an_hour_of_faults_takes_a_probe_in_two_minutes_and_one_answer_ends_it() {
    let mut pace = pace();
    let before = calls(&mut pace, Errand::Refresh, NOON, after(3600), |_| fault());
    assert_eq!(before.len(), 5, "then the breaker is open");
    assert_eq!(pace.gate(Errand::TasksById, after(3000)), Gate::Shut);
    let from = pace.probe_at().expect("it is open");
    let probes = calls(&mut pace, Errand::Quota, from, after(3600), |_| fault());
    assert!((20..=32).contains(&probes.len()), "{} probes", probes.len());
    assert!(pace.note(after(3600)).contains("does not answer: HTTP 502"));
    assert_eq!(pace.heard(Errand::Quota, Heard::Answer, after(3600), 0), Some(News::Back));
    for errand in Errand::ALL {
        assert_eq!(pace.gate(errand, after(3661)), Gate::Open, "{errand}");
    }
    assert_eq!(pace.note(after(3661)), "");
}

#[test]
fn a_cdn_that_fails_every_other_call_is_soon_called_once_a_minute() {
    let mut pace = pace();
    let mut flips = 0_u32;
    let mut count = 0;
    let mut now = NOON;
    while now < after(36_000) {
        match pace.gate(Errand::Refresh, now) {
            Gate::Open => {
                flips += 1;
                let heard = if flips.is_multiple_of(2) { Heard::Answer } else { fault() };
                pace.heard(Errand::Refresh, heard, now, 0);
                count += 1;
            }
            gate => now = gate.at().expect("no breaker: never five in a row"),
        }
    }
    assert!(count < 250 + 610, "{count} calls in ten hours");
    assert!(pace.note(now).contains("too many calls fail"));
}

#[test]
fn a_refused_key_is_probed_once_a_minute_and_told_of_once() {
    let mut pace = pace();
    assert_eq!(pace.heard(Errand::Refresh, key(), NOON, 0), Some(News::KeyRefused));
    assert_eq!(pace.gate(Errand::Refresh, after(3000)), Gate::Shut);
    let from = pace.probe_at().expect("a probe");
    assert_eq!(from, after(60));
    let probes = calls(&mut pace, Errand::Quota, from, after(3600), |_| key());
    assert!(probes.len() <= 60, "{} probes", probes.len());
    assert_eq!(pace.heard(Errand::Quota, key(), after(3600), 0), None, "no news");
    // A key that lacks a permission is a key.
    let lacks = Heard::Closed { after: Duration::from_secs(60), why: "Forbidden.RAM".to_owned() };
    assert_eq!(pace.heard(Errand::Quota, lacks, after(3700), 0), Some(News::KeyTaken));
    assert_eq!(pace.gate(Errand::Refresh, after(3700)), Gate::Open);
    pace.heard(Errand::Refresh, key(), after(3800), 0);
    pace.new_key(after(3801));
    assert_eq!(pace.gate(Errand::Refresh, after(3801)), Gate::Shut);
    assert_eq!(pace.gate(Errand::Quota, after(3801)), Gate::Open, "another key is tried at once");
    assert_eq!(pace.heard(Errand::Quota, key(), after(3801), 0), None, "refused, too: no news");
    assert_eq!(pace.gate(Errand::Quota, after(3802)), Gate::Until(after(3861)));
    pace.heard(Errand::Quota, fault(), after(3861), 0);
    assert_eq!(pace.gate(Errand::Quota, after(3862)), Gate::Until(after(3921)), "once a minute");
    assert_eq!(pace.heard(Errand::Quota, Heard::Answer, after(3921), 0), Some(News::KeyTaken));
}

#[test]
fn what_is_closed_is_asked_ever_more_seldom() {
    let mut pace = pace();
    let closed = || Heard::Closed { after: Duration::from_secs(60), why: "Forbidden".to_owned() };
    let day = calls(&mut pace, Errand::Prefetch, NOON, after(86_400), |_| closed());
    assert!((20..=32).contains(&day.len()), "{} calls", day.len());
    assert_eq!(pace.gate(Errand::Refresh, after(86_400)), Gate::Open);
    assert!(pace.note(after(86_400)).starts_with("prefetches: Forbidden; again at "));
    assert_eq!(pace.note(after(90_000)), "prefetches: Forbidden; tried again with what comes next");
    assert_eq!(pace.heard(Errand::Prefetch, Heard::Answer, after(90_000), 0), Some(News::Open));
    assert_eq!(pace.note(after(90_000)), "");
}

#[test]
fn a_domain_is_closed_for_longer_each_time_until_something_is_taken_for_it() {
    let mut pace = pace();
    let minute = Duration::from_secs(60);
    assert_eq!(pace.close_host("a.example", minute, "full", NOON, 0), (after(60), true));
    assert_eq!(pace.closed_host("a.example", after(59)), Some((after(60), "full")));
    assert_eq!(pace.closed_host("b.example", NOON), None);
    assert_eq!(pace.closed_host("a.example", after(60)), None);
    assert_eq!(pace.close_host("a.example", minute, "full", after(60), 0), (after(180), false));
    assert_eq!(pace.open_hosts(["a.example", "b.example"]), ["a.example"]);
    assert!(!pace.has_closed_hosts(NOON));
}

proptest! {
    /// Whatever is heard: no gate is closed for more than an hour and what an answer asked for, and
    /// what everything waits for can be probed.
    #[test]
    fn nothing_waits_for_ever(script in prop::collection::vec((0_usize..5, 0_u8..8, 0_u64..200), 1..200)) {
        let mut pace = pace();
        let mut now = NOON;
        for (errand, heard, seconds) in script {
            now = now.plus(Duration::from_secs(seconds));
            let after = Duration::from_secs(seconds.min(120));
            let why = String::new();
            let heard = match heard {
                0 | 1 => Heard::Answer,
                2 => Heard::Refused,
                3 => Heard::Throttled { after },
                4 => Heard::Closed { after, why },
                5 => Heard::Fault { reached: seconds.is_multiple_of(2), after, why },
                6 => Heard::Down { after, why },
                _ => Heard::Key { why },
            };
            pace.heard(Errand::ALL[errand], heard, now, seconds);
            for errand in Errand::ALL {
                let at = match pace.gate(errand, now) {
                    Gate::Open => now,
                    Gate::Until(at) => at,
                    Gate::Shut => {
                        prop_assert!(errand != Errand::Quota);
                        pace.probe_at().expect("shut means that there is a probe")
                    }
                };
                prop_assert!(at.since(now) <= Duration::from_secs(4_000), "{errand}: {at}");
            }
        }
    }
}

#[test]
fn a_kind_that_the_cdn_calls_spent_waits_longer_each_time_and_never_into_the_next_day() {
    let mut pace = pace();
    let evening = Day::of(NOON).next().start().minus(Duration::from_secs(600));
    let at = |seconds| evening.plus(Duration::from_secs(seconds));
    for (now, until) in [(0, 60), (60, 180), (180, 420), (420, 600)] {
        assert_eq!(pace.closed_kind(QuotaKind::Url, at(now)), None);
        pace.close_kind(QuotaKind::Url, "spent", at(now), 0);
        assert_eq!(pace.closed_kind(QuotaKind::Url, at(now)), Some((at(until), "spent")));
    }
    assert_eq!(pace.closed_kind(QuotaKind::Directory, at(421)), None);
    assert!(pace.note(at(421)).starts_with("URL refreshes: spent; again at "));
    assert_eq!(pace.note(at(600)), "");
    pace.close_kind(QuotaKind::Url, "spent", at(601), 0);
    assert_eq!(pace.closed_kind(QuotaKind::Url, at(602)), Some((at(661), "spent")));
    pace.open_kind(QuotaKind::Url);
    assert_eq!(pace.closed_kind(QuotaKind::Url, at(602)), None);
}
