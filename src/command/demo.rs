//! `refreshd demo`: the whole way from a saved file to a fresh edge, with the real daemon.
//!
//! A small site, its web server, the sandbox and the daemon run in this process. Every step is
//! checked by asking the edge, as a visitor would.

use std::time::Duration;

use serde::Serialize;

use crate::clock::SharedClock;

use super::{Exit, Failed, Printer};

mod site;
mod stage;

use stage::{DOMAIN, Folder, Stage};

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

/// No step may take longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the edge and the sandbox are asked while a step is awaited.
const GLANCE: Duration = Duration::from_millis(50);

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
    show.say(&format!("site    {} (files in {})", stage.site, folder.site().display()));
    show.say(&format!("edge    http://{}, a caching CDN edge in front of it", stage.sandbox.edge));
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
        printer.line(&format!("  edge    curl -i http://{}/index.html", stage.sandbox.edge));
        printer.line(&format!("  API     http://{}", stage.sandbox.api));
        printer.line(&format!("  daemon  refreshd status --config {}", folder.config().display()));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
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
        let ready = stage.daemon.facts().wait_for(|facts| facts.ready).await.is_ok();
        let waited = self.clock.boot().saturating_sub(began).as_millis();
        if !self.step("daemon watches", ready, format!("baseline taken in {waited} ms")) {
            return false;
        }
        for (page, text) in
            [("index.html", "Welcome, version 1"), ("news/today.html", "Nothing new yet")]
        {
            let _ = stage.visit(page).await;
            let visit = stage.visit(page).await;
            let name =
                if page == "index.html" { "old page is a HIT" } else { "old news are a HIT" };
            if !self.step(name, visit.shows("HIT", text), format!("GET /{page}: {visit}")) {
                return false;
            }
        }
        let saved = folder
            .page("index.html", "Welcome, version 2")
            .and_then(|()| folder.page("news/today.html", "Fresh news"));
        let seen = saved
            .as_ref()
            .map_or_else(ToString::to_string, |()| "index.html and news/today.html".to_owned());
        if !self.step("files saved", saved.is_ok(), seen) {
            return false;
        }
        let visit = stage.visit("index.html").await;
        self.say(&format!("        meanwhile the edge is stale: GET /index.html: {visit}"));
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
        if !self.step("edge serves the new page", fresh, format!("GET /index.html: {visit}")) {
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
    (ok, answer.unwrap_or_else(|| format!("nothing within {} s", PATIENCE.as_secs())))
}
