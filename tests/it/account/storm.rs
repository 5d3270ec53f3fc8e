//! Answers that say no in ways that must neither be asked for again and again nor hold up the rest.

use refreshd::domain::quota::QuotaKind;

use super::*;

fn refuse(bench: &Bench, operation: &'static str, status: u16, code: &'static str) {
    bench.cdn.refusing.lock().expect("not poisoned").insert(operation, (status, code));
}

/// Refusals that are about targets, given to a question that has none.
const ODD: [(u16, &str); 6] = [
    (404, "InvalidDomain.NotFound"),
    (403, "ServiceBusy"),
    (400, "QuotaPerMinuteExceeded.Refresh"),
    (400, "QuotaExceeded.Refresh"),
    (400, "SingleRequest.OverLimit"),
    (400, "SignatureNonceUsed"),
];

#[tokio::test]
async fn a_look_that_is_refused_in_an_odd_way_is_not_repeated_without_end() {
    for (status, code) in ODD {
        let mut bench = plenty().await;
        refuse(&bench, "tasks", status, code);
        bench.refresh("page").await;
        bench.cdn.script.lock().expect("not poisoned").push_back(Say::Lose);
        bench.pass(600).await;
        assert!(bench.cdn.calls("tasks") <= 16, "{code}: {} looks", bench.cdn.calls("tasks"));
        bench.cdn.refusing.lock().expect("not poisoned").clear();
        bench.pass(3_600).await;
        bench.assert_all_done(1).await;
    }
}

#[tokio::test]
async fn a_poll_that_is_refused_in_an_odd_way_is_not_repeated_without_end() {
    for (status, code) in ODD {
        let mut bench = plenty().await;
        for number in 0..12 {
            bench.refresh(&format!("page{number}")).await;
            bench.turn().await;
        }
        refuse(&bench, "tasks_by_id", status, code);
        bench.pass(600).await;
        let calls = bench.cdn.calls("tasks_by_id");
        assert!(calls <= 130, "{code}: {calls} looks");
        bench.cdn.refusing.lock().expect("not poisoned").clear();
        bench.pass(8 * 3_600).await;
        bench.assert_all_done(12).await;
    }
}

#[tokio::test]
async fn a_size_that_one_kind_teaches_is_no_other_kinds() {
    let mut bench = plenty().await;
    for number in 0..4 {
        let tag = Target::new(Kind::Tag, format!("{SITE}/#tag{number}"));
        bench.wish(Action::Refresh, tag, false).await;
    }
    let refuse = Say::Refuse("SingleRequest.OverLimit", 400);
    *bench.cdn.script.lock().expect("not poisoned") = [refuse].into();
    bench.turn().await;
    for number in 0..100 {
        bench.refresh(&format!("page{number}")).await;
    }
    bench.turn().await;
    let sizes: Vec<usize> =
        bench.cdn.accepted.lock().expect("not poisoned").iter().map(|call| call.2.len()).collect();
    assert_eq!(sizes, [2, 2, 100]);
}

#[tokio::test]
async fn a_day_that_the_cdn_calls_spent_costs_few_calls_whatever_its_quota_says() {
    let plenty_left = Reported { quota: 10_000, remain: 9_000 };
    for says in [None, Some(plenty_left)] {
        let mut bench = plenty().await;
        match says {
            None => refuse(&bench, "quota", 403, "Forbidden.RAM"),
            some => bench.cdn.reported.lock().expect("not poisoned")[QuotaKind::Url] = some,
        }
        refuse(&bench, "submit", 400, "QuotaExceeded.Refresh");
        for number in 0..1_000 {
            bench.refresh(&format!("page{number}")).await;
        }
        bench.pass(3_600).await;
        assert!(bench.cdn.calls("submit") <= 12, "{} calls", bench.cdn.calls("submit"));
        bench.cdn.refusing.lock().expect("not poisoned").clear();
        bench.pass(14 * 3_600).await;
        bench.assert_all_done(1_000).await;
    }
}

#[tokio::test]
async fn a_refusal_nobody_has_heard_of_does_not_fail_a_lone_url_at_once() {
    let mut bench = plenty().await;
    for path in ["one", "other"] {
        let refuse = Say::Refuse("Brand.New", 400);
        bench.cdn.script.lock().expect("not poisoned").push_back(refuse);
        bench.refresh(path).await;
        bench.turn().await;
        assert_eq!(bench.journal.counts().await.expect("it works").failed, 0, "{path}");
        bench.pass(70).await;
        assert_eq!(bench.cdn.targets(Action::Refresh).last(), Some(&url(path).text));
    }
    refuse(&bench, "submit", 400, "Brand.New");
    bench.refresh("bad").await;
    bench.pass(3_600).await;
    let state = bench.outcome(Action::Refresh, url("bad")).await;
    assert!(matches!(state, State::Ended { outcome: Outcome::Failed(_), .. }), "{state:?}");
}

#[tokio::test]
async fn a_bad_url_is_found_by_halves_though_calls_are_throttled_meanwhile() {
    let mut bench = plenty().await;
    for number in 0..100 {
        bench.refresh(&format!("page{number}")).await;
    }
    *bench.cdn.bad.lock().expect("not poisoned") = Some(format!("{SITE}/page37"));
    for _ in 0..6 {
        let throttled = Say::Refuse("Throttling.User", 400);
        bench.cdn.script.lock().expect("not poisoned").push_back(throttled);
    }
    bench.turn().await;
    bench.pass(900).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 99);
    // 2·log2(100) + 1 = 14.3, and six that were throttled at most
    assert!(bench.cdn.calls("submit") <= 20, "{} calls", bench.cdn.calls("submit"));
}

#[tokio::test]
async fn a_plan_is_kept_while_calls_are_throttled() {
    let mut bench = plenty().await;
    for number in 0..3_000 {
        bench.refresh(&format!("page{number}")).await;
    }
    for _ in 0..6 {
        let throttled = Say::Refuse("Throttling.User", 400);
        bench.cdn.script.lock().expect("not poisoned").push_back(throttled);
    }
    while !bench.cdn.script.lock().expect("not poisoned").is_empty() {
        bench.clock.advance(Duration::from_millis(100));
        bench.turn().await;
    }
    let (mut turns, before) = (0, bench.cdn.calls("submit"));
    for _ in 0..100 {
        bench.clock.advance(Duration::from_millis(100));
        while bench.dispatch.step().await.expect("it works") == Step::Worked {
            turns += 1;
        }
    }
    let calls = bench.cdn.calls("submit") - before;
    assert!(calls >= 7, "{calls} calls");
    assert!(turns <= calls + 3, "{turns} turns for {calls} calls");
}
