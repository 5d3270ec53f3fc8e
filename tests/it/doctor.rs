//! `refreshd doctor` on this machine, with what it is to find.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::world::{World, listener};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

fn read(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Asks the doctor; returns the exit code and the findings.
fn doctor(world: &World) -> (Option<i32>, Value) {
    let output = world.command(&["doctor", "--json"]);
    (output.status.code(), read(&output))
}

/// Returns the level of the findings about something, and all they say.
fn about(answer: &Value, about: &str) -> (String, String) {
    let findings = answer["findings"].as_array().expect("findings").iter();
    let mut found = findings.filter(|finding| finding["about"] == about).peekable();
    let level = found.peek().map_or("none", |first| first["level"].as_str().unwrap_or_default());
    let level = level.to_owned();
    (level, found.map(ToString::to_string).collect())
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_well_is_said_so_with_a_daemon_and_without() {
    let world = World::new().await;
    world.write("docs/a.html", "one");
    world.write(".git/config", "excluded");
    let (code, answer) = doctor(&world);
    assert_eq!((code, &answer["ok"]), (Some(0), &Value::Bool(true)), "{answer}");
    assert_eq!(about(&answer, "daemon").0, "advice", "{answer}");
    let daemon = world.start();
    world.wait_ready();
    let (code, answer) = doctor(&world);
    assert_eq!((code, &answer["ok"]), (Some(0), &Value::Bool(true)), "{answer}");
    for subject in [
        "configuration",
        "daemon",
        "root of www",
        "inotify watches",
        "state_dir",
        "key files of main",
        "key of main",
        "key of main in use",
        "credential of main",
        "clock and the CDN's",
    ] {
        assert_eq!(about(&answer, subject).0, "ok", "{subject}: {answer}");
    }
    assert!(about(&answer, "root of www").1.contains("1 file in 2 directories"), "{answer}");
    assert!(about(&answer, "daemon").1.contains(&daemon.pid().to_string()), "{answer}");
    assert_eq!(about(&answer, "domains of main").0, "not_checked", "{answer}");
    assert!(world.targets().is_empty(), "nothing was asked");
    let text = world.command(&["doctor"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("ok           configuration: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_may_read_is_broken_and_its_repair_repairs() {
    let world = World::new().await;
    let secret = world.path("access_key_secret");
    set_mode(&secret, 0o644);
    let (code, answer) = doctor(&world);
    let (level, said) = about(&answer, "key files of main");
    assert_eq!((code, level.as_str()), (Some(1), "broken"), "{answer}");
    let mend = format!("chmod 0600 {}", secret.display());
    assert!(said.contains(&mend), "{said}");
    assert!(Command::new("sh").args(["-c", &mend]).status().expect("it runs").success());
    assert_eq!(doctor(&world).0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_cdn_refuses_is_broken() {
    let world = World::new().await;
    std::fs::write(world.path("access_key_secret"), "wrong").expect("it is written");
    let (code, answer) = doctor(&world);
    let (level, said) = about(&answer, "credential of main");
    assert_eq!((code, level.as_str()), (Some(1), "broken"), "{answer}");
    assert!(said.contains("SignatureDoesNotMatch"), "{said}");
    assert_eq!(about(&answer, "clock and the CDN's").0, "ok", "a refusal tells the time too");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_that_is_said() {
    let world = World::new().await;
    let closed = listener().await.local_addr().expect("an address").to_string();
    let config = std::fs::read_to_string(world.config()).expect("it is read");
    let config = config.replace(&world.sandbox.api.to_string(), &closed);
    std::fs::write(world.config(), config).expect("it is written");
    let (code, answer) = doctor(&world);
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(about(&answer, "credential of main").0, "not_checked", "{answer}");
    assert_eq!(about(&answer, "clock and the CDN's").0, "not_checked", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_root_and_a_wrong_configuration_are_broken() {
    let world = World::new().await;
    std::fs::remove_dir(world.root()).expect("it is removed");
    let (code, answer) = doctor(&world);
    assert_eq!((code, about(&answer, "root of www").0.as_str()), (Some(1), "broken"), "{answer}");
    let good = std::fs::read_to_string(world.config()).expect("it is read");
    std::fs::write(world.config(), good.replace("domains =", "domain =")).expect("it is written");
    let (code, answer) = doctor(&world);
    let (level, said) = about(&answer, "configuration");
    assert_eq!((code, level.as_str()), (Some(1), "broken"), "{answer}");
    assert!(said.contains("domains"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_may_not_read_is_named() {
    let world = World::new().await;
    world.write("a/shown.html", "one");
    world.write("b/hidden/page.html", "one");
    let (hidden, binary) = (world.root().join("b/hidden"), world.path("refreshd"));
    set_mode(&hidden, 0o000);
    // Root may read all: a copy of the binary that somebody else can reach is run as them.
    std::fs::copy(env!("CARGO_BIN_EXE_refreshd"), &binary).expect("it is copied");
    set_mode(&world.path(""), 0o755);
    let mut command = Command::new(&binary);
    command.args(["doctor", "--json", "--config"]).arg(world.config()).stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().expect("it runs");
    set_mode(&hidden, 0o755);
    let answer = read(&output);
    assert_eq!(output.status.code(), Some(1), "{answer}");
    let (level, said) = about(&answer, "root of www");
    assert_eq!(level, "broken", "{answer}");
    assert!(said.contains("1 path ") && said.contains("b/hidden"), "{said}");
    if rustix::process::geteuid().is_root() {
        assert_eq!(about(&answer, "state_dir").0, "broken", "{answer}");
        assert_eq!(about(&answer, "key files of main").0, "broken", "{answer}");
    }
}
