//! One thread's part of a scan.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, FileType, OFlags, RawDir, Stat, fstat, statat};
use rustix::io::Errno;

use super::expected;
use super::queue::{Queue, Way};
use super::{Comparison, DirectoryLink, Scan, Suspect, read};
use crate::domain::index::Entry;
use crate::domain::path::RelPath;
use crate::source::root::{Root, fingerprint};
use crate::source::{io_text, is_absence};

/// Bytes of a listing taken at once: some thousand names.
const LISTING: usize = 64 * 1024;

/// The longest path the kernel takes, in bytes: its `PATH_MAX` less the NUL.
const MOST_PATH: usize = 4_095;

/// The most links on one way. Loops are refused, but directories that link to one another would still
/// have more ways than could ever be walked.
const MOST_LINKS: u8 = 8;

/// What one thread found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) scan: Scan,
    /// How many names the root holds, excluded ones too.
    pub(super) top: u64,
}

impl Found {
    pub(super) fn add(&mut self, more: Self) {
        self.top += more.top;
        self.scan.missing += more.scan.missing;
        self.scan.files += more.scan.files;
        self.scan.directories += more.scan.directories;
        self.scan.unknown.extend(more.scan.unknown);
        self.scan.links.extend(more.scan.links);
        self.scan.dangling.extend(more.scan.dangling);
        self.scan.leaving.extend(more.scan.leaving);
    }
}

pub(super) struct Walk<'scan> {
    root: &'scan Root,
    comparison: &'scan Comparison<'scan>,
    emit: &'scan (dyn Fn(Suspect) + Sync),
    queue: &'scan Queue,
    found: Found,
}

/// What a name in a directory is.
enum Kind {
    /// A file, which was compared.
    File,
    /// A directory to be walked, with as many links on the way.
    Directory(u8),
    /// Nothing that is compared.
    Nothing,
    /// It can't be told; that was noted.
    Unknown,
}

impl<'scan> Walk<'scan> {
    pub(super) fn new(
        root: &'scan Root,
        comparison: &'scan Comparison<'scan>,
        emit: &'scan (dyn Fn(Suspect) + Sync),
        queue: &'scan Queue,
    ) -> Self {
        Self { root, comparison, emit, queue, found: Found::default() }
    }

    /// Begins with the subtree at `at`, which may be a file or nothing at all.
    pub(super) fn start(&mut self, at: &RelPath) {
        match self.way_to(at) {
            Ok(Kind::Directory(links)) => self.queue.add(vec![Way { path: at.clone(), links }]),
            Ok(Kind::Unknown) => {}
            Ok(Kind::File | Kind::Nothing) => {
                self.single(at);
                self.missing_below(at);
            }
            Err(error) => self.unknown(at, io_text(error)),
        }
    }

    /// Walks directories until none is left.
    pub(super) fn run(mut self) -> Found {
        let mut buffer = Vec::with_capacity(LISTING);
        while let Some(turn) = self.queue.take() {
            self.directory(&turn.way, buffer.spare_capacity_mut());
        }
        self.found
    }

    /// Follows the links on the way to a directory as a walk from the root would.
    fn way_to(&mut self, at: &RelPath) -> Result<Kind, Errno> {
        let linked = match self.root.open_at(at, OFlags::PATH | OFlags::DIRECTORY) {
            Ok((_, linked)) => linked,
            Err(error) if is_absence(error) => return Ok(Kind::Nothing),
            Err(error) => return Err(error),
        };
        if !at.is_root() && (self.comparison.excluded)(at, true) {
            return Ok(Kind::Nothing);
        }
        let mut links = 0;
        for part in if linked { way(at) } else { Vec::new() } {
            let (fd, _) = self.root.open_at(&part, OFlags::PATH | OFlags::NOFOLLOW)?;
            if !FileType::from_raw_mode(fstat(&fd)?.st_mode).is_symlink() {
                continue;
            }
            let (fd, _) = self.root.open_at(&part, OFlags::PATH)?;
            match self.follow(&part, &fd, &fstat(&fd)?, links) {
                Kind::Directory(more) => links = more,
                other => return Ok(other),
            }
        }
        Ok(Kind::Directory(links))
    }

    /// Compares the one file that `at` may be.
    fn single(&mut self, at: &RelPath) {
        if at.is_root() || (self.comparison.excluded)(at, false) {
            return;
        }
        let known = read(self.comparison.index).get(at);
        let opened = self.root.open_at(at, OFlags::PATH);
        match opened.and_then(|(fd, linked)| Ok((fstat(&fd)?, linked))) {
            Ok((seen, linked)) if FileType::from_raw_mode(seen.st_mode).is_file() => {
                self.file(at, &seen, linked, known.as_ref());
            }
            Err(error) if !is_absence(error) => self.unknown(at, io_text(error)),
            _ if known.is_some() => self.missing(at.clone()),
            _ => {}
        }
    }

    fn directory(&mut self, way: &Way, buffer: &mut [MaybeUninit<u8>]) {
        let at = &way.path;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = match way.links {
            0 => self.root.open_plain(at, flags),
            _ => self.root.open_at(at, flags).map(|(fd, _)| fd),
        };
        match opened {
            Ok(fd) => self.list(&fd, way, buffer),
            Err(error) if is_absence(error) => self.missing_below(at),
            Err(error) => self.unknown(at, io_text(error)),
        }
    }

    pub(super) fn list(&mut self, fd: &OwnedFd, way: &Way, buffer: &mut [MaybeUninit<u8>]) {
        let at = &way.path;
        let (mut files, mut directories) = {
            let index = read(self.comparison.index);
            (expected::files(&index, at), expected::directories(&index, at))
        };
        let mut inside = Vec::new();
        let mut listing = RawDir::new(fd, buffer);
        while let Some(entry) = listing.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                // It was removed.
                Err(error) if is_absence(error) => return self.missing_below(at),
                // What was not listed may well be there.
                Err(error) => return self.unknown(at, io_text(error)),
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.found.top += u64::from(at.is_root());
            let Ok(path) = at.join(name) else {
                continue;
            };
            let known = files.get(name);
            match self.entry(fd, entry.file_name(), entry.file_type(), &path, way.links, known) {
                Kind::File => files.meet(name),
                Kind::Directory(links) => {
                    directories.meet(name);
                    inside.push(Way { path, links });
                }
                Kind::Nothing => {}
                Kind::Unknown => {
                    files.meet(name);
                    directories.meet(name);
                }
            }
        }
        self.found.scan.directories += 1;
        self.queue.add(inside);
        for path in files.unmet().filter_map(|name| at.join(name).ok()) {
            self.missing(path);
        }
        for path in directories.unmet().filter_map(|name| at.join(name).ok()) {
            self.missing_below(&path);
        }
    }

    /// Examines a name.
    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &CStr,
        listed: FileType,
        path: &RelPath,
        links: u8,
        known: Option<&Entry>,
    ) -> Kind {
        if path.as_bytes().len() > MOST_PATH {
            self.unknown(path, format!("its path is longer than {MOST_PATH} bytes"));
            return Kind::Unknown;
        }
        let excluded = self.comparison.excluded;
        let seen = match listed {
            FileType::Directory if excluded(path, true) => return Kind::Nothing,
            FileType::Directory => return Kind::Directory(links),
            FileType::RegularFile | FileType::Symlink | FileType::Unknown => {
                if excluded(path, false) {
                    return Kind::Nothing;
                }
                statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            }
            _ => return Kind::Nothing,
        };
        match seen {
            Ok(seen) => match FileType::from_raw_mode(seen.st_mode) {
                FileType::RegularFile => {
                    self.file(path, &seen, links > 0, known);
                    Kind::File
                }
                FileType::Directory if !excluded(path, true) => Kind::Directory(links),
                FileType::Symlink => self.link(path, links, known),
                _ => Kind::Nothing,
            },
            Err(error) => self.failed(path, error),
        }
    }

    /// Examines what a link leads to.
    fn link(&mut self, path: &RelPath, links: u8, known: Option<&Entry>) -> Kind {
        let opened = self.root.open_at(path, OFlags::PATH);
        match opened.and_then(|(fd, _)| Ok((fstat(&fd)?, fd))) {
            Ok((seen, fd)) => match FileType::from_raw_mode(seen.st_mode) {
                FileType::RegularFile => {
                    self.file(path, &seen, true, known);
                    Kind::File
                }
                FileType::Directory => self.follow(path, &fd, &seen, links),
                _ => Kind::Nothing,
            },
            Err(Errno::NOENT) => {
                self.found.scan.dangling.push(path.clone());
                Kind::Nothing
            }
            Err(Errno::XDEV) => {
                self.found.scan.leaving.push(path.clone());
                Kind::Nothing
            }
            Err(error) => self.failed(path, error),
        }
    }

    /// Follows a link to a directory, which is open and was seen, unless that is one of those that
    /// lead to the link.
    fn follow(&mut self, link: &RelPath, fd: &OwnedFd, target: &Stat, links: u8) -> Kind {
        if (self.comparison.excluded)(link, true) {
            return Kind::Nothing;
        }
        if links == MOST_LINKS {
            self.unknown(link, format!("more than {MOST_LINKS} links lie on the way to it"));
            return Kind::Unknown;
        }
        let is_loop = self.leads_to(link, target);
        match is_loop.and_then(|is_loop| Ok((is_loop, self.root.place_of(fd)?))) {
            Ok((true, _)) => Kind::Nothing,
            Ok((false, to)) => {
                self.found.scan.links.push(DirectoryLink { at: link.clone(), to });
                Kind::Directory(links + 1)
            }
            Err(error) => {
                self.unknown(link, io_text(error));
                Kind::Unknown
            }
        }
    }

    /// Returns whether a directory is one of those on the way to a path.
    fn leads_to(&self, path: &RelPath, directory: &Stat) -> Result<bool, Errno> {
        let mut above = path.parent();
        while let Some(path) = above {
            let (fd, _) = self.root.open_at(&path, OFlags::PATH)?;
            let seen = fstat(&fd)?;
            if (seen.st_dev, seen.st_ino) == (directory.st_dev, directory.st_ino) {
                return Ok(true);
            }
            above = path.parent();
        }
        Ok(false)
    }

    /// Compares a file.
    fn file(&mut self, path: &RelPath, seen: &Stat, linked: bool, known: Option<&Entry>) {
        self.found.scan.files += 1;
        self.comparison.progress.fetch_add(1, Ordering::Relaxed);
        let (fingerprint, linked) = (fingerprint(seen), linked || seen.st_nlink > 1);
        let is_known = |known: &Entry| {
            !known.doubtful && known.fingerprint == fingerprint && known.linked == linked
        };
        if !known.is_some_and(is_known) {
            (self.emit)(Suspect { path: path.clone(), seen: Some((fingerprint, linked)) });
        }
    }

    fn missing(&mut self, path: RelPath) {
        self.found.scan.missing += 1;
        (self.emit)(Suspect { path, seen: None });
    }

    /// Suspects all files that are known at or below a directory that is none, or is excluded.
    fn missing_below(&mut self, at: &RelPath) {
        let index = self.comparison.index;
        let directories: Vec<_> = read(index).directories_below(at).collect();
        for directory in directories {
            let files = expected::files(&read(index), &directory);
            for path in files.unmet().filter_map(|name| directory.join(name).ok()) {
                self.missing(path);
            }
        }
    }

    /// Judges a failure to examine a name.
    fn failed(&mut self, path: &RelPath, error: Errno) -> Kind {
        if is_absence(error) {
            return Kind::Nothing;
        }
        self.unknown(path, io_text(error));
        Kind::Unknown
    }

    fn unknown(&mut self, path: &RelPath, why: String) {
        self.found.scan.unknown.push((path.clone(), why));
    }
}

/// Returns the directories on the way to a path and the path itself, from the top.
fn way(path: &RelPath) -> Vec<RelPath> {
    let mut way = Vec::new();
    let mut at = Some(path.clone());
    while let Some(path) = at.filter(|path| !path.is_root()) {
        at = path.parent();
        way.push(path);
    }
    way.reverse();
    way
}
