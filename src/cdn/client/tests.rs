//! The client against a real server of a few lines, on a thread of its own.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::cdn::{Surroundings, sign};
use crate::clock::{Clock, ManualClock};
use crate::domain::ask::{Kind, Target};
use crate::domain::credentials::{KeyFiles, KeySource, Place};
use crate::domain::prefetch::PrefetchOptions;
use crate::domain::task::TaskStatus;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Scope, Verdict, judge};

mod kept;
mod proxy;

const KEY_ID: &str = "LTAIfake";
const SECRET: &str = "fakeSecret";
const TOKEN: &str = "fake/Token==";

/// A request as the server read it.
#[derive(Debug, Default)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn query(&self) -> &str {
        let target = self.line.split(' ').nth(1).expect("a target");
        target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Verifies the signature as the CDN does: driven by `SignedHeaders`.
    fn is_signed(&self) -> bool {
        let authorization = self.header("authorization").expect("signed");
        let (_, rest) = authorization.split_once("SignedHeaders=").expect("a list");
        let (names, signature) = rest.split_once(",Signature=").expect("a signature");
        let headers: Vec<_> = names
            .split(';')
            .map(|name| (name.to_owned(), self.header(name).expect("sent").to_owned()))
            .collect();
        let unsigned = self.headers.iter().find(|(name, _)| {
            name.starts_with("x-acs-") && !headers.iter().any(|(signed, _)| signed == name)
        });
        assert_eq!(unsigned, None);
        let payload_sha256 = sign::hex_sha256(self.body.as_bytes());
        assert_eq!(self.header("x-acs-content-sha256"), Some(payload_sha256.as_str()));
        Signable {
            method: "POST",
            query: self.query(),
            headers: &headers,
            payload_sha256: &payload_sha256,
        }
        .verify(SECRET, signature)
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut request = Request::default();
    reader.read_line(&mut request.line).expect("a request line");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").map_or(0, |text| text.parse().expect("a number"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    request.body = String::from_utf8(body).expect("text");
    request
}

/// Serves one connection for each of `answers`, then no more, and hands over the requests. An empty
/// answer closes the connection; one that ends early cuts it.
fn serve(answers: Vec<String>) -> (Url, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            sender.send(read_request(&stream)).expect("the test listens");
            stream.write_all(answer.as_bytes()).expect("written");
        }
    });
    (format!("http://127.0.0.1:{port}").parse().expect("a URL"), requests)
}

fn answer(status: &str, headers: &[&str], body: &str) -> String {
    let length = body.len();
    let mut text =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    for header in headers {
        let _ = write!(text, "{header}\r\n");
    }
    text + "\r\n" + body
}

fn ok(body: &str) -> String {
    answer("200 OK", &["content-type: application/json"], body)
}

struct World {
    client: Client,
    clock: Arc<ManualClock>,
    directory: tempfile::TempDir,
}

async fn world(endpoint: &Url) -> World {
    world_with(&ClientConfig::new(endpoint.clone())).await
}

/// A world whose calls end soon, for servers that never answer.
async fn impatient_world(endpoint: &str, millis: u64) -> World {
    let config = ClientConfig::new(endpoint.parse().expect("a URL"));
    world_with(&ClientConfig { timeout: Duration::from_millis(millis), ..config }).await
}

async fn world_with(config: &ClientConfig) -> World {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, value: &str| {
        let path = directory.path().join(name);
        fs::write(&path, format!("{value}\n")).expect("written");
        path
    };
    let files = KeyFiles {
        key_id: file("id", KEY_ID),
        secret: file("secret", SECRET),
        security_token: Some(file("token", TOKEN)),
    };
    let now = Timestamp::parse("2026-11-22T04:05:06Z").expect("valid");
    let clock = ManualClock::new(now, 1);
    let source = KeySource::at(Place::Files(files));
    let keyring = Keyring::new(source, Surroundings::default(), clock.clone());
    let client = Client::new(config, keyring, clock.clone()).expect("a client");
    client.begin().await.1.expect("a key");
    World { client, clock, directory }
}

fn urls(texts: &[&str]) -> Vec<Target> {
    texts.iter().map(|text| Target::new(Kind::Url, *text)).collect()
}

async fn submit(world: &World, action: Action, targets: Vec<Target>) -> Result<Accepted, Failure> {
    let prefetch = PrefetchOptions::default();
    let submission = Submission { action, kind: Kind::Url, force: false, targets, prefetch };
    world.client.submit(&submission).await
}

async fn refresh(world: &World) -> Result<Accepted, Failure> {
    let targets = urls(&["https://a.example/1", "https://a.example/%E4%BD%A0?a=b&c"]);
    submit(world, Action::Refresh, targets).await
}

/// Refreshes against a server that gives one answer.
async fn refused(text: String) -> Failure {
    let (endpoint, _requests) = serve(vec![text]);
    refresh(&world(&endpoint).await).await.expect_err("a failure")
}

#[tokio::test]
async fn a_refresh_travels_signed_in_a_form() {
    let (endpoint, requests) =
        serve(vec![ok(r#"{"RefreshTaskId":"704222904,17772470184","RequestId":"R"}"#)]);
    let accepted = refresh(&world(&endpoint).await).await.expect("accepted");
    assert_eq!(accepted.request_id, "R");
    let ids = ["704222904", "17772470184"].map(|id| TaskId(id.to_owned()));
    assert_eq!(accepted.tasks, ids);

    let request = requests.recv().expect("a request");
    assert_eq!(request.line, "POST / HTTP/1.1\r\n");
    assert!(request.is_signed(), "{request:?}");
    assert_eq!(request.header("host"), endpoint.as_str().get(7..endpoint.as_str().len() - 1));
    assert_eq!(request.header("x-acs-action"), Some("RefreshObjectCaches"));
    assert_eq!(request.header("x-acs-version"), Some("2018-05-10"));
    assert_eq!(request.header("x-acs-date"), Some("2026-11-22T04:05:06Z"));
    assert_eq!(request.header("x-acs-security-token"), Some(TOKEN));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(
        request.body,
        "Force=false&ObjectPath=https%3A%2F%2Fa.example%2F1%0Ahttps%3A%2F%2Fa.example%2F\
         %25E4%25BD%25A0%3Fa%3Db%26c&ObjectType=File"
    );
}

#[tokio::test]
async fn a_prefetch_travels_signed_in_the_query() {
    let (endpoint, requests) = serve(vec![ok(r#"{"PushTaskId":95240001,"RequestId":"R"}"#)]);
    let world = world(&endpoint).await;
    let targets = urls(&["https://a.example/~'*"]);
    let accepted = submit(&world, Action::Prefetch, targets).await.expect("accepted");
    assert_eq!(accepted.tasks, [TaskId("95240001".to_owned())]);
    let request = requests.recv().expect("a request");
    assert!(request.is_signed(), "{request:?}");
    assert_eq!(request.query(), "ObjectPath=https%3A%2F%2Fa.example%2F~%27%2A");
    assert_eq!((request.header("content-type"), request.body.as_str()), (None, ""));
}

#[tokio::test]
async fn tags_travel_in_the_query_with_their_domain() {
    let (endpoint, requests) = serve(vec![ok(r#"{"RefreshTaskId":"17772470184"}"#)]);
    let world = world(&endpoint).await;
    let tags =
        ["a/b", "c#d"].map(|tag| Target::new(Kind::Tag, format!("https://a.example/#{tag}")));
    let submission = Submission {
        action: Action::Refresh,
        kind: Kind::Tag,
        force: true,
        targets: tags.to_vec(),
        prefetch: PrefetchOptions::default(),
    };
    let accepted = world.client.submit(&submission).await;
    assert_eq!(accepted.expect("accepted").tasks, [TaskId("17772470184".to_owned())]);
    let request = requests.recv().expect("a request");
    assert!(request.is_signed(), "{request:?}");
    assert_eq!(request.header("x-acs-action"), Some("RefreshObjectCacheByCacheTag"));
    assert_eq!(request.query(), "CacheTag=a%2Fb%2Cc%23d&DomainName=a.example&Force=true");
    assert_eq!((request.header("content-type"), request.body.as_str()), (None, ""));
}

#[tokio::test]
async fn tasks_are_read_in_both_shapes() {
    let row = r#"{"TaskId":"7","ObjectPath":"https://a.example/1","ObjectType":"file",
        "Status":"Refreshing","Process":"99.37%","CreationTime":"2026-11-22T04:05:06Z"}"#;
    let (endpoint, requests) = serve(vec![
        ok(&format!(r#"{{"Tasks":[{row}],"TotalCount":"1","RequestId":"R"}}"#)),
        ok(&format!(r#"{{"Tasks":{{"CDNTask":[{row}]}},"TotalCount":"201","PageNumber":"2"}}"#)),
    ]);
    let world = world(&endpoint).await;
    let ids = ["7", "8"].map(|id| TaskId(id.to_owned()));
    let rows = world.client.tasks_by_id(&ids).await.expect("rows");
    assert_eq!(rows[0].status, TaskStatus::Running { percent: 99 });
    let at = Timestamp::parse("2026-11-22T04:05:06Z").expect("valid");
    let domain = ((Action::Refresh, Kind::Directory), at.plus(Duration::from_secs(60)));
    let query = TaskQuery {
        page: 2,
        resource_group: Some("rg-1".to_owned()),
        ..TaskQuery::of_domain(domain.0, "a.example", at, domain.1)
    };
    let page = world.client.tasks(&query).await.expect("a page");
    assert_eq!((page.rows, page.total), (rows, 201));
    let request = requests.recv().expect("by id");
    assert_eq!(request.query(), "TaskId=7%2C8");
    let request = requests.recv().expect("the list");
    assert!(request.is_signed(), "{request:?}");
    assert_eq!(
        request.query(),
        "DomainName=a.example&EndTime=2026-11-22T04%3A06%3A06Z&ObjectType=directory&PageNumber=2\
         &PageSize=100&ResourceGroupId=rg-1&StartTime=2026-11-22T04%3A05%3A06Z"
    );
}

#[tokio::test]
async fn quota_is_read_where_both_figures_are_there() {
    let (endpoint, _requests) =
        serve(vec![ok(r#"{"UrlQuota":"2000","UrlRemain":1996,"DirQuota":"100","RequestId":"Q"}"#)]);
    let quota = world(&endpoint).await.client.quota().await.expect("a quota");
    assert_eq!(quota[QuotaKind::Url], Some(Reported { quota: 2000, remain: 1996 }));
    assert_eq!(quota[QuotaKind::Directory], None);
    assert_eq!(quota[QuotaKind::Prefetch], None);
}

#[tokio::test]
async fn a_refusal_carries_code_message_and_wait() {
    let xml = "<?xml version='1.0'?><Error><RequestId>R</RequestId><Code>Throttling.User</Code>\
               <Message>slow &amp; steady</Message></Error>";
    let headers = ["content-type: text/xml;charset=utf-8", "x-acs-retry-after: 2500"];
    let failure = refused(answer("400 Bad Request", &headers, xml)).await;
    assert_eq!(
        failure,
        Failure {
            reached: Reached::Answered(400),
            code: Some("Throttling.User".to_owned()),
            message: "slow & steady".to_owned(),
            retry_after: Some(Duration::from_millis(2500)),
            request_id: Some("R".to_owned()),
        }
    );
    assert!(matches!(judge(&failure), Verdict::Later { .. }));
}

#[tokio::test]
async fn answers_that_are_none_of_the_api_are_unknown() {
    for (text, reached) in [
        // A proxy's page, and a redirect, which is not followed.
        (answer("502 Bad Gateway", &[], "<html>bad</html>"), Reached::Answered(502)),
        (answer("302 Found", &["location: http://127.0.0.1:1/"], ""), Reached::Answered(302)),
        // Success without what was asked for.
        (answer("200 OK", &[], "<html>login</html>"), Reached::Answered(200)),
        (ok(r#"{"RequestId":"R"}"#), Reached::Answered(200)),
        (ok(r#"{"RefreshTaskId":"","RequestId":"R"}"#), Reached::Answered(200)),
        // Closed after the request, within the head, within the body.
        (String::new(), Reached::Sent),
        ("HTTP/1.1 200 OK\r\ncontent-le".to_owned(), Reached::Sent),
        (ok(r#"{"RefreshTaskId":"1"}"#).replace("length: 21", "length: 99"), Reached::Sent),
    ] {
        let failure = refused(text.clone()).await;
        assert_eq!((failure.reached, &failure.code), (reached, &None), "{text}");
        assert_eq!(judge(&failure), Verdict::Unknown, "{text}");
        assert!(!failure.message.contains("ObjectPath"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_reset_after_the_request_is_unknown_and_not_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, connections) = channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            // Bytes left unread make the kernel answer the close with a reset.
            (&stream).read_exact(&mut [0; 16]).expect("the beginning");
            sender.send(()).expect("the test listens");
        }
    });
    let failure =
        refresh(&world(&endpoint.parse().expect("a URL")).await).await.expect_err("reset");
    assert_eq!(failure.reached, Reached::Sent);
    assert_eq!(judge(&failure), Verdict::Unknown);
    connections.recv().expect("one connection");
    assert!(connections.try_recv().is_err(), "the request was sent again");
}

#[tokio::test]
async fn no_answer_in_time_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let world = impatient_world(&endpoint, 200).await;
    // The kernel takes the connection and the request; nobody reads them.
    let failure = refresh(&world).await.expect_err("no answer");
    assert_eq!(failure.reached, Reached::Sent);
    assert!(failure.message.contains("timed out"), "{failure:?}");
}

#[tokio::test]
async fn a_refused_connection_reached_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let failure =
        refresh(&world(&endpoint.parse().expect("a URL")).await).await.expect_err("refused");
    assert_eq!(failure.reached, Reached::Nothing);
    assert!(failure.message.to_lowercase().contains("connection refused"), "{failure:?}");
    assert_eq!(judge(&failure), Verdict::Later { after: None, scope: Scope::Account });
}

#[tokio::test]
async fn tls_that_fails_reached_nothing() {
    // The server answers the handshake in plain text.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("https://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let failure =
        refresh(&world(&endpoint.parse().expect("a URL")).await).await.expect_err("no TLS");
    assert_eq!(failure.reached, Reached::Nothing, "{failure:?}");
}

#[tokio::test]
async fn a_handshake_without_answer_reached_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("https://{}", listener.local_addr().expect("an address"));
    let world = impatient_world(&endpoint, 400).await;
    let failure = refresh(&world).await.expect_err("no TLS");
    assert_eq!(failure.reached, Reached::Nothing, "{failure:?}");
}

#[tokio::test]
async fn a_query_too_long_is_split_before_anything_is_sent() {
    let world = world(&"http://127.0.0.1:1".parse().expect("a URL")).await;
    let long = format!("https://a.example/{}", "x".repeat(Limits::DOCUMENTED.query_bytes));
    let result = submit(&world, Action::Prefetch, urls(&[&long])).await;
    let failure = result.expect_err("too long");
    assert_eq!((failure.reached, judge(&failure)), (Reached::Nothing, Verdict::Smaller));
    assert_eq!(failure.code.as_deref(), Some(QUERY_TOO_LONG));
}

#[tokio::test]
async fn the_clock_learns_from_a_refused_date_and_the_next_call_uses_it() {
    let expired = r#"{"Code":"InvalidTimeStamp.Expired","RequestId":"R"}"#;
    let date = "date: Sun, 22 Nov 2026 05:05:06 GMT";
    let (endpoint, requests) = serve(vec![
        answer("502 Bad Gateway", &["date: Sun, 22 Nov 2026 09:00:00 GMT"], "<html></html>"),
        answer("400 Bad Request", &[date], expired),
        ok(r#"{"RefreshTaskId":"1","RequestId":"R"}"#),
    ]);
    let world = world(&endpoint).await;
    refresh(&world).await.expect_err("a proxy's page");
    assert_eq!(world.clock.offset(), 0);
    refresh(&world).await.expect_err("expired");
    // An hour, less the turn that the second call waited for.
    assert_eq!(world.clock.offset(), 3_600_000_000 - 1_000_000 / 50);
    refresh(&world).await.expect("accepted");
    let dates: Vec<_> = requests
        .iter()
        .map(|request| request.header("x-acs-date").expect("a date").to_owned())
        .collect();
    assert_eq!(dates[1..], ["2026-11-22T04:05:06Z", "2026-11-22T05:05:06Z"]);
}

#[tokio::test]
async fn a_rotated_key_is_used_after_renewal() {
    let (endpoint, requests) = serve(vec![ok(r#"{"RefreshTaskId":"1","RequestId":"R"}"#)]);
    let world = world(&endpoint).await;
    assert!(!world.client.renew(true).await.is_new, "the same key");
    fs::write(world.directory.path().join("id"), "LTAIother").expect("written");
    assert!(world.client.renew(false).await.is_new, "the file has changed");
    fs::remove_file(world.directory.path().join("secret")).expect("removed");
    let renewed = world.client.renew(true).await;
    assert!(!renewed.is_new && renewed.facts.trouble.contains("/secret`"), "{renewed:?}");
    refresh(&world).await.expect("the last good key is kept");
    let request = requests.recv().expect("a request");
    assert!(request.header("authorization").expect("signed").contains("Credential=LTAIother,"));
}
