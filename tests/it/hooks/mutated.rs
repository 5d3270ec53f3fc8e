//! Deliveries with a few bytes changed: refused or taken, and never more than that.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refreshd::clock::{Clock, SystemClock};

use super::sender::{Request, connect, door, hmac, hmac_hex, read, write_secret};
use crate::world::World;

/// How many bodies each provider gets.
const BODIES: usize = 500;
/// 24 bytes, as base64.
const SIGNING_SECRET: &str = "whsec_Y2FuYXJ5LW9mLXRoZS1ob29rcy0yNDI0";

/// The providers, each with the header of its signature, that of its event, and its event.
const PROVIDERS: [(&str, &str, &str, &str); 10] = [
    ("github", "X-Hub-Signature-256", "X-GitHub-Event", "push"),
    ("gitlab", "webhook-signature", "X-Gitlab-Event", "Push Hook"),
    ("gitlab-token", "X-Gitlab-Token", "X-Gitlab-Event", "Push Hook"),
    ("gitea", "X-Gitea-Signature", "X-Gitea-Event", "push"),
    ("forgejo", "X-Forgejo-Signature", "X-Forgejo-Event", "push"),
    ("gogs", "X-Gogs-Signature", "X-Gogs-Event", "push"),
    ("bitbucket", "X-Hub-Signature", "X-Event-Key", "repo:push"),
    ("bitbucket-server", "X-Hub-Signature", "X-Event-Key", "repo:refs_changed"),
    ("standard-webhooks", "webhook-signature", "X-None", "push"),
    ("generic", "X-Signature", "X-None", "push"),
];

fn is_signing(provider: &str) -> bool {
    ["gitlab", "standard-webhooks"].contains(&provider)
}

fn body(provider: &str) -> String {
    let (old, new) = ("1".repeat(40), "2".repeat(40));
    match provider {
        "bitbucket" => format!(
            "{{\"push\":{{\"changes\":[{{\"old\":{{\"type\":\"branch\",\"name\":\"main\",\"target\":\
             {{\"hash\":\"{old}\"}}}},\"new\":{{\"type\":\"branch\",\"name\":\"main\",\"target\":\
             {{\"hash\":\"{new}\"}}}}}}]}}}}"
        ),
        "bitbucket-server" => format!(
            "{{\"changes\":[{{\"ref\":{{\"id\":\"refs/heads/main\",\"displayId\":\"main\",\"type\":\
             \"BRANCH\"}},\"refId\":\"refs/heads/main\",\"fromHash\":\"{old}\",\"toHash\":\"{new}\",\
             \"type\":\"UPDATE\"}}]}}"
        ),
        "standard-webhooks" | "generic" => format!(
            "{{\"ref\":\"refs/heads/main\",\"before\":\"{old}\",\"after\":\"{new}\",\
             \"paths\":[\"a.html\",\"docs/b.html\"]}}"
        ),
        _ => format!(
            "{{\"object_kind\":\"push\",\"ref\":\"refs/heads/main\",\"before\":\"{old}\",\
             \"after\":\"{new}\",\"forced\":false,\"total_commits_count\":1,\"commits\":[{{\"id\":\"{new}\",\"added\":[\"a.html\"],\"modified\":[\"docs/b.html\"],\
             \"removed\":[]}}]}}"
        ),
    }
}

fn request(provider: usize, id: &str, body: Vec<u8>, now: i64) -> Request {
    let (name, header, event_header, event) = PROVIDERS[provider];
    let secret = "canary-of-the-hooks";
    let signature = match name {
        "github" | "bitbucket" | "bitbucket-server" => {
            format!("sha256={}", hmac_hex(secret.as_bytes(), &[&body]))
        }
        "gitlab-token" => secret.to_owned(),
        _ if is_signing(name) => {
            let key = SIGNING_SECRET.strip_prefix("whsec_").expect("so it begins");
            let key = STANDARD.decode(key).expect("base64");
            let at = now.to_string();
            let mac = hmac(&key, &[id.as_bytes(), b".", at.as_bytes(), b".", &body]);
            format!("v1,{}", STANDARD.encode(mac))
        }
        _ => hmac_hex(secret.as_bytes(), &[&body]),
    };
    let request = Request { hook: name.to_owned(), headers: Vec::new(), body };
    request
        .with(header, &signature)
        .with(event_header, event)
        .with("webhook-id", id)
        .with("webhook-timestamp", &now.to_string())
        .with("Content-Type", "application/json")
}

/// The same numbers every time (`SplitMix64`).
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    usize::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits")
}

fn mutate(body: &mut Vec<u8>, state: &mut u64) {
    for _ in 0..=random(state) % 4 {
        // An empty body has nothing to be changed: it is what a truncation may leave.
        let Some(at) = random(state).checked_rem(body.len()) else { return };
        match random(state) % 5 {
            0 => body[at] = u8::try_from(random(state) % 256).expect("a byte"),
            1 => body[at] ^= 1 << (random(state) % 8),
            2 => drop(body.remove(at)),
            3 => body.insert(at, b"\"{}[]\\,:0\0\xff"[random(state) % 11]),
            _ => body.truncate(at),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_bodies_are_refused_or_taken_and_harm_nobody() {
    let world = World::new().await;
    write_secret(&world, "plain", "canary-of-the-hooks");
    write_secret(&world, "signing", SIGNING_SECRET);
    let mut text = "[hooks]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for (name, ..) in PROVIDERS {
        let file = world.path(if is_signing(name) { "signing" } else { "plain" });
        let file = file.display();
        let _ = write!(text, "[hook.{name}]\nprovider = \"{name}\"\nsecret_files = [\"{file}\"]\n");
    }
    text.push_str("header = \"X-Signature\"\nid_header = \"webhook-id\"\n");
    world.configure("", &text);
    let daemon = world.start();
    let door = door(&world, 1);
    let now = SystemClock::default().now().as_seconds();
    let mut state = 7;
    for (provider, (name, ..)) in PROVIDERS.into_iter().enumerate() {
        let mut stream = connect(door).expect("a connection");
        let mut send = |request: &Request| {
            stream.write_all(&request.bytes()).expect("sent");
            read(&mut stream).expect("an answer").status
        };
        let whole = request(provider, &format!("{name}-whole"), body(name).into_bytes(), now);
        assert_eq!(send(&whole), 202, "{name}: {}", world.log());
        for number in 0..BODIES {
            let mut body = body(name).into_bytes();
            mutate(&mut body, &mut state);
            let mut mutated = request(provider, &format!("{name}-{number}"), body, now);
            if number % 5 == 0 {
                // This one was changed on its way: the signature is that of another body.
                mutate(&mut mutated.body, &mut state);
            }
            let status = send(&mutated);
            assert!([200, 202, 400, 401].contains(&status), "{name} {number}: {status}");
        }
    }
    assert_eq!(daemon.terminate(), Some(0), "it lived through all of them");
}
