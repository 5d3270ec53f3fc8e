//! The kernel's limits for watching.

use super::finding::Finding;
use crate::command::words::{count, grouped};
use crate::source::watch::inotify::Limit;

/// What the kernel allows a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The smaller of the machine's limit and that of the user namespace, by its name.
    pub(super) watches: (&'static str, u64),
    pub(super) instances: u64,
    pub(super) queue: u64,
}

/// A queue shorter than the kernel's own default (inotify(7)) was shortened by somebody.
const USUAL_QUEUE: u64 = 16_384;
/// Other programs of the same user have instances too.
const SPARE_INSTANCES: u64 = 8;
const FILE: &str = "/etc/sysctl.d/60-refreshd.conf";

impl Limits {
    /// Reads the limits of this machine; none where there is no inotify.
    pub(super) fn read() -> Option<Self> {
        let read = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
            text.trim().parse().ok()
        };
        let limit = Limit::read();
        Some(Self {
            watches: (limit.key, limit.most),
            instances: read("max_user_instances")?,
            queue: read("max_queued_events")?,
        })
    }

    /// Judges them: `directories` are to be watched for `origins`.
    pub(super) fn findings(self, directories: u64, origins: u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        let about = "inotify watches";
        let (key, most) = self.watches;
        let (needed, allowed) = (count(directories, "directory"), grouped(most));
        if directories > most {
            let missing = grouped(directories - most);
            findings.push(
                Finding::advice(about, format!("{needed} need one each, {allowed} are allowed"))
                    .costs(format!("{missing} of them are compared every `poll_every` instead"))
                    .mend(sysctl(key, directories * 2)),
            );
        } else {
            findings
                .push(Finding::ok(about, format!("{needed} need one each, {allowed} are allowed")));
        }
        if self.instances < origins + SPARE_INSTANCES {
            let what = format!(
                "{} are allowed for {} and all other programs of the user",
                grouped(self.instances),
                count(origins, "origin")
            );
            findings.push(
                Finding::advice("inotify instances", what)
                    .costs("origins without one are compared every `poll_every`")
                    .mend(sysctl("fs.inotify.max_user_instances", (origins * 2).max(128))),
            );
        }
        if self.queue < USUAL_QUEUE {
            findings.push(
                Finding::advice(
                    "inotify queue",
                    format!("it holds {} events", grouped(self.queue)),
                )
                .costs("a burst of changes overflows it, and the whole tree is compared")
                .mend(sysctl("fs.inotify.max_queued_events", USUAL_QUEUE)),
            );
        }
        findings
    }
}

/// Returns the command that raises a setting, now and for later starts, to a power of two.
fn sysctl(name: &str, least: u64) -> String {
    let value = least.next_power_of_two();
    format!("echo '{name} = {value}' >> {FILE} && sysctl --system")
}
