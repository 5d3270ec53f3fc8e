//! `refreshd init`: asks what a configuration needs, tries it, and writes it.
//!
//! Nothing is written before everything was asked, and what is there is never overwritten.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use ask::Dialog;
use key::Key;
use nginx::Site;
use site::Seen;
use write::Written;

use super::doctor::finding::{self, Level};
use super::doctor::unit::Unit;
use super::words::config_option;
use super::{ConfigArg, Exit, Failed, Printer, check, doctor};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::domain::url::Base;

mod ask;
mod key;
mod nginx;
mod site;
mod write;

/// Arguments of `refreshd init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration that is written.
    #[command(flatten)]
    config: ConfigArg,
    /// The directory with the site's files.
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<String>,
    /// A domain, or base URL, that the CDN serves them under; may be repeated.
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,
    /// The name of the origin; else the beginning of its domain.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// The CDN's API.
    #[arg(long, value_name = "URL", default_value = "https://cdn.aliyuncs.com")]
    account_endpoint: String,
    /// The file that holds the access key id.
    #[arg(long, value_name = "FILE", requires = "access_key_secret_file")]
    access_key_id_file: Option<String>,
    /// The file that holds the access key secret.
    #[arg(long, value_name = "FILE", requires = "access_key_id_file")]
    access_key_secret_file: Option<String>,
    /// Where the access key is, if not in files: "environment", "ecs", "chain" and so on.
    #[arg(long, value_name = "PLACE", conflicts_with = "access_key_id_file")]
    credentials_from: Option<String>,
    /// Where a key that is typed is kept.
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/refreshd/credentials")]
    credentials_dir: PathBuf,
    /// Where the daemon keeps its database.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/refreshd")]
    state_dir: String,
    /// A web server that has the files: some are asked for and compared. "none" asks nobody.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Where the page is served, on this machine. "none" serves none.
    #[arg(long, value_name = "ADDRESS")]
    page: Option<String>,
    /// Ask nothing: take what the options say.
    #[arg(long, short)]
    yes: bool,
    /// Replace a configuration that is there, which is kept beside it.
    #[arg(long)]
    force: bool,
}

impl Args {
    fn key_files(&self) -> Option<Result<[PathBuf; 2], String>> {
        let (id, secret) =
            (self.access_key_id_file.as_ref()?, self.access_key_secret_file.as_ref()?);
        let read = |path: &String| key::file(path).map_err(|why| format!("{path}: {why}"));
        Some(read(id).and_then(|id| Ok([id, read(secret)?])))
    }
}

/// Where nginx keeps its configuration.
const NGINX: &str = "/etc/nginx";
/// Where the page is served most often.
const PAGE: &str = "127.0.0.1:8378";
/// Who has the files most often.
const LOCAL: &str = "http://127.0.0.1";

/// Asks, tries, and writes a configuration.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let path =
        std::path::absolute(&args.config.config).map_err(|error| Failed::new(Exit::Io, error))?;
    if path.exists() && !args.force {
        let message = format!(
            "{} is there, and is not overwritten\nname another one by --config, or add --force: it is kept \
             beside the new one then",
            path.display()
        );
        return Err(Failed::new(Exit::No, message));
    }
    let mut dialog = Dialog::new(printer, args.yes)?;
    if !args.yes {
        dialog
            .printer
            .line("Enter takes what stands in [ ]; Ctrl-C ends, and nothing is written.\n");
    }
    let unit = Unit::installed();
    let who = doctor::who(None, unit.as_ref());
    let mut notes = Vec::new();
    let sites = nginx::sites(Path::new(NGINX));
    let root = ask_root(&args, &sites, &mut dialog)?;
    let metadata = root.metadata().map_err(|error| Failed::new(Exit::Io, error))?;
    if who.stopped_at(&root).is_some() || !who.may_read(&root, &metadata) {
        notes.push(format!(
            "{} can't be read by {}: give it the group of the files by SupplementaryGroups= in the unit, or \
             setfacl -R -m u:{}:rX {}",
            root.display(),
            who.title(),
            who.name,
            root.display()
        ));
    }
    let domains = ask_domains(&args, &sites, &root, &mut dialog)?;
    let name = ask_name(&args, &domains, &mut dialog)?;
    let mut draft = Draft {
        root,
        domains,
        name,
        unit,
        state_dir: args.state_dir.clone(),
        endpoint: args.account_endpoint.clone(),
        seen: Seen::default(),
        page: None,
    };
    let key = ask_key(&args, &draft, (&path, &clock), &mut dialog).await?;
    draft.seen = try_site(args.server.as_deref(), &draft, &mut dialog).await?;
    draft.page = ask_page(args.page.as_deref(), &mut dialog)?;
    let text = draft.text(&key);
    let config = draft.parse(&text, &key, &path)?;
    if let Some(risks) = config.risks(&text, &check::mode) {
        notes.extend(risks.rows().into_iter().map(|row| format!("{}; {}", row.message, row.help)));
    }
    // From here on Ctrl-C is too late, which is better than in between.
    let _deaf = signal(SignalKind::interrupt()).map_err(|error| Failed::new(Exit::Io, error))?;
    let aside = save(&path, &text, &key).map_err(|why| Failed::new(Exit::Io, why))?;
    if let (Some(files), None) = (key.files(), key.handed(draft.unit.as_ref())) {
        notes.extend(key::shortcoming(&files, &who));
    }
    report(&path, aside.as_deref(), &notes, &draft, dialog.printer);
    Ok(Exit::Ok)
}

/// Asks where the files are.
fn ask_root(args: &Args, sites: &[Site], dialog: &mut Dialog<'_>) -> Result<PathBuf, Failed> {
    let found = sites.iter().find(|site| site.root.is_dir());
    if args.root.is_none() && !args.yes {
        for site in sites {
            let names = site.names.join(", ");
            let names = if names.is_empty() { names } else { format!(" as {names}") };
            dialog.printer.line(&format!("  nginx serves {}{names}", site.root.display()));
        }
    }
    let usual = found.map(|site| site.root.display().to_string());
    let given = (args.root.as_deref(), usual.as_deref());
    dialog.ask("Directory with the site's files", "--root", given, |answer| {
        let path = absolute(answer)?;
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() && path.parent().is_some() => Ok(path),
            Ok(metadata) if metadata.is_dir() => Err("that is the whole machine".to_owned()),
            Ok(_) => Err("it is no directory".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
}

/// Asks under which domains the CDN serves them.
fn ask_domains(
    args: &Args,
    sites: &[Site],
    root: &Path,
    dialog: &mut Dialog<'_>,
) -> Result<Vec<Base>, Failed> {
    let names = sites.iter().find(|site| site.root == root).map(|site| site.names.join(" "));
    let usual = names.filter(|names| !names.is_empty());
    let given = (!args.domain.is_empty()).then(|| args.domain.join(" "));
    let question = "Domains that the CDN serves it under";
    dialog.ask(question, "--domain", (given.as_deref(), usual.as_deref()), |answer| {
        let words = answer.split([' ', ',']).filter(|word| !word.is_empty());
        let bases = words.map(|word| {
            let url =
                if word.contains("://") { word.to_owned() } else { format!("https://{word}") };
            if url.contains('*') {
                return Err(format!(
                    "{word}: the CDN refreshes concrete names only: name each one"
                ));
            }
            Base::parse(&url).map_err(|error| format!("{word}: {error}"))
        });
        let bases: Vec<Base> = bases.collect::<Result<_, _>>()?;
        if bases.is_empty() {
            return Err("name one at least, like www.example.com".to_owned());
        }
        Ok(bases)
    })
}

/// Asks how the origin is called.
fn ask_name(args: &Args, domains: &[Base], dialog: &mut Dialog<'_>) -> Result<String, Failed> {
    let host = domains.first().map(|base| base.url().host().to_owned()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    let usual = host.split('.').next().filter(|first| first.chars().all(plain)).unwrap_or("www");
    dialog.ask("Name of this origin", "--origin", (args.origin.as_deref(), Some(usual)), |answer| {
        if answer.is_empty() || !answer.chars().all(plain) {
            return Err("use lower-case letters a-z, digits, `_` and `-`".to_owned());
        }
        Ok(answer.to_owned())
    })
}

/// Asks where the access key is, until the CDN does not refuse it.
async fn ask_key(
    args: &Args,
    draft: &Draft,
    (path, clock): (&Path, &SharedClock),
    dialog: &mut Dialog<'_>,
) -> Result<Key, Failed> {
    loop {
        let key = Key::ask(args, dialog)?;
        let config = draft.parse(&draft.text(&key), &key, path)?;
        dialog.printer.line(&format!("\nAsking {} whether it takes the key …", draft.endpoint));
        let findings = key.try_it(&config, clock).await;
        dialog.printer.line(finding::render(&findings).trim_end());
        if !key::is_refused(&findings) {
            if findings.iter().any(|finding| finding.level == Level::NotChecked) {
                dialog.printer.line("What could not be asked is asked again by `refreshd doctor`.");
            }
            return Ok(key);
        }
        let is_said = args.access_key_id_file.is_some() || args.credentials_from.is_some();
        if dialog.is_silent() || is_said {
            return Err(Failed::new(
                Exit::Credentials,
                "the key is not taken; nothing was written",
            ));
        }
    }
}

/// Asks a web server for some of the files.
async fn try_site(
    given: Option<&str>,
    draft: &Draft,
    dialog: &mut Dialog<'_>,
) -> Result<Seen, Failed> {
    dialog.printer.line("");
    let question = "Web server that has these files (none: ask nobody)";
    let server = dialog.ask(question, "--server", (given, Some(LOCAL)), |answer| match answer {
        "none" => Ok(None),
        answer => match Url::parse(answer) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(url)),
            _ => Err("write it like http://127.0.0.1:80".to_owned()),
        },
    })?;
    let (Some(server), Some(base)) = (server, draft.domains.first()) else {
        return Ok(Seen::default());
    };
    let mut seen = site::look(&draft.root, base, &server).await;
    // Where nobody listens here, the domain itself tells.
    let domain = Url::parse(&format!("https://{}", base.url().host())).ok();
    if let (true, None, Some(domain)) = (seen.silent.is_some(), given, domain) {
        dialog.printer.line(&format!("  {}", seen.silent.take().unwrap_or_default()));
        seen = site::look(&draft.root, base, &domain).await;
    }
    for line in &seen.lines {
        dialog.printer.line(&format!("  {line}"));
    }
    let told = match (&seen.silent, seen.asked, seen.same) {
        (Some(why), ..) => format!("The mapping could not be tried: {why}"),
        (None, 0, _) => "There is no file yet to try the mapping with.".to_owned(),
        (None, asked, 0) => format!(
            "None of {asked} files is served as it lies there. Is {} what the web server serves? Else \
             `rewrite` says which URLs a file has; `refreshd explain FILE` shows them.",
            draft.root.display()
        ),
        (None, asked, same) => format!("{same} of {asked} files are served as they lie there."),
    };
    dialog.printer.line(&told);
    for (line, why) in &seen.advice {
        dialog.printer.line(&format!("  written down: {line}   # {why}"));
    }
    Ok(seen)
}

/// Asks where the page is served.
fn ask_page(given: Option<&str>, dialog: &mut Dialog<'_>) -> Result<Option<SocketAddr>, Failed> {
    let question = "Address of the page that shows it all (none: no page)";
    dialog.ask(question, "--page", (given, Some(PAGE)), |answer| match answer.parse::<SocketAddr>() {
        _ if answer == "none" => Ok(None),
        Ok(address) if address.ip().is_loopback() && address.port() > 0 => Ok(Some(address)),
        Ok(_) => Err(format!(
            "take one of this machine, like {PAGE}: from elsewhere the page is reached through ssh or a web \
             server that speaks TLS"
        )),
        Err(_) => Err(format!("write it like {PAGE}")),
    })
}

/// What goes into the configuration.
struct Draft {
    root: PathBuf,
    domains: Vec<Base>,
    name: String,
    unit: Option<Unit>,
    state_dir: String,
    endpoint: String,
    seen: Seen,
    page: Option<SocketAddr>,
}

impl Draft {
    /// Writes the configuration.
    fn text(&self, key: &Key) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let lines = key.lines(self.unit.as_ref());
        // A section of its own stands behind the keys of the account.
        let (state_dir, endpoint) = (quoted(&self.state_dir), quoted(&self.endpoint));
        let root = quoted(&self.root.to_string_lossy());
        let url = |base: &Base| quoted(base.url().as_str().trim_end_matches('/'));
        let domains: Vec<String> = self.domains.iter().map(url).collect();
        let mut text = format!(
            "#:schema /usr/share/refreshd/config.schema.json\n\
             # Written by `refreshd init`. Every other key has a default: `refreshd check --explain` shows \
             them all,\n# and config.example.toml tells what they mean.\n\n\
             # Where the daemon keeps its database: a directory on a local disk, of this daemon alone.\n\
             state_dir = {state_dir}\n\n\
             [account.main]\n# The CDN's API.\nendpoint = {endpoint}\n{lines}\n\
             [origin.{name}]\n# The files.\nroot = {root}\n\
             # The base URLs that the CDN serves them under.\ndomains = [{domains}]\n",
            name = self.name,
            domains = domains.join(", "),
        );
        for (line, why) in &self.seen.advice {
            let _ = writeln!(text, "# {why}\n{line}");
        }
        if let Some(page) = self.page {
            let _ = write!(
                text,
                "\n[web]\n# The page that shows it all, to who is on this machine: http://{page}/\n\
                 listen = \"{page}\"\n"
            );
        }
        text
    }

    /// Reads it as the daemon would.
    fn parse(&self, text: &str, key: &Key, path: &Path) -> Result<Config, Failed> {
        let directory = key.handed(self.unit.as_ref());
        Config::parse(text, path, directory.as_deref()).map_err(|problems| {
            let message = format!("{}\nnothing was written", problems.render(false));
            Failed::new(Exit::Config, message)
        })
    }
}

/// Writes all files or none; returns where the one that was there is kept.
fn save(path: &Path, text: &str, key: &Key) -> Result<Option<PathBuf>, String> {
    let mut written = Written::default();
    if let (Key::Typed { id, secret, .. }, Some([id_file, secret_file])) = (key, key.files()) {
        written.file(&id_file, &format!("{id}\n"), write::SECRET)?;
        written.file(&secret_file, &format!("{}\n", secret.expose_secret()), write::SECRET)?;
    }
    let aside = if path.exists() { Some(write::put_aside(path)?) } else { None };
    if let Err(why) = written.file(path, text, 0o644) {
        if let Some(aside) = &aside {
            let _ = std::fs::rename(aside, path);
        }
        return Err(why);
    }
    written.keep();
    Ok(aside)
}

/// Tells what was done, and what comes next.
fn report(
    path: &Path,
    aside: Option<&Path>,
    notes: &[String],
    draft: &Draft,
    printer: &mut Printer,
) {
    printer.line(&format!("\nWritten: {}", path.display()));
    if let Some(aside) = aside {
        printer.line(&format!("The one that was there: {}", aside.display()));
    }
    for note in notes {
        printer.line(&format!("To do: {note}"));
    }
    let option = config_option(path);
    let run = if draft.unit.is_some() {
        "systemctl enable --now refreshd".to_owned()
    } else {
        format!("refreshd run{option}")
    };
    for line in [
        "\nNext:",
        &format!("  refreshd check{option}"),
        &format!("  {run}"),
        &format!("  refreshd status{option}"),
    ] {
        printer.line(line);
    }
    if let Some(page) = draft.page {
        printer.line(&format!("and in a browser on this machine: http://{page}/"));
    }
}

/// Reads an absolute path.
fn absolute(answer: &str) -> Result<PathBuf, String> {
    let path = Path::new(answer);
    if answer.is_empty() || !path.is_absolute() {
        return Err("write the whole path, from `/` on".to_owned());
    }
    if path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err("write it without `..`".to_owned());
    }
    Ok(path.components().collect())
}
