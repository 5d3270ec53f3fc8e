//! Changes of the mount table, of which no directory tells.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, write};

use super::Knock;
use crate::source::mounts::{Mount, Mounts, TABLE};

/// Knocks when a mount that concerns a root comes or goes, until it is dropped.
#[derive(Debug)]
pub(super) struct Table {
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Table {
    pub(super) fn watch(root: &Path, again: SyncSender<Knock>) -> io::Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        // Opened before it is read: what changes from now on is told.
        let table = File::open(TABLE)?;
        let known = concern(&Mounts::read()?, &nearest(root));
        let keeper = Keeper { root: root.to_owned(), table, known, again, bell: Arc::clone(&bell) };
        let thread =
            std::thread::Builder::new().name("mounts".to_owned()).spawn(move || keeper.run())?;
        Ok(Self { bell, thread: Some(thread) })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // It fails only when the bell rings already.
        let _ = write(&*self.bell, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Keeper {
    root: PathBuf,
    table: File,
    known: Vec<Mount>,
    again: SyncSender<Knock>,
    bell: Arc<OwnedFd>,
}

impl Keeper {
    fn run(mut self) {
        loop {
            let mut files =
                [PollFd::new(&*self.bell, PollFlags::IN), PollFd::new(&self.table, PollFlags::PRI)];
            let polled = poll(&mut files, None);
            let rung = files.first().is_some_and(|bell| !bell.revents().is_empty());
            match polled {
                Err(Errno::INTR) => continue,
                Ok(_) if !rung => {}
                _ => return,
            }
            // A table that can't be read now is read at its next change.
            let Ok(mounts) = Mounts::read() else { continue };
            let now = concern(&mounts, &nearest(&self.root));
            if now != self.known {
                self.known = now;
                // A knock that waits already stands for this one.
                let _ = self.again.try_send(Knock::Changed);
            }
        }
    }
}

/// Returns the directory at `root`, or the nearest above it that there is, free of links.
fn nearest(root: &Path) -> PathBuf {
    root.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_else(|| "/".into())
}

/// Returns the mounts that concern a directory: the one that holds it, and those below it.
fn concern(mounts: &Mounts, directory: &Path) -> Vec<Mount> {
    mounts.holding(directory).into_iter().chain(mounts.below(directory)).cloned().collect()
}
