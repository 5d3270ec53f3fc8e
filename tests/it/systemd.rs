//! The unit as systemd reads it, installed under a temporary root.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const UNIT: &str = include_str!("../../systemd/refreshd.service");
const GIT: &str = include_str!("../../systemd/refreshd-git.conf");
const SOCKET: &str = include_str!("../../systemd/refreshd.socket");
const WEB: &str = include_str!("../../systemd/refreshd-web.socket");
const FANOTIFY: &str = include_str!("../../systemd/refreshd-fanotify.conf");
const USERS: &str = include_str!("../../systemd/refreshd.sysusers");

fn write(root: &Path, path: &str, text: &str, mode: u32) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
    std::fs::write(&file, text).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
}

/// A root with `unit` installed, and as much of a system as `verify` looks for.
fn install(unit: &str) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    let at = root.path();
    write(at, "etc/systemd/system/refreshd.service", unit, 0o644);
    write(at, "etc/systemd/system/refreshd.socket", SOCKET, 0o644);
    write(at, "etc/systemd/system/refreshd-web.socket", WEB, 0o644);
    write(at, "usr/lib/systemd/system/sysinit.target", "[Unit]\nDescription=stub\n", 0o644);
    write(at, "usr/lib/sysusers.d/refreshd.conf", USERS, 0o644);
    write(at, "usr/bin/refreshd", "#!/bin/sh\n", 0o755);
    let config = include_str!("../../config.example.toml");
    write(at, "etc/refreshd/refreshd.toml", config, 0o644);
    root
}

/// Runs a tool of systemd on `root`; nothing when the tool is not installed.
#[expect(clippy::print_stdout, reason = "tests/run reads in the output what could not run")]
fn run(test: &str, root: &TempDir, tool: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new(tool);
    command.arg(arguments[0]).arg(format!("--root={}", root.path().display()));
    match command.args(&arguments[1..]).output() {
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            Some((output.status.success(), stderr))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIP: {test}: {tool} is not installed");
            None
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}

fn verify(test: &str, unit: &str) -> Option<(bool, String)> {
    let units = ["verify", "refreshd.service", "refreshd.socket", "refreshd-web.socket"];
    run(test, &install(unit), "systemd-analyze", &units)
}

#[test]
fn the_unit_is_verified_in_silence() {
    if let Some(result) = verify("the_unit_is_verified_in_silence", UNIT) {
        assert_eq!(result, (true, String::new()));
    }
}

/// A root with the unit and a drop-in.
fn install_with(drop_in: &str) -> TempDir {
    let root = install(UNIT);
    let place = "etc/systemd/system/refreshd.service.d/more.conf";
    write(root.path(), place, drop_in, 0o644);
    root
}

#[test]
fn the_drop_in_for_fanotify_is_verified_in_silence() {
    let test = "the_drop_in_for_fanotify_is_verified_in_silence";
    let arguments = ["verify", "refreshd.service"];
    if let Some(result) = run(test, &install_with(FANOTIFY), "systemd-analyze", &arguments) {
        assert_eq!(result, (true, String::new()));
    }
    let misspelt = FANOTIFY.replace("fanotify_mark", "fanotify_marks");
    if let Some((_, stderr)) = run(test, &install_with(&misspelt), "systemd-analyze", &arguments) {
        assert!(stderr.contains("fanotify_marks"), "{stderr}");
    }
}

/// What the drop-in may cost is measured too: see [`security`].
#[test]
fn the_drop_in_for_fanotify_gives_away_no_more_than_it_needs() {
    let test = "the_drop_in_for_fanotify_gives_away_no_more_than_it_needs";
    let arguments =
        ["security", "--offline=yes", "--threshold=19", "--no-pager", "refreshd.service"];
    let root = install_with(FANOTIFY);
    if let Some((good, stderr)) = run(test, &root, "systemd-analyze", &arguments) {
        assert!(good, "{stderr}");
    }
}

#[test]
fn the_drop_in_for_git_is_verified_in_silence_and_costs_little() {
    let test = "the_drop_in_for_git_is_verified_in_silence_and_costs_little";
    let root = install_with(GIT);
    if let Some(result) = run(test, &root, "systemd-analyze", &["verify", "refreshd.service"]) {
        assert_eq!(result, (true, String::new()));
    }
    let arguments =
        ["security", "--offline=yes", "--threshold=13", "--no-pager", "refreshd.service"];
    if let Some((good, stderr)) = run(test, &root, "systemd-analyze", &arguments) {
        assert!(good, "{stderr}");
    }
}

#[test]
fn a_misspelt_unit_is_not() {
    let misspelt = UNIT.replace("WatchdogSec=", "WatchdogSecs=");
    if let Some((_, stderr)) = verify("a_misspelt_unit_is_not", &misspelt) {
        assert!(stderr.contains("WatchdogSecs"), "{stderr}");
    }
}

/// The threshold is ten times the score: 11 allows an exposure of 1.1.
fn security(test: &str, unit: &str) -> Option<(bool, String)> {
    let arguments =
        ["security", "--offline=yes", "--threshold=11", "--no-pager", "refreshd.service"];
    run(test, &install(unit), "systemd-analyze", &arguments)
}

#[test]
fn the_unit_is_exposed_no_more_than_it_was() {
    if let Some((good, stderr)) = security("the_unit_is_exposed_no_more_than_it_was", UNIT) {
        assert!(good, "{stderr}");
    }
}

#[test]
fn a_weaker_unit_is_noticed() {
    let weaker = UNIT.replace("PrivateMounts=yes", "PrivateMounts=no");
    if let Some((good, _)) = security("a_weaker_unit_is_noticed", &weaker) {
        assert!(!good);
    }
}

#[test]
fn the_units_user_is_the_one_that_is_made() {
    let user = UNIT.lines().find_map(|line| line.strip_prefix("User=")).expect("a user");
    assert!(USERS.lines().any(|line| line.starts_with(&format!("u {user} "))), "{USERS}");
}
