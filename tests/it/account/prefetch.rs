//! Prefetches of hosts that want it done in different ways.

use refreshd::domain::prefetch::{Area, PrefetchByHost};

use super::*;

fn on(host: &str, path: &str) -> Target {
    Target::new(Kind::Url, format!("https://{host}/{path}"))
}

#[tokio::test]
async fn each_call_prefetches_in_one_way_and_all_are_made() {
    let mut hosts = PrefetchByHost::default();
    let variants = ["gzip", "br"].map(str::to_owned).to_vec();
    let special = PrefetchOptions {
        area: Some(Area::Overseas),
        headers: [("Accept-Encoding".to_owned(), variants)].into(),
        ..PrefetchOptions::default()
    };
    for host in ["a.example", "c.example"] {
        hosts.insert(host, &special);
    }
    let mut bench = plenty().await;
    bench.dispatch = bench.dispatch.prefetching(hosts);
    for target in [
        on("a.example", "1"),
        on("b.example", "1"),
        on("c.example", "1"),
        on("b.example", "2"),
        on("a.example", "2"),
    ] {
        bench.wish(Action::Prefetch, target, false).await;
    }
    // An answer that is lost must not change the way of the second try.
    bench.cdn.script.lock().expect("not poisoned").push_back(Say::Lose);
    bench.turn().await;
    bench.pass(600).await;
    bench.assert_all_done(5).await;
    let accepted = bench.cdn.accepted.lock().expect("not poisoned").clone();
    let options = bench.cdn.prefetched.lock().expect("not poisoned").clone();
    let calls: Vec<(Vec<String>, PrefetchOptions)> =
        accepted.into_iter().map(|call| call.2).zip(options).collect();
    let urls = |urls: &[&str]| urls.iter().map(|url| format!("https://{url}")).collect::<Vec<_>>();
    assert_eq!(
        calls,
        [
            (urls(&["a.example/1", "c.example/1", "a.example/2"]), special),
            (urls(&["b.example/1", "b.example/2"]), PrefetchOptions::default()),
        ]
    );
}
