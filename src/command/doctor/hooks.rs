//! Who may tell of pushes, and whether they reach the daemon.

use std::path::Path;

use super::finding::Finding;
use super::place;
use super::who::Who;
use crate::config::{Config, Listen};
use crate::domain::hook::Provider;

/// Looks at the hooks of a configuration.
pub(super) fn look(config: &Config, who: &Who) -> Vec<Finding> {
    let mut findings: Vec<Finding> = listener(config).into_iter().collect();
    for hook in config.senders.values() {
        let about = format!("hook {}", hook.name);
        let files = hook.secret_files.iter().map(|path| (Path::new(path), true));
        let refused = "nobody can use this hook: its deliveries are answered 503";
        let stolen = "whoever reads it can tell of pushes that never were";
        findings.extend(place::secrets(&about, files, (refused, stolen), who));
        if hook.provider == Provider::GitLabToken {
            findings.push(
                Finding::advice(&about, "its token proves who sends, not what is sent")
                    .costs("whoever sees one delivery can make others")
                    .mend("use GitLab's signing token: provider = \"gitlab\""),
            );
        }
    }
    findings
}

fn listener(config: &Config) -> Option<Finding> {
    let about = "hooks";
    let has_hooks = !config.senders.is_empty();
    match config.hooks.listen {
        Listen::Nowhere if has_hooks => Some(
            Finding::broken(about, "there are hooks, and nothing listens for them")
                .costs("no forge reaches the daemon")
                .mend("listen = \"127.0.0.1:8377\" below [hooks], behind a web server with TLS"),
        ),
        Listen::At(_) | Listen::Systemd if !has_hooks => Some(
            Finding::advice(about, "something listens for hooks, and there are none")
                .costs("every request is answered 404")
                .mend("add a section [hook.NAME], or leave `listen` out"),
        ),
        Listen::At(address) if !address.ip().is_loopback() => Some(
            Finding::advice(about, format!("{address} is open to others, without TLS"))
                .costs("who listens on the way reads names of branches, and tokens")
                .mend("listen on 127.0.0.1, behind a web server with TLS"),
        ),
        _ => None,
    }
}
