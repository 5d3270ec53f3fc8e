//! Tests that run in a process of their own, whose environment says which CA is known.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::response::{IntoResponse as _, Redirect, Response};
use refreshd::cdn::{Cdn, Client, ClientConfig, Keyring, Surroundings};
use refreshd::clock::SystemClock;
use refreshd::domain::credentials::{KeySource, Place};
use refreshd::domain::gate::Servers;
use refreshd::domain::url::CanonicalUrl;
use refreshd::domain::verdict::{Failure, Reached};
use refreshd::probe::server::Server;

use super::FOLDER;
use super::server::{Front, answering};

const QUOTA: &str = r#"{"UrlQuota":"10000","UrlRemain":"9999","RequestId":"R"}"#;

fn client(endpoint: &str, timeout: Duration) -> Client {
    let environment = ["ID", "SECRET"].map(|name| {
        (format!("ALIBABA_CLOUD_ACCESS_KEY_{name}"), format!("some-{}", name.to_lowercase()))
    });
    let around = Surroundings { environment: environment.into(), ..Surroundings::default() };
    let clock = SystemClock::shared();
    let keyring = Keyring::new(KeySource::at(Place::Environment), around, clock.clone());
    let config = ClientConfig::new(endpoint.parse().expect("a URL"));
    let trusted = config.endpoint.host_str().map(str::to_owned);
    Client::new(&ClientConfig { timeout, trusted, ..config }, keyring, clock).expect("a client")
}

/// Asks once; returns what went wrong, if anything.
async fn ask(endpoint: &str, timeout: Duration) -> Option<Failure> {
    let client = client(endpoint, timeout);
    client.begin().await.1.expect("a key");
    client.quota().await.err()
}

/// A server that speaks one old version of TLS.
struct Old {
    process: Child,
    port: u16,
}

impl Old {
    fn new(folder: &Path, version: &str) -> Self {
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", "good.pem"])
            .args(["-key", "good.key", "-cipher", "DEFAULT@SECLEVEL=0", version])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let accepts = |line: String| line.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok();
        let port = lines.map_while(Result::ok).find_map(accepts).expect("it listens");
        Self { process, port }
    }

    /// Returns whether a client that wants the old version gets it.
    fn speaks(&self, folder: &Path, version: &str) -> bool {
        let status = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &format!("localhost:{}", self.port),
                "-CAfile",
                "ca.pem",
            ])
            .args(["-cipher", "DEFAULT@SECLEVEL=0", "-verify_return_error", version])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.expect("openssl is installed").success()
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
#[ignore = "it is run by a test of tls.rs, in a process of its own"]
async fn certificates_decide() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (behind, _tasks) = answering(|| QUOTA.into_response()).await;
    let minute = Duration::from_secs(60);
    for (shown, says) in [
        ("good", None),
        ("other", Some("the certificate is another host's: is the name right")),
        ("old", Some("is this machine's clock right?")),
        ("early", Some("is this machine's clock right?")),
        (
            "stranger",
            Some("add its CA to the system's certificates, or to a file that SSL_CERT_FILE"),
        ),
        ("alone", Some("add its CA to the system's certificates, or to a file that SSL_CERT_FILE")),
    ] {
        let front = Front::new(&folder, shown, behind).await;
        let endpoint = format!("https://localhost:{}", front.address.port());
        let failure = ask(&endpoint, minute).await;
        assert_eq!(failure.as_ref().map(|failure| failure.reached), says.map(|_| Reached::Nothing));
        if let (Some(failure), Some(says)) = (failure, says) {
            let begins = failure.message.starts_with("no connection: invalid peer certificate: ");
            assert!(begins && failure.message.contains(says), "{shown}: {}", failure.message);
        }
    }
    let old = ["-tls1", "-tls1_1"].map(|version| {
        let server = Old::new(&folder, version);
        assert!(server.speaks(&folder, version), "the local openssl serves {version}");
        server
    });
    let free = StdListener::bind("127.0.0.1:0").expect("a port");
    let closed = free.local_addr().expect("an address").port();
    drop(free);
    let silent = StdListener::bind("127.0.0.1:0").expect("a port");
    let plain = SocketAddr::from(([127, 0, 0, 1], behind.port()));
    let soon = Duration::from_millis(400);
    for (endpoint, timeout, says) in [
        (format!("https://localhost:{}", old[0].port), minute, "a server for TLS 1.2 or 1.3"),
        (format!("https://localhost:{}", old[1].port), minute, "a server for TLS 1.2 or 1.3"),
        (format!("https://{plain}"), minute, "a server for TLS 1.2 or 1.3"),
        (format!("https://localhost:{closed}"), minute, "nothing listens there, or a firewall"),
        // Nobody may ever have this name.
        (
            "https://gateway.invalid".to_owned(),
            minute,
            "is the name right, and does this machine's",
        ),
        (
            format!("https://{}", silent.local_addr().expect("an address")),
            soon,
            "does a firewall or the route stop it?",
        ),
    ] {
        let failure = ask(&endpoint, timeout).await.expect("a failure");
        assert_eq!(failure.reached, Reached::Nothing, "{endpoint}: {failure:?}");
        assert!(failure.message.contains(says), "{endpoint}: {}", failure.message);
    }
}

#[tokio::test]
#[ignore = "it is run by a test of tls.rs, in a process of its own"]
async fn redirects_are_failures() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let elsewhere = StdListener::bind("127.0.0.1:0").expect("a port");
    elsewhere.set_nonblocking(true).expect("set");
    let to = format!("https://localhost:{}/", elsewhere.local_addr().expect("an address").port());
    for status in [301, 302, 307, 308] {
        let to = to.clone();
        let (behind, _tasks) = answering(move || redirect(status, &to)).await;
        let front = Front::new(&folder, "good", behind).await;
        let endpoint = format!("https://localhost:{}", front.address.port());
        let failure = ask(&endpoint, Duration::from_secs(60)).await.expect("a failure");
        assert_eq!(failure.reached, Reached::Answered(status), "{failure:?}");
        assert_eq!((failure.code, front.accepted()), (None, 1));
        let nobody = elsewhere.accept().expect_err("nobody came").kind();
        assert_eq!(nobody, std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
#[ignore = "it is run by a test of tls.rs, in a process of its own"]
async fn web_servers_show_their_hosts_certificates() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (behind, _tasks) = answering(|| "the page".into_response()).await;
    let front = Front::new(&folder, "good", behind).await;
    let url = format!("https://127.0.0.1:{}", front.address.port()).parse().expect("a URL");
    let servers = Servers { urls: vec![url], timeout: Duration::from_secs(60) };
    let server = Server::all(&servers).expect("a client").remove(0);
    let at = |host: &str| CanonicalUrl::parse(&format!("https://{host}/page.html")).expect("a URL");
    let answer = server.served(&at("gateway.example"), 8).await.expect("an answer");
    assert_eq!((answer.status, answer.length), (200, 8));
    let why = server.served(&at("www.example.com"), 8).await.expect_err("another's certificate");
    assert!(why.contains("invalid peer certificate"), "{why}");
}

fn redirect(status: u16, to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    *response.status_mut() = status.try_into().expect("a status");
    response
}

#[tokio::test]
#[ignore = "it is run by a test of tls.rs, in a process of its own"]
async fn connections_are_kept() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (behind, _tasks) = answering(|| QUOTA.into_response()).await;
    let front = Front::new(&folder, "good", behind).await;
    let endpoint = format!("https://localhost:{}", front.address.port());
    let client = client(&endpoint, Duration::from_secs(60));
    client.begin().await.1.expect("a key");
    for round in 1..=10 {
        for _ in 0..2 {
            client.quota().await.expect("no doubt, whatever the server closed");
        }
        assert_eq!(front.accepted(), round, "two calls share a connection");
        front.close_all(round % 2 == 0).await;
    }
}
