//! The whole way with a real web server behind a real cache: nginx, the sandbox's edge, the daemon.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use refreshd::sandbox::Options;

use crate::world::{World, listener, wait_for};

/// A running nginx; ended when it goes out of scope.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves `root` on `port` by one nginx process without privileges.
fn nginx(folder: &Path, root: &Path, port: u16) -> Nginx {
    let text = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n\
         events {{}}\n\
         http {{\n access_log off; etag on;\n\
         client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;\n\
         fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;\n\
         server {{ listen 127.0.0.1:{port}; root {root}; }}\n}}\n",
        folder = folder.display(),
        root = root.display(),
    );
    let config = folder.join("nginx.conf");
    std::fs::write(&config, text).expect("it is written");
    let child = Command::new("nginx")
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
    let cache = head
        .lines()
        .find_map(|line| line.strip_prefix("x-cache: "))?;
    Some((cache.to_owned(), body.to_owned()))
}

fn saw(cache: &str, body: &str) -> (String, String) {
    (cache.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_serves_what_was_saved_and_has_the_prefetched_page_before_anyone_asks() {
    // A free port that is given back: nginx takes it a moment later.
    let port = listener().await.local_addr().expect("an address").port();
    let world = World::with(Options {
        time_scale: 3000,
        ..Options::new(format!("http://127.0.0.1:{port}"))
    })
    .await;
    world.configure("", "prefetch = [\"news/*\"]");
    world.write("page.html", "one");
    world.write("news/today.html", "old news");
    let _nginx = nginx(&world.path(""), &world.root(), port);
    wait_for("nginx", || {
        (visit(&world, "page.html")?.1 == "one").then_some(())
    })
    .expect("nginx");
    visit(&world, "news/today.html");
    assert_eq!(visit(&world, "page.html"), Some(saw("HIT", "one")));
    assert_eq!(
        visit(&world, "news/today.html"),
        Some(saw("HIT", "old news"))
    );
    let _daemon = world.start();
    world.wait_ready();
    world.write("page.html", "two");
    world.write("news/today.html", "fresh news");
    assert_eq!(
        visit(&world, "page.html"),
        Some(saw("HIT", "one")),
        "the edge can't know yet"
    );
    wait_for("three ends", || {
        (world.status()?["intents"]["done"] == 3).then_some(())
    })
    .expect("two refreshes and a prefetch end");
    assert_eq!(visit(&world, "page.html"), Some(saw("MISS", "two")));
    assert_eq!(
        visit(&world, "news/today.html"),
        Some(saw("HIT", "fresh news"))
    );
}
