//! The client and the sandbox agree: every operation, over a real connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use refreshd::cdn::{Cdn, Client, ClientConfig, Keyring, Submission, Surroundings, TaskQuery};
use refreshd::clock::{Clock, ManualClock};
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::credentials::{KeyFiles, KeySource, Place};
use refreshd::domain::intent::Action;
use refreshd::domain::own::CdnDomain;
use refreshd::domain::prefetch::{Area, PrefetchOptions};
use refreshd::domain::quota::QuotaKind;
use refreshd::domain::task::TaskStatus;
use refreshd::domain::time::Timestamp;
use refreshd::domain::verdict::Reached;
use refreshd::sandbox::{Ending, Fault, Options, Reply, Running, Sandbox};
use tokio::net::TcpListener;

const START: &str = "2026-11-22T12:00:00Z";

fn clock_at(seconds: u64) -> Arc<ManualClock> {
    let start = Timestamp::parse(START).expect("valid");
    ManualClock::new(start.plus(Duration::from_secs(seconds)), seconds)
}

/// Starts a sandbox before an origin where nobody listens.
async fn sandbox(clock: Arc<ManualClock>) -> Running {
    let port = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let options = Options::new("http://127.0.0.1:1");
    Sandbox::start(options, port().await, port().await, clock).expect("a sandbox")
}

async fn client(running: &Running, clock: Arc<ManualClock>) -> Client {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let files = KeyFiles {
        key_id: write("id", &running.access_key_id),
        secret: write("secret", &running.access_key_secret),
        security_token: None,
    };
    let endpoint = format!("http://{}", running.api).parse().expect("a URL");
    let source = KeySource::at(Place::Files(files));
    let keyring = Keyring::new(source, Surroundings::default(), clock.clone());
    let client = Client::new(&ClientConfig::new(endpoint), keyring, clock).expect("a client");
    client.begin().await.1.expect("a key");
    client
}

#[tokio::test]
async fn every_operation_is_understood() {
    let clock = clock_at(0);
    let running = sandbox(clock.clone()).await;
    let cdn = client(&running, clock.clone()).await;
    let site = "https://www.example.com";
    let mut tasks = Vec::new();
    for (action, kind, force, text) in [
        (Action::Refresh, Kind::Url, true, "/a%20b.html?x={1}&y=%E4%BD%A0"),
        (Action::Refresh, Kind::Directory, false, "/soft/"),
        (Action::Refresh, Kind::Directory, true, "/hard/"),
        (Action::Refresh, Kind::Regex, false, "/[0-9][^/]*.*.jpg"),
        (Action::Refresh, Kind::IgnoreParams, true, "/page"),
        (Action::Refresh, Kind::Tag, true, "/#news"),
        (Action::Prefetch, Kind::Url, false, "/fetched"),
    ] {
        let targets = vec![Target::new(kind, format!("{site}{text}"))];
        let prefetch = every_option();
        let submission = Submission { action, kind, force, targets, prefetch };
        let accepted = cdn.submit(&submission).await;
        tasks.extend(accepted.expect("accepted").tasks);
    }
    let log = running.control().log().accepted;
    assert_eq!(log.len(), 7);
    assert_eq!(log[0].targets, [format!("{site}/a%20b.html?x={{1}}&y=%E4%BD%A0")]);
    assert!(!log[1].force && log[2].force && log[4].force && log[5].force);
    assert_eq!((log[5].kind, &log[5].targets), (QuotaKind::Tag, &vec![format!("{site}/#news")]));
    let options: BTreeMap<String, String> = every_option()
        .parameters()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!((options.len(), &log[6].options), (5, &options));
    assert!(log[..6].iter().all(|entry| entry.options.is_empty()), "a refresh has none");

    clock.advance(Duration::from_secs(300));
    running.control().settle().await;
    let rows = cdn.tasks_by_id(&tasks).await.expect("rows");
    assert_eq!(rows.len(), 7);
    for row in &rows {
        let wanted = match row.object_type.as_str() {
            // Nobody is there to be fetched from.
            "preload" => TaskStatus::Failed("Origin Timeout".into()),
            _ => TaskStatus::Complete,
        };
        assert_eq!(row.status, wanted, "{row:?}");
        assert_eq!(row.created_at, Timestamp::parse(START));
    }
    let query = TaskQuery::of_domain(
        (Action::Refresh, Kind::Directory),
        "www.example.com",
        Timestamp::parse(START).expect("valid"),
        clock.now(),
    );
    let page = cdn.tasks(&query).await.expect("a page");
    assert_eq!((page.total, page.rows.len()), (2, 2));
    let quota = cdn.quota().await.expect("the quota");
    let left = |kind| quota[kind].map(|reported| reported.remain);
    assert_eq!(left(QuotaKind::Url), Some(9_999));
    assert_eq!(left(QuotaKind::Directory), Some(98));
    assert_eq!(left(QuotaKind::Regex), Some(19));
    assert_eq!(left(QuotaKind::IgnoreParams), Some(99));
    assert_eq!(left(QuotaKind::Tag), None, "it isn't told");
    assert_eq!(left(QuotaKind::Prefetch), Some(999));
    let refused = cdn.prefetch_detail(&tasks[6]).await.expect_err("not on the list");
    assert_eq!(refused.code.as_deref(), Some("Forbidden"));
    let domains = cdn.domains().await.expect("domains");
    assert_eq!(domains, [CdnDomain { name: "www.example.com".into(), status: "online".into() }]);
    running.stop().await;
}

/// Options that all travel.
fn every_option() -> PrefetchOptions {
    let variants = ["gzip", "br", " "].map(str::to_owned).to_vec();
    PrefetchOptions {
        area: Some(Area::Domestic),
        l2: true,
        query_hashkey: true,
        consistency_hash: true,
        headers: [("Accept-Encoding".to_owned(), variants)].into(),
    }
}

#[tokio::test]
async fn all_pages_of_domains_are_listed() {
    let clock = clock_at(0);
    let port = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut domains: Vec<String> = (0..1_000).map(|number| format!("d{number}.example")).collect();
    for more in 0..2 {
        let offline = domains[..1].to_vec();
        let options =
            Options { domains: domains.clone(), offline, ..Options::new("http://127.0.0.1:1") };
        let running = Sandbox::start(options, port().await, port().await, clock.clone());
        let running = running.expect("a sandbox");
        let listed = client(&running, clock.clone()).await.domains().await.expect("domains");
        let names: Vec<_> = listed.iter().map(|domain| domain.name.clone()).collect();
        assert_eq!(names, domains);
        let online = listed.iter().filter(|domain| domain.status == "online").count();
        assert_eq!((online, listed[0].status.as_str()), (domains.len() - 1, "offline"));
        let calls = running.control().log().calls["DescribeUserDomains"];
        assert_eq!(calls, 2 + more, "no page too many");
        domains.push("one.more.example".to_owned());
        running.stop().await;
    }
}

#[tokio::test]
async fn scripted_faults_arrive_as_what_they_are() {
    let clock = clock_at(0);
    let running = sandbox(clock.clone()).await;
    let cdn = client(&running, clock).await;
    let control = running.control();
    let action = "RefreshObjectCaches";
    let submission = Submission {
        action: Action::Refresh,
        kind: Kind::Url,
        force: true,
        targets: vec![Target::new(Kind::Url, "https://www.example.com/x")],
        prefetch: PrefetchOptions::default(),
    };
    let submit = || cdn.submit(&submission);

    let code = "Throttling".to_owned();
    let retry_after = Some(1_500);
    control.fault(Fault::call(action, 1, false, Reply::Error { status: 400, code, retry_after }));
    let failure = submit().await.expect_err("refused");
    assert_eq!(failure.reached, Reached::Answered(400));
    assert_eq!(failure.code.as_deref(), Some("Throttling"));
    assert_eq!(failure.retry_after, Some(Duration::from_millis(1_500)));
    let code = "ServiceUnavailable".to_owned();
    control.fault(Fault::call(action, 1, false, Reply::Xml { status: 503, code }));
    let failure = submit().await.expect_err("refused");
    assert_eq!(failure.code.as_deref(), Some("ServiceUnavailable"));
    control.fault(Fault::call(action, 1, true, Reply::Html { status: 502 }));
    let failure = submit().await.expect_err("a page");
    assert_eq!((failure.reached, failure.code), (Reached::Answered(502), None));
    for reply in [Reply::Reset, Reply::Truncated] {
        control.fault(Fault::call(action, 1, true, reply));
        submit().await.expect_err("no whole answer");
    }
    assert_eq!(control.log().accepted.len(), 3, "those were carried out");
    let description = "Internal Error".to_owned();
    control.fault(Fault::target(&submission.targets[0].text, Ending::Failed { description }));
    submit().await.expect("accepted");
    running.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_off_is_learnt_from_the_refusal() {
    let running = sandbox(clock_at(3_600)).await;
    let clock = clock_at(0);
    let cdn = client(&running, clock.clone()).await;
    let failure = cdn.quota().await.expect_err("refused");
    assert_eq!(failure.code.as_deref(), Some("InvalidTimeStamp.Expired"));
    assert_eq!(clock.offset(), 3_600_000_000);
    cdn.quota().await.expect("accepted with the learnt offset");
    running.stop().await;
}
