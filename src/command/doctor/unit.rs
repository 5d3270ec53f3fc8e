//! The systemd unit: as whom it runs the daemon, and what it hides from it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::finding::Finding;
use crate::config::Config;

const NAME: &str = "refreshd.service";

/// The properties of the installed unit, drop-ins included, as `systemctl show` tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    properties: Vec<(String, String)>,
}

impl Unit {
    /// Asks systemd; none if it doesn't answer or knows no such unit.
    pub(super) fn installed() -> Option<Self> {
        let output = Command::new("systemctl")
            .args(["show", NAME, "--no-pager"])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// Reads lines of `Property=value`; none unless the unit is loaded.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let properties = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let unit = Self { properties };
        (unit.get("LoadState") == Some("loaded")).then_some(unit)
    }

    /// Returns a property that is set.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
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
            let Some(root) = origin.root() else { continue };
            let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
            if let Some((setting, instead)) = self.hides(&root) {
                let what = format!("{} is hidden from the daemon by {setting}", root.display());
                findings.push(
                    Finding::broken(format!("unit, root of {}", origin.name), what)
                        .costs("the origin is unavailable: nothing of it is refreshed")
                        .mend(edit(instead)),
                );
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
