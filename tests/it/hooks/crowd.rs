//! Clients that take their time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::MAIN;
use super::sender::{Request, SECRET, configure, connect, door, exchange, read};
use crate::world::{World, wait_for};

/// How many dawdle.
const CROWD: usize = 1_000;

/// Clients that drip a byte a round, each other one nothing at all, and come again when they are shown
/// out.
struct Crowd {
    end: Arc<AtomicBool>,
    /// How often one was shown out and came again.
    returns: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn gather(door: SocketAddr) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let returns = Arc::new(AtomicUsize::new(0));
        let (until, counted) = (end.clone(), returns.clone());
        let thread = std::thread::spawn(move || {
            let mut clients: Vec<Option<TcpStream>> = (0..CROWD).map(|_| None).collect();
            while !until.load(Ordering::Relaxed) {
                for (number, client) in clients.iter_mut().enumerate() {
                    if client.as_mut().is_some_and(|client| drips(client, number)) {
                        continue;
                    }
                    counted.fetch_add(usize::from(client.is_some()), Ordering::Relaxed);
                    *client = connect(door).ok();
                    if let Some(client) = client {
                        client.set_nonblocking(true).expect("set");
                    }
                }
            }
        });
        Self { end, returns, thread: Some(thread) }
    }

    /// Sends them home.
    fn disperse(mut self) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().expect("once").join().expect("it ends");
    }
}

/// Returns whether a client is still in.
fn drips(client: &mut TcpStream, number: usize) -> bool {
    let is_in = match client.read(&mut [0]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    };
    is_in && (number.is_multiple_of(2) || client.write_all(b"P").is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_clients_keep_no_honest_one_out() {
    let world = World::new().await;
    configure(&world, "connections_per_source = 256", "");
    let daemon = world.start();
    let door = door(&world, 1);
    let crowd = Crowd::gather(door);
    let returns = || (crowd.returns.load(Ordering::Relaxed) > 0).then_some(());
    wait_for("a full house", returns).expect("they are more than it holds");
    for number in 0..50 {
        let request = Request::push(&format!("honest{number}"), MAIN).bytes();
        // Like every sender, it comes again when its connection breaks.
        let answer = wait_for("an answer", || exchange(door, &request).ok()).expect("in time");
        assert!([200, 202].contains(&answer.status), "{answer:?}");
    }
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its descriptors");
    assert!(sockets.count() < 256 + 100, "the house holds no more than it may");
    crowd.disperse();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_too_slow_is_shown_out_whatever_it_is_slow_with() {
    let world = World::new().await;
    let quick = "header_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nidle_timeout = \"300ms\"";
    configure(&world, quick, "");
    let _daemon = world.start();
    let door = door(&world, 1);
    let request = Request::push("one", MAIN);
    let silent = connect(door).expect("a connection");
    let mut headless = connect(door).expect("a connection");
    headless.write_all(&request.head()[..40]).expect("sent");
    let mut idle = connect(door).expect("a connection");
    idle.write_all(&request.bytes()).expect("sent");
    assert_eq!(read(&mut idle).expect("an answer").status, 202);
    let mut bodiless = connect(door).expect("a connection");
    bodiless.write_all(&request.bytes()[..request.bytes().len() - 1]).expect("sent");
    assert_eq!(read(&mut bodiless).expect("an answer").status, 408);
    for mut slow in [silent, headless, idle, bodiless] {
        // A reset is an end, too: what it had sent was never read.
        assert_eq!(slow.read(&mut [0]).unwrap_or(0), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_of_the_places() {
    let world = World::new().await;
    configure(&world, "connections_per_source = 2", "");
    let _daemon = world.start();
    let door = door(&world, 1);
    let mut first = connect(door).expect("a connection");
    let mut second = connect(door).expect("a connection");
    // Once this one is answered, the others have been let in too.
    second.write_all(&Request::push("one", MAIN).bytes()).expect("sent");
    assert_eq!(read(&mut second).expect("an answer").status, 202);
    assert_eq!(Request::push("two", MAIN).send(door).status, 202);
    assert_eq!(first.read(&mut [0]).expect("its end"), 0, "it was silent");
    second.write_all(&Request::push("three", MAIN).bytes()).expect("sent");
    assert_eq!(read(&mut second).expect("an answer").status, 202, "it was not");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_take_no_room_from_one_that_does() {
    const LONGEST: usize = 25 << 20;
    let world = World::new().await;
    configure(&world, &format!("body_bytes = {LONGEST}\nbody_timeout = \"5m\""), "");
    let _daemon = world.start();
    let door = door(&world, 1);
    let endless = Request::signed("nobody knows it", "x", "ping", vec![b' '; LONGEST]).bytes();
    let clients: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut client = connect(door).expect("a connection");
            // The last byte never comes. Whoever is shown out hears of it as a reset, and goes.
            let _ = client.write_all(&endless[..endless.len() - 1]);
            client
        })
        .collect();
    let body = format!("{{\"zen\":\"{}\"}}", "x".repeat(LONGEST - 100)).into_bytes();
    let honest = Request::signed(SECRET, "one", "ping", body).send(door);
    assert_eq!(honest.status, 202, "{honest:?}");
    drop(clients);
}
