//! Gates: what is asked whether an origin is ready, and whether it answers.

use std::path::{Path, PathBuf};

use super::AS_ROOT;
use super::finding::Finding;
use super::who::Who;
use crate::config::{Config, Origin};
use crate::domain::gate::{GateCommand, Opens, Servers};
use crate::domain::url::CanonicalUrl;
use crate::probe::server::Server;
use crate::probe::together::{self, Asking};

const CLOSED: &str = "the gate stays closed: what changed is not refreshed";

/// Looks at the gates of a configuration; each web server is asked once.
pub(super) async fn look(config: &Config, who: &Who) -> Vec<Finding> {
    let mut findings = Vec::new();
    for origin in config.origins.values() {
        let about = format!("gate of {}", origin.name);
        match &origin.gate.opens {
            Opens::Settled | Opens::Delay(_) => {}
            Opens::Command(command) => findings.push(program(&about, command, who)),
            Opens::Version { path, servers } => {
                findings.extend(answers(&about, origin, servers, path, true).await);
            }
            Opens::Content(servers) => {
                findings.extend(answers(&about, origin, servers, "/", false).await);
            }
        }
    }
    findings
}

/// Looks for the program of a gate.
fn program(about: &str, command: &GateCommand, who: &Who) -> Finding {
    let name = command.words.first().map_or("", String::as_str);
    let found = if name.contains('/') {
        Some(command.directory.join(name))
    } else {
        // The daemon may have another one.
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&paths).map(|place| place.join(name));
        places.find(|file| file.is_file())
    };
    let Some(file) = found else {
        let what = format!("{name} is not in the PATH of who asks");
        return Finding::not_checked(about, what).mend("write the program's whole path");
    };
    let shown = file.display();
    let metadata = match file.metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => {
            let mend = "correct `command` in the configuration";
            let what = format!("{shown} is not a program");
            return Finding::broken(about, what).costs(CLOSED).mend(mend);
        }
        Err(error) if who.sees_more() && error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Finding::not_checked(about, format!("{shown}: {error}")).mend(AS_ROOT);
        }
        Err(error) => {
            let mend = "put it there, or correct `command` in the configuration";
            let what = format!("{shown} can't be looked at: {error}");
            return Finding::broken(about, what).costs(CLOSED).mend(mend);
        }
    };
    let real: PathBuf = file.canonicalize().unwrap_or_else(|_| file.clone());
    if let Some(closed) = closed(&real, &metadata, &command.directory, who) {
        let what = format!("{} is closed to {}", closed.display(), who.title());
        let mend = format!("chmod o+rx {}", closed.display());
        return Finding::broken(about, what).costs(CLOSED).mend(mend);
    }
    if !command.directory.is_dir() {
        let what = format!("{}, where it is to run, is no directory", command.directory.display());
        let mend = "correct `directory` in the configuration";
        return Finding::broken(about, what).costs(CLOSED).mend(mend);
    }
    Finding::ok(about, format!("{shown} may be run by {}", who.title()))
}

/// Returns what keeps a user from running a program in a directory.
fn closed(
    program: &Path,
    metadata: &std::fs::Metadata,
    directory: &Path,
    who: &Who,
) -> Option<PathBuf> {
    if let Some(stopped) = who.stopped_at(program) {
        return Some(stopped.to_owned());
    }
    if !who.may_run(program, metadata) {
        return Some(program.to_owned());
    }
    let inside = directory.metadata().ok()?;
    let stopped = who.stopped_at(directory).map(Path::to_owned);
    stopped.or_else(|| (!who.may_enter(directory, &inside)).then(|| directory.to_owned()))
}

/// Asks each web server for a path; its answer must be a good one, or only be one.
async fn answers(
    about: &str,
    origin: &Origin,
    servers: &Servers,
    path: &str,
    is_version: bool,
) -> Vec<Finding> {
    let host = origin.mapping.bases().first().map_or("", |base| base.url().host());
    let url = CanonicalUrl::parse(&format!("https://{host}{path}")).map_err(|e| e.to_string());
    let made = url.and_then(|url| Ok((url, Server::all(servers).map_err(|e| e.to_string())?)));
    let (url, servers) = match made {
        Ok(made) => made,
        Err(why) => return vec![Finding::broken(about, why).costs(CLOSED)],
    };
    let ask = |server: &Server| -> Asking<'_, (String, Result<u16, String>)> {
        let (server, url) = (server.clone(), url.clone());
        Box::pin(async move {
            let status = server.body(&url, 1).await.map(|(status, _)| status);
            (server.name(), status)
        })
    };
    let told = together::all(servers.iter().map(ask).collect()).await;
    told.into_iter().map(|(name, told)| judge(about, &name, path, told, is_version)).collect()
}

/// Says what a web server's answer means. It may be another in a moment.
fn judge(
    about: &str,
    name: &str,
    path: &str,
    told: Result<u16, String>,
    is_version: bool,
) -> Finding {
    match told {
        Err(why) => Finding::advice(about, format!("{name} does not answer {path}: {why}"))
            .costs(format!("{CLOSED}, until it does"))
            .mend("start it, or correct `servers` in the configuration"),
        Ok(status) if is_version && status != 200 => {
            Finding::advice(about, format!("{name} answers {path} with status {status}"))
                .costs(format!("{CLOSED}, until it is 200"))
                .mend("have each deploy write it, or correct `version` in the configuration")
        }
        Ok(_) => Finding::ok(about, format!("{name} answers {path}")),
    }
}
