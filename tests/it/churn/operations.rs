//! The random operations.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use refreshd::clock::{Clock as _, ManualClock};
use refreshd::domain::time::Timestamp;

use self::truncate::Truncate;
use super::model::{Model, Node, parent};

mod directories;
mod truncate;

/// Files at the beginning; later, with the directories, there are never much fewer names than
/// [`FEWEST`] nor much more than [`MOST`].
const FILES: usize = 2_800;
const FEWEST: usize = 2_600;
const MOST: usize = 3_400;
/// A directory operation may take this many files away, and as many a second: more than 500 and a
/// fifth of the tree at once is held for a person, which is another test's concern.
const VANISH: usize = 60;

/// Draws operations and does them.
pub(super) struct Operations {
    model: Model,
    dice: std::sync::Arc<ManualClock>,
    truncate: Truncate,
    /// Files that vanished a moment ago, with the time.
    vanished: VecDeque<(Timestamp, usize)>,
    names: u64,
}

impl Operations {
    pub(super) fn new(model: Model, seed: u64) -> Self {
        let dice = ManualClock::new(Timestamp::EPOCH, seed);
        Self { model, dice, truncate: Truncate::new(), vanished: VecDeque::new(), names: 0 }
    }

    /// Makes the tree: directories in directories, and files in all of them.
    pub(super) fn plant(&mut self) {
        for _ in 0..140 {
            self.make_directory();
        }
        for _ in 0..FILES {
            self.create();
        }
    }

    /// From here on the history counts.
    pub(super) fn begin(&mut self) {
        self.model.begin();
    }

    pub(super) fn into_model(self) -> Model {
        self.model
    }

    /// Writes a file of this name.
    pub(super) fn mark(&mut self, name: &str) {
        self.write_new(name);
    }

    fn roll(&self, sides: usize) -> usize {
        usize::try_from(self.dice.random() % sides as u64).expect("small")
    }

    fn fresh_name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn bytes(&self) -> Vec<u8> {
        let length = [0, 10, 200, 3_000, 9_000][self.roll(5)];
        let text = format!("{:016x}", self.dice.random());
        text.into_bytes().into_iter().cycle().take(length).collect()
    }

    fn pick(&self, wanted: impl Fn(&Node) -> bool) -> Option<String> {
        let all: Vec<&String> = self
            .model
            .nodes
            .iter()
            .filter(|(_, node)| wanted(node))
            .map(|(name, _)| name)
            .collect();
        (!all.is_empty()).then(|| all[self.roll(all.len())].clone())
    }

    /// A file by one of its names.
    fn file(&self) -> String {
        self.pick(|node| matches!(node, Node::File(_))).expect("there are always files")
    }

    fn directory(&self) -> Option<String> {
        self.pick(|node| *node == Node::Directory)
    }

    fn place(&mut self) -> String {
        let name = self.fresh_name();
        match self.directory() {
            Some(directory) => format!("{directory}/{name}"),
            None => name,
        }
    }

    fn bytes_of(&self, path: &str) -> Vec<u8> {
        match &self.model.nodes[path] {
            Node::File(file) => self.model.files[*file].0.clone(),
            other => panic!("{path} is {other:?}"),
        }
    }

    /// Gives a file other bytes by one call.
    fn put(&mut self, path: &str, bytes: Vec<u8>, real: impl FnOnce() -> std::io::Result<()>) {
        self.model.act(self.model.names_of(path), real, |model| {
            if let Node::File(file) = model.nodes[path] {
                model.files[file].0 = bytes;
            }
        });
    }

    fn write_new(&mut self, path: &str) {
        let bytes = self.bytes();
        let full = self.model.full(path);
        let mut open = None;
        let real = || File::create_new(&full).map(|file| open = Some(file));
        self.model.act([path.to_owned()], real, |model| {
            model.files.push((Vec::new(), 1));
            model.nodes.insert(path.to_owned(), Node::File(model.files.len() - 1));
        });
        let mut open = open.expect("made");
        self.put(path, bytes.clone(), move || open.write_all(&bytes));
    }

    fn create(&mut self) {
        let path = self.place();
        self.write_new(&path);
    }

    fn make_directory(&mut self) {
        let path = self.place();
        // Six deep is enough.
        if path.matches('/').count() < 6 {
            let full = self.model.full(&path);
            let made = |model: &mut Model| drop(model.nodes.insert(path.clone(), Node::Directory));
            self.model.act([], || fs::create_dir(full), made);
        }
    }

    fn truncate_and_write(&mut self) {
        let path = self.file();
        let (full, bytes) = (self.model.full(&path), self.bytes());
        let mut open = None;
        self.put(&path, Vec::new(), || File::create(full).map(|file| open = Some(file)));
        let mut open = open.expect("opened");
        self.put(&path, bytes.clone(), move || open.write_all(&bytes));
    }

    /// Gives a file one other byte at its end, by one call.
    pub(super) fn overwrite(&mut self, path: &str) {
        let mut bytes = self.bytes_of(path);
        bytes.push(b'x');
        let full = self.model.full(path);
        let file = OpenOptions::new().append(true).open(full);
        self.put(path, bytes, || file.and_then(|mut file| file.write_all(b"x")));
    }

    /// Writes over a file's beginning, which leaves its size alone.
    fn write_over(&mut self, same_bytes: bool, set_time_back: bool) {
        let path = self.file();
        let (full, old) = (self.model.full(&path), self.bytes_of(&path));
        let mut bytes = old.clone();
        if !same_bytes {
            bytes.iter_mut().take(20).for_each(|byte| *byte = byte.wrapping_add(1) % 128);
        }
        let time = fs::metadata(&full).and_then(|seen| seen.modified()).expect("its time");
        let mut file = OpenOptions::new().write(true).open(full).expect("it opens");
        let same = file.try_clone().expect("it is open");
        self.put(&path, bytes.clone(), move || file.write_all(&bytes));
        if set_time_back {
            same.set_modified(time).expect("it is set back");
        }
    }

    fn append(&mut self) {
        let path = self.file();
        let (full, more) = (self.model.full(&path), self.bytes());
        let mut bytes = self.bytes_of(&path);
        bytes.extend(&more);
        bytes.truncate(100_000);
        let more = bytes[self.bytes_of(&path).len()..].to_vec();
        let mut file = OpenOptions::new().append(true).open(full).expect("it opens");
        self.put(&path, bytes, move || file.write_all(&more));
    }

    fn truncate(&mut self, by_path: bool) {
        let path = self.file();
        let (full, mut bytes) = (self.model.full(&path), self.bytes_of(&path));
        bytes.truncate(self.roll(bytes.len() + 1));
        if by_path {
            let text = full.to_str().expect("plain").to_owned();
            let (truncate, length) = (&mut self.truncate, bytes.len());
            let real = || truncate.truncate(&text, length);
            self.model.act(self.model.names_of(&path), real, |model| {
                if let Node::File(file) = model.nodes[&path] {
                    model.files[file].0 = bytes;
                }
            });
        } else {
            let file = OpenOptions::new().write(true).open(full).expect("it opens");
            let length = bytes.len() as u64;
            self.put(&path, bytes, move || file.set_len(length));
        }
    }

    /// Renames a file or link, perhaps over another file.
    fn rename(&mut self, from: &str, to: &str) {
        if self.model.names_of(from).iter().any(|name| name == to) {
            // Two names of one file: the system does nothing.
            return;
        }
        let (old, new) = (self.model.full(from), self.model.full(to));
        let touched = [from.to_owned(), to.to_owned()];
        self.model.act(
            touched,
            || fs::rename(old, new),
            |model| {
                model.forget(to);
                let node = model.nodes.remove(from).expect("it was there");
                model.nodes.insert(to.to_owned(), node);
            },
        );
    }

    /// Writes beside a file and renames over it.
    fn replace(&mut self, same_bytes: bool) {
        let path = self.file();
        let suffix = if self.roll(2) == 0 { ".tmp" } else { ".new" };
        let beside = format!("{path}{suffix}");
        let bytes = if same_bytes { self.bytes_of(&path) } else { self.bytes() };
        let (full, at) = (self.model.full(&beside), self.model.full(&path));
        if suffix == ".tmp" {
            // Excluded: nobody sees it come and go.
            fs::write(&full, &bytes).expect("written");
            self.model.act(
                [path.clone()],
                || fs::rename(full, at),
                |model| {
                    model.forget(&path);
                    model.files.push((bytes, 1));
                    model.nodes.insert(path.clone(), Node::File(model.files.len() - 1));
                },
            );
            return;
        }
        let put = bytes.clone();
        self.model.act(
            [beside.clone()],
            || fs::write(full, put),
            |model| {
                model.files.push((bytes, 1));
                model.nodes.insert(beside.clone(), Node::File(model.files.len() - 1));
            },
        );
        self.rename(&beside, &path);
    }

    fn move_file(&mut self) {
        let from = self.file();
        let to = if self.roll(3) == 0 { self.file() } else { self.place() };
        self.rename(&from, &to);
    }

    fn remove_name(&mut self, path: &str) {
        let full = self.model.full(path);
        self.model.act([path.to_owned()], || fs::remove_file(full), |model| model.forget(path));
    }

    fn delete(&mut self) {
        let link = (self.roll(8) == 0).then(|| self.pick(|node| matches!(node, Node::Link(_))));
        let path = link.flatten().unwrap_or_else(|| self.file());
        self.remove_name(&path);
    }

    /// Touches what no visitor sees.
    fn touch(&mut self) {
        let path = if self.roll(4) == 0 { self.directory() } else { Some(self.file()) };
        let Some(path) = path else { return };
        let full = self.model.full(&path);
        if self.roll(2) == 0 {
            let mode = [0o700, 0o750, 0o755][self.roll(3)];
            fs::set_permissions(full, fs::Permissions::from_mode(mode)).expect("it is set");
        } else {
            let file = File::open(full).expect("it opens");
            file.set_modified(
                std::time::UNIX_EPOCH + Duration::from_secs(self.dice.random() >> 34),
            )
            .expect("it is set");
        }
    }

    fn hard_link(&mut self) {
        let (from, to) = (self.file(), self.place());
        let (old, new) = (self.model.full(&from), self.model.full(&to));
        self.model.act(
            [to.clone()],
            || fs::hard_link(old, new),
            |model| {
                let node = model.nodes[&from].clone();
                if let Node::File(file) = node {
                    model.files[file].1 += 1;
                }
                model.nodes.insert(to, node);
            },
        );
    }

    fn symbolic_link(&mut self) {
        let (target, link) = (self.file(), self.place());
        let up = if parent(&link).is_empty() { 0 } else { parent(&link).matches('/').count() + 1 };
        let text = format!("{}{target}", "../".repeat(up));
        let (full, node) = (self.model.full(&link), Node::Link(text.clone()));
        let made = |model: &mut Model| drop(model.nodes.insert(link.clone(), node));
        self.model.act([link.clone()], || symlink(text, full), made);
    }

    /// Does one operation and rests a moment, mostly a short one.
    pub(super) fn one(&mut self) {
        type Operation = fn(&mut Operations);
        const OPERATIONS: [(usize, &str, Operation); 18] = [
            (14, "truncate and write", Operations::truncate_and_write),
            (6, "write over", |this| this.write_over(false, false)),
            (2, "write over and set the time back", |this| this.write_over(false, true)),
            (3, "write the same over", |this| this.write_over(true, false)),
            (8, "append", Operations::append),
            (3, "truncate by path", |this| this.truncate(true)),
            (3, "truncate", |this| this.truncate(false)),
            (3, "replace by the same", |this| this.replace(true)),
            (8, "replace", |this| this.replace(false)),
            (8, "move a file", Operations::move_file),
            (8, "delete", Operations::delete),
            (2, "remove a directory", Operations::remove_directory),
            (3, "move a directory", Operations::move_directory),
            (2, "swap directories", Operations::swap_trees),
            (7, "touch", Operations::touch),
            (3, "hard link", Operations::hard_link),
            (1, "symbolic link", Operations::symbolic_link),
            (3, "fill new directories", Operations::fill_new_directories),
        ];
        self.model.operations += 1;
        let names = self.model.nodes.len();
        let mut roll = self.roll(100);
        let rolled = OPERATIONS.iter().find(|(share, ..)| {
            let found = roll < *share;
            roll = roll.saturating_sub(*share);
            found
        });
        let create = ("create", Operations::create as Operation);
        let (name, operation) = match rolled {
            _ if names < FEWEST => create,
            _ if names > MOST => ("delete", Operations::delete as Operation),
            Some((_, name, operation)) => (*name, *operation),
            None => create,
        };
        self.model.doing = name;
        operation(self);
        let millis = match self.roll(100) {
            0..30 => 0,
            30..97 => self.roll(8),
            97..99 => self.roll(100),
            _ => 300,
        };
        std::thread::sleep(Duration::from_millis(millis as u64));
    }
}
