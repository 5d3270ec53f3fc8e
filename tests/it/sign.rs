//! Signatures, against Alibaba's own: random requests as its unchanged SDK signs and sends them get the
//! same signature from us, and pass the sandbox. `SIGN_SEED=N` repeats a run that printed `seed N`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use refreshd::cdn::sign::{Signable, canonical_query, hex_sha256};
use refreshd::clock::{Clock, SystemClock};
use refreshd::sandbox::{AccessKey, Options, Sandbox};
use serde::{Deserialize, Serialize};

use crate::world::listener;

const REQUESTS: usize = 240;

#[derive(Serialize)]
struct Key<'a> {
    id: &'a str,
    secret: &'a str,
    token: Option<&'a str>,
}

const KEYS: [Key<'static>; 3] = [
    Key { id: "LTAI5tPlain", secret: "fakeSecret", token: None },
    Key { id: "STS.one", secret: "another fake/Secret+", token: Some("CAIS+fake/token==") },
    Key { id: "STS.two", secret: "x", token: Some("a b~*%20&=") },
];

/// A request as a server received it.
#[derive(Deserialize)]
struct Sent {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    secret: String,
    token: Option<String>,
}

impl Sent {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    fn parameters(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// Signs it again, over the headers that the SDK signed, as the client does.
    fn signed_again(&self, parameters: &[(String, String)]) -> String {
        let claim = self.header("authorization");
        let (key, rest) = claim.split_once(",SignedHeaders=").expect("signed headers");
        let (_, key_id) = key.split_once("Credential=").expect("a key id");
        let (names, _) = rest.split_once(",Signature=").expect("a signature");
        let headers: Vec<_> =
            names.split(';').map(|name| (name.to_owned(), self.header(name).to_owned())).collect();
        let signable = Signable {
            method: &self.method,
            query: &canonical_query(parameters),
            headers: &headers,
            payload_sha256: &hex_sha256(self.body.as_bytes()),
        };
        signable.authorization(key_id, &self.secret)
    }

    /// Sends it to a server as it is; returns the answer's body.
    fn replay(&self, api: SocketAddr) -> serde_json::Value {
        let mut text = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.target);
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "connection") {
            text.extend([name, ": ", value, "\r\n"]);
        }
        let mut stream = TcpStream::connect(api).expect("the sandbox listens");
        write!(stream, "{text}\r\n{}", self.body).expect("it is written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

fn ask_sdk(seed: u64) -> Vec<Sent> {
    let python = std::env::var("REFRESHD_TEST_PYTHON").expect(
        "REFRESHD_TEST_PYTHON must name a Python that has tests/sdk/requirements.txt installed; \
         ./tests/run makes one and sets it",
    );
    let mut sdk = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/sign.py"))
        .args([seed.to_string(), REQUESTS.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let keys = serde_json::to_vec(&KEYS).expect("JSON");
    sdk.stdin.take().expect("a pipe").write_all(&keys).expect("it reads");
    let output = sdk.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the SDK's side failed");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a request")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alibabas_sdk_and_refreshd_sign_alike_and_the_sandbox_agrees() {
    let given = std::env::var("SIGN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| SystemClock::default().random());
    println!("seed {seed}");
    let key = |key: &Key<'_>| AccessKey {
        id: key.id.to_owned(),
        secret: key.secret.to_owned(),
        token: key.token.map(str::to_owned),
        expires_at: None,
    };
    let options =
        Options { keys: KEYS.iter().map(key).collect(), ..Options::new("http://127.0.0.1:9") };
    let (api, edge) = (listener().await, listener().await);
    let sandbox =
        Sandbox::start(options, api, edge, SystemClock::shared()).expect("the sandbox starts");
    let sent = tokio::task::spawn_blocking(move || ask_sdk(seed)).await.expect("no panic");
    assert_eq!(sent.len(), REQUESTS);
    let (mut queries, mut forms, mut tokens, mut empty, mut passed) = (0, 0, 0, 0, 0);
    for (at, request) in sent.iter().enumerate() {
        let of = format!("request {at} of seed {seed}: {} {}", request.method, request.target);
        let parameters = request.parameters();
        queries += usize::from(!parameters.is_empty());
        forms += usize::from(!request.body.is_empty());
        tokens += usize::from(request.token.is_some());
        empty += parameters.iter().filter(|(_, value)| value.is_empty()).count();
        assert_eq!(
            request.header("x-acs-security-token"),
            request.token.as_deref().unwrap_or_default()
        );
        let body = hex_sha256(request.body.as_bytes());
        assert_eq!(request.header("x-acs-content-sha256"), body, "{of}");
        assert_eq!(request.signed_again(&parameters), request.header("authorization"), "{of}");
        let mut other = parameters;
        other.push(("one".to_owned(), "more".to_owned()));
        assert_ne!(request.signed_again(&other), request.header("authorization"), "{of}");
        // A nonce is spent by a request that passed every check of who is calling, and by no other.
        let first = request.replay(sandbox.api);
        passed += usize::from(first.get("Code").is_none());
        let again = request.replay(sandbox.api);
        assert_eq!(again["Code"], "SignatureNonceUsed", "{of}: at first {first}");
        assert_ne!(first["Code"], "SignatureNonceUsed", "{of}");
    }
    println!(
        "{queries} with a query, {forms} with a form, {tokens} with a token, {empty} empty values"
    );
    assert!(
        [queries, forms, tokens, empty, passed].iter().all(|number| *number > 10),
        "seed {seed}"
    );
    sandbox.stop().await;
}
