//! Signed calls of the CDN's API over a kept connection, beside unsigned ones by bare hyper and by
//! plain reqwest.
//!
//! `cargo bench --bench call` makes each call 5,000 times a round (`CALLS` changes that) against a
//! server of a few lines in a process of its own, and prints medians. Only the client's CPU counts:
//! system and user, of one thread. Rates don't hold calls up here: the clock is a manual one. The
//! goal: at most twice what bare hyper takes.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use refreshd::cdn::{Cdn, Client, ClientConfig, Keyring, Submission, Surroundings};
use refreshd::clock::{Clock, ManualClock, SystemClock};
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::credentials::{KeyFiles, KeySource, Place};
use refreshd::domain::intent::Action;
use refreshd::domain::prefetch::PrefetchOptions;
use refreshd::domain::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 7;
const QUOTA: &str = r#"{"UrlQuota":"10000","UrlRemain":"9000","RequestId":"R"}"#;
const ACCEPTED: &str = r#"{"RefreshTaskId":"704222904","RequestId":"R"}"#;

fn main() {
    if std::env::args().any(|argument| argument == "serve") {
        return serve();
    }
    let (mut server, endpoint) = start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure(&endpoint));
    server.kill().expect("killed");
    server.wait().expect("ended");
}

/// The client's CPU and wall time.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

async fn measure(endpoint: &str) {
    let calls = std::env::var("CALLS").map_or(5_000, |text| text.parse().expect("a number"));
    let (place, client) = client(endpoint).await;
    let targets: Vec<Target> = (0..100)
        .map(|page| {
            Target::new(Kind::Url, format!("https://www.example.com/news/2026/{page}.html"))
        })
        .collect();
    let submission = Submission {
        action: Action::Refresh,
        kind: Kind::Url,
        force: false,
        targets,
        prefetch: PrefetchOptions::default(),
    };
    // What our form of these targets comes to, in bytes.
    let form = Bytes::from(vec![b'a'; 6_000]);
    let mut hyper = connect(endpoint).await;
    let plain = refreshd::http::local_client().build().expect("a client");
    let names = ["bare hyper", "reqwest", "refreshd"];
    for (what, body) in [("quota", Bytes::new()), ("submit of 100 URLs", form)] {
        let mut costs = [const { Vec::new() }; 3];
        // The first round warms up.
        for round in 0..=ROUNDS {
            let mut taken = Vec::new();
            let begun = now();
            for _ in 0..calls {
                bare(&mut hyper, endpoint, &body).await;
            }
            taken.push(since(begun));
            let begun = now();
            for _ in 0..calls {
                let request = plain.post(endpoint).body(body.clone());
                request.send().await.expect("an answer").bytes().await.expect("a body");
            }
            taken.push(since(begun));
            let begun = now();
            for _ in 0..calls {
                if body.is_empty() {
                    client.quota().await.expect("a quota");
                } else {
                    client.submit(&submission).await.expect("accepted");
                }
            }
            taken.push(since(begun));
            if round > 0 {
                costs.iter_mut().zip(taken).for_each(|(costs, cost)| costs.push(cost));
            }
        }
        println!("{what}: medians of {ROUNDS} rounds of {calls} calls");
        let floor = micros(&costs[0], calls, |cost| cost.cpu);
        for (name, costs) in names.iter().zip(&costs) {
            let (cpu, wall) =
                (micros(costs, calls, |cost| cost.cpu), micros(costs, calls, |cost| cost.wall));
            let (ratio, rate) = (cpu / floor, 1e6 / cpu);
            println!(
                "  {name:10} {cpu:6.1} µs CPU (ratio {ratio:.2}), {rate:6.0} calls a second of one \
                 core, {wall:6.1} µs wall"
            );
        }
    }
    drop(place);
}

fn micros(costs: &[Cost], calls: u32, which: impl Fn(&Cost) -> Duration) -> f64 {
    let mut times: Vec<_> = costs.iter().map(which).collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6 / f64::from(calls)
}

fn now() -> Cost {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).expect("nanoseconds");
    Cost {
        cpu: Duration::new(time.tv_sec.unsigned_abs(), nanos),
        wall: SystemClock::default().boot(),
    }
}

fn since(begun: Cost) -> Cost {
    let now = now();
    Cost { cpu: now.cpu.saturating_sub(begun.cpu), wall: now.wall.saturating_sub(begun.wall) }
}

async fn client(endpoint: &str) -> (tempfile::TempDir, Client) {
    let place = tempfile::tempdir().expect("a directory for the key");
    let file = |name: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, "fake").expect("written");
        path
    };
    let files = KeyFiles { key_id: file("id"), secret: file("secret"), security_token: None };
    let config = ClientConfig::new(endpoint.parse().expect("a URL"));
    let clock = ManualClock::new(Timestamp::parse("2026-11-23T04:05:06Z").expect("valid"), 1);
    let source = KeySource::at(Place::Files(files));
    let keyring = Keyring::new(source, Surroundings::default(), clock.clone());
    let client = Client::new(&config, keyring, clock).expect("a client");
    client.begin().await.1.expect("a key");
    (place, client)
}

async fn connect(endpoint: &str) -> SendRequest<Full<Bytes>> {
    let address = endpoint.strip_prefix("http://").expect("http");
    let stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("shaken");
    #[expect(clippy::disallowed_methods, reason = "a bench is not the daemon")]
    tokio::spawn(connection);
    sender
}

async fn bare(sender: &mut SendRequest<Full<Bytes>>, endpoint: &str, body: &Bytes) {
    let request = hyper::Request::post("/")
        .header("host", endpoint.strip_prefix("http://").expect("http"))
        .body(Full::new(body.clone()))
        .expect("a request");
    sender.ready().await.expect("ready");
    let answer = sender.send_request(request).await.expect("an answer");
    answer.into_body().collect().await.expect("a body");
}

/// Starts the server, which ends when it is killed.
fn start() -> (Child, String) {
    let itself = std::env::current_exe().expect("a path");
    let mut server = Command::new(itself);
    let mut server = server.arg("serve").stdout(Stdio::piped()).spawn().expect("started");
    let mut said = BufReader::<ChildStdout>::new(server.stdout.take().expect("piped"));
    let mut endpoint = String::new();
    said.read_line(&mut endpoint).expect("where it listens");
    (server, endpoint.trim().to_owned())
}

fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    for stream in listener.incoming() {
        std::thread::spawn(|| answer(stream.expect("a connection")));
    }
}

/// Answers what comes on a connection, until it is closed.
fn answer(stream: TcpStream) {
    stream.set_nodelay(true).expect("set");
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().expect("a handle"));
    let mut writer = stream;
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(1..) => {}
                _ => return,
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a number");
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).expect("a body");
        let reply = if length == 0 { QUOTA } else { ACCEPTED };
        let bytes = reply.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{reply}");
        writer.write_all(head.as_bytes()).expect("written");
    }
}
