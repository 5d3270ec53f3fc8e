//! Kept connections, against a server that ends them at every bad moment.

use std::collections::HashSet;
use std::net::Shutdown;
use std::sync::mpsc::Sender;

use tokio::net::TcpSocket;

use super::*;

/// What the server does on a connection after it has answered a first request there, which the
/// client then keeps.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// How much of a second request it reads before it ends the connection.
    reads: Reads,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    Nothing,
    Bytes(usize),
    All,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Fin,
    Reset,
    /// Closes behind an answer that nobody asked for.
    Stray(&'static str),
}

const STRAYS: [&str; 2] = [
    "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{\"RefreshTaskId\":\"6\",\"RequestId\":\"stray\"}",
];

/// What the server saw. It tells before it answers or closes: when a call ends, all of it is told.
#[derive(Debug, PartialEq, Eq)]
enum Saw {
    /// A whole request, by its nonce.
    Request(String),
    /// The beginning of one.
    Part,
    /// That a connection is closed.
    Closed,
}

/// Answers the first request of each connection, and ends it by the next of `moments` in turn.
fn serve_moments(moments: Vec<Moment>) -> (Url, Receiver<Saw>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, saw) = channel();
    std::thread::spawn(move || {
        for moment in moments.into_iter().cycle() {
            let (stream, _) = listener.accept().expect("a connection");
            let sender = sender.clone();
            std::thread::spawn(move || {
                serve_one(stream, moment, &sender);
                // At the end of the test nobody listens any more.
                let _ = sender.send(Saw::Closed);
            });
        }
    });
    (endpoint.parse().expect("a URL"), saw)
}

fn serve_one(mut stream: TcpStream, moment: Moment, saw: &Sender<Saw>) {
    let tell = |seen| saw.send(seen).expect("the test listens");
    let nonce = |request: Request| {
        Saw::Request(request.header("x-acs-signature-nonce").expect("a nonce").to_owned())
    };
    // No byte comes when the test has ended.
    let comes = |stream: &TcpStream| matches!(stream.peek(&mut [0]), Ok(1));
    if !comes(&stream) {
        return;
    }
    tell(nonce(read_request(&stream)));
    let mut reply = keep(r#"{"RefreshTaskId":"1","RequestId":"R"}"#);
    if let End::Stray(text) = moment.end {
        reply += text;
    }
    stream.write_all(reply.as_bytes()).expect("written");
    match moment.reads {
        Reads::Nothing => {}
        _ if !comes(&stream) => return,
        Reads::Bytes(count) => {
            stream.read_exact(&mut vec![0; count]).expect("the beginning");
            tell(Saw::Part);
        }
        Reads::All => tell(nonce(read_request(&stream))),
    }
    match (moment.end, moment.reads) {
        (End::Reset, _) => {
            let socket = TcpSocket::from_std_stream(stream.try_clone().expect("a handle"));
            socket.set_zero_linger().expect("set");
        }
        // To close with bytes unread would reset, too.
        (End::Fin, Reads::Bytes(_)) => {
            stream.shutdown(Shutdown::Write).expect("shut down");
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        _ => {}
    }
}

fn keep(body: &str) -> String {
    ok(body).replace("connection: close\r\n", "")
}

fn moments(reads: &[Reads], ends: &[End]) -> Vec<Moment> {
    let each = |end: &End| reads.iter().map(|reads| Moment { reads: *reads, end: *end }).collect();
    ends.iter().flat_map(|end| -> Vec<_> { each(end) }).collect()
}

/// Calls again and again, and checks each time what the server saw of it; when `is_patient`, the
/// next call waits until the server has closed. Returns how many calls ended in doubt.
async fn calls_in_doubt(calls: usize, moments: Vec<Moment>, is_patient: bool) -> usize {
    let (endpoint, saw) = serve_moments(moments);
    let world = world(&endpoint).await;
    let (mut nonces, mut doubts) = (HashSet::new(), 0);
    for call in 0..calls {
        let result = refresh(&world).await;
        let mut seen: Vec<_> = saw.try_iter().collect();
        while is_patient && result.is_ok() && !seen.contains(&Saw::Closed) {
            seen.push(saw.recv().expect("the server lives"));
        }
        seen.retain(|seen| *seen != Saw::Closed);
        assert!(seen.len() <= 1, "call {call} was read twice: {seen:?}");
        let is_whole = matches!(seen.first(), Some(Saw::Request(_)));
        for seen in seen {
            if let Saw::Request(nonce) = seen {
                assert!(nonces.insert(nonce), "a nonce was read again");
            }
        }
        match result {
            Ok(accepted) => assert_eq!((accepted.request_id.as_str(), is_whole), ("R", true)),
            Err(failure) => {
                // The server always listens: whatever fails may have reached it.
                assert_eq!(failure.reached, Reached::Sent, "{failure:?}");
                doubts += 1;
            }
        }
    }
    doubts
}

#[tokio::test]
async fn calls_in_a_row_share_a_connection_and_differ_in_their_nonces() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        for _ in 0..3 {
            sender.send(read_request(&stream)).expect("the test listens");
            let reply = keep(r#"{"RefreshTaskId":"1","RequestId":"R"}"#);
            stream.write_all(reply.as_bytes()).expect("written");
        }
    });
    let world = world(&endpoint.parse().expect("a URL")).await;
    for _ in 0..3 {
        refresh(&world).await.expect("accepted");
    }
    let nonces: HashSet<_> = requests
        .iter()
        .map(|request| request.header("x-acs-signature-nonce").expect("a nonce").to_owned())
        .collect();
    assert_eq!(nonces.len(), 3);
    assert!(nonces.iter().all(|nonce| nonce.len() == 32));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_read_twice_whenever_the_server_ends_a_kept_connection() {
    let mut every = moments(
        &[Reads::Nothing, Reads::Bytes(1), Reads::Bytes(16), Reads::Bytes(200), Reads::All],
        &[End::Fin, End::Reset],
    );
    every.extend(moments(&[Reads::Nothing], &STRAYS.map(End::Stray)));
    calls_in_doubt(1_000, every, false).await;
}

#[tokio::test]
async fn a_request_that_the_server_began_to_read_is_in_doubt_and_not_sent_again() {
    let begun = moments(&[Reads::Bytes(1), Reads::Bytes(200), Reads::All], &[End::Fin, End::Reset]);
    // Every other call comes to a kept connection.
    assert_eq!(calls_in_doubt(300, begun, false).await, 150);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_causes_no_doubt() {
    let idle = moments(
        &[Reads::Nothing],
        &[End::Fin, End::Reset, End::Stray(STRAYS[0]), End::Stray(STRAYS[1])],
    );
    assert_eq!(calls_in_doubt(400, idle, true).await, 0);
}
