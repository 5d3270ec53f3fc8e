//! The socket that systemd hands over.

use std::process::Command;

use super::MAIN;
use super::sender::{Request, configure, connect};
use crate::world::{World, wait_for};

fn by_systemd(world: &World) {
    configure(world, "", "");
    let config = std::fs::read_to_string(world.config()).expect("it is read");
    let config = config.replace("listen = \"127.0.0.1:0\"", "listen = \"systemd\"");
    std::fs::write(world.config(), config).expect("it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_systemd_hands_over_is_taken() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if Command::new(ACTIVATE).arg("--version").output().is_err() {
        println!("SKIP: a_socket_that_systemd_hands_over_is_taken: {ACTIVATE} is not installed");
        return;
    }
    let world = World::new().await;
    by_systemd(&world);
    // A port that nobody has: it is free again once this is done.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let door = free.local_addr().expect("an address");
    drop(free);
    let listen = format!("--listen={door}");
    let daemon = world.start_under(&[ACTIVATE, &listen, "--fdname=hooks"]);
    // The first connection starts the daemon and waits for it.
    let connected = wait_for("the socket", || connect(door).ok());
    drop(connected.expect("systemd listens"));
    let answer = Request::push("one", MAIN).send(door);
    assert_eq!(answer.status, 202, "{answer:?} {}", world.log());
    assert!(world.log().contains(&format!("hooks are taken at {door}")), "{}", world.log());
    assert_eq!(daemon.terminate(), Some(0));
}

#[tokio::test]
async fn a_socket_that_nobody_hands_over_is_missed_aloud() {
    let world = World::new().await;
    by_systemd(&world);
    let output = world.command(&["run"]);
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("handed over no socket") && said.contains("refreshd.socket"), "{said}");
}
