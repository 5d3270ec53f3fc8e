//! `refreshd explain`: what a path or URL comes to, rule by rule.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::config::{Config, Origin};
use crate::domain::ask::{Kind, Target};
use crate::domain::change::ChangeKind;
use crate::domain::intent::Action;
use crate::domain::mapping::{Explained, Step};
use crate::domain::path::{RelPath, escape};
use crate::domain::url::CanonicalUrl;
use crate::domain::watch::Links;

use super::branches::{Branches, NOWHERE};
use super::words::count;
use super::{ConfigArg, Exit, Failed, Printer, check};

/// Files that are explained of one URL.
const MOST_FILES: usize = 10;

/// Arguments of `refreshd explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// A file, absolute or relative to an origin's root, or a URL. It need not exist.
    #[arg(value_name = "PATH|URL")]
    what: PathBuf,
    /// Write the answer as one JSON object.
    #[arg(long)]
    json: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    /// The URL that was asked about, in its one spelling.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The files that have it, or the one that was asked about in each origin that holds it.
    files: Vec<File>,
    /// How many files have the URL; more than are listed, perhaps.
    found: usize,
    /// What else is to be said.
    notes: Vec<String>,
}

/// What a file comes to.
#[derive(Debug, Serialize)]
struct File {
    origin: String,
    path: String,
    exists: bool,
    rules: Vec<Step>,
    /// What is asked for, by what happened to the file.
    asks: BTreeMap<&'static str, Vec<Ask>>,
    unmappable: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Ask {
    action: &'static str,
    kind: &'static str,
    target: String,
}

/// What can happen to a file, with whether it was seen removed before.
const HAPPENINGS: [(&str, ChangeKind, bool); 4] = [
    ("created", ChangeKind::Created, false),
    ("created again", ChangeKind::Created, true),
    ("modified", ChangeKind::Modified, false),
    ("removed", ChangeKind::Removed, true),
];

/// Explains a path or a URL; asks no daemon.
pub(super) async fn run(args: &Args, printer: &mut Printer) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let branches = Branches::of(config.origins.values()).await;
    let text = args.what.to_str().filter(|text| text.contains("://"));
    let mut answer = match text {
        Some(text) => of_url(text, &config, &branches)?,
        None => of_path(&args.what, &config, &branches)?,
    };
    answer.notes.extend(branches.troubles);
    if args.json {
        printer.json(&answer);
    } else {
        print(&answer, printer);
    }
    let is_asked = |file: &File| file.asks.values().any(|asks| !asks.is_empty());
    Ok(if answer.files.iter().any(is_asked) { Exit::Ok } else { Exit::No })
}

fn of_path(path: &Path, config: &Config, branches: &Branches) -> Result<Answer, Failed> {
    let mut files = Vec::new();
    let mut notes = Vec::new();
    for origin in config.origins.values() {
        let Some(relative) = origin.relative(path).filter(|path| !path.is_root()) else {
            continue;
        };
        if branches.has_directory(origin, &relative) {
            let excluded = origin.mapping.excluded(&relative, true);
            notes.push(match excluded {
                Some(glob) => format!(
                    "origin {}: {relative} is a directory, and `{glob}` excludes all that is in it",
                    origin.name
                ),
                None => {
                    format!("origin {}: {relative} is a directory: name a file in it", origin.name)
                }
            });
            continue;
        }
        files.push(file(origin, &relative, branches));
    }
    // A relative path is that of the origins that have it; of all when none does.
    if files.iter().any(|file| file.exists) {
        files.retain(|file| file.exists);
    }
    if files.is_empty() && notes.is_empty() {
        let path = escape(path.as_os_str().as_bytes());
        return Err(Failed::new(Exit::No, format!("{path} {NOWHERE}")));
    }
    Ok(Answer { url: None, found: files.len(), files, notes })
}

fn of_url(text: &str, config: &Config, branches: &Branches) -> Result<Answer, Failed> {
    let url = CanonicalUrl::parse(text).map_err(|error| Failed::new(Exit::Usage, error))?;
    let is_served = |origin: &&Origin| origin.mapping.hosts().any(|host| host == url.host());
    let origins: Vec<&Origin> = config.origins.values().filter(is_served).collect();
    let mut answer = Answer {
        url: Some(url.as_str().to_owned()),
        files: Vec::new(),
        found: 0,
        notes: Vec::new(),
    };
    if origins.is_empty() {
        answer.notes.push(format!("no origin serves {}", url.host()));
        return Ok(answer);
    }
    for origin in &origins {
        let mut walk = Walk { origin, url: &url, found: Vec::new(), unreadable: 0 };
        walk.directory(&RelPath::root(), &mut Vec::new());
        let mapping = &origin.mapping;
        let has_it = |path: &&RelPath| {
            mapping.excluded(path, false).is_none() && mapping.reaches(path, &url)
        };
        walk.found.extend(branches.files(origin).filter(has_it).cloned());
        walk.found.sort();
        answer.found += walk.found.len();
        let room = MOST_FILES.saturating_sub(answer.files.len());
        answer.files.extend(walk.found.iter().take(room).map(|path| file(origin, path, branches)));
        if walk.unreadable > 0 {
            answer.notes.push(format!(
                "{} of origin {} could not be read: what is in them was not looked at",
                count(walk.unreadable, "directory"),
                origin.name
            ));
        }
    }
    if answer.found == 0 {
        answer.notes.push("no file that is there and not excluded has this URL".to_owned());
        if let Some(query) = url.query() {
            answer.notes.push(format!(
                "?{query} is part of it: a `query` rule says which query strings are refreshed"
            ));
        }
        let namesakes = origins.iter().filter_map(|origin| Some((origin, namesake(origin, &url)?)));
        answer.files.extend(namesakes.map(|(origin, path)| file(origin, &path, branches)));
    } else if answer.found > answer.files.len() {
        let more = answer.found - answer.files.len();
        answer.notes.push(format!("{more} more files have this URL"));
    }
    Ok(answer)
}

/// Returns the path that a URL spells out.
fn namesake(origin: &Origin, url: &CanonicalUrl) -> Option<RelPath> {
    let bare = url.without_query();
    let mut bases = origin.mapping.bases().iter();
    let rest = bases.find_map(|base| bare.as_str().strip_prefix(base.url().as_str()))?;
    let mut path: Vec<u8> = percent_decode_str(rest).collect();
    if path.is_empty() || path.ends_with(b"/") {
        path.extend_from_slice(origin.mapping.spec().index.first()?.as_bytes());
    }
    RelPath::new(path).ok()
}

/// A walk through the files of an origin for those that have a URL.
struct Walk<'w> {
    origin: &'w Origin,
    url: &'w CanonicalUrl,
    found: Vec<RelPath>,
    unreadable: u64,
}

impl Walk<'_> {
    /// Looks through a directory; `above` are those that it lies in, so that links end somewhere.
    fn directory(&mut self, directory: &RelPath, above: &mut Vec<(u64, u64)>) {
        let Some(root) = self.origin.root() else { return };
        let full = directory.under(root);
        let Ok(metadata) = fs::metadata(&full) else { return };
        let identity = (metadata.dev(), metadata.ino());
        if above.contains(&identity) {
            return;
        }
        let Ok(entries) = fs::read_dir(&full) else {
            self.unreadable += 1;
            return;
        };
        above.push(identity);
        for entry in entries.flatten() {
            let Ok(path) = directory.join(entry.file_name().as_bytes()) else { continue };
            let Ok(kind) = entry.file_type() else { continue };
            let is_link = kind.is_symlink();
            if is_link && !self.follows(&entry.path()) {
                continue;
            }
            let is_dir = if is_link { entry.path().is_dir() } else { kind.is_dir() };
            if self.origin.mapping.excluded(&path, is_dir).is_some() {
                continue;
            }
            if is_dir {
                self.directory(&path, above);
            } else if self.origin.mapping.reaches(&path, self.url) {
                self.found.push(path);
            }
        }
        above.pop();
    }

    fn follows(&self, link: &Path) -> bool {
        let real = |path: &Path| fs::canonicalize(path).ok();
        match self.origin.links {
            Links::Never => false,
            Links::Anywhere => true,
            Links::Inside => real(link)
                .zip(self.origin.root().and_then(real))
                .is_some_and(|(to, root)| to.starts_with(root)),
        }
    }
}

fn file(origin: &Origin, path: &RelPath, branches: &Branches) -> File {
    let explain = |kind, force| origin.mapping.explain(path, kind, force);
    let asks = |explained: Explained| explained.asks.into_iter().map(Ask::of).collect();
    let explained = explain(ChangeKind::Modified, false);
    File {
        origin: origin.name.to_string(),
        path: path.to_string(),
        exists: branches.has(origin, path),
        rules: explained.steps,
        asks: HAPPENINGS
            .into_iter()
            .map(|(name, kind, force)| (name, asks(explain(kind, force))))
            .collect(),
        unmappable: explained
            .unmappable
            .iter()
            .map(|unmappable| unmappable.why.to_string())
            .collect(),
    }
}

impl Ask {
    fn of((action, target): (Action, Target)) -> Self {
        Self { action: action.as_str(), kind: target.kind.as_str(), target: target.text }
    }
}

fn print(answer: &Answer, printer: &mut Printer) {
    if let Some(url) = &answer.url {
        printer.line(url);
    }
    for note in &answer.notes {
        printer.line(note);
    }
    for file in &answer.files {
        print_file(file, printer);
    }
}

fn print_file(file: &File, printer: &mut Printer) {
    let there = if file.exists { "" } else { ", which is not there now" };
    printer.line(&format!("{} of origin {}{there}", file.path, file.origin));
    let mut about = &file.path;
    for rule in &file.rules {
        if rule.about != *about {
            about = &rule.about;
            printer.line(&format!("  {about}"));
        }
        let name = match rule.number {
            Some(number) => format!("{} {number}", rule.rule.as_str()),
            None => rule.rule.as_str().to_owned(),
        };
        let fired = if rule.fired { "yes" } else { "-" };
        printer.line(&format!("  {fired:>5}  {name:<10}  {}", rule.why));
    }
    for why in &file.unmappable {
        printer.line(&format!("  no URL: {why}"));
    }
    let mut told: Vec<&Vec<Ask>> = Vec::new();
    for (name, ..) in HAPPENINGS {
        let asks = &file.asks[name];
        if told.contains(&asks) {
            continue;
        }
        told.push(asks);
        let names = HAPPENINGS.iter().filter(|(name, ..)| file.asks[name] == *asks);
        let names: Vec<_> = names.map(|(name, ..)| *name).collect();
        let when = if names.len() == HAPPENINGS.len() {
            "whatever happens to it".to_owned()
        } else {
            format!("when {}", names.join(", "))
        };
        let nothing = if asks.is_empty() { " nothing" } else { "" };
        printer.line(&format!("  {when}:{nothing}"));
        for ask in asks {
            let kind = if ask.kind == Kind::Url.as_str() { "" } else { ask.kind };
            let words: Vec<_> = [ask.action, kind].into_iter().filter(|w| !w.is_empty()).collect();
            printer.line(&format!("    {} {}", words.join(" "), ask.target));
        }
    }
}
