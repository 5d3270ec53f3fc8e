//! Secrets stay where they are: canaries are put in wherever a secret is, and looked for wherever
//! something comes out.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use refreshd::cdn::{Keyring, Surroundings};
use refreshd::clock::SystemClock;
use refreshd::domain::credentials::{Ecs, KeyFiles, KeySource, Place, Role, SESSION};
use refreshd::sandbox::AccessKey;

use crate::world::{World, wait_for};

/// Every secret has it in its middle, so that a part would be found, too.
const CANARY: &str = "canary";

/// Answers every call with one body, or after the first with another.
fn serve<const N: usize>(status: u16, bodies: [&'static str; N]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(&stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            let _ = reader.read_exact(&mut vec![0; length]);
            let body = bodies[number.min(N - 1)];
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            // A client that left needs no answer.
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    format!("http://{address}")
}

/// Asserts that no canary is in `text`; what it is goes into the message, for the text is long.
fn assert_clean(what: &str, text: &[u8]) {
    let hits = text.windows(CANARY.len()).filter(|window| *window == CANARY.as_bytes()).count();
    let at = text.windows(CANARY.len()).position(|window| window == CANARY.as_bytes());
    let around = at.map(|at| &text[at.saturating_sub(80)..(at + 40).min(text.len())]);
    let around = around.map(String::from_utf8_lossy);
    assert_eq!(hits, 0, "{what}: {around:?}");
}

fn files_below(path: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(path).expect("a directory").flatten() {
        if entry.path().is_dir() {
            files_below(&entry.path(), visit);
        } else {
            visit(&entry.path());
        }
    }
}

const STS: &str = r#"{"Credentials": {"AccessKeyId": "STS.session00001", "AccessKeySecret":
    "a-canary-secret", "SecurityToken": "a-canary-token", "Expiration": "2099-01-01T00:00:00Z"}}"#;
const PRINTED: &str = r#"{"mode": "StsToken", "access_key_id": "STS.external0001",
    "access_key_secret": "b-canary-secret", "sts_token": "b-canary-token"}"#;

/// Runs the daemon with keys from a command, and a role on top; everything that comes out is searched.
async fn run(format: &str) {
    let world = World::new().await;
    let key = |secret: &str| AccessKey {
        id: "STS.session00001".to_owned(),
        secret: secret.to_owned(),
        token: Some("a-canary-token".to_owned()),
        expires_at: None,
    };
    world.sandbox.control().set_keys(vec![key("a-canary-secret")]);
    let home = world.path("home");
    std::fs::create_dir_all(home.join(".aliyun")).expect("a home");
    std::fs::write(home.join("printed"), PRINTED).expect("written");
    let profiles = format!(
        r#"{{"current": "x", "profiles": [{{"name": "x", "mode": "External",
        "process_command": "cat {}"}}]}}"#,
        home.join("printed").display()
    );
    std::fs::write(home.join(".aliyun/config.json"), profiles).expect("written");
    let sts = serve(200, [STS]);
    let text = std::fs::read_to_string(world.config()).expect("read");
    let lines = text.lines().filter(|line| !line.starts_with("access_key_"));
    let text = lines.collect::<Vec<_>>().join("\n").replace(
        "[origin.www]",
        &format!(
            "[account.main.credentials]\nfrom = \"cli\"\nrole_arn = \"acs:ram::1:role/r\"\n\
             sts_endpoint = \"{sts}\"\n[log]\nlevel = \"trace\"\nformat = \"{format}\"\n[origin.www]"
        ),
    );
    std::fs::write(world.config(), text).expect("written");
    let home = format!("HOME={}", home.display());
    let unlimited = "ulimit -c unlimited; exec \"$@\"";
    let daemon = world.start_under(&["env", &home, "sh", "-euc", unlimited, "sh"]);
    world.wait_ready();
    world.write("a.html", "two");
    wait_for("the change", || (world.targets().len() == 1).then_some(())).expect("accepted");
    // From now on the signature is wrong, and the refusal repeats what was signed.
    world.sandbox.control().set_keys(vec![key("another")]);
    world.write("b.html", "two");
    let refusals = || world.sandbox.control().log().rejected;
    wait_for("a refusal", || refusals().get("SignatureDoesNotMatch").copied()).expect("refused");
    world.wait_status("the note", |status| status["accounts"]["main"]["note"] != "");

    let pid = daemon.pid();
    for name in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{pid}/{name}")).expect("it runs");
        assert_clean(name, &bytes);
    }
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["check"],
        &["check", "--json"],
        &["history"],
        &["history", "--json"],
        &["reasons"],
        &["reasons", "--json"],
        &["plan", "c.html"],
        &["explain", "c.html"],
        &["index"],
    ] {
        let output = Command::new("env")
            .args([&home, env!("CARGO_BIN_EXE_refreshd")])
            .args(arguments)
            .arg("--config")
            .arg(world.config())
            .output()
            .expect("it runs");
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        assert!(!said.is_empty() || output.status.success(), "{arguments:?}");
        assert_clean(&arguments.join(" "), &said);
    }
    let mut seen = 0;
    files_below(&world.path("state"), &mut |path| {
        // The socket can't be read.
        if let Ok(bytes) = std::fs::read(path) {
            seen += 1;
            assert_clean(&path.display().to_string(), &bytes);
        }
    });
    assert!(seen > 0, "the database at least");
    let log = world.log();
    assert!(log.contains("STS.…0001") && log.contains("TRACE"), "it is on, and tells of the key");
    assert_clean("the log", log.as_bytes());
    assert!(!daemon.abort().core_dumped(), "no core holds the key");
    // That a process which does not forbid it leaves one is what makes the line above say something.
    let other = Command::new("sh")
        .args(["-euc", "ulimit -c unlimited; kill -ABRT $$"])
        .current_dir(world.path("home"))
        .status();
    let other = other.expect("sh runs");
    assert_eq!(other.signal(), Some(6));
    assert!(other.core_dumped(), "this machine lets processes leave cores: {other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_the_daemon_in_text() {
    run("text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_the_daemon_in_json() {
    run("json").await;
}

#[tokio::test]
async fn no_error_repeats_what_it_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path();
    let write = |name: &str, text: &str| {
        let path = home.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(&path, text).expect("written");
        path
    };
    let files = |text| {
        let path = write("key", text);
        Place::Files(KeyFiles { key_id: path.clone(), secret: path, security_token: None })
    };
    let ecs = || Place::Ecs(Ecs { role_name: Some("r".to_owned()), v1: None });
    let none = "http://127.0.0.1:1".to_owned();
    let cli = |mode: &str, rest: &str| {
        let profile = format!(r#"{{"name": "x", "mode": "{mode}", {rest}}}"#);
        write(".aliyun/config.json", &format!(r#"{{"current": "x", "profiles": [{profile}]}}"#));
        Place::Cli { profile: None }
    };
    let oidc = [("ROLE_ARN", "r"), ("OIDC_PROVIDER_ARN", "p")];
    let token = write("token", "a-canary-token").display().to_string();
    let oidc: Vec<(&str, &str)> = [&oidc[..], &[("OIDC_TOKEN_FILE", token.as_str())]].concat();
    let key = [("ACCESS_KEY_ID", "LTAIcanary"), ("ACCESS_KEY_SECRET", "a-canary-secret")];
    let echo = r#"{"Code": "InvalidParameter.OIDCToken", "Message": "bad: a-canary-token LTAIcanary,
        server string to sign is: a-canary-secret"}"#;
    let half = r#"{"Code": "Success", "AccessKeyId": "canary", "AccessKeySecret": "canary"}"#;
    let odd = r#"{"Code": "Success", "AccessKeyId": "canary", "AccessKeySecret": "canary",
        "SecurityToken": "canary", "Expiration": "canary"}"#;
    let sts_half = r#"{"Credentials": {"AccessKeyId": "canary"}}"#;
    let malformed = "{\"canary";
    let role = || {
        Some(Role {
            arn: "r".to_owned(),
            session_name: None,
            external_id: None,
            policy: None,
            duration: SESSION,
        })
    };
    write(".alibabacloud/credentials.ini", "[default]\ncanary\n");
    let rows = [
        (files("two canary words"), None, &[][..], none.clone()),
        (Place::Ini { profile: None }, None, &[], none.clone()),
        (ecs(), None, &[], serve(200, [malformed])),
        (ecs(), None, &[], serve(200, ["canary-token", half])),
        (ecs(), None, &[], serve(200, ["canary-token", odd])),
        (ecs(), None, &[], serve(500, [malformed])),
        (Place::Uri(serve(200, [malformed]).parse().ok()), None, &[], none.clone()),
        (Place::Uri(serve(200, [half]).parse().ok()), None, &[], none.clone()),
        (Place::Uri(serve(500, [malformed]).parse().ok()), None, &[], none.clone()),
        (Place::Uri(serve(302, [malformed]).parse().ok()), None, &[], none.clone()),
        (Place::Oidc, None, &oidc, serve(400, [echo])),
        (Place::Oidc, None, &oidc, serve(200, [sts_half])),
        (Place::Oidc, None, &oidc, serve(500, [malformed])),
        (Place::Oidc, None, &oidc, none.clone()),
        (Place::Environment, role(), &key, serve(403, [echo])),
        (Place::Environment, role(), &key, serve(200, [malformed])),
        (Place::Environment, role(), &key, none.clone()),
    ];
    let check = async |place: Place, role, environment: &[(&str, &str)], service: &str| {
        let around = Surroundings {
            environment: environment
                .iter()
                .map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), (*value).to_owned()))
                .collect(),
            home: Some(home.to_owned()),
            metadata: service.parse().ok(),
            sts: service.parse().ok(),
            ..Surroundings::default()
        };
        let source = KeySource { role, ..KeySource::at(place.clone()) };
        let keyring = Arc::new(Keyring::new(source, around, SystemClock::shared()));
        let (renewed, result) = keyring.try_renew(false).await;
        let error = result.expect_err("there is no key");
        let text = format!("{error} {error:?} {renewed:?} {keyring:?}");
        assert_clean(&format!("{place:?}"), text.as_bytes());
    };
    for (place, role, environment, service) in rows {
        check(place, role, environment, &service).await;
    }
    for (mode, rest) in [
        ("AK", r#""access_key_secret": "canary""#),
        ("StsToken", r#""access_key_id": "canary", "access_key_secret": "canary""#),
        ("Odd", r#""access_key_secret": "canary""#),
        ("External", r#""process_command": "no-such-program canary""#),
        ("External", r#""process_command": "echo canary""#),
        ("External", r#""process_command": "'canary""#),
    ] {
        check(cli(mode, rest), None, &[], &none).await;
    }
    write(".aliyun/config.json", malformed);
    check(Place::Cli { profile: None }, None, &[], &none).await;
}
