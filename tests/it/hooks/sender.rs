//! A sender of deliveries: it signs as forges do and speaks HTTP by hand, so that it can speak it badly.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::world::{PATIENCE, World, wait_for};

pub(crate) const SECRET: &str = "canary-of-the-hooks";

/// The configuration of an origin with a hook `forge` of GitHub; `hooks` and `hook` are further keys.
pub(crate) fn configure(world: &World, hooks: &str, hook: &str) {
    write_secret(world, "hook_forge", SECRET);
    let file = world.path("hook_forge");
    let text = format!(
        "[hooks]\nlisten = \"127.0.0.1:0\"\n{hooks}\n\
         [hook.forge]\nprovider = \"github\"\nsecret_files = [\"{}\"]\n{hook}",
        file.display()
    );
    world.configure("", &text);
}

pub(crate) fn write_secret(world: &World, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = world.path(name);
    std::fs::write(&path, text).expect("a secret file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
}

/// Returns where the daemon that was started last takes hooks.
pub(crate) fn door(world: &World, starts: usize) -> SocketAddr {
    const SAID: &str = "hooks are taken at ";
    let said = || {
        let log = world.log();
        let line = log.lines().filter(|line| line.contains(SAID)).nth(starts - 1)?;
        line.split(SAID).nth(1)?.split_whitespace().next()?.parse().ok()
    };
    wait_for("the door of hooks", said).unwrap_or_else(|| panic!("no door: {}", world.log()))
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Makes a connection that waits no longer than a test does.
pub(crate) fn connect(door: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(door)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one answer.
pub(crate) fn read(stream: &mut TcpStream) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).expect("plain headers");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut answer = Answer { status, head, body: String::new() };
    let length = answer.header("content-length").map_or(0, |text| text.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    answer.body = String::from_utf8(body).expect("plain text");
    Ok(answer)
}

/// Sends bytes on a connection of their own and reads the answer.
pub(crate) fn exchange(door: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(door)?;
    stream.write_all(request)?;
    read(&mut stream)
}

/// Returns the HMAC-SHA256 of these parts in hexadecimal digits.
pub(crate) fn hmac_hex(secret: &[u8], parts: &[&[u8]]) -> String {
    hmac(secret, parts).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn hmac(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// A request to a hook.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub hook: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A push to `reference` as GitHub sends it, signed.
    pub(crate) fn push(id: &str, reference: &str) -> Self {
        let body = format!(
            "{{\"ref\":\"{reference}\",\"before\":\"{}\",\"after\":\"{}\",\"forced\":false,\
             \"commits\":[{{\"id\":\"{}\",\"added\":[\"a.html\"],\"modified\":[\"docs/b.html\"],\
             \"removed\":[]}}]}}",
            "1".repeat(40),
            "2".repeat(40),
            "2".repeat(40)
        );
        Self::signed(SECRET, id, "push", body.into_bytes())
    }

    /// A delivery of GitHub's, signed.
    pub(crate) fn signed(secret: &str, id: &str, event: &str, body: Vec<u8>) -> Self {
        let signature = format!("sha256={}", hmac_hex(secret.as_bytes(), &[&body]));
        let headers = [
            ("X-GitHub-Delivery", id),
            ("X-GitHub-Event", event),
            ("X-Hub-Signature-256", &signature),
            ("Content-Type", "application/json"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { hook: "forge".to_owned(), headers, body }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    pub(crate) fn to(mut self, hook: &str) -> Self {
        hook.clone_into(&mut self.hook);
        self
    }

    /// The request line and the headers, with the body's length.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!(
            "POST /hooks/{} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n",
            self.hook,
            self.body.len()
        );
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }

    pub(crate) fn send(&self, door: SocketAddr) -> Answer {
        exchange(door, &self.bytes()).unwrap_or_else(|error| panic!("no answer: {error}"))
    }
}
