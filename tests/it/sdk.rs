//! The sandbox, judged from outside: Alibaba's unchanged Python SDK drives it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays an origin that has one file.
fn answer(mut stream: TcpStream) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let status = if first.starts_with("GET /prefetched.txt ") { "200 OK" } else { "404 Not Found" };
    // A client that left needs no answer.
    let _ =
        write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody");
}

/// Starts an origin that has `/prefetched.txt`; returns its address as a URL.
pub(crate) fn origin() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    format!("http://{address}")
}

#[test]
fn alibabas_own_sdk_drives_the_sandbox() {
    let python = std::env::var("REFRESHD_TEST_PYTHON").expect(
        "REFRESHD_TEST_PYTHON must name a Python that has tests/sdk/requirements.txt installed; \
         ./tests/run makes one and sets it",
    );
    let sandbox = Command::new(env!("CARGO_BIN_EXE_refreshd"))
        .args(["sandbox", "--time-scale", "300", "--prefetch-detail", "--origin", &origin()])
        .stdout(Stdio::piped())
        .spawn();
    let mut sandbox = Killed(sandbox.expect("the sandbox starts"));
    let mut line = String::new();
    let output = sandbox.0.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("a line");
    let said: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
    let field = |name: &str| said[name].as_str().expect("text").to_owned();
    let drive = Command::new(&python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/drive.py"))
        .args([field("api"), field("access_key_id"), field("access_key_secret")])
        .output()
        .expect("Python starts");
    assert!(
        drive.status.success(),
        "{}{}",
        String::from_utf8_lossy(&drive.stdout),
        String::from_utf8_lossy(&drive.stderr)
    );
}
