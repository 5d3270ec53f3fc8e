//! The sandbox, judged from outside: Alibaba's unchanged Python SDK drives it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn alibabas_own_sdk_drives_the_sandbox() {
    let python = std::env::var("REFRESHD_TEST_PYTHON").expect(
        "REFRESHD_TEST_PYTHON must name a Python that has tests/sdk/requirements.txt installed; \
         ./tests/run makes one and sets it",
    );
    let site = tempfile::tempdir().expect("a directory");
    std::fs::write(site.path().join("prefetched.txt"), "prefetched\n").expect("a file");
    // The port is free a moment later as well, and Python says so if it isn't.
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port();
    let origin = Command::new(&python)
        .args([
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            &port.to_string(),
        ])
        .current_dir(site.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _origin = Killed(origin.expect("a web server"));
    let sandbox = Command::new(env!("CARGO_BIN_EXE_refreshd"))
        .args(["sandbox", "--time-scale", "300", "--origin"])
        .arg(format!("http://127.0.0.1:{port}"))
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
        .args([
            field("api"),
            field("access_key_id"),
            field("access_key_secret"),
        ])
        .output()
        .expect("Python starts");
    assert!(
        drive.status.success(),
        "{}{}",
        String::from_utf8_lossy(&drive.stdout),
        String::from_utf8_lossy(&drive.stderr)
    );
}
