//! Which directory each kernel watch stands for: a pure map, in both directions.
//!
//! A node knows its parent and its name there, so that a directory that moves takes everything below
//! it along by one change. Descriptors only ever rise, so nothing here is indexed by them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::domain::path::RelPath;

/// A watch descriptor; the kernel's begin at 1.
pub(super) type Descriptor = i32;

/// The parent of the directories where walks begin. Their names are whole paths: the root's is empty,
/// that of a directory outside the root is the link that leads there.
pub(super) const TOP: Descriptor = 0;

/// The parent of a directory that moved away from its place and did not arrive anywhere yet.
const NOWHERE: Descriptor = -1;

/// A place in the tree: a directory, and a name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) parent: Descriptor,
    pub(super) name: Arc<[u8]>,
}

impl Place {
    pub(super) fn new(parent: Descriptor, name: &[u8]) -> Self {
        Self { parent, name: name.into() }
    }

    pub(super) fn top(path: &RelPath) -> Self {
        Self::new(TOP, path.as_bytes())
    }
}

#[derive(Debug)]
struct Node {
    at: Place,
    /// The walk that met it last.
    walk: u32,
}

/// What came of [`Nodes::put`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is there now; the descriptors of what was there before, with everything below, are
    /// forgotten.
    There(Vec<Descriptor>),
    /// It is where a walk begins, and stays there.
    Top,
    /// The parent is not known, or lies below it.
    Refused,
}

/// The map.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    known: HashMap<Descriptor, Node>,
    children: BTreeMap<Place, Descriptor>,
    walk: u32,
}

impl Nodes {
    /// How many directories are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns what is at a place.
    pub(super) fn at(&self, place: &Place) -> Option<Descriptor> {
        self.children.get(place).copied()
    }

    pub(super) fn knows(&self, descriptor: Descriptor) -> bool {
        self.known.contains_key(&descriptor)
    }

    pub(super) fn is_top(&self, descriptor: Descriptor) -> bool {
        self.known.get(&descriptor).is_some_and(|node| node.at.parent == TOP)
    }

    /// Returns the path of a directory; none if it is unknown, or moved and did not arrive yet.
    pub(super) fn path(&self, descriptor: Descriptor) -> Option<RelPath> {
        let mut names = Vec::new();
        let mut at = descriptor;
        while at != TOP {
            let place = &self.known.get(&at)?.at;
            names.push(&*place.name);
            at = place.parent;
        }
        names.reverse();
        names.retain(|name| !name.is_empty());
        RelPath::new(names.join(&b'/')).ok()
    }

    /// Returns the path of a place.
    pub(super) fn path_of(&self, place: &Place) -> Option<RelPath> {
        if place.parent == TOP {
            return RelPath::new(&*place.name).ok();
        }
        self.path(place.parent)?.join(&place.name).ok()
    }

    /// Returns the place of a path: below the nearest directory where a walk begins.
    pub(super) fn find(&self, path: &RelPath) -> Option<Place> {
        let top = Place::top(path);
        if self.children.contains_key(&top) || path.is_root() {
            return Some(top);
        }
        let parent = self.find(&path.parent()?)?;
        Some(Place::new(self.at(&parent)?, path.name()))
    }

    /// Puts a directory at a place, with everything below it if it is known elsewhere.
    pub(super) fn put(&mut self, descriptor: Descriptor, place: &Place) -> Put {
        let walk = self.walk;
        let known = self.known.get_mut(&descriptor);
        let is_known = known.is_some();
        match known {
            Some(node) if node.at == *place => {
                node.walk = walk;
                return Put::There(Vec::new());
            }
            Some(node) if node.at.parent == TOP => return Put::Top,
            _ => {}
        }
        // Nothing lies below a stranger.
        let parent = place.parent;
        let may = if is_known { self.may_hold(parent, descriptor) } else { self.is_parent(parent) };
        if !may {
            return Put::Refused;
        }
        let mut forgotten = self.at(place).map(|old| self.remove(old)).unwrap_or_default();
        // What was there may have been above it.
        forgotten.retain(|forgotten| *forgotten != descriptor);
        if is_known {
            self.leave(descriptor);
        }
        self.known.insert(descriptor, Node { at: place.clone(), walk });
        self.children.insert(place.clone(), descriptor);
        Put::There(forgotten)
    }

    fn is_parent(&self, descriptor: Descriptor) -> bool {
        descriptor == TOP || self.knows(descriptor)
    }

    /// Whether `parent` is known, and does not lie at or below `descriptor`.
    fn may_hold(&self, parent: Descriptor, descriptor: Descriptor) -> bool {
        let mut at = parent;
        while at != TOP && at != NOWHERE {
            match self.known.get(&at) {
                Some(node) if at != descriptor => at = node.at.parent,
                _ => return false,
            }
        }
        true
    }

    fn leave(&mut self, descriptor: Descriptor) {
        if let Some(node) = self.known.get(&descriptor)
            && self.children.get(&node.at) == Some(&descriptor)
        {
            self.children.remove(&node.at);
        }
    }

    /// Takes a directory from its place; it has no path until it is put somewhere.
    pub(super) fn detach(&mut self, descriptor: Descriptor) {
        self.leave(descriptor);
        if let Some(node) = self.known.get_mut(&descriptor) {
            node.at.parent = NOWHERE;
        }
    }

    /// Forgets a directory that was taken from its place, and everything below it, unless it was put
    /// somewhere since.
    pub(super) fn remove_detached(&mut self, descriptor: Descriptor) -> Vec<Descriptor> {
        let node = self.known.get(&descriptor).filter(|node| node.at.parent == NOWHERE);
        if node.is_some() { self.remove(descriptor) } else { Vec::new() }
    }

    /// Forgets a directory and everything below it; returns the descriptors of them all.
    pub(super) fn remove(&mut self, descriptor: Descriptor) -> Vec<Descriptor> {
        self.leave(descriptor);
        let mut removed = Vec::new();
        let mut open = vec![descriptor];
        while let Some(descriptor) = open.pop() {
            if self.known.remove(&descriptor).is_none() {
                continue;
            }
            removed.push(descriptor);
            let below = Place::new(descriptor, b"")..Place::new(descriptor + 1, b"");
            let places: Vec<_> = self.children.range(below).map(|(at, _)| at.clone()).collect();
            open.extend(places.iter().filter_map(|place| self.children.remove(place)));
        }
        removed
    }

    /// Begins a walk of everything.
    pub(super) fn begin(&mut self) {
        self.walk = self.walk.wrapping_add(1);
    }

    /// Forgets what was not put anywhere since the walk began; returns the descriptors.
    pub(super) fn sweep(&mut self) -> Vec<Descriptor> {
        let walk = self.walk;
        let is_stale = |(_, node): &(&Descriptor, &Node)| node.walk != walk;
        let stale: Vec<_> = self.known.iter().filter(is_stale).map(|(at, _)| *at).collect();
        stale.into_iter().flat_map(|descriptor| self.remove(descriptor)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("valid")
    }

    /// The root 1 with `a` 2, `a/b` 3, `a/b/c` 4 and `d` 5.
    fn tree() -> Nodes {
        let mut nodes = Nodes::default();
        for (descriptor, parent, name) in
            [(1, TOP, ""), (2, 1, "a"), (3, 2, "b"), (4, 3, "c"), (5, 1, "d")]
        {
            let put = nodes.put(descriptor, &Place::new(parent, name.as_bytes()));
            assert_eq!(put, Put::There(Vec::new()));
        }
        nodes
    }

    #[test]
    fn paths_lead_both_ways() {
        let nodes = tree();
        assert_eq!(nodes.path(1), Some(RelPath::root()));
        assert_eq!(nodes.path(4), Some(path("a/b/c")));
        assert_eq!(nodes.find(&path("a/b/c")), Some(Place::new(3, b"c")));
        assert_eq!(nodes.find(&path("a/x/c")), None);
        assert_eq!(nodes.at(&Place::new(3, b"c")), Some(4));
    }

    #[test]
    fn what_is_below_moves_along() {
        let mut nodes = tree();
        nodes.detach(3);
        assert_eq!((nodes.path(3), nodes.path(4)), (None, None));
        assert_eq!(nodes.put(3, &Place::new(5, b"e")), Put::There(Vec::new()));
        assert_eq!(nodes.path(4), Some(path("d/e/c")));
        assert_eq!(nodes.at(&Place::new(2, b"b")), None);
    }

    #[test]
    fn what_was_at_the_place_is_forgotten_with_everything_below() {
        let mut nodes = tree();
        assert_eq!(nodes.put(5, &Place::new(1, b"a")), Put::There(vec![2, 3, 4]));
        assert_eq!((nodes.len(), nodes.path(5)), (2, Some(path("a"))));
        assert_eq!(nodes.at(&Place::new(1, b"d")), None);
    }

    #[test]
    fn a_directory_takes_the_place_of_the_one_above_it() {
        let mut nodes = tree();
        assert_eq!(nodes.put(3, &Place::new(1, b"a")), Put::There(vec![2, 4]));
        assert_eq!((nodes.len(), nodes.path(3)), (3, Some(path("a"))));
    }

    #[test]
    fn a_directory_is_never_put_below_itself_nor_below_a_stranger() {
        let mut nodes = tree();
        assert_eq!(nodes.put(2, &Place::new(4, b"x")), Put::Refused);
        assert_eq!(nodes.put(9, &Place::new(8, b"x")), Put::Refused);
        assert_eq!(nodes.put(1, &Place::new(5, b"x")), Put::Top);
        assert_eq!(nodes.path(4), Some(path("a/b/c")));
    }

    #[test]
    fn a_directory_outside_lies_at_its_link() {
        let mut nodes = tree();
        nodes.put(6, &Place::top(&path("a/out")));
        nodes.put(7, &Place::new(6, b"x"));
        assert_eq!(nodes.path(7), Some(path("a/out/x")));
        assert_eq!(nodes.find(&path("a/out/x")), Some(Place::new(6, b"x")));
        assert!(nodes.is_top(6) && !nodes.is_top(7));
    }

    #[test]
    fn a_walk_sweeps_what_it_did_not_meet() {
        let mut nodes = tree();
        nodes.begin();
        nodes.put(1, &Place::new(TOP, b""));
        nodes.put(5, &Place::new(1, b"d"));
        let swept: BTreeSet<_> = nodes.sweep().into_iter().collect();
        assert_eq!(swept, BTreeSet::from([2, 3, 4]));
        assert_eq!(nodes.len(), 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(Descriptor, Descriptor, u8),
        Detach(Descriptor),
        Remove(Descriptor),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (2..12, 1..12, 0_u8..3).prop_map(|(at, parent, name)| Step::Put(at, parent, name)),
            1 => (2..12).prop_map(Step::Detach),
            1 => (2..12).prop_map(Step::Remove),
        ]
    }

    proptest! {
        /// Whatever comes, both directions agree, and nobody is its own ancestor.
        #[test]
        fn both_directions_agree(steps in proptest::collection::vec(step(), 1..60)) {
            let mut nodes = Nodes::default();
            nodes.put(1, &Place::new(TOP, b""));
            for step in steps {
                match step {
                    Step::Put(at, parent, name) => {
                        let place = Place::new(parent, &[b'a' + name]);
                        let known = nodes.knows(at);
                        let before = nodes.len();
                        if let Put::There(gone) = nodes.put(at, &place) {
                            prop_assert_eq!(nodes.at(&place), Some(at));
                            prop_assert!(!gone.contains(&at));
                            prop_assert_eq!(nodes.len(), before + usize::from(!known) - gone.len());
                        }
                    }
                    Step::Detach(at) => nodes.detach(at),
                    Step::Remove(at) => {
                        for gone in nodes.remove(at) {
                            prop_assert!(!nodes.knows(gone));
                        }
                    }
                }
                for (place, at) in &nodes.children {
                    prop_assert_eq!(&nodes.known[at].at, place);
                    prop_assert!(place.parent == TOP || nodes.knows(place.parent));
                }
                for (at, node) in &nodes.known {
                    if node.at.parent != NOWHERE {
                        prop_assert_eq!(nodes.at(&node.at), Some(*at));
                    }
                    if let Some(path) = nodes.path(*at) {
                        let found = nodes.find(&path);
                        prop_assert_eq!(found.as_ref(), Some(&node.at));
                    }
                }
            }
        }
    }
}
