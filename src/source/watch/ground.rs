//! The ground a tree stands on: which parts of it lie on file systems that send events.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, open, unlink};

use super::{Polled, Tree};
use crate::domain::path::RelPath;
use crate::source::mounts::{Events, Mount, Mounts};

/// Which parts of a tree send events. A part is a mount: the one that holds the tree's beginning,
/// and those below it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ground {
    /// Parts that send events: the directory, and where it is below the root. Sorted.
    pub heard: Vec<(PathBuf, RelPath)>,
    /// Parts that must be compared at intervals, sorted; none lies within another.
    pub polled: Vec<Polled>,
}

impl Ground {
    /// Surveys the directory at `path`, which must be absolute and free of links, and is `at` below
    /// the root. What is excluded is no part. `probe` is asked where a type is not known.
    #[must_use]
    pub fn survey(
        mounts: &Mounts,
        path: &Path,
        at: &RelPath,
        excluded: &dyn Fn(&RelPath, bool) -> bool,
        probe: &dyn Fn(&Path) -> bool,
    ) -> Self {
        let mut ground = Self::default();
        let first = mounts.holding(path).map(|mount| (path, at.clone(), mount));
        let below = mounts.below(path).into_iter().filter_map(|mount| {
            let rest = RelPath::below(path, &mount.point)?;
            let parts = [at.as_bytes(), rest.as_bytes()];
            let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let there = RelPath::new(parts.join(&b'/')).ok()?;
            (!excluded(&there, true)).then_some((mount.point.as_path(), there, mount))
        });
        for (path, at, mount) in first.into_iter().chain(below) {
            if ground.polled.iter().any(|polled| at.is_within(&polled.path)) {
                continue;
            }
            let why = match mount.events() {
                Events::Yes => None,
                Events::No(why) => Some(why),
                Events::Unknown if probe(path) => None,
                Events::Unknown => Some(format!("{} is not known to send events", mount.kind)),
            };
            match why {
                None => ground.heard.push((path.to_owned(), at)),
                Some(why) => ground.polled.push(Polled { path: at, why }),
            }
        }
        ground.polled.sort_by(|left, right| left.path.cmp(&right.path));
        ground
    }

    /// Returns why the part that begins `at` is polled, if it is.
    #[must_use]
    pub fn refuses(&self, at: &RelPath) -> Option<&str> {
        self.polled.iter().find(|polled| polled.path == *at).map(|polled| polled.why.as_str())
    }
}

/// Returns the mounts that a tree stands on now, without those that are no concern of a watch: in what
/// is excluded, and in what is polled anyway. Once they are others, it must be surveyed anew.
#[must_use]
pub fn mounts(tree: &Tree) -> Vec<Mount> {
    let (Ok(root), Ok(mounts)) = (tree.root.canonicalize(), Mounts::read()) else {
        return Vec::new();
    };
    let mut found: Vec<Mount> = mounts.holding(&root).into_iter().cloned().collect();
    for mount in mounts.below(&root) {
        let is_excluded =
            RelPath::below(&root, &mount.point).is_none_or(|at| (tree.excluded)(&at, true));
        let is_polled = found.iter().any(|above| {
            mount.point.starts_with(&above.point) && matches!(above.events(), Events::No(_))
        });
        if !is_excluded && !is_polled {
            found.push(mount.clone());
        }
    }
    found
}

/// Makes and removes a file in a directory and returns whether an event told of it. Where it may not
/// make one, or can't be watched, the answer is no.
#[must_use]
pub fn probe(directory: &Path) -> bool {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!(".refreshd-probe-{}-{count}", std::process::id());
    heard(directory, &name).unwrap_or(false)
}

fn heard(directory: &Path, name: &str) -> rustix::io::Result<bool> {
    let instance = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    inotify::add_watch(&instance, directory, WatchFlags::CREATE)?;
    let file = directory.join(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    drop(open(&file, flags, Mode::RUSR | Mode::WUSR)?);
    let removed = unlink(&file);
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&instance, &mut buffer);
    // The kernel queues the event before the file is open.
    while let Ok(event) = reader.next() {
        let is_ours = event.file_name().is_some_and(|found| found.to_bytes() == name.as_bytes());
        if is_ours && event.events().contains(ReadFlags::CREATE) {
            return removed.map(|()| true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
