//! What the tree is, and what could be seen of each path at which time: kept beside the file system
//! by the only one who writes there.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use refreshd::clock::{Clock as _, SystemClock};
use refreshd::domain::time::Timestamp;

/// What a visitor sees at a path: a digest of its bytes, or nothing.
pub(super) type Seen = Option<u64>;

/// What a name in the tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    /// A name of a file, by the file's number.
    File(usize),
    /// A symbolic link and where it leads, relative to its directory.
    Link(String),
}

/// A time at which what is seen of a path became something else; it was between the two times.
#[derive(Clone, Copy, Debug)]
struct Moment {
    begun: Timestamp,
    ended: Timestamp,
    seen: Seen,
    by: &'static str,
}

/// The tree and its history.
pub(super) struct Model {
    root: PathBuf,
    clock: SystemClock,
    pub(super) nodes: BTreeMap<String, Node>,
    /// The bytes of each file, and how many names it has.
    pub(super) files: Vec<(Vec<u8>, usize)>,
    visible: BTreeMap<String, u64>,
    baseline: BTreeMap<String, u64>,
    history: BTreeMap<String, Vec<Moment>>,
    pub(super) operations: u64,
    /// What is being done.
    pub(super) doing: &'static str,
}

impl Model {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            clock: SystemClock::default(),
            nodes: BTreeMap::new(),
            files: Vec::new(),
            visible: BTreeMap::new(),
            baseline: BTreeMap::new(),
            history: BTreeMap::new(),
            operations: 0,
            doing: "plant",
        }
    }

    pub(super) fn full(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes what is there now for the baseline.
    pub(super) fn begin(&mut self) {
        self.baseline.clone_from(&self.visible);
        self.history.clear();
    }

    /// The names at and below a path.
    pub(super) fn below(&self, path: &str) -> Vec<String> {
        let range = self.nodes.range(format!("{path}/")..format!("{path}0"));
        let own = self.nodes.contains_key(path).then(|| path.to_owned());
        own.into_iter().chain(range.map(|(name, _)| name.clone())).collect()
    }

    /// Does one thing to the file system, then the same to the model, and notes what is seen
    /// differently afterwards of these paths and of every link.
    pub(super) fn act(
        &mut self,
        touched: impl IntoIterator<Item = String>,
        real: impl FnOnce() -> std::io::Result<()>,
        model: impl FnOnce(&mut Self),
    ) {
        let begun = self.now();
        real().expect("it can be done");
        let ended = self.now();
        model(self);
        let is_link = |(_, node): &(&String, &Node)| matches!(node, Node::Link(_));
        let links = self.nodes.iter().filter(is_link).map(|(path, _)| path.clone());
        let paths: Vec<String> = links.chain(touched).collect();
        for path in paths {
            let seen = self.look(&path);
            let before = match seen {
                Some(digest) => self.visible.insert(path.clone(), digest),
                None => self.visible.remove(&path),
            };
            if before != seen {
                self.history.entry(path).or_default().push(Moment {
                    begun,
                    ended,
                    seen,
                    by: self.doing,
                });
            }
        }
    }

    /// Every name of the file that a name is of.
    pub(super) fn names_of(&self, path: &str) -> Vec<String> {
        match self.nodes.get(path) {
            Some(node @ Node::File(file)) if self.files[*file].1 > 1 => {
                let same = self.nodes.iter().filter(|(_, other)| *other == node);
                same.map(|(name, _)| name.clone()).collect()
            }
            _ => vec![path.to_owned()],
        }
    }

    /// Takes a name away.
    pub(super) fn forget(&mut self, path: &str) {
        if let Some(Node::File(file)) = self.nodes.remove(path) {
            self.files[file].1 -= 1;
        }
    }

    fn look(&self, path: &str) -> Seen {
        let mut at = path.to_owned();
        for _ in 0..40 {
            match self.nodes.get(&at)? {
                Node::Directory => return None,
                Node::File(file) => return Some(digest(&self.files[*file].0)),
                Node::Link(to) => {
                    let mut parts: Vec<&str> = at.split('/').collect();
                    parts.pop();
                    for part in to.split('/') {
                        if part == ".." {
                            parts.pop()?;
                        } else {
                            parts.push(part);
                        }
                    }
                    at = parts.join("/");
                }
            }
        }
        None
    }

    pub(super) fn visible(&self, path: &str) -> Seen {
        self.visible.get(path).copied()
    }

    /// Every path that ever could be seen.
    pub(super) fn paths(&self) -> impl Iterator<Item = &String> {
        self.baseline.keys().chain(self.history.keys())
    }

    /// What could be seen of a path at a time, or at the baseline.
    pub(super) fn states_at(&self, path: &str, at: Option<Timestamp>) -> Vec<Seen> {
        let mut could_be = vec![self.baseline.get(path).copied()];
        let Some(at) = at else { return could_be };
        for moment in self.history.get(path).into_iter().flatten() {
            if moment.ended < at {
                could_be.clear();
            }
            if moment.begun <= at {
                could_be.push(moment.seen);
            }
        }
        could_be
    }

    /// How often what is seen of a path changed after a time (or the baseline) and before another.
    pub(super) fn moments(&self, path: &str, from: Option<Timestamp>, to: Timestamp) -> usize {
        let moments = self.history.get(path).into_iter().flatten();
        let within =
            |moment: &&Moment| moment.begun <= to && from.is_none_or(|from| from <= moment.ended);
        moments.filter(within).count()
    }

    /// What happened to a path, for a person.
    pub(super) fn story(&self, path: &str) -> String {
        let baseline = self.baseline.get(path);
        let history = self.history.get(path).into_iter().flatten();
        let history: Vec<String> = history
            .map(|Moment { begun, ended, seen, by }| {
                format!("{by} at {}..{}: {seen:x?}", begun.as_micros(), ended.as_micros())
            })
            .collect();
        format!("{:?}, baseline {baseline:x?}, then {history:#?}", self.nodes.get(path))
    }

    /// Asserts that the file system holds what this model says.
    pub(super) fn assert_is_on_disk(&self) {
        let mut found = BTreeMap::new();
        let mut open = vec![self.root.clone()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).expect("it is listed") {
                let path = entry.expect("an entry").path();
                let is_directory = path.symlink_metadata().expect("its kind").is_dir();
                if is_directory {
                    open.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    let name = path.strip_prefix(&self.root).expect("below").to_str();
                    found.insert(name.expect("plain").to_owned(), digest(&bytes));
                }
            }
        }
        let differ = |(path, seen): &(&String, &u64)| found.get(*path) != Some(*seen);
        let wrong: Vec<_> = self.visible.iter().filter(differ).collect();
        assert!(wrong.is_empty(), "the oracle itself is wrong: {wrong:?}");
        assert_eq!(found.len(), self.visible.len(), "the oracle itself is wrong");
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Returns the directory part of a path; empty for the root.
pub(super) fn parent(path: &str) -> &str {
    Path::new(path).parent().and_then(Path::to_str).unwrap_or_default()
}
