//! The systemd unit: as whom it runs the daemon, and what it hides from it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::finding::Finding;
use super::repository::post_receive;
use crate::config::{Config, Repository, Tree};

const NAME: &str = "refreshd.service";

/// The properties of the installed unit, drop-ins included, as `systemctl show` tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) struct Unit {
    properties: Vec<(String, String)>,
    /// Its `LoadCredential=` settings, as written: of these `show` tells nothing (systemd 252).
    credentials: Vec<String>,
}

impl Unit {
    /// Asks systemd; none if it doesn't answer or knows no such unit.
    pub(in crate::command) fn installed() -> Option<Self> {
        let ask = |verb: &str| {
            let mut command = Command::new("systemctl");
            let output = command.args([verb, NAME, "--no-pager"]).stdin(Stdio::null()).output();
            output.ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        Self::parse(&ask("show")?, &ask("cat")?)
    }

    /// Reads lines of `Property=value`, and the unit's text with its drop-ins; none unless the unit is
    /// loaded.
    pub(super) fn parse(shown: &str, text: &str) -> Option<Self> {
        let lines = shown.lines().filter_map(|line| line.split_once('='));
        let properties = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut unit = Self { properties, credentials: Vec::new() };
        for credential in text.lines().filter_map(|line| line.strip_prefix("LoadCredential=")) {
            match credential.trim() {
                "" => unit.credentials.clear(),
                credential => unit.credentials.push(credential.to_owned()),
            }
        }
        (unit.get("LoadState") == Some("loaded")).then_some(unit)
    }

    /// Whether it hands a file to the daemon as the credential `name`.
    pub(in crate::command) fn hands(&self, name: &str, file: &Path) -> bool {
        let is_it = |place: &str| Path::new(place) == file;
        let mut pairs = self.credentials.iter().filter_map(|credential| credential.split_once(':'));
        pairs.any(|(known, place)| known == name && is_it(place))
    }

    /// Returns a property that is set.
    pub(in crate::command) fn get(&self, name: &str) -> Option<&str> {
        let mut properties = self.properties.iter().filter(|(_, value)| !value.is_empty());
        properties.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it runs the daemon of this configuration.
    pub(super) fn is_about(&self, config: &Config) -> bool {
        let Some(path) = config.path.to_str() else { return false };
        self.get("ExecStart").is_some_and(|start| start.split_whitespace().any(|word| word == path))
    }

    /// Says what it hides of what the configuration needs.
    pub(super) fn findings(&self, config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        for origin in config.origins.values() {
            let (path, word) = match &origin.tree {
                Tree::Root(root) => (root, "root"),
                Tree::Repository(repository) => (&repository.path, "repository"),
            };
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            let about = format!("unit, {word} of {}", origin.name);
            if let Some((setting, instead)) = self.hides(&path) {
                let what = format!("{} is hidden from the daemon by {setting}", path.display());
                findings.push(
                    Finding::broken(&about, what)
                        .costs("the origin is unavailable: nothing of it is refreshed")
                        .mend(edit(instead)),
                );
            } else if let Some(repository) = origin.repository() {
                findings.extend(self.keeps_from(&about, repository));
            }
        }
        if self.get("ProtectSystem") == Some("strict") && !self.may_write(&config.state_dir) {
            let state = config.state_dir.display();
            findings.push(
                Finding::broken("unit, state_dir", format!("{state} is read-only in the unit"))
                    .costs("the daemon does not start")
                    .mend(edit(&format!("ReadWritePaths={state}"))),
            );
        }
        if findings.is_empty() {
            findings.push(Finding::ok("unit", format!("{NAME} hides nothing that is needed")));
        }
        findings
    }

    /// Says what keeps the daemon from fetching into a repository, or from hearing of pushes to it.
    fn keeps_from(&self, about: &str, repository: &Repository) -> Option<Finding> {
        let (path, shown) = (&repository.path, repository.path.display());
        if repository.fetch_from.is_some() {
            let is_closed = self.get("ProtectSystem") == Some("strict") && !self.may_write(path);
            return is_closed.then(|| {
                let place = path.parent().filter(|_| !path.exists()).unwrap_or(path).display();
                Finding::broken(about, format!("{shown} is read-only in the unit"))
                    .costs("nothing is fetched: pushes are not seen")
                    .mend(edit(&format!("ReadWritePaths={place}")))
            });
        }
        let is_alone = self.get("PrivateUsers").is_some_and(|private| private != "no");
        let is_told = post_receive(path).is_some_and(|(_, says)| says);
        (is_alone && is_told).then(|| {
            Finding::advice(about, "PrivateUsers hides from the daemon who announces a push")
                .costs("announcements are refused; a push is found every `reconcile_every`")
                .mend(
                    "install -D -m 644 refreshd-git.conf \
                     /etc/systemd/system/refreshd.service.d/git.conf\n\
                     systemctl daemon-reload && systemctl restart refreshd",
                )
        })
    }

    /// Returns the setting that hides a path, and the one that doesn't.
    fn hides(&self, path: &Path) -> Option<(&'static str, &'static str)> {
        let below = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
        let home = self.get("ProtectHome").unwrap_or("no");
        let temporary = self.get("PrivateTmp").unwrap_or("no");
        if matches!(home, "yes" | "tmpfs") && below(&["/home", "/root", "/run/user"]) {
            Some(("ProtectHome", "ProtectHome=read-only"))
        } else if temporary != "no" && below(&["/tmp", "/var/tmp"]) {
            Some(("PrivateTmp", "PrivateTmp=no"))
        } else {
            None
        }
    }

    fn may_write(&self, directory: &Path) -> bool {
        let states = self.get("StateDirectory").unwrap_or_default().split_whitespace();
        let writable = self.get("ReadWritePaths").unwrap_or_default().split_whitespace();
        let writable = writable.map(|path| PathBuf::from(path.trim_start_matches(['-', '+'])));
        states
            .map(|state| Path::new("/var/lib").join(state))
            .chain(writable)
            .any(|place| directory.starts_with(place))
    }
}

fn edit(setting: &str) -> String {
    format!(
        "systemctl edit refreshd   # write: [Service] and, below it, {setting}\n\
         systemctl restart refreshd"
    )
}
