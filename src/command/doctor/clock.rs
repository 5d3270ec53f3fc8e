//! Whether the kernel's clock is kept right.

use std::path::Path;
use std::process::{Command, Stdio};

use super::finding::Finding;

/// Written by systemd-timesyncd once it has set the clock.
const SET: &str = "/run/systemd/timesync/synchronized";

/// Asks the system whether its clock is kept by a server of time.
pub(super) fn look() -> Finding {
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .output();
    let answer = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    judge(answer.as_deref().unwrap_or_default(), Path::new(SET).exists())
}

/// Judges by what `timedatectl` says and whether timesyncd has set the clock.
pub(super) fn judge(answer: &str, set: bool) -> Finding {
    let about = "clock";
    match answer {
        "yes" => Finding::ok(about, "kept by a time server"),
        _ if set => Finding::ok(about, "kept by systemd-timesyncd"),
        "no" => Finding::advice(about, "no time server keeps it")
            .costs(
                "it drifts: files can look younger or older than a baseline, and the CDN refuses \
                 calls of other tools that are 15 minutes off",
            )
            .mend("timedatectl set-ntp true   # or install chrony"),
        _ => Finding::not_checked(about, "neither timedatectl nor systemd-timesyncd tells"),
    }
}
