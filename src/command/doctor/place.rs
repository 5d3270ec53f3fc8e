//! The state directory and the key files.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::AS_ROOT;
use super::finding::Finding;
use super::who::Who;
use crate::command::words::{grouped, size};
use crate::database::network_file_system;
use crate::domain::credentials::KeyFiles;
use crate::domain::names::AccountName;

/// Below this much free space a journal may not survive the next deploy …
const TOO_LITTLE: u64 = 20_000_000;
/// … and below this much it is time to act: the index of a million files has up to 80 MB.
const LITTLE: u64 = 200_000_000;
/// The daemon makes a handful of files.
const FEW_INODES: u64 = 10;

/// Looks at the state directory.
pub(super) fn state(directory: &Path, who: &Who) -> Vec<Finding> {
    let about = "state_dir";
    let stops = "the daemon does not start";
    let shown = directory.display();
    let Some(existing) = directory.ancestors().find(|path| path.exists()) else {
        let what = format!("nothing on the way to {shown} exists");
        return vec![Finding::broken(about, what).costs(stops).mend(format!("mkdir -p {shown}"))];
    };
    let mut findings = Vec::new();
    if let Ok(facts) = rustix::fs::statfs(existing)
        && let Some(name) = network_file_system(facts.f_type.cast_unsigned())
    {
        let what = format!("{shown} is on a network file system ({name})");
        let mend = "set `state_dir` to a directory on a local disk";
        findings.push(Finding::broken(about, what).costs(stops).mend(mend));
    }
    let writable = existing.metadata().is_ok_and(|metadata| {
        who.stopped_at(existing).is_none() && who.may_write(existing, &metadata)
    });
    if !writable {
        let what = format!("{} can't be written by {}", existing.display(), who.title());
        let user = &who.name;
        let mend = format!("install -d -m 0700 -o {user} {shown}");
        findings.push(Finding::broken(about, what).costs(stops).mend(mend));
    }
    match rustix::fs::statvfs(existing) {
        Ok(facts) => findings.extend(room(
            facts.f_bavail.saturating_mul(facts.f_frsize),
            (facts.f_files > 0).then_some(facts.f_favail),
        )),
        Err(error) => findings.push(Finding::not_checked("disk", error.to_string())),
    }
    if findings.is_empty() {
        let made = if existing == directory { "" } else { ", made at the first start" };
        findings.push(Finding::ok(about, format!("{shown}: writable, local, with room{made}")));
    }
    findings
}

/// Says when there is little room. File systems without a number of inodes have as many as they need.
pub(super) fn room(free: u64, inodes: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let what = format!("{} are free where `state_dir` is", size(free));
    let costs = "once it is full nothing is recorded, so nothing is refreshed until there is room";
    let mend = "free some, or set `state_dir` to a larger disk: df -h";
    if free < TOO_LITTLE {
        findings.push(Finding::broken("disk", what).costs(costs).mend(mend));
    } else if free < LITTLE {
        findings.push(Finding::advice("disk", what).costs(costs).mend(mend));
    }
    if let Some(left) = inodes.filter(|left| *left < FEW_INODES) {
        let what = format!("{} inodes are free where `state_dir` is", grouped(left));
        let mend = "remove files, or set `state_dir` to another disk: df -i";
        findings.push(Finding::broken("disk", what).costs("no file can be made").mend(mend));
    }
    findings
}

/// Looks at the key files of an account. That they hold a key is seen when it is used.
pub(super) fn keys(account: &AccountName, files: &KeyFiles, who: &Who) -> Vec<Finding> {
    let about = format!("key files of {account}");
    let token = files.security_token.iter().map(|path| (path.as_path(), true));
    let files = [(files.key_id.as_path(), false), (files.secret.as_path(), true)];
    let stops = "the daemon does not start";
    let stolen = "whoever reads it can do in your name what the key may";
    secrets(&about, files.into_iter().chain(token), (stops, stolen), who)
}

/// Looks at files, of which some hold a secret; what it costs when one is not there, and when others may
/// read it.
pub(super) fn secrets<'f>(
    about: &str,
    files: impl Iterator<Item = (&'f Path, bool)>,
    (stops, stolen): (&str, &str),
    who: &Who,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, secret) in files {
        let shown = path.display();
        if path.is_relative() {
            let why = format!("{shown} is known inside the unit only");
            findings.push(Finding::not_checked(about, why).mend(
                "ask again with the directory of the key files: \
                 CREDENTIALS_DIRECTORY=/etc/refreshd/credentials refreshd doctor",
            ));
            continue;
        }
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if who.sees_more() && error.kind() == ErrorKind::PermissionDenied => {
                let what = format!("{shown}: {error}");
                findings.push(Finding::not_checked(about, what).mend(AS_ROOT));
                continue;
            }
            Err(error) => {
                findings.push(
                    Finding::broken(about, format!("{shown} can't be looked at: {error}"))
                        .costs(stops)
                        .mend(format!(
                            "(umask 077; cat > {shown})   # paste the value, Enter, Ctrl-D"
                        )),
                );
                continue;
            }
        };
        if secret && metadata.mode() & 0o007 != 0 {
            let (what, mode) = ("is open to every user of this machine", metadata.mode() & 0o777);
            findings.push(
                Finding::broken(about, format!("{shown} {what} (mode {mode:04o})"))
                    .costs(stolen)
                    .mend(format!("chmod 0600 {shown}")),
            );
        }
        // systemd hands the daemon copies of its own.
        let handed = path.starts_with("/run/credentials");
        if !handed && (who.stopped_at(path).is_some() || !who.may_read(path, &metadata)) {
            let user = &who.name;
            findings.push(
                Finding::broken(about, format!("{shown} can't be read by {}", who.title()))
                    .costs(stops)
                    .mend(format!("chown {user} {shown}   # or LoadCredential= in the unit")),
            );
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(about, "they are there, and closed to others"));
    }
    findings
}
