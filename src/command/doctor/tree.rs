//! Roots: are they there, may the daemon read them, and how much is there to watch.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::AS_ROOT;
use super::finding::Finding;
use super::mounts::{Place, events_of};
use super::who::Who;
use crate::command::words::count;
use crate::config::Origin;
use crate::domain::path::{RelPath, escape};
use crate::domain::watch::Means;

/// What a walk came to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Walked {
    pub(super) directories: u64,
    pub(super) files: u64,
    /// The first path that can't be read, and how many there are.
    pub(super) unreadable: Option<PathBuf>,
    pub(super) unreadables: u64,
    /// A directory that this process can't list, though the daemon perhaps can.
    pub(super) unseen: Option<PathBuf>,
}

/// Walks a tree in order, without what is excluded; links are not followed.
pub(super) fn walk(root: &Path, who: &Who, excluded: impl Fn(&RelPath, bool) -> bool) -> Walked {
    let mut walked = Walked::default();
    let mut open = vec![RelPath::root()];
    while let Some(directory) = open.pop() {
        walked.directories += 1;
        let full = directory.under(root);
        let entries = match std::fs::read_dir(&full) {
            Ok(entries) => entries,
            Err(_) if who.sees_more() => {
                walked.unseen.get_or_insert(full);
                continue;
            }
            Err(_) => {
                walked.refuse(full);
                continue;
            }
        };
        let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let mut below = Vec::new();
        for entry in entries {
            use std::os::unix::ffi::OsStrExt;
            let Ok(metadata) = entry.metadata() else { continue };
            let Ok(path) = directory.join(entry.file_name().as_bytes()) else { continue };
            let wanted = metadata.is_dir() || metadata.is_file();
            if !wanted || excluded(&path, metadata.is_dir()) {
                continue;
            }
            walked.files += u64::from(metadata.is_file());
            if !who.may_read(&entry.path(), &metadata) {
                walked.refuse(entry.path());
                walked.directories += u64::from(metadata.is_dir());
            } else if metadata.is_dir() {
                below.push(path);
            }
        }
        open.extend(below.into_iter().rev());
    }
    walked
}

impl Walked {
    fn refuse(&mut self, path: PathBuf) {
        self.unreadables += 1;
        self.unreadable.get_or_insert(path);
    }
}

/// Looks at the root of an origin; returns what it found and how many directories need a watch.
pub(super) fn look(origin: &Origin, who: &Who) -> (Vec<Finding>, u64) {
    let about = format!("root of {}", origin.name);
    let Some(root) = origin.root() else {
        return (Vec::new(), 0);
    };
    let unavailable = "the origin is unavailable: nothing of it is refreshed";
    let metadata = match root.metadata() {
        Ok(metadata) => metadata,
        Err(error) if who.sees_more() && error.kind() == ErrorKind::PermissionDenied => {
            let what = format!("{}: {error}", root.display());
            return (vec![Finding::not_checked(about, what).mend(AS_ROOT)], 0);
        }
        Err(error) => {
            let what = format!("{} can't be looked at: {error}", root.display());
            let mend = "create or mount it, or correct `root` in the configuration";
            return (vec![Finding::broken(about, what).costs(unavailable).mend(mend)], 0);
        }
    };
    if !metadata.is_dir() {
        let what = format!("{} is not a directory", root.display());
        let mend = "correct `root` in the configuration";
        return (vec![Finding::broken(about, what).costs(unavailable).mend(mend)], 0);
    }
    let real = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let stopped = who.stopped_at(&real);
    if stopped.is_some() || !who.may_read(&real, &metadata) {
        let at = stopped.unwrap_or(&real).display();
        let what = format!("{at} is closed to {}", who.title());
        let mend = format!("chmod o+rx {at}   # or give it a group that the daemon is in");
        return (vec![Finding::broken(about, what).costs(unavailable).mend(mend)], 0);
    }
    let mapping = &origin.mapping;
    let walked = walk(root, who, |path, is_dir| mapping.excluded(path, is_dir).is_some());
    let mut findings = Vec::new();
    if let Some(first) = &walked.unreadable {
        use std::os::unix::ffi::OsStrExt;
        let first = escape(first.as_os_str().as_bytes());
        let number = count(walked.unreadables, "path");
        let what = format!("{number} can't be read by {}; the first is {first}", who.title());
        let mend =
            format!("chmod -R o+rX {}   # or exclude what isn't served: `exclude`", root.display());
        findings.push(
            Finding::broken(&about, what).costs("changes there are not refreshed").mend(mend),
        );
    } else if let Some(unseen) = &walked.unseen {
        let what = format!("{} can't be listed by who asks", unseen.display());
        findings.push(Finding::not_checked(&about, what).mend(AS_ROOT));
    } else {
        let (files, directories) =
            (count(walked.files, "file"), count(walked.directories, "directory"));
        let (root, name) = (root.display(), &who.title());
        let what = format!("{root}: {files} in {directories}, readable by {name}");
        findings.push(Finding::ok(&about, what));
    }
    findings.extend(events(origin, events_of(root)));
    let inotify = matches!(origin.watch, Means::Auto | Means::Inotify);
    (findings, if inotify { walked.directories } else { 0 })
}

/// Says where the kernel does not tell of every change.
pub(super) fn events(origin: &Origin, place: Option<Place>) -> Vec<Finding> {
    let about = format!("file system of {}", origin.name);
    let Some(place) = place else {
        return vec![Finding::not_checked(about, "the table of mounts can't be read")];
    };
    let root = origin.root().unwrap_or(Path::new("/"));
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let is_served = |at: &Path| {
        RelPath::below(&root, at).is_none_or(|path| origin.mapping.excluded(&path, true).is_none())
    };
    let silent: Vec<_> = place.silent.into_iter().filter(|(at, _)| is_served(at)).collect();
    if silent.is_empty() {
        return vec![Finding::ok(about, format!("{}, events tell of changes", place.kind))];
    }
    let finding = |(at, why): (PathBuf, String)| {
        let what = format!("{}: {why}", at.display());
        if origin.watch == Means::Poll {
            return Finding::ok(&about, format!("{what}; it is polled, as configured"));
        }
        Finding::advice(&about, what)
            .costs("changes there are found when it is compared, every `poll_every`, not at once")
            .mend("run refreshd on the machine that writes the files, or shorten `poll_every`")
    };
    silent.into_iter().map(finding).collect()
}
