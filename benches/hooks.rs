//! Deliveries of hooks: how many a second, and how long each takes, beside Debian's `webhook` and an answer
//! of nginx that is always the same; and what a crowd of slow clients does to an honest one.
//!
//! `cargo bench --bench hooks` sends 10 kB that GitHub would sign, each with an id of its own, over 1 and
//! over 16 kept connections (`DELIVERIES` of each). refreshd answers once a delivery is on the disk of
//! `TMPDIR`; `webhook` proves it, answers, and runs `/bin/true`; nginx neither reads nor proves anything.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use refreshd::clock::{Clock, SystemClock};
use sha2::Sha256;

const SECRET: &str = "a secret of the bench";
/// Slow clients.
const CROWD: usize = 1_000;
/// How often each of them sends a byte, or comes again.
const ROUND: Duration = Duration::from_millis(100);

fn main() {
    let deliveries: usize =
        std::env::var("DELIVERIES").map_or(5_000, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path();
    let body = body();
    let (refreshd, webhook, nginx) = (free(), free(), free());
    let servers = [
        ("refreshd", refreshd, start_refreshd(place, refreshd)),
        ("webhook", webhook, start_webhook(place, webhook)),
        ("nginx", nginx, start_nginx(place, nginx)),
    ];
    for (name, at, server) in &servers {
        let Some(_server) = server else {
            println!("{name}: not installed");
            continue;
        };
        wait_for(*at);
        for connections in [1, 16] {
            let name_of = |number| format!("{name}-{connections}-{number}");
            let (wall, times) = storm(*at, connections, deliveries, &body, name_of);
            let rate = times.len() as u128 * 1_000_000 / wall.as_micros();
            println!(
                "{name:9} {connections:2} connections: {rate:6} deliveries a second, median {:?}, p99 {:?}",
                part(&times, 50),
                part(&times, 99)
            );
        }
    }
    for crowd in [0, CROWD] {
        let (times, broken) = honest(refreshd, crowd, &body);
        println!(
            "an honest client, a connection each, beside {crowd} slow ones: median {:?}, p99 {:?}, \
             longest {:?}, {broken} connections broke",
            part(&times, 50),
            part(&times, 99),
            part(&times, 100)
        );
    }
}

/// A server that ends with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Option<Server> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Some(Server(child)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("{command:?}: {error}"),
    }
}

fn start_refreshd(place: &Path, at: SocketAddr) -> Option<Server> {
    let folder = place.display();
    fs::create_dir(place.join("root")).expect("made");
    for name in ["key", "secret"] {
        fs::write(place.join(name), SECRET.replace(' ', "-")).expect("written");
    }
    fs::write(place.join("hook"), SECRET).expect("written");
    let config = format!(
        "state_dir = \"{folder}/state\"\n[hooks]\nlisten = \"{at}\"\nconnections_per_source = 256\n\
         [hook.forge]\nprovider = \"github\"\nsecret_files = [\"{folder}/hook\"]\n\
         [account.main]\nendpoint = \"http://127.0.0.1:9\"\naccess_key_id_file = \"{folder}/key\"\n\
         access_key_secret_file = \"{folder}/secret\"\n\
         [origin.www]\nroot = \"{folder}/root\"\ndomains = [\"https://www.example.com\"]\n"
    );
    let path = place.join("refreshd.toml");
    fs::write(&path, config).expect("written");
    start(Command::new(env!("CARGO_BIN_EXE_refreshd")).args(["run", "--config"]).arg(path))
}

fn start_webhook(place: &Path, at: SocketAddr) -> Option<Server> {
    let hooks = serde_json::json!([{
        "id": "forge",
        "execute-command": "/bin/true",
        "trigger-rule": { "match": {
            "type": "payload-hmac-sha256",
            "secret": SECRET,
            "parameter": { "source": "header", "name": "X-Hub-Signature-256" },
        }},
    }]);
    let path = place.join("hooks.json");
    fs::write(&path, hooks.to_string()).expect("written");
    let port = at.port().to_string();
    start(Command::new("webhook").args(["-ip", "127.0.0.1", "-port", &port, "-hooks"]).arg(path))
}

fn start_nginx(place: &Path, at: SocketAddr) -> Option<Server> {
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000; server {{ listen {at};\n\
         location / {{ return 200 \"taken\\n\"; }} }} }}\n"
    );
    let path = place.join("nginx.conf");
    fs::write(&path, config).expect("written");
    start(Command::new("nginx").arg("-p").arg(place).arg("-c").arg(path))
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

fn wait_for(at: SocketAddr) {
    while TcpStream::connect(at).is_err() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A push of 10 kB, as GitHub words it.
fn body() -> Vec<u8> {
    let mut files = String::new();
    let mut number = 0;
    while files.len() < 9_700 {
        let _ = write!(files, ",\"news/2026/page-{number:04}.html\"");
        number += 1;
    }
    let (old, new) = ("1".repeat(40), "2".repeat(40));
    format!(
        "{{\"ref\":\"refs/heads/main\",\"before\":\"{old}\",\"after\":\"{new}\",\"forced\":false,\
         \"commits\":[{{\"id\":\"{new}\",\"added\":[],\"removed\":[],\"modified\":[{}]}}]}}",
        &files[1..]
    )
    .into_bytes()
}

fn request(id: &str, body: &[u8], signature: &str) -> Vec<u8> {
    let head = format!(
        "POST /hooks/forge HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n\
         X-GitHub-Event: push\r\nX-GitHub-Delivery: {id}\r\nX-Hub-Signature-256: sha256={signature}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn connect(at: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request and reads the whole answer, which must be a good one.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 2_048];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("http/1.1 2"), "{text}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if rest.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
            return Ok(());
        }
    }
}

/// Sends so many deliveries over so many kept connections; returns how long all took, and each.
fn storm(
    at: SocketAddr,
    connections: usize,
    deliveries: usize,
    body: &[u8],
    name_of: impl Fn(usize) -> String + Sync,
) -> (Duration, Vec<Duration>) {
    let (clock, signature) = (SystemClock::default(), sign(body));
    let (clock, signature, name_of) = (&clock, &signature, &name_of);
    let began = clock.boot();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..connections)
            .map(|sender| {
                scope.spawn(move || {
                    let mut stream = connect(at).expect("a connection");
                    let mine = (sender..deliveries).step_by(connections);
                    let time = |number| {
                        let request = request(&name_of(number), body, signature);
                        let began = clock.boot();
                        exchange(&mut stream, &request).expect("an answer");
                        clock.boot().saturating_sub(began)
                    };
                    mine.map(time).collect::<Vec<_>>()
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().expect("it ends")).collect()
    });
    let wall = clock.boot().saturating_sub(began);
    times.sort_unstable();
    (wall, times)
}

/// Returns the time that so many of a hundred don't exceed; `times` are in order.
fn part(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent).div_ceil(100) - 1]
}

/// Sends deliveries, each on a connection of its own and again when that breaks, beside a crowd.
fn honest(at: SocketAddr, crowd: usize, body: &[u8]) -> (Vec<Duration>, usize) {
    let end = Arc::new(AtomicBool::new(false));
    let until = end.clone();
    let slow = std::thread::spawn(move || {
        let mut clients: Vec<Option<TcpStream>> = (0..crowd).map(|_| None).collect();
        while !until.load(Ordering::Relaxed) {
            for client in &mut clients {
                let is_in = client.as_mut().is_some_and(|client| {
                    let silent = matches!(client.read(&mut [0]), Err(error)
                        if error.kind() == io::ErrorKind::WouldBlock);
                    silent && client.write_all(b"P").is_ok()
                });
                if !is_in {
                    *client = connect(at).ok();
                    if let Some(client) = client {
                        client.set_nonblocking(true).expect("set");
                    }
                }
            }
            std::thread::park_timeout(ROUND);
        }
    });
    std::thread::park_timeout(Duration::from_secs(2));
    let (clock, signature) = (SystemClock::default(), sign(body));
    let (mut times, mut broken) = (Vec::new(), 0);
    for number in 0..1_000 {
        let request = request(&format!("honest-{crowd}-{number}"), body, &signature);
        let began = clock.boot();
        while connect(at).and_then(|mut stream| exchange(&mut stream, &request)).is_err() {
            broken += 1;
        }
        times.push(clock.boot().saturating_sub(began));
    }
    end.store(true, Ordering::Relaxed);
    slow.join().expect("it ends");
    times.sort_unstable();
    (times, broken)
}
