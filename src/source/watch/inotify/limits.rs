//! What is not watched, why, and what an operator can do about it.

use std::collections::BTreeMap;
use std::ops::Bound;

use rustix::io::Errno;

use crate::domain::path::RelPath;
use crate::source::io_text;
use crate::source::watch::Polled;

/// If more subtrees than these share a parent, the parent stands for them.
const MOST_CHILDREN: usize = 100;

/// Why a directory is not watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The user's inotify watches are used up.
    NoWatch,
    /// The kernel has no memory for a watch.
    NoMemory,
    /// Its rights don't let us.
    Unreadable(Errno),
    /// The system says so.
    Other(Errno),
}

impl Why {
    pub(super) const fn from(error: Errno) -> Self {
        match error {
            Errno::NOSPC => Self::NoWatch,
            Errno::NOMEM => Self::NoMemory,
            Errno::ACCESS | Errno::PERM => Self::Unreadable(error),
            error => Self::Other(error),
        }
    }

    fn text(self) -> String {
        match self {
            Self::NoWatch => "no inotify watch is left".to_owned(),
            Self::NoMemory => "the kernel has no memory for a watch".to_owned(),
            Self::Unreadable(error) => format!("cannot be read: {}", io_text(error)),
            Self::Other(error) => format!("cannot be watched: {}", io_text(error)),
        }
    }
}

/// The subtrees that are not watched; none lies within another.
#[derive(Debug, Default)]
pub(super) struct Unwatched(BTreeMap<RelPath, (Why, u64)>);

impl Unwatched {
    /// Adds a subtree of so many directories.
    pub(super) fn insert(&mut self, path: &RelPath, why: Why, directories: u64) {
        let mut above = Some(path.clone());
        while let Some(at) = above {
            if let Some((_, sum)) = self.0.get_mut(&at) {
                *sum += directories;
                return;
            }
            above = at.parent();
        }
        let below: u64 = self.take_within(path).into_iter().map(|(_, _, sum)| sum).sum();
        self.0.insert(path.clone(), (why, directories + below));
        let Some(parent) = path.parent() else {
            return;
        };
        let is_sibling = |other: &RelPath| other.parent().as_ref() == Some(&parent);
        let siblings = self.within(&parent).filter(|(other, _)| is_sibling(other));
        if siblings.take(MOST_CHILDREN + 1).count() > MOST_CHILDREN {
            self.insert(&parent, why, 0);
        }
    }

    /// Why this very directory is not watched, if it isn't.
    pub(super) fn why(&self, path: &RelPath) -> Option<Why> {
        self.0.get(path).map(|(why, _)| *why)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many directories that makes.
    fn directories(&self) -> u64 {
        self.0.values().map(|(_, sum)| sum).sum()
    }

    fn within(&self, path: &RelPath) -> impl Iterator<Item = (&RelPath, &(Why, u64))> {
        // `0` follows `/`.
        let (from, to) = ([path.as_bytes(), b"/"].concat(), [path.as_bytes(), b"0"].concat());
        let bounds = if path.is_root() {
            (Bound::Unbounded, Bound::Unbounded)
        } else {
            (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()))
        };
        let own = self.0.get_key_value(path).filter(|_| !path.is_root());
        own.into_iter().chain(self.0.range::<[u8], _>(bounds))
    }

    /// Takes out everything at and below a path.
    pub(super) fn take_within(&mut self, path: &RelPath) -> Vec<(RelPath, Why, u64)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let found = self.within(path).map(|(path, (why, sum))| (path.clone(), *why, *sum));
        let found: Vec<_> = found.collect();
        for (path, _, _) in &found {
            self.0.remove(path);
        }
        found
    }

    /// Returns all of them, in order.
    pub(super) fn polled(&self) -> Vec<Polled> {
        let polled = |(path, (why, _)): (&RelPath, &(Why, u64))| Polled {
            path: path.clone(),
            why: why.text(),
        };
        self.0.iter().map(polled).collect()
    }

    /// Says what to do beside `watched` directories that are watched; empty when all is well.
    pub(super) fn advice(&self, watched: u64, limit: Limit) -> String {
        let missing = self.directories();
        if missing == 0 {
            return String::new();
        }
        let whole = format!("{} of {} directories are polled", grouped(missing), {
            grouped(watched + missing)
        });
        let has = |wanted: fn(&Why) -> bool| self.0.values().any(|(why, _)| wanted(why));
        if has(|why| *why == Why::NoWatch) {
            // What others use is part of the limit that is reached; an eighth is for growth.
            let wanted = (limit.most + missing) / 8 * 9;
            let (key, most, wanted) = (limit.key, limit.most, wanted.next_power_of_two());
            format!(
                "{whole}: the limit of {most} inotify watches a user ({key}) is reached; \
                 sysctl -w {key}={wanted}, and write it to /etc/sysctl.d/60-refreshd.conf"
            )
        } else if has(|why| *why == Why::NoMemory) {
            format!("{whole}: the kernel has no memory for their watches; give the machine more")
        } else {
            let first = self.0.iter().next().map(|(path, (why, _))| {
                let path = if path.is_root() { "the root".to_owned() } else { format!("`{path}`") };
                format!("{path} {}", why.text())
            });
            let first = first.unwrap_or_default();
            format!("{whole}: {first}; give the daemon's user the right to read and enter it")
        }
    }
}

/// The limit of watches in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The sysctl key that binds.
    pub key: &'static str,
    /// How many watches a user may have.
    pub most: u64,
}

impl Limit {
    /// Reads it: the smaller of the machine's and that of the user namespace.
    #[must_use]
    pub fn read() -> Self {
        let number = |path| {
            let text: String = std::fs::read_to_string(path).unwrap_or_default();
            text.trim().parse().unwrap_or(u64::MAX / 16)
        };
        Self::of(
            number("/proc/sys/fs/inotify/max_user_watches"),
            number("/proc/sys/user/max_inotify_watches"),
        )
    }

    const fn of(machine: u64, namespace: u64) -> Self {
        if namespace < machine {
            Self { key: "user.max_inotify_watches", most: namespace }
        } else {
            Self { key: "fs.inotify.max_user_watches", most: machine }
        }
    }
}

/// Writes a number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("valid")
    }

    fn paths(unwatched: &Unwatched) -> Vec<String> {
        unwatched.polled().into_iter().map(|polled| polled.path.to_string()).collect()
    }

    #[test]
    fn none_lies_within_another() {
        let mut unwatched = Unwatched::default();
        for text in ["a/b/c", "a/b-c", "a/b", "a/b/d", "a"] {
            unwatched.insert(&path(text), Why::NoWatch, 1);
        }
        assert_eq!(paths(&unwatched), ["a"]);
        assert_eq!(unwatched.directories(), 5);
        unwatched.insert(&RelPath::root(), Why::NoWatch, 1);
        unwatched.insert(&path("z"), Why::NoWatch, 1);
        assert_eq!(paths(&unwatched), [""]);
        assert_eq!(unwatched.directories(), 7);
        assert_eq!(unwatched.take_within(&RelPath::root()).len(), 1);
        assert!(unwatched.is_empty());
    }

    #[test]
    fn a_parent_stands_for_more_than_a_hundred() {
        let mut unwatched = Unwatched::default();
        for number in 0..100 {
            unwatched.insert(&path(&format!("a/{number}")), Why::NoWatch, 2);
        }
        assert_eq!(unwatched.polled().len(), 100);
        unwatched.insert(&path("a/last"), Why::NoWatch, 2);
        assert_eq!(paths(&unwatched), ["a"]);
        assert_eq!(unwatched.directories(), 202);
    }

    #[test]
    fn the_advice_names_the_limit_that_binds_and_what_mends_it() {
        let mut unwatched = Unwatched::default();
        let limit = Limit::of(65_536, 65_536);
        assert_eq!(unwatched.advice(91_796, limit), "");
        unwatched.insert(&path("a"), Why::NoWatch, 1_204);
        assert_eq!(
            unwatched.advice(91_796, limit),
            "1,204 of 93,000 directories are polled: the limit of 65536 inotify watches a user \
             (fs.inotify.max_user_watches) is reached; sysctl -w \
             fs.inotify.max_user_watches=131072, and write it to /etc/sysctl.d/60-refreshd.conf"
        );
        let advice = unwatched.advice(10, Limit::of(65_536, 10));
        assert!(advice.contains("sysctl -w user.max_inotify_watches=2048,"), "{advice}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut unwatched = Unwatched::default();
        unwatched.insert(&path("a/b"), Why::from(Errno::ACCESS), 1);
        let advice = unwatched.advice(9, Limit::of(10, 10));
        assert!(advice.starts_with("1 of 10 directories are polled: `a/b` cannot be read: "));
    }
}
