//! This room looks outward: it hears of changes in an origin's tree and looks at the tree itself.
//!
//! Enters: what the kernel tells, and what is in the file system. Leaves: [`Hint`]s through the
//! door, suspects of a scan, and what a look saw.
//! **Invariant:** whoever reads the kernel never waits: a door that is full forgets its hints and
//! says that the whole tree must be reconciled. Nothing here writes the index.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::hint::{Hint, Reach, Witness};
use crate::domain::intent::Wish;
use crate::domain::path::RelPath;

pub mod announce;
pub mod git;
pub mod look;
pub mod mounts;
pub mod root;
pub mod scan;
pub mod watch;
pub mod webhook;

/// Tells whether a path is no concern of an origin; the second argument says that it is a directory.
/// What lies in an excluded directory is excluded too.
pub type Excluded = Arc<dyn Fn(&RelPath, bool) -> bool + Send + Sync>;

/// How many different paths the door of an origin holds before it asks for a reconcile instead.
pub const DOOR_PATHS: usize = 65_536;

#[derive(Debug, Default)]
struct Held {
    hints: BTreeMap<RelPath, (Reach, Witness)>,
    overflowed: bool,
    root: bool,
    anew: Option<Vec<Wish>>,
    bracket: bool,
    /// The newest ticket that was given out, and the newest that was drained; for good.
    ticket: u64,
    drained: u64,
}

impl Held {
    fn add(&mut self, hint: Hint, most: usize) {
        let full = self.hints.len() >= most;
        if let Some((reach, _)) = self.hints.get_mut(&hint.path) {
            if hint.reach == Reach::Subtree {
                *reach = Reach::Subtree;
            }
        } else if full {
            self.hints.clear();
            self.overflowed = true;
        } else {
            self.hints.insert(hint.path, (hint.reach, hint.witness));
        }
    }
}

#[derive(Debug)]
struct Door {
    most: usize,
    held: Mutex<Held>,
    knocked: Arc<Notify>,
}

impl Door {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outside of an origin's door: hints go in and never wait.
#[derive(Clone, Debug)]
pub struct HintSender(Arc<Door>);

/// The inside of an origin's door.
#[derive(Debug)]
pub struct HintReceiver(Arc<Door>);

/// What came through the door since it was last emptied.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Hints {
    /// Each path once.
    pub hints: Vec<Hint>,
    /// Whether hints were forgotten: the whole tree must be reconciled.
    pub overflowed: bool,
    /// Whether the way to the root may lead elsewhere now.
    pub root: bool,
    /// Whether an operator asked for a new baseline, and for which refreshes with it.
    pub anew: Option<Vec<Wish>>,
    /// Whether the store holds another bracket of a deploy than before.
    pub bracket: bool,
    /// Somebody waits until all that was written by now is seen: the newest ticket.
    pub ticket: Option<u64>,
}

/// Makes the door of an origin, which holds at most `most` different paths.
#[must_use]
pub fn door(most: usize) -> (HintSender, HintReceiver) {
    let door = Arc::new(Door { most, held: Mutex::default(), knocked: Arc::default() });
    (HintSender(Arc::clone(&door)), HintReceiver(door))
}

impl HintSender {
    /// Hands in a hint. One of the same path joins the one that waits.
    pub fn send(&self, hint: Hint) {
        self.send_all([hint]);
    }

    /// Hands in many hints with one knock.
    pub fn send_all(&self, hints: impl IntoIterator<Item = Hint>) {
        let mut held = self.0.held();
        for hint in hints {
            held.add(hint, self.0.most);
        }
        drop(held);
        self.knock();
    }

    /// Says that the way to the root may lead elsewhere now.
    pub fn look_at_root(&self) {
        self.0.held().root = true;
        self.knock();
    }

    /// Asks for a new baseline; these refreshes, which are recorded already, must not be asked for
    /// before it begins.
    pub fn begin_anew(&self, refreshes: Vec<Wish>) {
        self.0.held().anew.get_or_insert_default().extend(refreshes);
        self.knock();
    }

    /// Says that the store holds another bracket of a deploy now.
    pub fn bracket(&self) {
        self.0.held().bracket = true;
        self.knock();
    }

    /// Asks to be told, by [`OriginFacts::seen`](crate::domain::facts::OriginFacts::seen), when all
    /// that was written by now is seen and belongs to a closed deploy; returns a ticket.
    #[must_use]
    pub fn call(&self) -> u64 {
        let ticket = {
            let mut held = self.0.held();
            held.ticket += 1;
            held.ticket
        };
        self.knock();
        ticket
    }

    /// Returns the inside for who takes over from whoever was inside before: what that one was called for and
    /// may not have answered is called for again.
    #[must_use]
    pub fn take_over(&self) -> HintReceiver {
        self.0.held().drained = 0;
        self.knock();
        HintReceiver(Arc::clone(&self.0))
    }

    /// Wakes whoever waits inside, though there may be nothing at the door.
    pub fn knock(&self) {
        self.0.knocked.notify_one();
    }
}

impl HintReceiver {
    /// Takes what came since the last time.
    #[must_use]
    pub fn drain(&self) -> Hints {
        let mut held = self.0.held();
        let ticket = held.ticket;
        let rest = Held { ticket, drained: ticket, ..Held::default() };
        let held = std::mem::replace(&mut *held, rest);
        Hints {
            hints: plain(held.hints),
            overflowed: held.overflowed,
            root: held.root,
            anew: held.anew,
            bracket: held.bracket,
            ticket: (ticket > held.drained).then_some(ticket),
        }
    }

    /// Takes the hints alone: what else came waits for [`drain`](Self::drain).
    #[must_use]
    pub fn drain_paths(&self) -> Hints {
        let mut held = self.0.held();
        let hints = std::mem::take(&mut held.hints);
        let overflowed = std::mem::take(&mut held.overflowed);
        if held.root || held.anew.is_some() || held.bracket || held.ticket > held.drained {
            self.0.knocked.notify_one();
        }
        drop(held);
        Hints { hints: plain(hints), overflowed, ..Hints::default() }
    }

    /// Returns whether there is something that should not wait: the root, or an operator.
    #[must_use]
    pub fn is_called(&self) -> bool {
        let held = self.0.held();
        held.root || held.anew.is_some()
    }

    /// Returns what is rung when something may have come, for who waits for other things, too.
    #[must_use]
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.0.knocked)
    }

    /// Waits until something may have come. A knock that nobody waited for is remembered.
    pub async fn knocked(&self) {
        self.0.knocked.notified().await;
    }
}

fn plain(hints: BTreeMap<RelPath, (Reach, Witness)>) -> Vec<Hint> {
    let hints = hints.into_iter();
    hints.map(|(path, (reach, witness))| Hint { path, reach, witness }).collect()
}

/// Why an origin's tree can't be looked at; nothing is concluded about its files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Nothing is there.
    #[error("the root {} does not exist; create or mount it, or correct `root`", .0.display())]
    Gone(PathBuf),
    /// Something else is there.
    #[error("the root {} is not a directory; correct `root`", .0.display())]
    NotDirectory(PathBuf),
    /// It can't be read.
    #[error("the root {} cannot be read: {why}; give the daemon's user the right to read it", .root.display())]
    Unreadable {
        /// Where.
        root: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// It is empty though files are known.
    #[error(
        "the root {} is empty where {files} files were; mount it, or put a file there if that is \
         meant",
        .root.display()
    )]
    Empty {
        /// Where.
        root: PathBuf,
        /// How many files the index holds.
        files: u64,
    },
    /// It lies on another device, and most known files are missing there.
    #[error(
        "the root {} is on another device and {missing} of {files} known files are missing; mount \
         the right one",
        .root.display()
    )]
    OtherDevice {
        /// Where.
        root: PathBuf,
        /// How many files of the index are missing.
        missing: u64,
        /// How many files the index holds.
        files: u64,
    },
    /// The path led elsewhere while the tree was looked at.
    #[error("the root {} was replaced while it was looked at; it is looked at again", .0.display())]
    Replaced(PathBuf),
}

/// Whether an error says that nothing is at a path.
fn is_absence(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    // A part became a file, a loop, or a link that is not followed: no file of the origin is there.
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV)
}

fn io_text(error: rustix::io::Errno) -> String {
    io::Error::from(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(text: &str, reach: Reach) -> Hint {
        Hint { path: RelPath::new(text).expect("valid"), reach, witness: Witness::Watch }
    }

    #[test]
    fn hints_of_a_path_join_and_the_wider_reach_stays() {
        let (sender, receiver) = door(10);
        sender.send(hint("a", Reach::Subtree));
        sender.send(hint("a", Reach::Path));
        assert_eq!(receiver.drain().hints, [hint("a", Reach::Subtree)]);
        assert_eq!(receiver.drain(), Hints::default());
    }

    #[test]
    fn a_call_to_look_at_the_root_is_heard_once() {
        let (sender, receiver) = door(2);
        sender.look_at_root();
        sender.look_at_root();
        assert_eq!(receiver.drain(), Hints { root: true, ..Hints::default() });
        assert!(!receiver.drain().root);
    }

    #[test]
    fn calls_wait_for_who_asks_for_more_than_hints() {
        let (sender, receiver) = door(2);
        assert_eq!((sender.call(), sender.call()), (1, 2));
        sender.bracket();
        sender.send(hint("a", Reach::Path));
        let hints = receiver.drain_paths();
        assert_eq!(hints, Hints { hints: vec![hint("a", Reach::Path)], ..Hints::default() });
        assert_eq!(receiver.drain(), Hints { bracket: true, ticket: Some(2), ..Hints::default() });
        assert_eq!(receiver.drain(), Hints::default());
        assert_eq!(sender.call(), 3);
        assert_eq!(receiver.drain().ticket, Some(3));
        assert_eq!(receiver.drain().ticket, None);
        assert_eq!(sender.take_over().drain().ticket, Some(3), "it may not have been answered");
    }

    #[test]
    fn a_full_door_says_so_instead_of_waiting() {
        let (sender, receiver) = door(2);
        for name in ["a", "b", "c", "d"] {
            sender.send(hint(name, Reach::Path));
        }
        let hints = receiver.drain();
        assert!(hints.overflowed);
        assert_eq!(hints.hints, [hint("d", Reach::Path)]);
        assert!(!receiver.drain().overflowed);
    }
}
