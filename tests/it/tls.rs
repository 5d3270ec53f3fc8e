//! How calls travel: over real TLS, and through real proxies.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use axum::response::IntoResponse as _;
use refreshd::sandbox::AccessKey;
use serde_json::Value;

use crate::world::{World, wait_for};
use authority::Authority;
use server::{Front, Proxy, answering};

mod authority;
mod inside;
mod server;

/// Says to the tests inside where the certificates are.
const FOLDER: &str = "REFRESHD_TLS_FOLDER";

/// What the machine's own environment may say of proxies and certificates.
const FOREIGN: [&str; 11] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "REQUEST_METHOD",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// A user's password at a proxy, and how it travels.
const PASSWORD: &str = "sesame-5317";
const TRAVELS: &str = "b3BzOnNlc2FtZS01MzE3";

/// Returns the words of a command that sets the environment, and then becomes another one.
fn words(env: &[(&str, String)]) -> Vec<String> {
    let unset = FOREIGN.iter().flat_map(|name| ["-u".to_owned(), (*name).to_owned()]);
    let set = env.iter().map(|(name, value)| format!("{name}={value}"));
    ["env".to_owned()].into_iter().chain(unset).chain(set).collect()
}

fn run(env: &[(&str, String)], program: &Path, arguments: &[&str]) -> Output {
    let words = words(env);
    Command::new(&words[0])
        .args(&words[1..])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("env is installed")
}

/// Runs a command of the real binary with an environment.
fn refreshd(world: &World, env: &[(&str, String)], arguments: &[&str]) -> Output {
    let config = world.config();
    let config = ["--config", config.to_str().expect("plain")];
    run(env, Path::new(env!("CARGO_BIN_EXE_refreshd")), &[arguments, &config].concat())
}

/// Asks the doctor; returns the level of what it says of the account's key, and all it says.
fn doctor(world: &World, env: &[(&str, String)]) -> (String, String) {
    let output = refreshd(world, env, &["doctor", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = answer["findings"].as_array().expect("findings");
    let credential = findings.iter().find(|finding| finding["about"] == "credential of main");
    let level = credential.map_or("none", |finding| finding["level"].as_str().unwrap_or_default());
    (level.to_owned(), answer.to_string())
}

fn known(authority: &Authority) -> (&'static str, String) {
    ("SSL_CERT_FILE", authority.path("ca.pem").display().to_string())
}

/// Gives the account another endpoint, and more keys.
fn reconfigure(world: &World, endpoint: &str, account: &str) {
    world.configure(account, "");
    let config = std::fs::read_to_string(world.config()).expect("it is read");
    let config = config.replace(&format!("http://{}", world.sandbox.api), endpoint);
    let config = config + "[log]\nlevel = \"trace\"\n";
    std::fs::write(world.config(), config).expect("it is written");
}

/// Runs a test of `inside`, where the authority is known.
fn inside(test: &str) {
    let authority = Authority::new();
    let folder = authority.folder().display().to_string();
    let binary = std::env::current_exe().expect("the test binary");
    let test = format!("tls::inside::{test}");
    // Where no name server answers, that is soon clear.
    let impatient = ("RES_OPTIONS", "timeout:1 attempts:1".to_owned());
    let env = [known(&authority), impatient, (FOLDER, folder)];
    let output = run(&env, &binary, &["--ignored", "--exact", &test, "--nocapture"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(" 1 passed"), "{said}\n{problem}");
}

#[test]
fn only_a_good_certificate_is_believed_and_each_failure_says_what_to_do() {
    inside("certificates_decide");
}

#[test]
fn a_redirect_is_a_failure_and_nobody_follows_it() {
    inside("redirects_are_failures");
}

#[test]
fn a_web_server_is_believed_by_the_certificate_of_the_host_that_visitors_name() {
    inside("web_servers_show_their_hosts_certificates");
}

#[test]
fn calls_in_a_row_share_a_connection_and_a_closed_one_causes_no_doubt() {
    inside("connections_are_kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ca_certificates_the_remedy_is_named() {
    let authority = Authority::new();
    let world = World::new().await;
    reconfigure(&world, "https://localhost:1", "");
    for (variable, path) in [("SSL_CERT_FILE", "none.pem"), ("SSL_CERT_DIR", "none")] {
        let env = [(variable, authority.path(path).display().to_string())];
        let (level, said) = doctor(&world, &env);
        assert_eq!(level, "broken", "{said}");
        let daemon = refreshd(&world, &env, &["run"]);
        assert_eq!(daemon.status.code(), Some(74), "an input or output error");
        let told = String::from_utf8_lossy(&daemon.stderr);
        for text in [said.as_str(), &told] {
            assert!(text.contains("No CA certificates were loaded"), "{text}");
            assert!(text.contains("install the system's CA certificates"), "{text}");
            assert!(text.contains("let SSL_CERT_FILE name a file of them"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_through_the_configured_proxy_and_the_environments_is_ignored() {
    let (authority, decoy) = (Authority::new(), Proxy::new(&[]).await);
    let world = World::new().await;
    let front = Front::new(authority.folder(), "good", world.sandbox.api).await;
    let proxy = Proxy::new(&[("cdn.aliyuncs.com:443", front.address)]).await;
    let account = format!("proxy = \"{}\"", proxy.url());
    reconfigure(&world, "https://cdn.aliyuncs.com", &account);
    let decoys = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"];
    let mut env: Vec<_> = decoys.iter().map(|name| (*name, decoy.url())).collect();
    env.extend([known(&authority), ("NO_PROXY", "*".to_owned())]);
    let words = words(&env);
    let _daemon = world.start_under(&words.iter().map(String::as_str).collect::<Vec<_>>());
    world.wait_ready();
    world.write("a.html", "new");
    let came = wait_for("the refresh", || {
        let targets = world.targets();
        (!targets.is_empty()).then_some(targets)
    });
    assert_eq!(came, Some(vec!["https://www.example.com/a.html".to_owned()]), "{}", world.log());
    world.wait_quiet();
    let (accepted, heads) = (front.accepted(), proxy.heads());
    let line = "CONNECT cdn.aliyuncs.com:443 HTTP/1.1\r\nHost: cdn.aliyuncs.com:443\r\n\
                user-agent: refreshd/";
    let line = format!("{line}{}\r\n\r\n", env!("CARGO_PKG_VERSION"));
    assert!(heads.iter().all(|head| *head == line), "{heads:?}");
    assert!((1..=heads.len()).contains(&accepted), "all of {accepted} came through tunnels");

    // Without a proxy in the configuration none is taken, whatever the environment says.
    env.retain(|(name, _)| *name != "NO_PROXY");
    reconfigure(&world, &format!("https://localhost:{}", front.address.port()), "");
    let (level, said) = doctor(&world, &env);
    assert_eq!((level.as_str(), decoy.heads().len()), ("ok", 0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environments_proxy_is_taken_when_configured_and_its_password_is_told_to_nobody_else() {
    let authority = Authority::new();
    let world = World::new().await;
    let front = Front::new(authority.folder(), "good", world.sandbox.api).await;
    let host = format!("localhost:{}", front.address.port());
    reconfigure(&world, &format!("https://{host}"), "proxy = \"environment\"");
    let (proxy, stern) = (Proxy::new(&[(&host, front.address)]).await, Proxy::new(&[]).await);
    let with_password = |proxy: &Proxy| format!("http://ops:{PASSWORD}@{}", proxy.address);
    let mut told = Vec::new();
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let before = proxy.heads().len();
        let (level, said) = doctor(&world, &[known(&authority), (name, with_password(&proxy))]);
        assert_eq!(level, "ok", "{name}: {said}");
        let heads = proxy.heads().split_off(before);
        let basic = format!("proxy-authorization: Basic {TRAVELS}\r\n");
        assert!(heads.iter().all(|head| head.contains(&basic)) && !heads.is_empty(), "{heads:?}");
        told.push(said);
    }
    for excepted in ["localhost", "*", "example.com, localhost"] {
        let env = [
            known(&authority),
            ("HTTPS_PROXY", with_password(&stern)),
            ("NO_PROXY", excepted.to_owned()),
        ];
        let (level, said) = doctor(&world, &env);
        assert_eq!((level.as_str(), stern.heads().len()), ("ok", 0), "{excepted}: {said}");
    }
    let env = [known(&authority), ("HTTPS_PROXY", with_password(&stern))];
    let (level, said) = doctor(&world, &env);
    assert_eq!(level, "not_checked", "{said}");
    assert!(said.contains("tunnel error: proxy authorization required; does the proxy"), "{said}");
    told.push(said);
    let words = words(&env);
    let daemon = world.start_under(&words.iter().map(String::as_str).collect::<Vec<_>>());
    world.wait_ready();
    world.write("a.html", "new");
    let status = world.wait_status("trouble", |status| status.to_string().contains("tunnel error"));
    assert_eq!(daemon.terminate(), Some(0));
    told.extend([status.to_string(), world.log()]);
    assert!(world.log().contains("tunnel error"), "{}", world.log());
    for text in told {
        assert!(!text.contains(PASSWORD) && !text.contains(TRAVELS), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_gateway_and_sts_are_reached_through_the_proxy_by_their_names() {
    let authority = Authority::new();
    let world = World::new().await;
    let key = AccessKey {
        id: "STS.session-of-a-role".to_owned(),
        secret: "secret of a session".to_owned(),
        token: Some("token of a session".to_owned()),
        expires_at: None,
    };
    world.sandbox.control().set_keys(vec![key.clone()]);
    let session = serde_json::json!({"Credentials": {
        "AccessKeyId": key.id, "AccessKeySecret": key.secret, "SecurityToken": key.token,
        "Expiration": "2099-01-01T00:00:00Z",
    }});
    let (behind, _tasks) = answering(move || session.to_string().into_response()).await;
    let sts = Front::new(authority.folder(), "good", behind).await;
    let gateway = Front::new(authority.folder(), "good", world.sandbox.api).await;
    let ways = [("sts.aliyuncs.com:443", sts.address), ("gateway.example:443", gateway.address)];
    let proxy = Proxy::new(&ways).await;
    let account = format!(
        "endpoint_is_trusted = \"gateway.example\"\nproxy = \"{}\"\n\
         [account.main.credentials]\nrole_arn = \"acs:ram::1:role/cdn\"",
        proxy.url()
    );
    reconfigure(&world, "https://gateway.example", &account);
    let (level, said) = doctor(&world, &[known(&authority)]);
    assert_eq!(level, "ok", "{said}");
    let lines = proxy.heads().into_iter().filter_map(|head| head.lines().next().map(str::to_owned));
    let asked: BTreeSet<String> = lines.collect();
    let line = |host: &str| format!("CONNECT {host}:443 HTTP/1.1");
    assert_eq!(asked, ["sts.aliyuncs.com", "gateway.example"].map(line).into());
}
