//! The page's listener, asked as browsers, programs and strangers ask.

mod browser;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::hooks::sender::{Answer, connect, exchange, read, write_secret};
use crate::world::{World, wait_for};

const TOKEN: &str = "canary-of-the-page-0123456789abcdef";

/// Configures the page with the token of `alice`; `web` is more of its section, `origin` of the origin.
fn configure(world: &World, web: &str, origin: &str) {
    write_secret(world, "alice", TOKEN);
    let file = world.path("alice");
    let text = format!(
        "{origin}\n[web]\nlisten = \"127.0.0.1:0\"\ntoken_files = [\"{}\"]\n{web}",
        file.display()
    );
    world.configure("", &text);
}

/// Returns where the daemon serves the page.
fn door(world: &World) -> SocketAddr {
    const SAID: &str = "the page is served at http://";
    let said = || {
        let log = world.log();
        log.split(SAID).nth(1)?.split('/').next()?.parse().ok()
    };
    wait_for("the page's door", said).unwrap_or_else(|| panic!("no door: {}", world.log()))
}

/// Asks under the name `localhost`; `more` are further lines of the head.
fn ask(door: SocketAddr, line: &str, more: &str) -> Answer {
    ask_for("localhost", door, line, more, "")
}

fn ask_for(host: &str, door: SocketAddr, line: &str, more: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{more}\r\n{body}"
    );
    exchange(door, request.as_bytes()).unwrap_or_else(|error| panic!("no answer: {error}"))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Begins to listen to events and reads the first.
fn listen(door: SocketAddr) -> TcpStream {
    let mut stream = connect(door).expect("a connection");
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let answer = read(&mut stream).expect("a head");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    let mut first = Vec::new();
    while !String::from_utf8_lossy(&first).contains("event: status") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an event");
        first.extend(byte);
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_browsers_to_ourselves_and_foreign_names_get_none() {
    let world = World::new().await;
    configure(&world, "hosts = [\"cdn.example.com\"]", "");
    let _daemon = world.start();
    let door = door(&world);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/words.js", "text/javascript; charset=utf-8"),
        ("/api/v1/status", "application/json"),
    ] {
        let answer = ask(door, &format!("GET {path}"), "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let is_ours = !path.starts_with("/api");
        let cached = if is_ours { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), Some(cached), "{path}");
        assert_eq!(answer.header("etag").is_some(), is_ours);
        if let Some(tag) = answer.header("etag") {
            let again = ask(door, &format!("GET {path}"), &format!("If-None-Match: {tag}\r\n"));
            assert_eq!((again.status, again.body.as_str()), (304, ""));
        }
    }
    assert_eq!(ask_for("cdn.example.com", door, "GET /", "", "").status, 200);
    assert_eq!(ask_for(&door.to_string(), door, "GET /", "", "").status, 200);
    for path in ["/", "/api/v1/status"] {
        let answer = ask_for("evil.example", door, &format!("GET {path}"), "", "");
        assert_eq!(answer.status, 421, "{path}");
        assert!(!answer.body.contains("state_dir") && answer.body.contains("hosts"), "{answer:?}");
    }
    assert_eq!(ask(door, "GET /nothing", "").status, 404);
    let long =
        ask_for("localhost", door, "POST /api/v1/pause", &bearer(TOKEN), &" ".repeat(65_537));
    assert_eq!(long.status, 413, "{long:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_token_changes_nothing_and_where_asked_for_reads_nothing() {
    let world = World::new().await;
    configure(&world, "", "");
    let daemon = world.start();
    let door = self::door(&world);
    let pause = |more: &str| {
        let body = r#"{"origin":"www"}"#;
        ask_for("localhost", door, "POST /api/v1/pause", more, body)
    };
    let refused = pause("");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    for wrong in [bearer("x"), bearer(&TOKEN[1..]), "Authorization: Basic eDp5\r\n".to_owned()] {
        assert_eq!(pause(&wrong).status, 403, "{wrong}");
        assert_eq!(ask(door, "GET /api/v1/status", &wrong).status, 403, "its bearer hears of it");
    }
    assert!(world.status().expect("a status")["paused"].as_array().is_some_and(Vec::is_empty));
    let granted = pause(&bearer(TOKEN));
    assert_eq!(granted.status, 200, "{granted:?}");
    let status = world.wait_status("the pause", |status| status["paused"][0]["origin"] == "www");
    assert_eq!(status["paused"][0]["by"], "token alice");
    assert!(!world.log().contains(TOKEN), "{}", world.log());
    assert_eq!(daemon.terminate(), Some(0));

    std::fs::remove_file(world.path("log")).expect("removed");
    configure(&world, "read = \"token\"", "");
    let _daemon = world.start();
    let door = self::door(&world);
    assert_eq!(ask(door, "GET /api/v1/status", "").status, 401);
    assert_eq!(ask(door, "GET /api/v1/events", &bearer("x")).status, 403);
    assert_eq!(ask(door, "GET /page.js", "").status, 200, "the page asks for the token");
    assert_eq!(ask(door, "GET /api/v1/status", &bearer(TOKEN)).status, 200);
    // Whoever had the old token is nobody once the file holds another.
    let next = "the-next-canary-0123456789abcdefghij";
    write_secret(&world, "alice", next);
    let is_known = |token: &str| ask(door, "GET /api/v1/status", &bearer(token)).status == 200;
    wait_for("the next token", || is_known(next).then_some(())).expect("it is read");
    assert!(!is_known(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_or_only_listens_keeps_nobody_out() {
    let world = World::new().await;
    configure(&world, "", "");
    let daemon = world.start();
    let door = door(&world);
    let mut headless = connect(door).expect("a connection");
    headless.write_all(b"GET / HTTP/1.1\r\nHost: loc").expect("sent");
    let listeners: Vec<TcpStream> = (0..70).map(|_| listen(door)).collect();
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its descriptors");
    assert!(sockets.count() < 64 + 60, "the house holds no more than it may");
    assert_eq!(ask(door, "GET /", "").status, 200);
    let ends = |stream: &TcpStream| {
        stream.set_nonblocking(true).expect("set");
        let mut rest = Vec::new();
        // What is still open would block.
        !matches!((&*stream).read_to_end(&mut rest),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    assert!(ends(&listeners[0]), "who listened longest without asking went first");
    assert!(!ends(&listeners[69]), "and nobody more than had to");
    assert_eq!(headless.read(&mut [0]).unwrap_or(0), 0, "an unfinished head comes to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_stops_ends_its_streams_as_streams_end() {
    let world = World::new().await;
    configure(&world, "", "");
    let daemon = world.start();
    let mut listener = listen(door(&world));
    assert_eq!(daemon.terminate(), Some(0));
    let mut rest = Vec::new();
    listener.read_to_end(&mut rest).expect("its end");
    // What is cut off after the farewell lacks this.
    assert!(rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_socket_that_systemd_hands_over_is_known_by_its_name() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if std::process::Command::new(ACTIVATE).arg("--version").output().is_err() {
        println!(
            "SKIP: each_socket_that_systemd_hands_over_is_known_by_its_name: {ACTIVATE} is not \
             installed"
        );
        return;
    }
    let world = World::new().await;
    configure(&world, "", "[hooks]\nlisten = \"systemd\"");
    let config = std::fs::read_to_string(world.config()).expect("it is read");
    let config = config.replace("listen = \"127.0.0.1:0\"", "listen = \"systemd\"");
    std::fs::write(world.config(), config).expect("it is written");
    // Ports that nobody has: they are free again once this is done.
    let free = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let doors = free.map(|free| free.local_addr().expect("an address"));
    let [web, hooks] = doors.map(|door| format!("--listen={door}"));
    let daemon = world.start_under(&[ACTIVATE, &web, &hooks, "--fdname=web:hooks"]);
    drop(wait_for("the socket", || connect(doors[0]).ok()).expect("systemd listens"));
    assert_eq!(ask(doors[0], "GET /", "").status, 200, "{}", world.log());
    assert!(world.log().contains(&format!("hooks are taken at {}", doors[1])), "{}", world.log());
    assert_eq!(daemon.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_who_may_read_what_and_where() {
    let world = World::new().await;
    configure(&world, "", "");
    let _daemon = world.start();
    let first = door(&world);
    let reload = || {
        let output = world.command(&["reload", "--wait"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    let status = |door, more: &str| ask(door, "GET /api/v1/status", more);
    assert_eq!(status(first, "").status, 200);
    let beside = world.path("beside");
    std::fs::create_dir(&beside).expect("a root");
    let beside = format!(
        "[origin.beside]\nroot = \"{}\"\ndomains = [\"https://beside.example.com\"]",
        beside.display()
    );
    configure(&world, "read = \"token\"", "");
    let text = std::fs::read_to_string(world.config()).expect("it is read");
    world.write_config(&format!("{text}\n{beside}"));
    reload();
    assert_eq!(status(first, "").status, 401);
    let answer = status(first, &bearer(TOKEN));
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("\"beside\""), "{answer:?}");
    world.configure("", "");
    reload();
    wait_for("the door to be gone", || connect(first).is_err().then_some(()))
        .expect("nobody listens any more");
    configure(&world, "", "");
    reload();
    let said = world.log();
    let second = said.rsplit("the page is served at http://").next();
    let second = second.and_then(|rest| rest.split('/').next()?.parse().ok()).expect("a door");
    assert_eq!(status(second, "").status, 200);
}
