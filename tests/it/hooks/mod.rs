//! The door of hooks from the outside: what it takes, what it refuses, and what it can bear.

mod crash;
mod crowd;
mod inbox;
mod mutated;
pub(crate) mod sender;
mod socket;

use std::io::{Read as _, Write as _};

use self::inbox::rows;
use self::sender::{Request, SECRET, configure, connect, door, exchange, read, write_secret};
use crate::metrics::get;
use crate::space::Space;
use crate::world::{World, wait_for};

const MAIN: &str = "refs/heads/main";

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_answered_once_it_is_written_down_and_again_by_its_number() {
    let world = World::new().await;
    configure(&world, "", "");
    let _daemon = world.start();
    let door = door(&world, 1);
    let first = Request::push("one", MAIN).send(door);
    assert_eq!(first.status, 202, "{first:?}");
    let row = rows(&world)["one"].clone();
    assert_eq!(first.json(), serde_json::json!({ "delivery": row.id }));
    assert_eq!((row.source.as_str(), row.pushes), ("127.0.0.1", vec![format!("www {MAIN}")]));
    let again = Request::push("one", MAIN).send(door);
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.json(), serde_json::json!({ "delivery": row.id, "repeated": true }));
    let ping = Request::signed(SECRET, "two", "ping", b"{\"zen\":\"calm\"}".to_vec()).send(door);
    assert_eq!(ping.status, 202, "{ping:?}");
    let tag = Request::push("three", "refs/tags/v1").send(door);
    assert_eq!(tag.status, 202, "{tag:?}");
    let rows = rows(&world);
    assert_eq!((rows.len(), rows["one"].repeats), (3, 1));
    assert_eq!(rows["two"].why, "`ping` tells of no push");
    assert_eq!(rows["three"].why, "refs/tags/v1 is served by no origin of this hook");
    assert!(rows["two"].has_fate && rows["three"].has_fate && rows["three"].pushes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_status_and_its_reason_is_in_the_log_alone() {
    let world = World::new().await;
    write_secret(&world, "empty", "");
    let more = format!(
        "[hook.far]\nprovider = \"github\"\nsecret_files = [\"{secret}\"]\nsources = [\"192.0.2.0/24\"]\n\
         [hook.mute]\nprovider = \"github\"\nsecret_files = [\"{empty}\"]\n",
        secret = world.path("hook_forge").display(),
        empty = world.path("empty").display()
    );
    configure(&world, "body_bytes = 2000", &more);
    let _daemon = world.start();
    let door = door(&world, 1);
    let good = || Request::push("x", MAIN);
    let bulky = || Request::signed(SECRET, "x", "push", vec![b' '; 2_001]);
    let mut chunked = good().with("Transfer-Encoding", "chunked").head();
    let text = String::from_utf8(chunked).expect("text");
    let without_length = text.lines().filter(|line| !line.starts_with("Content-Length"));
    chunked = without_length.fold(String::new(), |head, line| head + line + "\r\n").into_bytes();
    chunked.extend_from_slice(&[b"900\r\n".as_slice(), &[b' '; 0x900], b"\r\n0\r\n\r\n"].concat());
    let said = |line: &str| format!("{line} HTTP/1.1\r\nHost: a.example\r\n\r\n").into_bytes();
    // Of those that are refused before their bodies are read only the head is sent.
    let wrong = Request::signed("another secret", "x", "push", b"{}".to_vec());
    let broken = Request::signed(SECRET, "x", "push", b"{\"ref\":".to_vec());
    let cases = [
        (404, "there is no such hook", good().to("nowhere").head()),
        (404, "", said("POST /")),
        (404, "", said("GET /hooks/")),
        (405, "deliveries are posted", said("GET /hooks/forge")),
        (415, "its body is compressed", good().with("Content-Encoding", "gzip").head()),
        (413, "its body has more than 2000 bytes", bulky().head()),
        (413, "", bulky().bytes()),
        (413, "the body is too long", chunked),
        (401, "there is no `x-hub-signature-256`", good().without("X-Hub-Signature-256").head()),
        (401, "fits none of the hook's secrets", wrong.bytes()),
        (400, "the payload is not what such a sender sends", broken.bytes()),
        (403, "it comes from none of the hook's `sources`", good().to("far").head()),
        (503, "no file of the hook holds a secret", good().to("mute").head()),
    ];
    for (status, why, request) in cases {
        let answer = exchange(door, &request).expect("an answer");
        assert_eq!(answer.status, status, "{why}: {answer:?}");
        let words = answer.head.lines().next().expect("a line").splitn(3, ' ').nth(2);
        assert_eq!(answer.body.trim_end(), words.expect("a reason"), "nothing but the status");
        assert_eq!(answer.header("allow"), (status == 405).then_some("POST"), "{answer:?}");
        assert_eq!(answer.header("retry-after"), (status == 503).then_some("30"), "{answer:?}");
        assert!(world.log().contains(why), "{why}: {}", world.log());
    }
    let log = world.log();
    assert!(!log.contains(SECRET) && log.contains("empty` can't be used"), "{log}");
    assert_eq!(log.matches("there is no such hook").count(), 1, "a line in ten seconds: {log}");
    assert_eq!(good().send(door).status, 202, "and what is good is taken");
    assert_eq!(rows(&world).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_first_is_told_to_go_on_and_who_is_kept_may_ask_again() {
    let world = World::new().await;
    configure(&world, "", "");
    let _daemon = world.start();
    let mut stream = connect(door(&world, 1)).expect("a connection");
    let asking = Request::push("one", MAIN).with("Expect", "100-continue");
    stream.write_all(&asking.head()).expect("sent");
    assert_eq!(read(&mut stream).expect("an answer").status, 100);
    stream.write_all(&asking.body).expect("sent");
    assert_eq!(read(&mut stream).expect("an answer").status, 202);
    // The body of what is refused is read and thrown away, so that the next request is heard.
    let refused = Request::signed("another", "two", "push", vec![b'x'; 200_000]);
    stream.write_all(&refused.without("X-Hub-Signature-256").bytes()).expect("sent");
    assert_eq!(read(&mut stream).expect("an answer").status, 401);
    stream.write_all(&Request::push("three", MAIN).bytes()).expect("sent");
    assert_eq!(read(&mut stream).expect("an answer").status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_hold_at_once_and_one_that_is_changed_holds_without_a_restart() {
    let world = World::new().await;
    write_secret(&world, "new", "the next canary\n");
    let text = format!(
        "[hooks]\nlisten = \"127.0.0.1:0\"\n[hook.forge]\nprovider = \"github\"\n\
         secret_files = [\"{old}\", \"{new}\"]\n",
        old = world.path("old").display(),
        new = world.path("new").display()
    );
    write_secret(&world, "old", SECRET);
    world.configure("", &text);
    let _daemon = world.start();
    let door = door(&world, 1);
    let send =
        |secret: &str| Request::signed(secret, "x", "ping", b"{}".to_vec()).send(door).status;
    assert_eq!(send(SECRET), 202);
    assert_eq!(send("the next canary"), 200, "the same delivery");
    std::fs::remove_file(world.path("old")).expect("removed");
    wait_for("the end of the old one", || (send(SECRET) == 401).then_some(())).expect("refused");
    assert_eq!(send("the next canary"), 200, "the other one holds");
    let log = world.log();
    assert!(log.contains("old` can't be used"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains("the next canary"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_says_for_whom_it_asks() {
    let world = World::new().await;
    let sources = "sources = [\"198.51.100.0/24\"]";
    let asks = |id: &str, source: &str| Request::push(id, MAIN).with("X-Forwarded-For", source);
    configure(&world, "", sources);
    let daemon = world.start();
    assert_eq!(asks("one", "198.51.100.7").send(door(&world, 1)).status, 403, "anybody may say so");
    assert_eq!(daemon.terminate(), Some(0));
    configure(&world, "trusted_proxies = [\"127.0.0.1\"]", sources);
    let _daemon = world.start();
    let door = door(&world, 2);
    assert_eq!(asks("two", "198.51.100.7, 203.0.113.9").send(door).status, 403);
    assert_eq!(asks("three", "203.0.113.9, 198.51.100.7").send(door).status, 202);
    assert_eq!(rows(&world)["three"].source, "198.51.100.7");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_disk_cannot_take_is_to_come_again() {
    let world = World::new().await;
    let space = Space::new();
    configure(&world, "", "");
    let full = "mkdir state; mount -t tmpfs -o size=16m,mode=700 state state";
    space.run(&world.path(""), full);
    let _daemon = world.start_under(&space.enter());
    let door = door(&world, 1);
    assert_eq!(Request::push("one", MAIN).send(door).status, 202);
    space.run(&world.path("state"), "cat /dev/zero >fill || true");
    // As long as the write-ahead log has room within the file, it takes what comes.
    let body = format!("{{\"zen\":\"{}\"}}", "x".repeat(100_000));
    let mut taken = vec!["one".to_owned()];
    let refused = wait_for("a full disk", || {
        let id = format!("big{}", taken.len());
        let answer = Request::signed(SECRET, &id, "ping", body.clone().into_bytes()).send(door);
        if answer.status == 202 {
            taken.push(id);
            return None;
        }
        Some((id, answer))
    });
    let (id, answer) = refused.expect("it is full");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("30")), "{answer:?}");
    assert!(world.log().contains("free some space"), "{}", world.log());
    let socket = space.inside(&world.path("state/control.sock"));
    let told = |path| get(&socket, path, "*/*").expect("an answer");
    let unready =
        wait_for("readiness to be over", || Some(told("/readyz")).filter(|told| told.0 == 503));
    assert!(unready.expect("it is over").1.contains("free some space"));
    assert_eq!(told("/livez").0, 200, "a new start makes no room");
    std::fs::remove_file(space.inside(&world.path("state/fill"))).expect("removed");
    let again = Request::signed(SECRET, &id, "ping", body.into_bytes()).send(door);
    assert_eq!(again.status, 202, "{again:?}");
    let ready = wait_for("readiness", || (told("/readyz").0 == 200).then_some(()));
    assert!(ready.is_some(), "{:?}", told("/readyz"));
    for id in taken {
        let ping = Request::signed(SECRET, &id, "ping", b"{}".to_vec()).send(door);
        assert_eq!(ping.status, 200, "{id} is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_answered_when_the_daemon_stops() {
    let world = World::new().await;
    configure(&world, "", "");
    let daemon = world.start();
    let door = door(&world, 1);
    let request = Request::push("late", MAIN).with("Expect", "100-continue");
    let mut stream = connect(door).expect("a connection");
    stream.write_all(&request.head()).expect("sent");
    assert_eq!(read(&mut stream).expect("it is being read").status, 100);
    let ended = std::thread::spawn(move || daemon.terminate());
    wait_for("the closed door", || connect(door).is_err().then_some(())).expect("it closes");
    stream.write_all(&request.body).expect("sent");
    assert_eq!(read(&mut stream).expect("an answer").status, 202);
    assert_eq!(stream.read(&mut [0]).expect("its end"), 0, "and no more");
    assert_eq!(ended.join().expect("it ends"), Some(0));
    assert!(rows(&world).contains_key("late"));
}
