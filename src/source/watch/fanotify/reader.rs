//! The thread that reads a group's events and hands in hints.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread, read};

use super::Shared;
use super::event::{self, Event, HEAD, Named, events};
use super::places::{Places, Spot};
use crate::domain::hint::{Hint, Reach, Witness};
use crate::domain::path::RelPath;
use crate::source::{Excluded, HintSender};

/// How many bytes are read at once: some 3,000 events.
const BUFFER: usize = 256 * 1024;

/// How long the kernel may gather and merge events under load. Against reading at once this cut the
/// reader's CPU time to 0.28 of what it was, with inotify and a writer at full speed.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// What a directory's coming or going looks like.
const MOVED: u64 = libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO;
const CAME_OR_WENT: u64 = libc::FAN_CREATE | libc::FAN_DELETE | MOVED;

/// Reads until it is told to stop.
pub(super) struct Reader {
    shared: Arc<Shared>,
    places: Places,
    told: Told,
}

/// Where hints go.
struct Told {
    door: HintSender,
    excluded: Excluded,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, door: HintSender, excluded: Excluded) -> Self {
        Self { shared, places: Places::default(), told: Told { door, excluded } }
    }

    /// Runs to the end, and says why it ended.
    pub(super) fn run(mut self) {
        // Whoever waits for an answer must not wait for ever, even after a panic.
        let _end = End(Arc::clone(&self.shared));
        if let Err(error) = self.turns() {
            tracing::error!(root = %self.shared.root.display(), %error, "the watch can't be read any more; the tree is polled");
            self.told.lost(&RelPath::root());
        }
    }

    fn turns(&mut self) -> Result<(), Errno> {
        let mut buffer = vec![0; BUFFER];
        loop {
            wait(&[&self.shared.group, &self.shared.bell], None)?;
            let mut count = [0; 8];
            match read(&self.shared.bell, &mut count) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            let mut state = self.shared.state();
            if state.stop {
                return Ok(());
            }
            let asked = (state.asked > state.answered).then_some(state.asked);
            let places = state.places.take();
            drop(state);
            if let Some(places) = places {
                self.places.replace(places);
            }
            // Kernels differ in whether they count whole events or their heads only; a head is the
            // least an event takes, so as many events are never too few.
            let queued = match asked {
                Some(_) => usize::try_from(ioctl_fionread(&self.shared.group)?).unwrap_or(0) / HEAD,
                None => 1,
            };
            let mut heard = 0;
            let mut full = false;
            while heard < queued {
                let (events, bytes) = self.turn(&mut buffer)?;
                heard += events;
                full = bytes > BUFFER / 2;
                if events == 0 {
                    break;
                }
            }
            if let Some(asked) = asked {
                self.shared.state().answered = asked;
                self.shared.answered.notify_all();
            } else if !full {
                wait(&[&self.shared.bell], Some(&PAUSE))?;
            }
        }
    }

    /// Reads once, and returns how many events and bytes there were.
    fn turn(&mut self, buffer: &mut [u8]) -> Result<(usize, usize), Errno> {
        let length = loop {
            match read(&self.shared.group, &mut *buffer) {
                Ok(length) => break length,
                Err(Errno::AGAIN) => break 0,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        };
        let mut heard = 0;
        for event in events(buffer.get(..length).unwrap_or_default()) {
            heard += 1;
            match event {
                Event::Named(named) => self.named(named),
                Event::Overflow => {
                    self.shared.state().overflows += 1;
                    tracing::warn!(event = "overflow", root = %self.shared.root.display(), "the kernel dropped events; the whole tree is compared");
                    self.places.forget();
                    self.told.lost(&RelPath::root());
                }
                Event::Unknown => {
                    tracing::warn!(root = %self.shared.root.display(), "the kernel told something unknown; the whole tree is compared");
                    self.places.forget();
                    self.told.lost(&RelPath::root());
                }
            }
        }
        self.places.rest();
        Ok((heard, length))
    }

    fn named(&mut self, event: Named<'_>) {
        let is_directory = event.mask & libc::FAN_ONDIR != 0;
        if is_directory && event.mask & MOVED != 0 {
            // Its path and those below it are others now. A deleted directory's handle comes back
            // for no other directory, so that a deletion changes nothing that is remembered.
            self.places.forget();
        }
        let told = &self.told;
        for spot in &*self.places.spots(event.directory, |at| told.lost(at)) {
            told.hear(event, is_directory, spot);
        }
    }
}

impl Told {
    fn hear(&self, event: event::Named<'_>, is_directory: bool, spot: &Spot) {
        let came_or_went = event.mask & CAME_OR_WENT != 0;
        match spot {
            Spot::Above { name, at } => {
                if came_or_went && event.name == name.as_slice() {
                    self.lost(at);
                }
            }
            // Attributes of a directory say nothing of its files, for who may use fanotify may read
            // everything; a copying tool sets them on each directory that it passes.
            Spot::Within(_) if is_directory && !came_or_went => {}
            Spot::Within(directory) => {
                let Ok(path) = directory.join(event.name) else { return };
                if !(self.excluded)(&path, is_directory) {
                    let reach = if is_directory { Reach::Subtree } else { Reach::Path };
                    self.door.send(Hint { path, reach, witness: Witness::Watch });
                }
            }
        }
    }

    /// Hints at a subtree of which nothing is known.
    fn lost(&self, at: &RelPath) {
        let path = at.clone();
        self.door.send(Hint { path, reach: Reach::Subtree, witness: Witness::Watch });
    }
}

/// Waits until one of the files can be read, or for `most`.
fn wait(files: &[&OwnedFd], most: Option<&Timespec>) -> Result<(), Errno> {
    let mut files: Vec<_> = files.iter().map(|file| PollFd::new(*file, PollFlags::IN)).collect();
    match poll(&mut files, most) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Says at the end of the thread that it has ended.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if !state.stop {
            state.ended = Some("the kernel's events can't be read any more".to_owned());
        }
        drop(state);
        self.0.answered.notify_all();
    }
}
