//! Scans: a walk of a subtree that is compared with the index.
//!
//! A scan suspects and concludes nothing: the intake looks at every suspect again. Links to files
//! inside the root count as files; linked directories are not walked (this is the place for them).

use std::collections::{BTreeSet, HashSet};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, statat};

use super::root::{Root, fingerprint};
use super::{Unavailable, io_text, is_absence};
use crate::domain::index::{Fingerprint, Index};
use crate::domain::path::RelPath;

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Scan {
    /// Paths that are new, missing, or not beyond doubt what the index says, in order.
    pub suspects: Vec<RelPath>,
    /// How many suspects are missing.
    pub missing: u64,
    /// What could not be listed or examined, with the system's reason: nothing is concluded about
    /// these subtrees.
    pub unknown: Vec<(RelPath, String)>,
    /// Files seen.
    pub files: u64,
    /// Directories walked.
    pub directories: u64,
}

/// Compares the tree at and below `at` with the index. `device` is where the root was when the
/// index was made; on another one a tree that misses more than half of its files is not believed.
pub fn scan(
    root: &Root,
    at: &RelPath,
    index: &Index,
    device: Option<u64>,
    excluded: &dyn Fn(&RelPath, bool) -> bool,
) -> Result<Scan, Unavailable> {
    let mut walk =
        Walk { root, index, excluded, found: Scan::default(), listed: BTreeSet::new(), top: 0 };
    walk.start(at);
    if at.is_root() && walk.top == 0 && walk.found.unknown.is_empty() && index.files() > 0 {
        root.is_still_there()?;
        return Err(Unavailable::Empty { root: root.path().to_owned(), files: index.files() });
    }
    walk.find_missing(at);
    let mut found = walk.found;
    root.is_still_there()?;
    if device.is_some_and(|device| device != root.device())
        && found.missing.saturating_mul(2) > index.files()
    {
        return Err(Unavailable::OtherDevice {
            root: root.path().to_owned(),
            missing: found.missing,
            files: index.files(),
        });
    }
    found.suspects.sort_unstable();
    Ok(found)
}

struct Walk<'scan> {
    root: &'scan Root,
    index: &'scan Index,
    excluded: &'scan dyn Fn(&RelPath, bool) -> bool,
    found: Scan,
    /// Directories whose names were compared with the index.
    listed: BTreeSet<RelPath>,
    /// How many names the root holds, excluded ones too.
    top: u64,
}

impl Walk<'_> {
    fn start(&mut self, at: &RelPath) {
        let resolve = ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match self.root.open_beneath(at, flags, resolve) {
            Ok(fd) if at.is_root() || !(self.excluded)(at, true) => self.directory(&fd, at),
            Ok(_) => {}
            Err(error) if is_absence(error) => self.single(at),
            Err(error) => self.found.unknown.push((at.clone(), io_text(error))),
        }
    }

    /// Compares the one file that `at` may be.
    fn single(&mut self, at: &RelPath) {
        if at.is_root() || (self.excluded)(at, false) {
            return;
        }
        match self.root.open_beneath(at, OFlags::PATH, ResolveFlags::empty()) {
            Ok(fd) => match fstat(&fd) {
                Ok(seen) if FileType::from_raw_mode(seen.st_mode).is_file() => {
                    self.file(at, &fingerprint(&seen));
                }
                Ok(_) => self.suspect_missing(at),
                Err(error) => self.found.unknown.push((at.clone(), io_text(error))),
            },
            Err(error) if is_absence(error) => self.suspect_missing(at),
            Err(error) => self.found.unknown.push((at.clone(), io_text(error))),
        }
    }

    fn suspect_missing(&mut self, at: &RelPath) {
        if self.index.get(at).is_some() {
            self.found.suspects.push(at.clone());
            self.found.missing += 1;
        }
    }

    fn file(&mut self, path: &RelPath, seen: &Fingerprint) {
        self.found.files += 1;
        let known = self.index.get(path);
        if known.is_none_or(|known| known.doubtful || known.fingerprint != *seen) {
            self.found.suspects.push(path.clone());
        }
    }

    fn directory(&mut self, fd: &OwnedFd, at: &RelPath) {
        self.found.directories += 1;
        let (mut files, mut directories) = (HashSet::new(), Vec::new());
        let mut listing = match Dir::read_from(fd) {
            Ok(listing) => listing,
            Err(error) => return self.found.unknown.push((at.clone(), io_text(error))),
        };
        while let Some(entry) = listing.read() {
            let entry = match entry {
                Ok(entry) => entry,
                // What was not listed may well be there.
                Err(error) => return self.found.unknown.push((at.clone(), io_text(error))),
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.top += u64::from(at.is_root());
            let Ok(path) = at.join(name) else {
                continue;
            };
            match entry.file_type() {
                FileType::Directory => directories.push(path),
                FileType::RegularFile | FileType::Symlink | FileType::Unknown => {
                    match self.entry(fd, &path) {
                        Kind::File => drop(files.insert(name.to_vec())),
                        Kind::Directory => directories.push(path),
                        Kind::Nothing => {}
                    }
                }
                _ => {}
            }
        }
        self.listed.insert(at.clone());
        for (name, _) in self.index.names(at) {
            if !files.contains(&name)
                && let Ok(path) = at.join(&name)
            {
                self.found.suspects.push(path);
                self.found.missing += 1;
            }
        }
        drop((files, listing));
        for path in directories {
            self.enter(fd, &path);
        }
    }

    /// Examines a name that may be a file.
    fn entry(&mut self, directory: &OwnedFd, path: &RelPath) -> Kind {
        if (self.excluded)(path, false) {
            return Kind::Nothing;
        }
        let seen = match statat(directory.as_fd(), path.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(seen) if FileType::from_raw_mode(seen.st_mode).is_symlink() => {
                self.root.open_beneath(path, OFlags::PATH, ResolveFlags::empty()).and_then(fstat)
            }
            seen => seen,
        };
        match seen {
            Ok(seen) => match FileType::from_raw_mode(seen.st_mode) {
                FileType::RegularFile => {
                    self.file(path, &fingerprint(&seen));
                    Kind::File
                }
                // Only a directory itself is entered; `enter` refuses a link to one.
                FileType::Directory => Kind::Directory,
                _ => Kind::Nothing,
            },
            Err(error) if is_absence(error) => Kind::Nothing,
            Err(error) => {
                self.found.unknown.push((path.clone(), io_text(error)));
                Kind::File
            }
        }
    }

    fn enter(&mut self, parent: &OwnedFd, path: &RelPath) {
        if (self.excluded)(path, true) {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(parent, path.name(), flags, Mode::empty()) {
            Ok(fd) => self.directory(&fd, path),
            Err(error) if is_absence(error) => {}
            Err(error) => self.found.unknown.push((path.clone(), io_text(error))),
        }
    }

    /// Suspects the files of directories that the walk did not come to.
    fn find_missing(&mut self, at: &RelPath) {
        let (index, listed) = (self.index, &self.listed);
        for directory in index.directories_below(at) {
            let unknown = &self.found.unknown;
            if listed.contains(&directory)
                || unknown.iter().any(|(subtree, _)| directory.is_within(subtree))
            {
                continue;
            }
            for (name, _) in index.names(&directory) {
                if let Ok(path) = directory.join(&name) {
                    self.found.suspects.push(path);
                    self.found.missing += 1;
                }
            }
        }
    }
}

/// What a name in a directory is.
enum Kind {
    File,
    Directory,
    Nothing,
}

#[cfg(test)]
mod tests;
