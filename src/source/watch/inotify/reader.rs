//! The thread that reads what the kernel tells.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, ReadFlags};
use rustix::io::{Errno, ioctl_fionread};

use super::nodes::{Descriptor, Place, Put};
use super::walker::Request;
use super::{Shared, State};
use crate::domain::hint::Reach;
use crate::domain::path::RelPath;
use crate::source::io_text;

/// How long the reader lets events gather after it read some: fewer and larger reads cost 0.28 of
/// the CPU, and the kernel's queue of 16,384 events lasts 65 ms at a writer's full speed
/// (measured 2026-11-22).
const GATHER: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Bytes of one read; a full queue of names of up to 47 bytes.
const BUFFER: usize = 1 << 20;

/// The reader.
pub(super) struct Reader {
    shared: Arc<Shared>,
    syncs: Receiver<SyncSender<()>>,
    requests: Sender<Request>,
    buffer: Vec<u8>,
    batch: Batch,
    /// Inotify that left their place, with the cookies by which they may arrive elsewhere.
    moving: Vec<(u32, Descriptor)>,
    /// The same, from the read before: they arrive with this one or left the tree.
    moving_before: Vec<(u32, Descriptor)>,
}

/// What one read brought.
#[derive(Default)]
struct Batch {
    hints: Vec<(RelPath, Reach)>,
    /// Which file the last event told of: one that is written tells several times in a row.
    last: Option<Descriptor>,
    last_name: Vec<u8>,
    /// Where the files of a directory are, until a directory moves.
    directory: Option<(Descriptor, RelPath)>,
}

impl Reader {
    pub(super) fn new(
        shared: Arc<Shared>,
        syncs: Receiver<SyncSender<()>>,
        requests: Sender<Request>,
    ) -> Self {
        let buffer = Vec::with_capacity(BUFFER);
        let batch = Batch::default();
        let (moving, moving_before) = (Vec::new(), Vec::new());
        Self { shared, syncs, requests, buffer, batch, moving, moving_before }
    }

    pub(super) fn run(mut self) {
        if let Err(error) = self.read_until_stopped()
            && !self.shared.is_stopped()
        {
            tracing::error!(
                root = %self.shared.root.display(), error = %error,
                "the kernel's events can't be read any more; the whole tree is polled"
            );
            // No watch that is added mends this, so that it is not among what is tried again.
            let why = format!("events can't be read any more: {}", io_text(error));
            self.shared.state().ended = Some(why);
            self.shared.send(vec![(RelPath::root(), Reach::Subtree)]);
        }
    }

    fn read_until_stopped(&mut self) -> Result<(), Errno> {
        loop {
            let (told, woken) = self.wait()?;
            if self.shared.is_stopped() {
                return Ok(());
            }
            if woken {
                self.answer()?;
            }
            if told {
                self.read()?;
                self.gather()?;
            }
        }
    }

    /// Waits until the kernel tells something, or somebody else does.
    fn wait(&self) -> Result<(bool, bool), Errno> {
        let mut both = [
            PollFd::new(&self.shared.inotify, PollFlags::IN),
            PollFd::new(&self.shared.wake, PollFlags::IN),
        ];
        uninterrupted(|| poll(&mut both, None))?;
        let [told, woken] = both;
        Ok((!told.revents().is_empty(), !woken.revents().is_empty()))
    }

    fn gather(&mut self) -> Result<(), Errno> {
        let mut woken = [PollFd::new(&self.shared.wake, PollFlags::IN)];
        uninterrupted(|| poll(&mut woken, Some(&GATHER)))?;
        if !self.moving.is_empty() && ioctl_fionread(&self.shared.inotify)? == 0 {
            self.settle_moves();
        }
        Ok(())
    }

    /// Reads what is queued now and answers those who waited for it, once the walker is done too.
    fn answer(&mut self) -> Result<(), Errno> {
        let mut count = [0; 8];
        match rustix::io::read(&self.shared.wake, &mut count) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let waiting: Vec<_> = self.syncs.try_iter().collect();
        // A writer that goes on does not keep us: what comes later is nobody's question.
        let queued = ioctl_fionread(&self.shared.inotify)?;
        let mut read = 0;
        while read < queued {
            read += self.read()?;
        }
        self.settle_moves();
        for done in waiting {
            let _ = self.requests.send(Request::Answer(done));
        }
        Ok(())
    }

    /// Reads once; returns how many bytes came.
    fn read(&mut self) -> Result<u64, Errno> {
        let shared = Arc::clone(&self.shared);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut events = inotify::Reader::new(&shared.inotify, buffer.spare_capacity_mut());
        self.moving_before = std::mem::take(&mut self.moving);
        let mut bytes = 0;
        let mut state = None;
        let read = loop {
            match events.next() {
                Ok(event) => {
                    let name = event.file_name().map(std::ffi::CStr::to_bytes);
                    // Names are padded with NULs, of which there is one at least.
                    bytes += 16 + name.map_or(0, |name| (name.len() as u64 + 16) / 16 * 16);
                    let state = state.get_or_insert_with(|| shared.state());
                    let told =
                        Told { at: event.wd(), what: event.events(), cookie: event.cookie() };
                    match name {
                        Some(name) if told.what.contains(ReadFlags::ISDIR) => {
                            self.directory(state, &told, name);
                        }
                        Some(name) => self.file(state, told.at, name),
                        None => self.itself(state, &told),
                    }
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break Ok(bytes),
                Err(error) => break Err(error),
            }
            if events.is_buffer_empty() {
                break Ok(bytes);
            }
        };
        drop(state);
        self.buffer = buffer;
        let left = std::mem::take(&mut self.moving_before);
        self.left_the_tree(left);
        let batch = std::mem::take(&mut self.batch);
        self.shared.send(batch.hints);
        read
    }

    /// A file came, went or changed: the commonest of all.
    fn file(&mut self, state: &State, at: Descriptor, name: &[u8]) {
        let batch = &mut self.batch;
        if batch.last == Some(at) && batch.last_name == name {
            return;
        }
        if batch.directory.as_ref().is_none_or(|(directory, _)| *directory != at) {
            // What has no place is covered by the hint that follows its arrival.
            let Some(path) = state.nodes.path(at) else {
                return;
            };
            batch.directory = Some((at, path));
        }
        let path = batch.directory.as_ref().and_then(|(_, path)| path.join(name).ok());
        if let Some(path) = path.filter(|path| !(self.shared.excluded)(path, false)) {
            batch.hints.push((path, Reach::Path));
        }
        batch.last = Some(at);
        batch.last_name.clear();
        batch.last_name.extend_from_slice(name);
    }

    /// A directory came, went, moved, or has other rights.
    fn directory(&mut self, state: &mut State, told: &Told, name: &[u8]) {
        let place = Place::new(told.at, name);
        let Some(path) = state.nodes.path_of(&place) else {
            return;
        };
        if (self.shared.excluded)(&path, true) {
            return;
        }
        self.batch.directory = None;
        self.batch.last = None;
        let known = state.nodes.at(&place);
        if told.what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            let moves = told.what.contains(ReadFlags::MOVED_FROM);
            match known {
                Some(known) if moves => {
                    state.nodes.detach(known);
                    self.moving.push((told.cookie, known));
                }
                Some(known) => drop(state.nodes.remove(known)),
                None => {}
            }
            if moves || known.is_none() {
                // The walker may be about to put it there.
                self.ask(Request::Came { place, moved: false });
            }
            state.unwatched.take_within(&path);
            self.batch.hints.push((path, Reach::Subtree));
        } else if told.what.contains(ReadFlags::MOVED_TO) {
            let is_it = |(cookie, _): &mut (u32, Descriptor)| *cookie == told.cookie;
            let moving =
                self.moving.extract_if(.., is_it).chain(self.moving_before.extract_if(.., is_it));
            for (_, moved) in moving {
                // A walk may have given it up meanwhile.
                if state.nodes.knows(moved) && state.nodes.put(moved, &place) == Put::Refused {
                    let _ = self.requests.send(Request::Forget(state.nodes.remove(moved)));
                }
            }
            self.ask(Request::Came { place, moved: true });
        } else if told.what.contains(ReadFlags::CREATE) {
            self.ask(Request::Came { place, moved: false });
        } else if told.what.contains(ReadFlags::ATTRIB) {
            self.ask(Request::Rights(place));
        }
    }

    /// Something happened to a watched directory itself, or to the whole watch.
    fn itself(&mut self, state: &mut State, told: &Told) {
        if told.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            state.overflows += 1;
            let why = "the kernel dropped events; all is watched anew and compared";
            self.everything(state, Some("overflow"), why);
        } else if told.what.contains(ReadFlags::UNMOUNT) {
            let why = "a file system was unmounted; all is watched anew and compared";
            self.everything(state, None, why);
        } else if told.what.contains(ReadFlags::IGNORED) {
            self.batch.directory = None;
            state.nodes.remove(told.at);
        } else if state.nodes.is_top(told.at)
            && let Some(path) = state.nodes.path(told.at)
        {
            // Of all others the directory above tells.
            if told.what.contains(ReadFlags::ATTRIB) {
                self.ask(Request::Rights(Place::top(&path)));
            } else if told.what.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
                self.batch.hints.push((path, Reach::Subtree));
            }
        }
    }

    /// Asks for a walk of everything, unless one is asked for and did not begin; says why, and by which event.
    fn everything(&self, state: &mut State, event: Option<&str>, why: &str) {
        if !std::mem::replace(&mut state.everything, true) {
            tracing::warn!(event, root = %self.shared.root.display(), "{why}");
            self.ask(Request::Everything);
        }
    }

    /// Gives up the directories that left and arrived nowhere.
    fn settle_moves(&mut self) {
        let left = std::mem::take(&mut self.moving);
        self.left_the_tree(left);
    }

    fn left_the_tree(&self, left: Vec<(u32, Descriptor)>) {
        if !left.is_empty() {
            let mut state = self.shared.state();
            // A walk may have met it in a directory of which nothing is heard yet.
            let gone = left.into_iter().flat_map(|(_, left)| state.nodes.remove_detached(left));
            let gone = gone.collect();
            drop(state);
            self.ask(Request::Forget(gone));
        }
    }

    fn ask(&self, request: Request) {
        // It fails only when the walker ended, with the watch.
        let _ = self.requests.send(request);
    }
}

/// An event.
struct Told {
    at: Descriptor,
    what: ReadFlags,
    cookie: u32,
}

fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}
