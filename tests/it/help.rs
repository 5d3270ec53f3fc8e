//! Completions, manual pages, and the status that is watched.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::world::{World, wait_for};

fn refreshd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_refreshd"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn completions_and_manual_pages_are_whole() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = refreshd(&["completions", shell]);
        assert!(output.status.success() && text(&output).contains("deploy"), "{}", text(&output));
    }
    let script = refreshd(&["completions", "bash"]).stdout;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash runs");
    bash.stdin.take().expect("its input").write_all(&script).expect("it reads");
    assert!(bash.wait().expect("it ends").success());
    let page = text(&refreshd(&["man", "deploy", "begin"]));
    assert!(page.contains(".TH refreshd-deploy-begin 1") && page.contains("Example:"), "{page}");
    assert_eq!(refreshd(&["man", "nothing"]).status.code(), Some(64));
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("share/man1");
    let out = |place: &Path| refreshd(&["man", "--out", &place.display().to_string()]);
    let output = out(&place);
    assert!(output.status.success(), "{}", text(&output));
    for name in ["refreshd.1", "refreshd-check.1", "refreshd-deploy-begin.1"] {
        assert!(place.join(name).exists(), "{name}");
    }
    let file = place.join("refreshd.1");
    let output = out(&file);
    assert_eq!(output.status.code(), Some(74));
    assert!(text(&output).contains(&file.display().to_string()), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_watched_on_a_terminal_and_shown_once_elsewhere() {
    let world = World::new().await;
    let daemon = world.start();
    world.wait_ready();
    let output = world.command(&["status", "--watch"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("no terminal to watch on"), "{}", text(&output));
    let command = format!(
        "exec {} status --watch --config {}",
        env!("CARGO_BIN_EXE_refreshd"),
        world.config().display()
    );
    let screen = world.path("screen");
    let mut person = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&screen).expect("a screen"))
        .spawn()
        .expect("script runs");
    let sees = |what: &str| {
        let seen = || std::fs::read_to_string(&screen).unwrap_or_default();
        wait_for(what, || seen().contains(what).then_some(()))
            .unwrap_or_else(|| panic!("`{what}` in {}", seen()));
    };
    sees("0 pending, 0 submitting, 0 submitted, 0 done");
    world.write("a.html", "new");
    sees("1 done, 0 failed");
    assert_eq!(daemon.terminate(), Some(0));
    sees("no daemon answers");
    let keys = person.stdin.as_mut().expect("a keyboard");
    keys.write_all(b"xq").expect("typed");
    assert_eq!(person.wait().expect("it ends").code(), Some(0));
}
