//! Directories that have more than one path below the root, because links lead to them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use crate::domain::hint::{Hint, Reach};
use crate::domain::path::RelPath;
use crate::source::root::LinkTarget;
use crate::source::scan::DirectoryLink;

/// A path may be reached through this many links, one behind the other.
const MOST_ROUNDS: usize = 8;

/// The links to directories that the last comparisons found.
#[derive(Debug, Default)]
pub(super) struct Links {
    targets: BTreeMap<RelPath, LinkTarget>,
    /// The links that lead to each directory inside the root.
    inside: BTreeMap<RelPath, BTreeSet<RelPath>>,
    /// Links that lead to nothing: whatever is made may be what they lead to.
    pub(super) dangling: BTreeSet<RelPath>,
}

impl Links {
    /// Takes what a comparison found.
    pub(super) fn found(
        &mut self,
        was_compared: impl Fn(&RelPath) -> bool,
        found: Vec<DirectoryLink>,
    ) {
        self.targets.retain(|link, _| !was_compared(link));
        let found = found.into_iter().filter(|link| was_compared(&link.at));
        self.targets.extend(found.map(|link| (link.at, link.to)));
        self.inside.clear();
        for (link, target) in &self.targets {
            if let LinkTarget::Inside(directory) = target {
                self.inside.entry(directory.clone()).or_default().insert(link.clone());
            }
        }
    }

    /// Returns the links that leave the root, and where they lead.
    pub(super) fn outside(&self) -> Vec<(RelPath, PathBuf)> {
        self.targets
            .iter()
            .filter_map(|(link, target)| match target {
                LinkTarget::Outside(directory) => Some((link.clone(), directory.clone())),
                LinkTarget::Inside(_) => None,
            })
            .collect()
    }

    /// Returns the hint and the same of every other path that leads there.
    pub(super) fn expand(&self, hint: Hint) -> Vec<Hint> {
        if self.inside.is_empty() {
            return vec![hint];
        }
        let mut known = HashSet::from([hint.path.clone()]);
        let (mut hints, mut fresh) = (vec![hint], 0..1);
        for _ in 0..MOST_ROUNDS {
            let more: Vec<Hint> = hints
                .get(fresh.clone())
                .into_iter()
                .flatten()
                .flat_map(|hint| self.others(hint))
                .collect();
            fresh.start = hints.len();
            for hint in more {
                if known.insert(hint.path.clone()) {
                    hints.push(hint);
                }
            }
            fresh.end = hints.len();
            if fresh.is_empty() {
                break;
            }
        }
        hints
    }

    fn others(&self, hint: &Hint) -> Vec<Hint> {
        let mut others = Vec::new();
        let named = |path: RelPath| Hint { path, reach: hint.reach, witness: hint.witness };
        let mut at = Some(hint.path.clone());
        while let Some(directory) = at.filter(|at| !at.is_root()) {
            for link in self.inside.get(&directory).into_iter().flatten() {
                let rest = hint.path.as_bytes().get(directory.as_bytes().len()..);
                let full = [link.as_bytes(), rest.unwrap_or_default()].concat();
                others.extend(RelPath::new(full).ok().map(named));
            }
            at = directory.parent();
        }
        if hint.reach == Reach::Subtree {
            let below = self.inside.iter().filter(|(directory, _)| {
                directory.is_within(&hint.path) && **directory != hint.path
            });
            others.extend(below.flat_map(|(_, links)| links.iter().cloned()).map(named));
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::hint::Witness;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("valid")
    }

    fn expanded(links: &Links, text: &str, reach: Reach) -> Vec<String> {
        let hint = Hint { path: path(text), reach, witness: Witness::Watch };
        let mut paths: Vec<String> =
            links.expand(hint).iter().map(|hint| hint.path.to_string()).collect();
        paths.sort();
        paths
    }

    #[test]
    fn a_path_is_hinted_at_under_every_name_it_has() {
        let mut links = Links::default();
        let link =
            |at: &str, to: &str| DirectoryLink { at: path(at), to: LinkTarget::Inside(path(to)) };
        let found =
            vec![link("current", "releases/2"), link("latest", "current"), link("x/y", "d")];
        links.found(|_| true, found);
        let deep = expanded(&links, "releases/2/a/b", Reach::Path);
        assert_eq!(deep, ["current/a/b", "latest/a/b", "releases/2/a/b"]);
        assert_eq!(expanded(&links, "releases/3/a", Reach::Path), ["releases/3/a"]);
        assert_eq!(expanded(&links, "releases", Reach::Path), ["releases"]);
        let above = expanded(&links, "releases", Reach::Subtree);
        assert_eq!(above, ["current", "latest", "releases"]);
        links.found(|link| link.is_within(&path("x")), Vec::new());
        assert_eq!(expanded(&links, "d/file", Reach::Path), ["d/file"]);
    }

    #[test]
    fn links_that_leave_are_known_until_they_are_gone() {
        let mut links = Links::default();
        let out = || DirectoryLink { at: path("l"), to: LinkTarget::Outside("/srv/x".into()) };
        links.found(|_| true, vec![out()]);
        assert_eq!(links.outside(), [(path("l"), PathBuf::from("/srv/x"))]);
        links.found(|link| *link == path("l"), Vec::new());
        assert_eq!(links.outside(), []);
    }
}
