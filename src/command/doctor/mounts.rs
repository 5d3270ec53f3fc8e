//! Where a tree lies, and whether the kernel tells of all that changes there.

use std::path::{Path, PathBuf};

/// File systems that others change behind the kernel's back, which therefore tells of local changes
/// only: network and FUSE file systems (inotify(7), "Limitations and caveats").
const SILENT: [&str; 14] = [
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "coda", "lustre",
    "gfs2", "ocfs2", "fuse",
];

/// Returns the type of the file system that `path` lies on, and why not all that changes there is
/// heard of, if so. None where the mounts can't be read.
pub(super) fn events_of(path: &Path) -> Option<(String, Option<String>)> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let kind = type_of(&table, &path)?;
    let base = kind.split('.').next().unwrap_or_default();
    let why =
        SILENT.contains(&base).then(|| format!("{kind} sends no events of what others change"));
    Some((kind, why))
}

/// Finds the type of the last mount over `path` in the text of a `mountinfo` (proc(5)).
fn type_of(table: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for line in table.lines() {
        let Some((mount, source)) = line.split_once(" - ") else { continue };
        let at = mount.split(' ').nth(4).map(|escaped| PathBuf::from(unescape(escaped)));
        let (Some(at), Some(kind)) = (at, source.split(' ').next()) else { continue };
        let length = at.as_os_str().len();
        // Of two at one place the later one lies on top.
        if path.starts_with(&at) && best.as_ref().is_none_or(|(known, _)| *known <= length) {
            best = Some((length, kind.to_owned()));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Reads the octal escapes of blanks and backslashes back.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (escape, byte)| text.replace(escape, byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_over_a_path_counts() {
        let table = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                     40 27 0:50 / /srv/www rw shared:7 - nfs4 host:/www rw\n\
                     41 27 0:51 / /srv/my\\040site rw - fuse.bindfs /x rw\n\
                     42 40 0:52 / /srv/www rw - tmpfs tmpfs rw\n\
                     43 40 0:53 / /srv/www/nfs rw - nfs4 host:/www rw\n";
        for (path, kind) in [
            ("/srv/wwwx", "ext4"),
            ("/srv/www/a", "tmpfs"),
            ("/srv/www/nfs/a", "nfs4"),
            ("/srv/my site", "fuse.bindfs"),
        ] {
            assert_eq!(type_of(table, Path::new(path)).as_deref(), Some(kind), "{path}");
        }
    }
}
