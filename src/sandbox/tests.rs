use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cdn::sign::{Signable, canonical_query, hex_sha256};
use crate::clock::{ManualClock, SystemClock};
use crate::domain::time::Timestamp;

use super::*;

/// A running sandbox before an origin that answers every path with its own name.
struct World {
    running: Running,
    clock: Arc<ManualClock>,
    _origin: JoinSet<()>,
}

async fn port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

impl World {
    async fn new() -> Self {
        let listener = port().await;
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(async |request: Request| request.uri().to_string());
        let mut origin = JoinSet::new();
        origin.spawn(async move { axum::serve(listener, router).await.expect("a server") });
        let start = Timestamp::parse("2026-11-22T12:00:00Z").expect("valid");
        let clock = ManualClock::new(start, 7);
        let options = Options::new(base);
        let running = Sandbox::start(options, port().await, port().await, clock.clone());
        Self { running: running.expect("a sandbox"), clock, _origin: origin }
    }

    /// Sends one signed call, dated by the test's clock, and reads the connection to its end.
    async fn raw(&self, action: &str, pairs: &[(&str, &str)]) -> io::Result<String> {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let query = canonical_query(&pairs);
        let headers = [
            ("host", "sandbox".to_owned()),
            ("x-acs-action", action.to_owned()),
            ("x-acs-content-sha256", hex_sha256(b"")),
            ("x-acs-date", self.clock.now().to_api()),
            ("x-acs-signature-nonce", self.clock.random().to_string()),
            ("x-acs-version", "2018-05-10".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let authorization = Signable {
            method: "POST",
            query: &query,
            headers: &headers,
            payload_sha256: &hex_sha256(b""),
        }
        .authorization(&self.running.access_key_id, &self.running.access_key_secret);
        let mut text = format!("POST /?{query} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "authorization: {authorization}\r\n\r\n");
        exchange(self.running.api, &text).await
    }

    async fn call(&self, action: &str, pairs: &[(&str, &str)]) -> (u16, Value) {
        parse(&self.raw(action, pairs).await.expect("an answer"))
    }

    async fn refresh(&self, kind: &str, path: &str) -> String {
        let pairs = [("ObjectPath", path), ("ObjectType", kind)];
        let (status, body) = self.call("RefreshObjectCaches", &pairs).await;
        assert_eq!(status, 200, "{body}");
        body["RefreshTaskId"].as_str().expect("an id").to_owned()
    }

    async fn status(&self, id: &str) -> Value {
        let (_, body) = self.call("DescribeRefreshTaskById", &[("TaskId", id)]).await;
        body["Tasks"][0]["Status"].clone()
    }

    async fn door(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let text = format!(
            "{method} /sandbox/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        parse(&exchange(self.running.api, &text).await.expect("an answer"))
    }

    /// Returns the edge's word on a path.
    async fn cache(&self, path: &str) -> String {
        let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = exchange(self.running.edge, &text).await.expect("an answer");
        let line = answer.lines().find_map(|line| line.strip_prefix("x-cache: "));
        line.expect("x-cache").to_owned()
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

async fn exchange(address: SocketAddr, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn parse(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn the_edge_changes_when_the_task_completes() {
    let world = World::new().await;
    assert_eq!(world.cache("/x").await, "MISS");
    assert_eq!(world.cache("/x").await, "HIT");
    let id = world.refresh("File", "https://www.example.com/x").await;
    world.pass(299);
    assert_eq!(world.status(&id).await, "Refreshing");
    assert_eq!(world.cache("/x").await, "HIT", "the real lag");
    world.pass(1);
    // Nobody polled, and the visitor sees it all the same.
    assert_eq!(world.cache("/x").await, "MISS");
    assert_eq!(world.status(&id).await, "Complete");
    let pairs = [("ObjectPath", "https://www.example.com/y")];
    let (_, body) = world.call("PushObjectCache", &pairs).await;
    let id = body["PushTaskId"].as_str().expect("an id");
    world.pass(30);
    world.running.control().settle().await;
    assert_eq!(world.status(id).await, "Complete");
    assert_eq!(world.cache("/y").await, "HIT", "at the first request");
    let effective = world.running.control().effective();
    assert_eq!(effective.len(), 2, "{effective:?}");
    assert_eq!(effective[1], (id.to_owned(), "https://www.example.com/y".to_owned()));
    world.running.stop().await;
}

#[tokio::test]
async fn scripted_answers_go_wrong_as_told() {
    let world = World::new().await;
    let control = world.running.control();
    let action = "RefreshObjectCaches";
    let pairs = [("ObjectPath", "a.example/x")];
    let accepted = || control.log().accepted.len();

    control.fault(Fault::error(action, 2, 503, "Throttling"));
    for _ in 0..2 {
        let (status, body) = world.call(action, &pairs).await;
        assert_eq!((status, &body["Code"]), (503, &json!("Throttling")));
    }
    assert_eq!(control.log().rejected["Throttling"], 2);
    control.fault(Fault::call(action, 1, false, Reply::Html { status: 502 }));
    // Another operation doesn't meet it.
    assert_eq!(world.call("DescribeRefreshQuota", &[]).await.0, 200);
    assert!(world.raw(action, &pairs).await.expect("a page").contains("<html>"));
    let code = "ServiceUnavailable".to_owned();
    control.fault(Fault::call(action, 1, false, Reply::Xml { status: 503, code }));
    let answer = world.raw(action, &pairs).await.expect("an answer");
    assert!(
        answer.contains("text/xml;charset=utf-8") && answer.contains("<Code>ServiceUnavailable")
    );
    control.fault(Fault::call(action, 1, false, Reply::Reset));
    let reset = world.raw(action, &pairs).await.expect_err("no answer");
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(accepted(), 0, "none of these was carried out");

    control.fault(Fault::call(action, 1, true, Reply::Reset));
    world.raw(action, &pairs).await.expect_err("no answer");
    assert_eq!(accepted(), 1);
    control.fault(Fault::call(action, 1, true, Reply::Truncated));
    let answer = world.raw(action, &pairs).await.expect("half an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    assert!(head.contains("200 OK") && body.starts_with('{') && !body.ends_with('}'), "{answer}");
    assert_eq!(accepted(), 2);
    control.fault(Fault::call(action, 1, true, Reply::Delay { millis: 1 }));
    assert_eq!(world.call(action, &pairs).await.0, 200);
    let shape = Shape { swap_numbers: true, ..Shape::default() };
    control.fault(Fault::call(action, 1, true, Reply::Shape(shape)));
    let (status, body) = world.call(action, &pairs).await;
    assert!(status == 200 && body["RefreshTaskId"].is_number(), "{body}");

    control.fault(Fault::call(action, 1, true, Reply::Silent));
    let silent = world.raw(action, &pairs);
    // It says nothing until the sandbox stops; the work was done before.
    let stop = async {
        while accepted() < 5 {
            tokio::task::yield_now().await;
        }
        world.running.control.shared.stop.cancel();
    };
    let (answer, ()) = tokio::join!(silent, stop);
    answer.expect_err("no answer");
}

#[tokio::test]
async fn the_door_takes_faults_and_quota_and_tells_the_log() {
    let world = World::new().await;
    let faults = json!([
        {"action": "DescribeRefreshQuota", "reply": {"error": {"status": 429, "code": "TooManyRequests", "retry_after": 1500}},
         "headers": {"x-ratelimit-user-api": "Limit:5,TimeLeft:9000"}},
        {"target": "a.example/x", "ending": {"failed": {"description": "Internal Error"}}},
        {"target": "a.example/y", "times": 2, "ending": "no_row"},
        {"times": 1, "work": true, "reply": "reset"},
        {"action": "X", "for_seconds": 60, "reply": {"shape": {"shuffle": true}}},
        {"for_seconds": 60, "ending": "lagging"},
    ]);
    assert_eq!(world.door("POST", "faults", &faults).await.0, 204);
    let answer = world.raw("DescribeRefreshQuota", &[]).await.expect("an answer");
    assert!(
        answer.contains("x-acs-retry-after: 1500")
            && answer.contains("x-ratelimit-user-api: Limit:5,TimeLeft:9000")
            && answer.contains("date: Sun, 22 Nov 2026 12:00:00 GMT"),
        "{answer}"
    );
    world.raw("DescribeRefreshQuota", &[]).await.expect_err("a reset");
    let one = json!({"action": "X", "reply": "silent"});
    assert_eq!(world.door("POST", "faults", &one).await.0, 204);
    assert_eq!(world.door("POST", "faults", &json!({"reply": "odd"})).await.0, 422);
    let id = world.refresh("File", "a.example/x").await;
    assert_eq!(world.door("DELETE", "faults", &json!(null)).await.0, 204);
    world.pass(300);
    assert_eq!(world.status(&id).await, "Failed");
    assert_eq!(world.door("POST", "quota", &json!({"url": 0})).await.0, 204);
    let (_, body) = world.call("RefreshObjectCaches", &[("ObjectPath", "a.example/z")]).await;
    assert_eq!(body["Code"], "QuotaExceeded.Refresh");
    let (_, log) = world.door("GET", "log", &json!(null)).await;
    assert_eq!(log["accepted"][0]["targets"], json!(["a.example/x"]));
    assert_eq!(log["accepted"][0]["task_ids"], json!([id]));
    assert_eq!(log["accepted"][0]["kind"], "url");
    assert_eq!(log["accepted"][0]["time_micros"], 1_795_348_800_000_000_i64);
    assert_eq!(log["rejected"]["QuotaExceeded.Refresh"], 1);
    assert_eq!(log["calls"]["DescribeRefreshQuota"], 2, "faulty ones count");
    let other =
        exchange(world.running.api, "GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(parse(&other.await.expect("an answer")).1["Code"], "InvalidApi.NotFound");
}

#[tokio::test]
async fn a_timer_ripens_tasks_that_nobody_asks_for() {
    let (asked, mut fetched) = tokio::sync::mpsc::channel(1);
    let listener = port().await;
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(async move |request: Request| {
        asked.send(request.uri().to_string()).await.expect("a receiver");
        "prefetched"
    });
    let mut origin = JoinSet::new();
    origin.spawn(async move { axum::serve(listener, router).await.expect("a server") });
    let clock = SystemClock::shared();
    let options = Options { time_scale: 3_000, ..Options::new(base) };
    let running = Sandbox::start(options, port().await, port().await, clock);
    let running = running.expect("a sandbox");
    let world = World {
        // The manual clock only signs.
        clock: ManualClock::new(running.control.shared.clock.now(), 7),
        running,
        _origin: origin,
    };
    let pairs = [("ObjectPath", "https://www.example.com/x?y")];
    assert_eq!(world.call("PushObjectCache", &pairs).await.0, 200);
    assert_eq!(fetched.recv().await.as_deref(), Some("/x?y"));
    world.running.control().settle().await;
    assert_eq!(world.cache("/x?y").await, "HIT");
}
