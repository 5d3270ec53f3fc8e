//! Alarms that are posted: what real receivers on the loopback address get, and how often.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::hooks::sender::{hmac, write_secret};
use crate::world::{PATIENCE, World, wait_for};

/// What a receiver got: the request's line and headers, and its body.
#[derive(Debug)]
struct Got {
    head: String,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name}: {self:?}")).1
    }
}

/// Answers posts with these answers, one after the other, then with the last.
fn receiver(answers: &'static [&'static str]) -> (String, Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url =
        format!("http://{}/robot/send?access_token=canary", listener.local_addr().expect("it"));
    let (send, got) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(stream.expect("a connection"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).expect("a line") == 0 {
                    break;
                }
            }
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse().expect("a length"))
            });
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).expect("a body");
            let answer = answers.get(number).or(answers.last()).expect("an answer");
            let mut stream = reader.into_inner();
            let _ = stream.write_all(answer.as_bytes());
            let body = String::from_utf8(body).expect("text");
            if send.send(Got { head, body }).is_err() {
                return;
            }
        }
    });
    (url, got)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 36\r\nConnection: close\r\n\r\n{\"errcode\":0,\"code\":0,\"errmsg\":\"ok\"}";
const REFUSED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 34\r\nConnection: close\r\n\r\n{\"errcode\":310000,\"errmsg\":\"keys\"}";
const ELSEWHERE: &str =
    "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn configure(world: &World, receivers: &[(&str, &str, &str)]) {
    let mut text = String::new();
    for (name, kind, url) in receivers {
        write_secret(world, &format!("{name}_url"), url);
        write_secret(world, &format!("{name}_secret"), "SECcanary");
        let file = |what: &str| world.path(&format!("{name}_{what}")).display().to_string();
        let _ = write!(
            text,
            "[notice.{name}]\nkind = \"{kind}\"\nurl_file = \"{}\"\nsecret_file = \"{}\"\n\
             alarms = [\"origin.unavailable\"]\n",
            file("url"),
            file("secret")
        );
    }
    world.configure("", &text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_posted_once_signed_and_so_is_its_end() {
    let world = World::new().await;
    let (generic, generic_got) = receiver(&[ELSEWHERE, OK]);
    let (dingtalk, dingtalk_got) = receiver(&[REFUSED, OK]);
    let (feishu, feishu_got) = receiver(&[OK]);
    let all = [
        ("plain", "generic", generic.as_str()),
        ("ding", "dingtalk", &dingtalk),
        ("fei", "feishu", &feishu),
    ];
    configure(&world, &all);
    let daemon = world.start();
    world.wait_ready();
    std::fs::rename(world.root(), world.path("elsewhere")).expect("renamed");
    // What is refused comes again, and no redirect is followed.
    let first = generic_got.recv_timeout(PATIENCE).expect("a post");
    let again = generic_got.recv_timeout(PATIENCE).expect("another");
    assert!(again.head.starts_with("POST /robot/send?access_token=canary "), "{again:?}");
    assert_eq!(first.header("webhook-id"), again.header("webhook-id"));
    let parts = [again.header("webhook-id"), again.header("webhook-timestamp"), &again.body];
    let signed = STANDARD.encode(hmac(b"SECcanary", &[parts.join(".").as_bytes()]));
    assert_eq!(again.header("webhook-signature"), format!("v1,{signed}"));
    let body: Value = serde_json::from_str(&again.body).expect("JSON");
    assert_eq!(
        (&body["type"], &body["data"]["severity"]),
        (&"alarm.raised".into(), &"error".into())
    );
    assert_eq!(body["data"]["alarm"], "origin.unavailable/www");

    let refused = dingtalk_got.recv_timeout(PATIENCE).expect("a post");
    let again = dingtalk_got.recv_timeout(PATIENCE).expect("another");
    for got in [refused, again] {
        let line = got.head.lines().next().expect("a line").to_owned();
        let url = line.split(' ').nth(1).expect("a path");
        let url = url::Url::parse(&format!("http://localhost{url}")).expect("a URL");
        let value = |name: &str| {
            let found = url.query_pairs().find(|(key, _)| key == name);
            found.expect("it is signed").1.into_owned()
        };
        let text = format!("{}\nSECcanary", value("timestamp"));
        assert_eq!(value("sign"), STANDARD.encode(hmac(b"SECcanary", &[text.as_bytes()])));
        let body: Value = serde_json::from_str(&got.body).expect("JSON");
        assert_eq!(body["msgtype"], "markdown");
    }

    let got = feishu_got.recv_timeout(PATIENCE).expect("a post");
    let body: Value = serde_json::from_str(&got.body).expect("JSON");
    let key = format!("{}\nSECcanary", body["timestamp"].as_str().expect("text"));
    assert_eq!(body["sign"], STANDARD.encode(hmac(key.as_bytes(), &[])));

    // A restart forgets nothing, and raising it again within the hour tells nothing anew.
    assert_eq!(daemon.terminate(), Some(0));
    let _daemon = world.start();
    wait_for("the daemon", || world.status()).expect("it answers");
    std::fs::rename(world.path("elsewhere"), world.root()).expect("renamed");
    let end = feishu_got.recv_timeout(PATIENCE).expect("the end");
    let body: Value = serde_json::from_str(&end.body).expect("JSON");
    let text = body["content"]["text"].as_str().expect("text");
    assert!(text.contains("origin.unavailable/www is over"), "{text}");
    let log = world.log();
    assert!(!log.contains("canary"), "no URL and no secret is told: {log}");
    assert!(!world.status().expect("a status").to_string().contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_who_is_told() {
    let world = World::new().await;
    let (before, before_got) = receiver(&[OK]);
    let (after, after_got) = receiver(&[OK]);
    configure(&world, &[("before", "generic", before.as_str())]);
    let _daemon = world.start();
    world.wait_ready();
    configure(&world, &[("after", "slack", after.as_str())]);
    let output = world.command(&["reload", "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::rename(world.root(), world.path("elsewhere")).expect("renamed");
    let got = after_got.recv_timeout(PATIENCE).expect("a post");
    assert!(got.body.contains("origin.unavailable/www"), "{got:?}");
    assert!(before_got.try_recv().is_err(), "who is configured no more is told nothing");
    let status = world.status().expect("a status").to_string();
    assert!(!status.contains("\"before\""), "{status}");
}
