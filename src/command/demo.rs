//! `refreshd demo`: the whole way from a saved file to a fresh edge, with the real daemon.
//!
//! A small site, its web server, the sandbox and the daemon run in this process. Every step is
//! checked by asking the edge, as a visitor would.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;

use crate::clock::SharedClock;
use crate::config::Config;
use crate::sandbox::{Options, Running, Sandbox};

use super::run::Daemon;
use super::{Exit, Failed, Printer, control, site};

/// Arguments of `refreshd demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write one JSON object as the last line: `ok`, and `steps` with `name`, `ok`, `seen`.
    #[arg(long)]
    json: bool,
    /// Leave everything running afterwards, until Ctrl-C, and print the addresses.
    #[arg(long)]
    keep: bool,
}

/// Five minutes of a task's ripening take one second.
const TIME_SCALE: u32 = 300;
/// No step may take longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the edge and the sandbox are asked while a step is awaited.
const GLANCE: Duration = Duration::from_millis(50);
/// The domain the demo's edge pretends to serve.
const DOMAIN: &str = "www.example.com";

/// A step of the timeline.
#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    ok: bool,
    seen: String,
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    steps: Vec<Step>,
}

/// Shows the main job; exit 0 only if every step held.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let folder = Folder::make(&clock)?;
    let stage = Stage::set(&folder, &clock).await?;
    let mut show = Show {
        clock: clock.clone(),
        begun: clock.boot(),
        printer,
        quiet: args.json,
        steps: Vec::new(),
    };
    show.say(&format!(
        "site    {} (files in {})",
        stage.site,
        folder.site().display()
    ));
    show.say(&format!(
        "edge    http://{}, a caching CDN edge in front of it",
        stage.sandbox.edge
    ));
    show.say(
        "daemon  watches the files, with real signed API calls to a local stand-in for the CDN",
    );
    let played = show.play(&folder, &stage).await;
    let steps = show.steps;
    let ok = played && steps.iter().all(|step| step.ok);
    if args.json {
        printer.json(&Report { ok, steps });
    } else if ok {
        printer.line("All steps held: from a saved file to a fresh edge.");
    } else {
        printer.line("A step did not hold; see above.");
    }
    if args.keep {
        keep(&folder, &stage, args.json, printer).await?;
    }
    stage.clear().await;
    Ok(if ok { Exit::Ok } else { Exit::No })
}

/// Leaves everything running until SIGINT or SIGTERM.
async fn keep(
    folder: &Folder,
    stage: &Stage,
    json: bool,
    printer: &mut Printer,
) -> Result<(), Failed> {
    use tokio::signal::unix::{SignalKind, signal};
    let io = |error| Failed::new(Exit::Io, error);
    let mut terminate = signal(SignalKind::terminate()).map_err(io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io)?;
    if !json {
        printer.line("Left running until Ctrl-C. Change a file, then ask the edge:");
        printer.line(&format!("  files   {}", folder.site().display()));
        printer.line(&format!("  site    {}", stage.site));
        printer.line(&format!(
            "  edge    curl -i http://{}/index.html",
            stage.sandbox.edge
        ));
        printer.line(&format!("  API     http://{}", stage.sandbox.api));
        printer.line(&format!(
            "  daemon  refreshd status --config {}",
            folder.config().display()
        ));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A temporary folder that goes when the demo does.
struct Folder(PathBuf);

impl Folder {
    fn make(clock: &SharedClock) -> Result<Self, Failed> {
        let path = std::env::temp_dir().join(format!("refreshd-demo-{:08x}", clock.random() >> 32));
        let folder = Self(path);
        let made = std::fs::create_dir_all(folder.site().join("news"))
            .and_then(|()| folder.page("index.html", "Welcome, version 1"))
            .and_then(|()| folder.page("news/today.html", "Nothing new yet"));
        made.map_err(|error| {
            Failed::new(
                Exit::Io,
                format!("{} could not be made: {error}", folder.0.display()),
            )
        })?;
        Ok(folder)
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    fn config(&self) -> PathBuf {
        self.0.join("refreshd.toml")
    }

    fn page(&self, path: &str, text: &str) -> std::io::Result<()> {
        std::fs::write(self.site().join(path), format!("<h1>{text}</h1>\n"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The servers and the daemon.
struct Stage {
    site: String,
    sandbox: Running,
    daemon: Daemon,
    web: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Stage {
    async fn set(folder: &Folder, clock: &SharedClock) -> Result<Self, Failed> {
        let io = |error: std::io::Error| Failed::new(Exit::Io, error);
        let listen = || TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listen().await.map_err(io)?;
        let site = format!("http://{}", listener.local_addr().map_err(io)?);
        let router = site::router(folder.site());
        #[expect(
            clippy::disallowed_methods,
            reason = "the demo's web server, ended by clear"
        )]
        let web = tokio::spawn(async move { axum::serve(listener, router).await });
        let (api, edge) = (listen().await.map_err(io)?, listen().await.map_err(io)?);
        let options = Options {
            time_scale: TIME_SCALE,
            domains: vec![DOMAIN.to_owned()],
            ..Options::new(site.clone())
        };
        let sandbox = Sandbox::start(options, api, edge, clock.clone())
            .map_err(|error| Failed::new(Exit::Io, error))?;
        let config = write_config(folder, &sandbox).map_err(io)?;
        let daemon = Daemon::start(config, clock.clone()).await?;
        Ok(Self {
            site,
            sandbox,
            daemon,
            web,
        })
    }

    async fn clear(self) {
        self.daemon.shut_down().await;
        self.sandbox.stop().await;
        self.web.abort();
    }
}

/// Writes the configuration a user would, and reads it as the daemon does.
fn write_config(folder: &Folder, sandbox: &Running) -> std::io::Result<Config> {
    let (key_id, secret) = (
        folder.0.join("access_key_id"),
        folder.0.join("access_key_secret"),
    );
    for (path, text) in [
        (&key_id, &sandbox.access_key_id),
        (&secret, &sandbox.access_key_secret),
    ] {
        std::fs::write(path, text)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    let text = format!(
        r#"state_dir = "{state}"

[account.demo]
endpoint = "http://{api}"
access_key_id_file = "{key_id}"
access_key_secret_file = "{secret}"
poll_first = "500ms"
poll_max = "500ms"

[origin.site]
root = "{root}"
domains = ["https://{DOMAIN}"]
prefetch = ["news/*"]
"#,
        state = folder.0.join("state").display(),
        api = sandbox.api,
        key_id = key_id.display(),
        secret = secret.display(),
        root = folder.site().display(),
    );
    std::fs::write(folder.config(), text)?;
    Config::load(&folder.config()).map_err(|problems| std::io::Error::other(problems.render(false)))
}

/// What a visitor got from the edge.
struct Visit {
    cache: String,
    text: String,
}

impl Visit {
    fn shows(&self, cache: &str, text: &str) -> bool {
        self.cache == cache && self.text == text
    }
}

impl std::fmt::Display for Visit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "x-cache: {}, \"{}\"", self.cache, self.text)
    }
}

/// The timeline.
struct Show<'a> {
    clock: SharedClock,
    begun: Duration,
    printer: &'a mut Printer,
    quiet: bool,
    steps: Vec<Step>,
}

impl Show<'_> {
    fn say(&mut self, text: &str) {
        if !self.quiet {
            let at = self.clock.boot().saturating_sub(self.begun).as_secs_f64();
            self.printer.line(&format!("{at:5.1} s  {text}"));
        }
    }

    /// Writes a step down; returns whether it held.
    fn step(&mut self, name: &'static str, ok: bool, seen: String) -> bool {
        let mark = if ok { "ok" } else { "FAILED" };
        self.say(&format!("{mark:6}  {name}: {seen}"));
        self.steps.push(Step { name, ok, seen });
        ok
    }

    /// Plays the steps; stops at the first that does not hold.
    async fn play(&mut self, folder: &Folder, stage: &Stage) -> bool {
        let began = self.clock.boot();
        let ready = stage
            .daemon
            .facts()
            .wait_for(|facts| facts.ready)
            .await
            .is_ok();
        let waited = self.clock.boot().saturating_sub(began).as_millis();
        if !self.step(
            "daemon watches",
            ready,
            format!("baseline taken in {waited} ms"),
        ) {
            return false;
        }
        for (page, text) in [
            ("index.html", "Welcome, version 1"),
            ("news/today.html", "Nothing new yet"),
        ] {
            let _ = stage.visit(page).await;
            let visit = stage.visit(page).await;
            let name = if page == "index.html" {
                "old page is a HIT"
            } else {
                "old news are a HIT"
            };
            if !self.step(
                name,
                visit.shows("HIT", text),
                format!("GET /{page}: {visit}"),
            ) {
                return false;
            }
        }
        let saved = folder
            .page("index.html", "Welcome, version 2")
            .and_then(|()| folder.page("news/today.html", "Fresh news"));
        let seen = saved.as_ref().map_or_else(ToString::to_string, |()| {
            "index.html and news/today.html".to_owned()
        });
        if !self.step("files saved", saved.is_ok(), seen) {
            return false;
        }
        let visit = stage.visit("index.html").await;
        self.say(&format!(
            "        meanwhile the edge is stale: GET /index.html: {visit}"
        ));
        let url = format!("https://{DOMAIN}/index.html");
        let accepted = self.until(|| async { stage.task_of(&url) }).await;
        let (ok, seen) = told(accepted.map(|task| format!("task id {task} for {url}")));
        if !self.step("refresh accepted", ok, seen) {
            return false;
        }
        let complete = self.until(|| stage.all_done(folder, 3)).await;
        let (ok, seen) = told(complete);
        if !self.step("refresh complete", ok, seen) {
            return false;
        }
        let visit = stage.visit("index.html").await;
        let fresh = visit.text == "Welcome, version 2";
        if !self.step(
            "edge serves the new page",
            fresh,
            format!("GET /index.html: {visit}"),
        ) {
            return false;
        }
        let complete = self.until(|| stage.all_done(folder, 4)).await;
        let (ok, seen) = told(complete);
        if !self.step("prefetch complete", ok, seen) {
            return false;
        }
        let visit = stage.visit("news/today.html").await;
        let hit = visit.shows("HIT", "Fresh news");
        self.step(
            "prefetched page is a HIT at its first request",
            hit,
            format!("GET /news/today.html: {visit}"),
        )
    }

    /// Asks again and again until there is an answer or patience ends.
    async fn until<F: Future<Output = Option<String>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Option<String> {
        let deadline = self.clock.boot() + PATIENCE;
        while self.clock.boot() < deadline {
            if let Some(answer) = ask().await {
                return Some(answer);
            }
            tokio::time::sleep(GLANCE).await;
        }
        None
    }
}

fn told(answer: Option<String>) -> (bool, String) {
    let ok = answer.is_some();
    (
        ok,
        answer.unwrap_or_else(|| format!("nothing within {} s", PATIENCE.as_secs())),
    )
}

impl Stage {
    /// Asks the edge for a page, as a visitor would.
    async fn visit(&self, page: &str) -> Visit {
        let url = format!("http://{}/{page}", self.sandbox.edge);
        let answer = async {
            let client = crate::cdn::local_client().build()?;
            let answer = client.get(url).send().await?;
            let cache = answer
                .headers()
                .get("x-cache")
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .unwrap_or_default();
            let text = answer.text().await?;
            Ok::<_, reqwest::Error>(Visit {
                cache,
                text: strip(&text),
            })
        };
        answer.await.unwrap_or_else(|error| Visit {
            cache: "-".to_owned(),
            text: error.to_string(),
        })
    }

    /// Returns the task id under which the sandbox accepted a refresh of `url`.
    fn task_of(&self, url: &str) -> Option<String> {
        let log = self.sandbox.control().log();
        let entry = log
            .accepted
            .iter()
            .find(|entry| entry.targets.iter().any(|target| target == url))?;
        Some(entry.task_ids.join(","))
    }

    /// Returns the daemon's count once it has ended `done` intents well.
    async fn all_done(&self, folder: &Folder, done: u64) -> Option<String> {
        let config = Config::load(&folder.config()).ok()?;
        let (_, status) = control::ask(&config, "/status", None::<&()>).await.ok()?;
        let intents = &status["intents"];
        (intents["done"].as_u64()? >= done).then(|| {
            format!(
                "the daemon counts {} done, {} failed",
                intents["done"], intents["failed"]
            )
        })
    }
}

fn strip(text: &str) -> String {
    text.trim()
        .trim_start_matches("<h1>")
        .trim_end_matches("</h1>")
        .to_owned()
}
