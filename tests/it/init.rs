//! A new user's way: `init` at a terminal, `check`, `run`, and a change is refreshed.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use tokio::task::JoinSet;

use crate::world::{World, listener, wait_for};

/// A web server of the files below a root, which leaves out the ending of pages.
async fn web(world: &World, servers: &mut JoinSet<()>) -> String {
    let listener = listener().await;
    let address = listener.local_addr().expect("an address");
    let root = world.root();
    let page = move |uri: Uri| {
        let path = uri.path().trim_start_matches('/');
        let (index, below) = (format!("{path}index.html"), format!("{path}/index.html"));
        let names = [path.to_owned(), index, below, format!("{path}.html")];
        let bytes = names.iter().find_map(|name| std::fs::read(root.join(name)).ok());
        let status = if bytes.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        std::future::ready((status, bytes.unwrap_or_default()))
    };
    servers.spawn(async move {
        axum::serve(listener, Router::new().fallback(page)).await.expect("it serves");
    });
    format!("http://{address}")
}

/// A person at a terminal.
struct Person {
    child: Child,
    screen: Arc<Mutex<String>>,
    /// How far the person has read.
    read: usize,
}

impl Person {
    /// Runs `refreshd init` at a terminal of its own.
    fn begins(world: &World, options: &[&str]) -> Self {
        let command = format!(
            "exec {} init --config {} --state-dir {} --credentials-dir {} --account-endpoint http://{} {}",
            env!("CARGO_BIN_EXE_refreshd"),
            world.path("new/refreshd.toml").display(),
            world.path("state").display(),
            world.path("keys").display(),
            world.sandbox.api,
            options.join(" ")
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--echo", "always", "--command", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, shown) = (child.stdout.take().expect("a screen"), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(number @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..number]).replace('\r', "");
                shown.lock().expect("the screen").push_str(&text);
            }
        });
        Self { child, screen, read: 0 }
    }

    fn screen(&self) -> String {
        self.screen.lock().expect("the screen").clone()
    }

    /// Waits for a question and answers it.
    fn answers(&mut self, question: &str, answer: &str) {
        let read = self.read;
        let found = wait_for("a question", || {
            let screen = self.screen();
            screen[read..].find(question).map(|at| read + at + question.len())
        });
        self.read = found.unwrap_or_else(|| panic!("`{question}` in {}", self.screen()));
        let stdin = self.child.stdin.as_mut().expect("a keyboard");
        stdin.write_all(answer.as_bytes()).expect("typed");
    }

    fn ends(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("it ends");
        drop(self.child.stdin.take());
        (status.code(), self.screen())
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_gets_from_init_to_the_first_refresh() {
    let world = World::new().await;
    for (path, page) in
        [("index.html", "one"), ("docs/index.html", "docs"), ("a.html", "a"), ("s.css", "s")]
    {
        world.write(path, page);
    }
    let mut servers = JoinSet::new();
    let server = web(&world, &mut servers).await;
    let (id, secret) =
        (world.sandbox.access_key_id.clone(), world.sandbox.access_key_secret.clone());
    let mut person = Person::begins(&world, &[]);
    let root = world.root().display().to_string();
    person.answers("files", "srv/www\n");
    person.answers("write the whole path", "/nonexistent\n");
    person.answers("No such file", &format!("{root}\n"));
    person.answers("serves it under", "*.example.com\n");
    person.answers("name each one", "www.example.com\n");
    person.answers("Name of this origin [www]:", "\n");
    person.answers("Which [", "1\n");
    person.answers("Access key id:", &format!("{id}\n"));
    person.answers("(not shown):", "wrong\n");
    person.answers("the CDN refuses the call", "");
    person.answers("Which [", "1\n");
    person.answers("Access key id:", &format!("{id}\n"));
    person.answers("(not shown):", &format!("{secret}\n"));
    person.answers("the CDN takes the key", "");
    person.answers("ask nobody) [http://127.0.0.1]:", &format!("{server}\n"));
    person.answers("no page) [127.0.0.1:8378]:", "0.0.0.0:8378\n");
    person.answers("take one of this machine", "none\n");
    let (code, screen) = person.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains(&secret), "{screen}");
    for part in [
        "3 of 3 files are served",
        "clean_urls = [\".html\"]",
        "directory_urls = \"both\"",
        "Next:\n  refreshd check --config ",
    ] {
        assert!(screen.contains(part), "`{part}` in {screen}");
    }
    for name in ["access_key_id", "access_key_secret"] {
        let mode = world.path("keys").join(name).metadata().expect("a key file").mode();
        assert_eq!(mode & 0o777, 0o400);
    }
    // What it wrote is in the place of the world's own from here on.
    std::fs::rename(world.path("new/refreshd.toml"), world.config()).expect("moved");
    let output = world.command(&["check", "--strict"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let _daemon = world.start();
    world.wait_ready();
    world.write("docs/index.html", "new docs");
    wait_for("the refresh", || {
        world.targets().contains(&"https://www.example.com/docs/".to_owned()).then_some(())
    })
    .unwrap_or_else(|| panic!("{:?}\n{}", world.targets(), world.log()));
    servers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_nothing_and_a_terminal_that_works() {
    let world = World::new().await;
    let root = format!("--root {} --domain www.example.com --origin www", world.root().display());
    let mut person = Person::begins(&world, &[&root]);
    person.answers("Which [", "1\n");
    person.answers("Access key id:", "id\n");
    person.answers("(not shown):", "half a sec\u{3}");
    let (code, screen) = person.ends();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("nothing was written") && !screen.contains("half"), "{screen}");
    let mut person = Person::begins(&world, &[]);
    person.answers("files", "\u{3}");
    let (code, screen) = person.ends();
    assert_eq!(code, Some(130), "SIGINT: {screen}");
    assert!(!world.path("new").exists() && !world.path("keys").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_says_everything_and_nothing_is_overwritten() {
    let world = World::new().await;
    world.write("index.html", "one");
    let path = |name: &str| world.path(name).display().to_string();
    let (id, secret) = (path("access_key_id"), path("access_key_secret"));
    let (root, endpoint) = (path("root"), format!("http://{}", world.sandbox.api));
    let (config, state) = (path("script.toml"), path("state"));
    let init = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_refreshd"))
            .args(["init", "--config", &config, "--root", &root, "--state-dir", &state])
            .args(["--domain", "www.example.com", "--domain", "https://img.example.com/x"])
            .args(["--account-endpoint", &endpoint, "--server", "none"])
            .args(more)
            .stdin(Stdio::null())
            .output()
            .expect("it runs")
    };
    let keys = ["--access-key-id-file", &id, "--access-key-secret-file", &secret];
    let output = init(&keys);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("add --yes"), "{}", text(&output));
    let wrong = ["--access-key-id-file", &id, "--access-key-secret-file", &id, "--yes"];
    assert_eq!(init(&wrong).status.code(), Some(78), "one file is no pair");
    let output = init(&[keys.as_slice(), &["--yes"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let first = std::fs::read_to_string(&config).expect("written");
    assert!(
        first.contains("domains = [\"https://www.example.com\", \"https://img.example.com/x\"]")
    );
    assert!(first.contains("[web]") && first.contains("listen = \"127.0.0.1:8378\""), "{first}");
    let output = init(&[keys.as_slice(), &["--yes"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let other = [keys.as_slice(), &["--yes", "--force", "--origin", "other"]].concat();
    let output = init(&other);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(std::fs::read_to_string(&config).expect("new").contains("[origin.other]"));
    let old = std::fs::read_to_string(path("script.toml.old")).expect("the old one");
    assert_eq!(old, first);
    let endpoint = ["--account-endpoint", "http://127.0.0.1:9"];
    let output = Command::new(env!("CARGO_BIN_EXE_refreshd"))
        .args([
            "init",
            "--config",
            &path("third.toml"),
            "--root",
            &root,
            "--domain",
            "a.example.com",
        ])
        .args(["--server", "none", "--yes"])
        .args(keys)
        .args(endpoint)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("asked again by `refreshd doctor`"), "{}", text(&output));
}
