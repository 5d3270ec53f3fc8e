//! What answers teach: when the next call is made, and for what.

use super::*;

fn host_url(host: &str, number: u32) -> Target {
    Target::new(Kind::Url, format!("https://{host}/{number}"))
}

/// Lets calls of an operation be refused from now on.
fn refuse(bench: &Bench, operation: &'static str, status: u16, code: &'static str) {
    bench.cdn.refusing.lock().expect("not poisoned").insert(operation, (status, code));
}

fn relent(bench: &Bench) {
    bench.cdn.refusing.lock().expect("not poisoned").clear();
}

#[tokio::test]
async fn a_doubt_that_may_not_be_looked_up_is_sent_again_and_may_double_one_batch() {
    let mut bench = plenty().await;
    *bench.cdn.listing.lock().expect("not poisoned") = Some((403, Some("Forbidden.RAM")));
    for number in 0..250 {
        bench.refresh(&format!("page{number}")).await;
    }
    bench.cdn.script.lock().expect("not poisoned").push_back(Say::ExecuteSilently);
    bench.turn().await;
    bench.pass(3600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 350, "lost 0, twice at most one batch");
    bench.assert_all_done(250).await;
    assert_eq!(bench.used(refreshd::domain::quota::QuotaKind::Url).await, 250, "debited once");
}

#[tokio::test]
async fn a_doubt_older_than_the_day_is_planned_anew_within_what_the_new_day_has() {
    let mut bench = Bench::new(PerKind::from_fn(|_| 2)).await;
    bench.clock.advance(Duration::from_secs(12 * 3600 - 30));
    bench.refresh("lost").await;
    bench.cdn.script.lock().expect("not poisoned").push_back(Say::Lose);
    bench.turn().await;
    for name in ["a", "b"] {
        bench.refresh(name).await;
    }
    bench.pass(7200).await;
    // Half a minute before midnight one was lost; the new day pays for two of the three.
    let spent = bench.used(refreshd::domain::quota::QuotaKind::Url).await;
    assert_eq!((bench.cdn.targets(Action::Refresh).len(), spent), (2, 2));
    bench.pass(86_400).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 3);
    bench.assert_all_done(3).await;
}

#[tokio::test]
async fn a_task_without_an_end_is_asked_for_thrice_and_fails_visibly() {
    let mut bench = plenty().await;
    *bench.cdn.silent_tasks.lock().expect("not poisoned") = true;
    bench.refresh("page").await;
    bench.pass(30 * 3600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 3);
    let state = bench.outcome(Action::Refresh, url("page")).await;
    let State::Ended { outcome: Outcome::Failed(why), .. } = state else { panic!("{state:?}") };
    assert!(why.contains("did not report an end within 360 minutes"), "{why}");
}

#[tokio::test]
async fn a_key_that_may_not_follow_tasks_gives_them_up_in_time() {
    let mut bench = plenty().await;
    refuse(&bench, "tasks_by_id", 403, "Forbidden.RAM");
    bench.refresh("page").await;
    bench.pass(6 * 3600).await;
    assert!(bench.cdn.calls("tasks_by_id") <= 14, "{}", bench.cdn.calls("tasks_by_id"));
    bench.refresh("other").await;
    bench.pass(30 * 3600).await;
    let state = bench.outcome(Action::Refresh, url("page")).await;
    let State::Ended { outcome: Outcome::Failed(why), .. } = state else { panic!("{state:?}") };
    assert!(why.contains("can't be asked: Forbidden.RAM"), "{why}");
    assert!(bench.cdn.targets(Action::Refresh).len() <= 6, "three times each at most");
}

#[tokio::test]
async fn a_domain_that_is_refused_holds_up_no_other_and_costs_few_calls() {
    let mut bench = plenty().await;
    *bench.cdn.closed.lock().expect("not poisoned") =
        Some(("off.example", "InvalidDomain.Offline"));
    for number in 0..1_000 {
        bench.wish(Action::Refresh, host_url("off.example", number), false).await;
        bench.wish(Action::Refresh, host_url("on.example", number), false).await;
    }
    bench.pass(60).await;
    let accepted = bench.cdn.targets(Action::Refresh);
    assert_eq!(accepted.len(), 1_000, "all of the other domain");
    assert!(accepted.iter().all(|target| target.contains("//on.example/")));
    assert!(bench.cdn.calls("submit") <= 20, "{} calls", bench.cdn.calls("submit"));
    let state = bench.outcome(Action::Refresh, host_url("off.example", 7)).await;
    let State::Pending { waiting: Some(waiting), .. } = state else { panic!("{state:?}") };
    assert!(waiting.why.contains("InvalidDomain.Offline"), "{}", waiting.why);
    bench.pass(24 * 3600).await;
    assert!(bench.cdn.calls("submit") <= 50, "{} calls", bench.cdn.calls("submit"));
    *bench.cdn.closed.lock().expect("not poisoned") = None;
    bench.pass(2 * 3600).await;
    bench.assert_all_done(2_000).await;
}

#[tokio::test]
async fn an_operation_that_is_forbidden_stops_alone() {
    let tag = Target::new(Kind::Tag, format!("{SITE}/#news"));
    for (action, target) in [(Action::Prefetch, url("page")), (Action::Refresh, tag)] {
        let mut bench = plenty().await;
        bench.wish(action, target.clone(), false).await;
        refuse(&bench, "submit", 403, "Forbidden.RAM");
        bench.turn().await;
        relent(&bench);
        bench.refresh("other").await;
        bench.turn().await;
        assert_eq!(
            bench.cdn.targets(Action::Refresh),
            [format!("{SITE}/other")],
            "{target} not yet"
        );
        assert!(bench.cdn.targets(Action::Prefetch).is_empty(), "not yet");
        bench.pass(120).await;
        assert_eq!(bench.cdn.targets(action).last(), Some(&target.text));
    }
}

#[tokio::test]
async fn a_refused_key_is_tried_once_a_minute_and_loses_nothing() {
    let mut bench = plenty().await;
    for operation in ["submit", "tasks", "tasks_by_id", "quota"] {
        refuse(&bench, operation, 404, "InvalidAccessKeyId.NotFound");
    }
    for number in 0..300 {
        bench.refresh(&format!("page{number}")).await;
    }
    bench.pass(3600).await;
    let calls: u32 = bench.cdn.calls.lock().expect("not poisoned").values().sum();
    assert!(calls <= 61, "{calls} calls in an hour");
    relent(&bench);
    bench.pass(600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 300);
    bench.assert_all_done(300).await;
}

#[tokio::test]
async fn a_refusal_nobody_has_heard_of_is_tried_again_once_and_then_halved() {
    let mut bench = plenty().await;
    for number in 0..100 {
        bench.refresh(&format!("page{number}")).await;
    }
    let script = [Say::Refuse("Brand.New", 400)];
    bench.cdn.script.lock().expect("not poisoned").extend(script);
    bench.turn().await;
    assert!(bench.cdn.targets(Action::Refresh).is_empty());
    bench.pass(70).await;
    assert_eq!(bench.cdn.calls("submit"), 2, "the same hundred once more");
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 100);
    *bench.cdn.bad.lock().expect("not poisoned") = Some(format!("{SITE}/late37"));
    for number in 0..100 {
        bench.refresh(&format!("late{number}")).await;
    }
    bench.pass(600).await;
    // 2·log2(100) + 1 = 14.3
    assert!(bench.cdn.calls("submit") - 2 <= 14, "{} calls", bench.cdn.calls("submit") - 2);
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 199, "all but the bad one");
}

#[tokio::test]
async fn too_many_at_once_teaches_the_size_that_goes() {
    let mut bench = plenty().await;
    for number in 0..300 {
        bench.refresh(&format!("page{number}")).await;
    }
    let refuse = Say::Refuse("SingleRequest.OverLimit", 400);
    bench.cdn.script.lock().expect("not poisoned").push_back(refuse);
    bench.turn().await;
    let sizes: Vec<usize> =
        bench.cdn.accepted.lock().expect("not poisoned").iter().map(|call| call.2.len()).collect();
    assert_eq!(sizes, [50; 6]);
}

#[tokio::test]
async fn few_jobs_are_followed_with_one_call_in_ten_seconds() {
    let mut bench = plenty().await;
    for number in 0..9 {
        bench.wish(Action::Refresh, directory(&format!("d{number}/")), false).await;
        bench.pass(20).await;
    }
    let begun = bench.clock.boot();
    let mut calls = Vec::new();
    let mut before = bench.cdn.calls("tasks_by_id");
    while bench.journal.counts().await.expect("it works").submitted > 0 {
        bench.clock.advance(Duration::from_secs(1));
        bench.turn().await;
        let now = bench.cdn.calls("tasks_by_id");
        assert!(now - before <= 1, "one call a turn");
        if now > before {
            calls.push(bench.clock.boot().saturating_sub(begun));
        }
        before = now;
    }
    assert!(
        calls.windows(2).all(|two| two[1].saturating_sub(two[0]) >= Duration::from_secs(10)),
        "{calls:?}"
    );
    assert!(calls.len() <= 18, "{} calls", calls.len());
    bench.assert_all_done(9).await;
}
