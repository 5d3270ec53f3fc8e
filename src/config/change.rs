//! What differs between two configurations, part by part.

use std::collections::{BTreeMap, BTreeSet};

use super::{Config, Origin};
use crate::domain::names::{AccountName, OriginName};

/// What becomes of the parts of one sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<N> {
    /// Those that are new.
    pub added: BTreeSet<N>,
    /// Those that are gone.
    pub removed: BTreeSet<N>,
    /// Those of which something is different.
    pub changed: BTreeSet<N>,
    /// Those that are the same.
    pub kept: BTreeSet<N>,
}

impl<N: Clone + Ord> Parts<N> {
    fn between<T: PartialEq>(old: &BTreeMap<N, T>, new: &BTreeMap<N, T>) -> Self {
        let names = |map: &BTreeMap<N, T>, of: &dyn Fn(&N, &T) -> bool| {
            map.iter().filter(|(name, part)| of(name, part)).map(|(name, _)| name.clone()).collect()
        };
        Self {
            added: names(new, &|name, _| !old.contains_key(name)),
            removed: names(old, &|name, _| !new.contains_key(name)),
            changed: names(new, &|name, part| old.get(name).is_some_and(|old| old != part)),
            kept: names(new, &|name, part| old.get(name) == Some(part)),
        }
    }

    /// Returns what runs no more as it did: what is gone or different.
    #[must_use]
    pub fn stopped(&self) -> BTreeSet<N> {
        self.removed.union(&self.changed).cloned().collect()
    }

    /// Returns what runs anew: what is new or different.
    #[must_use]
    pub fn started(&self) -> BTreeSet<N> {
        self.added.union(&self.changed).cloned().collect()
    }
}

/// What differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, told by itself")]
pub struct Difference {
    /// The origins.
    pub origins: Parts<OriginName>,
    /// Origins whose tree is the same and whose paths have other URLs than before.
    pub remapped: BTreeSet<OriginName>,
    /// The accounts.
    pub accounts: Parts<AccountName>,
    /// Accounts that are there before and after, and serve other origins than before or serve them otherwise.
    pub reserved: BTreeSet<AccountName>,
    /// Whether deliveries are taken from others or otherwise: `[hooks]` and `[hook.NAME]`.
    pub hooks: bool,
    /// Whether deliveries are taken elsewhere.
    pub listen: bool,
    /// Whether the page is served elsewhere, or to others.
    pub web: bool,
    /// Whether alarms are posted elsewhere or otherwise.
    pub notices: bool,
    /// Whether more or less is logged.
    pub level: bool,
    /// Keys of which a running daemon can't take another value.
    pub needs_restart: Vec<&'static str>,
}

impl Difference {
    /// Compares two configurations.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let origins = Parts::between(&old.origins, &new.origins);
        let accounts = Parts::between(&old.accounts, &new.accounts);
        let pair = |name: &OriginName| Some((old.origins.get(name)?, new.origins.get(name)?));
        let remapped = |name: &&OriginName| {
            pair(name)
                .is_some_and(|(old, new)| is_same_tree(old, new) && old.mapping != new.mapping)
        };
        let of = |config: &Config, names: &BTreeSet<OriginName>| -> BTreeSet<AccountName> {
            let found = names.iter().filter_map(|name| config.origins.get(name));
            found.map(|origin| origin.account.clone()).collect()
        };
        let mut touched = of(old, &origins.stopped());
        touched.append(&mut of(new, &origins.started()));
        let needs_restart = [
            ("state_dir", old.state_dir != new.state_dir),
            ("control_socket", old.control_socket != new.control_socket),
            ("socket` in `[hooks]", old.hooks.socket != new.hooks.socket),
            ("format` in `[log]", old.log.format != new.log.format),
        ];
        let stays = |name: &AccountName| accounts.kept.contains(name);
        Self {
            remapped: origins.changed.iter().filter(remapped).cloned().collect(),
            reserved: touched.into_iter().filter(stays).collect(),
            hooks: old.hooks != new.hooks || old.senders != new.senders,
            listen: old.hooks.listen != new.hooks.listen,
            web: old.web != new.web,
            notices: old.notices != new.notices,
            level: old.log.level != new.log.level,
            needs_restart: needs_restart
                .into_iter()
                .filter(|(_, is)| *is)
                .map(|(key, _)| key)
                .collect(),
            origins,
            accounts,
        }
    }

    /// Says in a few words each what is different; nothing when all is the same.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut tell = |sort: &str, names: Vec<&str>, what: &str| {
            lines.extend(names.iter().map(|name| format!("{sort} {name} {what}")));
        };
        for (names, what) in [
            (&self.accounts.added, "is new"),
            (&self.accounts.removed, "is gone"),
            (&self.accounts.changed, "is changed"),
        ] {
            tell("account", names.iter().map(AccountName::as_str).collect(), what);
        }
        for (names, what) in [
            (&self.origins.added, "is new"),
            (&self.origins.removed, "is gone"),
            (&self.origins.changed, "is changed"),
        ] {
            tell("origin", names.iter().map(OriginName::as_str).collect(), what);
        }
        let others = [
            (self.listen, "hooks are taken elsewhere"),
            (self.hooks && !self.listen, "hooks are changed"),
            (self.notices, "notices are changed"),
            (self.web, "the page is served elsewhere or to others"),
            (self.level, "the log level is changed"),
        ];
        lines.extend(others.into_iter().filter(|(is, _)| *is).map(|(_, what)| what.to_owned()));
        lines
    }
}

/// Returns whether two configurations of an origin are about the same files.
fn is_same_tree(old: &Origin, new: &Origin) -> bool {
    old.tree == new.tree && old.branch == new.branch && old.prefix == new.prefix
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &str = r#"
state_dir = "/var/lib/refreshd"
[log]
level = "info"
[account.main]
endpoint = "https://cdn.aliyuncs.com"
access_key_id_file = "/etc/id"
access_key_secret_file = "/etc/secret"
[account.other]
endpoint = "https://cdn.aliyuncs.com"
access_key_id_file = "/etc/id"
access_key_secret_file = "/etc/secret"
[origin.www]
account = "main"
root = "/srv/www"
domains = ["https://www.example.com"]
[origin.docs]
account = "other"
root = "/srv/docs"
domains = ["https://docs.example.com"]
[hooks]
listen = "127.0.0.1:8377"
[hook.forge]
provider = "github"
secret_files = ["/etc/forge"]
origins = ["www"]
"#;

    /// What is replaced, by what; what is told, what is mapped anew, whose plans are made anew.
    type Row = (
        &'static str,
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
        &'static [&'static str],
    );

    fn config(text: &str) -> Config {
        match Config::parse(text, Path::new("refreshd.toml"), None) {
            Ok(config) => config,
            Err(problems) => panic!("{problems}"),
        }
    }

    fn between(from: &str, to: &str) -> Difference {
        let new = TEXT.replace(from, to);
        assert!(from.is_empty() || new != TEXT, "`{from}` is in the text");
        Difference::between(&config(TEXT), &config(&new))
    }

    #[test]
    fn the_same_is_no_difference() {
        let same = between("", "");
        assert!(same.lines().is_empty() && same.needs_restart.is_empty(), "{same:?}");
        assert_eq!((same.origins.kept.len(), same.accounts.kept.len()), (2, 2));
        assert!(same.origins.started().is_empty() && same.origins.stopped().is_empty());
        assert!(same.remapped.is_empty() && same.reserved.is_empty());
    }

    #[test]
    fn each_change_concerns_its_parts_and_no_others() {
        const DOCS: &str = "[origin.docs]\naccount = \"other\"\nroot = \"/srv/docs\"\n\
             domains = [\"https://docs.example.com\"]\n";
        let rows: [Row; 11] = [
            ("\"info\"", "\"debug\"", &["the log level is changed"], &[], &[]),
            (":8377", ":8378", &["hooks are taken elsewhere"], &[], &[]),
            ("/etc/forge", "/etc/other", &["hooks are changed"], &[], &[]),
            (
                "[hook.forge]",
                "body_timeout = \"9s\"\n[hook.forge]",
                &["hooks are changed"],
                &[],
                &[],
            ),
            (
                "[account.other]",
                "[account.other]\nbatch = 7",
                &["account other is changed"],
                &[],
                &[],
            ),
            (
                "root = \"/srv/www\"",
                "root = \"/srv/w3\"",
                &["origin www is changed"],
                &[],
                &["main"],
            ),
            (
                "root = \"/srv/www\"",
                "root = \"/srv/www\"\nsettle = \"9s\"",
                &["origin www is changed"],
                &[],
                &["main"],
            ),
            (
                "https://www.example.com",
                "https://w3.example.com",
                &["origin www is changed"],
                &["www"],
                &["main"],
            ),
            (
                "account = \"other\"",
                "account = \"main\"",
                &["origin docs is changed"],
                &["docs"],
                &["main", "other"],
            ),
            (DOCS, "", &["origin docs is gone"], &[], &["other"]),
            (
                "[hooks]",
                "[origin.new]\naccount = \"main\"\nroot = \"/srv/new\"\ndomains = [\"https://new.example.com\"]\n[hooks]",
                &["origin new is new"],
                &[],
                &["main"],
            ),
        ];
        for (from, to, lines, remapped, reserved) in rows {
            let difference = between(from, to);
            let names = |names: &BTreeSet<OriginName>| -> Vec<String> {
                names.iter().map(ToString::to_string).collect()
            };
            let accounts: Vec<_> = difference.reserved.iter().map(ToString::to_string).collect();
            assert_eq!(difference.lines(), lines, "{from} {to}");
            assert_eq!(names(&difference.remapped), remapped, "{from} {to}");
            assert_eq!(accounts, reserved, "{from} {to}");
            assert!(difference.needs_restart.is_empty(), "{from} {to}");
        }
    }

    #[test]
    fn what_a_running_daemon_cannot_change_is_named() {
        let rows = [
            ("/var/lib/refreshd", "/var/lib/other", "state_dir"),
            ("[log]", "control_socket = \"/run/x.sock\"\n[log]", "control_socket"),
            ("[hook.forge]", "socket = \"/run/y.sock\"\n[hook.forge]", "socket` in `[hooks]"),
            ("level = \"info\"", "format = \"json\"", "format` in `[log]"),
        ];
        for (from, to, key) in rows {
            assert_eq!(between(from, to).needs_restart, [key]);
        }
    }
}
