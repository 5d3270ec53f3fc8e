//! The demo's stage: a folder, a small site and its web server, the sandbox, the daemon, and a visitor.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tokio::net::TcpListener;

use crate::clock::SharedClock;
use crate::command::run::Daemon;
use crate::command::{Exit, Failed, control};
use crate::config::Config;
use crate::sandbox::{Options, Running, Sandbox};

use super::site;

/// Five minutes of a task's ripening take one second.
const TIME_SCALE: u32 = 300;
/// The domain the demo's edge pretends to serve.
pub(super) const DOMAIN: &str = "www.example.com";

/// A temporary folder that goes when the demo does.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make(clock: &SharedClock) -> Result<Self, Failed> {
        let path = std::env::temp_dir().join(format!("refreshd-demo-{:08x}", clock.random() >> 32));
        let folder = Self(path);
        let made = std::fs::create_dir_all(folder.site().join("news"))
            .and_then(|()| folder.page("index.html", "Welcome, version 1"))
            .and_then(|()| folder.page("news/today.html", "Nothing new yet"));
        made.map_err(|error| {
            Failed::new(Exit::Io, format!("{} could not be made: {error}", folder.0.display()))
        })?;
        Ok(folder)
    }

    pub(super) fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("refreshd.toml")
    }

    pub(super) fn page(&self, path: &str, text: &str) -> std::io::Result<()> {
        std::fs::write(self.site().join(path), format!("<h1>{text}</h1>\n"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The servers and the daemon.
pub(super) struct Stage {
    pub(super) site: String,
    pub(super) sandbox: Running,
    pub(super) daemon: Daemon,
    web: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Stage {
    pub(super) async fn set(folder: &Folder, clock: &SharedClock) -> Result<Self, Failed> {
        let io = |error: std::io::Error| Failed::new(Exit::Io, error);
        let listen = || TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listen().await.map_err(io)?;
        let site = format!("http://{}", listener.local_addr().map_err(io)?);
        let router = site::router(folder.site());
        #[expect(clippy::disallowed_methods, reason = "the demo's web server, ended by clear")]
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
        Ok(Self { site, sandbox, daemon, web })
    }

    pub(super) async fn clear(self) {
        self.daemon.shut_down().await;
        self.sandbox.stop().await;
        self.web.abort();
    }

    /// Asks the edge for a page, as a visitor would.
    pub(super) async fn visit(&self, page: &str) -> Visit {
        let url = format!("http://{}/{page}", self.sandbox.edge);
        let answer = async {
            let client = crate::http::local_client().build()?;
            let answer = client.get(url).send().await?;
            let cache = answer
                .headers()
                .get("x-cache")
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .unwrap_or_default();
            let text = answer.text().await?;
            Ok::<_, reqwest::Error>(Visit { cache, text: strip(&text) })
        };
        answer
            .await
            .unwrap_or_else(|error| Visit { cache: "-".to_owned(), text: error.to_string() })
    }

    /// Returns the task id under which the sandbox accepted a refresh of `url`.
    pub(super) fn task_of(&self, url: &str) -> Option<String> {
        let log = self.sandbox.control().log();
        let entry =
            log.accepted.iter().find(|entry| entry.targets.iter().any(|target| target == url))?;
        Some(entry.task_ids.join(","))
    }

    /// Returns the daemon's count once it has ended `done` intents well.
    pub(super) async fn all_done(&self, folder: &Folder, done: u64) -> Option<String> {
        let config = Config::load(&folder.config()).ok()?;
        let (_, status) = control::ask(&config, "/status", None::<&()>).await.ok()?;
        let intents = &status["intents"];
        (intents["done"].as_u64()? >= done).then(|| {
            format!("the daemon counts {} done, {} failed", intents["done"], intents["failed"])
        })
    }
}

/// Writes the configuration a user would, and reads it as the daemon does.
fn write_config(folder: &Folder, sandbox: &Running) -> std::io::Result<Config> {
    let (key_id, secret) = (folder.0.join("access_key_id"), folder.0.join("access_key_secret"));
    for (path, text) in [(&key_id, &sandbox.access_key_id), (&secret, &sandbox.access_key_secret)] {
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
poll_gap = "100ms"
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
pub(super) struct Visit {
    cache: String,
    pub(super) text: String,
}

impl Visit {
    pub(super) fn shows(&self, cache: &str, text: &str) -> bool {
        self.cache == cache && self.text == text
    }
}

impl std::fmt::Display for Visit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "x-cache: {}, \"{}\"", self.cache, self.text)
    }
}

fn strip(text: &str) -> String {
    text.trim().trim_start_matches("<h1>").trim_end_matches("</h1>").to_owned()
}
