//! The whole way with a real web server behind a real cache: nginx, the sandbox's edge, the daemon.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use refreshd::sandbox::Options;

use crate::world::{World, wait_for};

/// A running nginx; ended when it goes out of scope.
pub(crate) struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked, not killed: it ends its worker first.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Serves `root` by nginx on a listener that it inherits, as it does from its predecessor in an
/// upgrade: so the port is never free for somebody else to take. Its worker keeps its user, for the
/// folder is its owner's alone; without being root nginx passes that line over.
pub(crate) fn nginx(folder: &Path, root: &Path, listener: &TcpListener) -> Nginx {
    let address = listener.local_addr().expect("an address");
    let text = format!(
        "daemon off; worker_processes 1; user root root; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n\
         events {{}}\n\
         http {{\n access_log off; etag on;\n\
         client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;\n\
         fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;\n\
         server {{ listen {address}; root {root}; }}\n}}\n",
        folder = folder.display(),
        root = root.display(),
    );
    let config = folder.join("nginx.conf");
    std::fs::write(&config, text).expect("it is written");
    rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty()).expect("it is inherited");
    let child = Command::new("nginx")
        .env("NGINX", format!("{};", listener.as_raw_fd()))
        .arg("-c")
        .arg(config)
        .arg("-p")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx is installed: ./tests/run sees to it");
    Nginx(child)
}

/// Asks the edge for a page: its `x-cache` and its text.
fn visit(world: &World, page: &str) -> Option<(String, String)> {
    let output = Command::new("curl")
        .args(["-s", "-i", "--max-time", "5"])
        .arg(format!("http://{}/{page}", world.sandbox.edge))
        .output()
        .expect("curl is installed: ./tests/run sees to it");
    let text = String::from_utf8(output.stdout).expect("plain text");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let cache = head.lines().find_map(|line| line.strip_prefix("x-cache: "))?;
    Some((cache.to_owned(), body.to_owned()))
}

fn saw(cache: &str, body: &str) -> (String, String) {
    (cache.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_serves_what_was_saved_and_has_the_prefetched_page_before_anyone_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("as nginx wants it");
    let address = listener.local_addr().expect("an address");
    let world =
        World::with(Options { time_scale: 3000, ..Options::new(format!("http://{address}")) })
            .await;
    world.configure("", "prefetch = [\"news/*\"]");
    world.write("page.html", "one");
    world.write("news/today.html", "old news");
    let _nginx = nginx(&world.path(""), &world.root(), &listener);
    wait_for("nginx", || (visit(&world, "page.html")?.1 == "one").then_some(())).expect("nginx");
    visit(&world, "news/today.html");
    assert_eq!(visit(&world, "page.html"), Some(saw("HIT", "one")));
    assert_eq!(visit(&world, "news/today.html"), Some(saw("HIT", "old news")));
    let _daemon = world.start();
    world.wait_ready();
    world.write("page.html", "two");
    world.write("news/today.html", "fresh news");
    assert_eq!(visit(&world, "page.html"), Some(saw("HIT", "one")), "the edge can't know yet");
    wait_for("three ends", || (world.status()?["intents"]["done"] == 3).then_some(()))
        .expect("two refreshes and a prefetch end");
    assert_eq!(visit(&world, "page.html"), Some(saw("MISS", "two")));
    assert_eq!(visit(&world, "news/today.html"), Some(saw("HIT", "fresh news")));
}
