//! The directories of changed URLs, and how much that did not change lies below each.

use std::collections::HashMap;

use super::pattern::Proposal;
use super::{Census, Dirty};

/// A directory that two changed URLs or more lie below, and not all of them in one directory of it.
/// Nodes stand in preorder, which is also the order of their texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// How long its text is: its first URL begins with it.
    length: u32,
    /// The innermost node around it, or [`NONE`].
    parent: u32,
    /// The node after its subtree.
    pub(super) end: u32,
    /// The range of its URLs in `order`.
    pub(super) first: u32,
    pub(super) last: u32,
    /// Whether it is a domain's root, which only a person decides to refresh whole.
    pub(super) is_root: bool,
    /// The weight of what lives below it and did not change.
    pub(super) live: u64,
}

/// The changed URLs in order, their directories, and expressions that match many of them.
#[derive(Debug)]
pub struct Shape<'a> {
    pub(super) dirty: &'a [Dirty<'a>],
    /// Places of the changed URLs, by text.
    pub(super) order: Vec<u32>,
    pub(super) nodes: Vec<Node>,
    /// Expressions that match many of them.
    pub(super) proposals: Vec<Proposal>,
}

/// So few URLs are sorted by comparing their texts: these stay in the processor's caches.
const COMPARED: usize = 128;
/// The parent of the outermost.
const NONE: u32 = u32::MAX;

impl<'a> Shape<'a> {
    /// Sorts changed URLs, at most `u32::MAX`, into their directories.
    #[must_use]
    pub fn of(dirty: &'a [Dirty<'a>]) -> Self {
        let order = sorted(dirty);
        let mut nodes: Vec<Node> = Vec::new();
        // The directories that the current URL shares with the one before: (length, first URL).
        let mut open: Vec<(u32, u32)> = Vec::new();
        let mut paths = order.iter().map(|at| path_of(dirty[*at as usize].url)).peekable();
        let mut place = 0;
        while let Some(path) = paths.next() {
            let shared = paths.peek().map_or(0, |next| shared_directory(path, next));
            let mut begun = place;
            while let Some((length, first)) = open.pop_if(|(length, _)| *length > shared) {
                let is_root = length as usize <= root_length(path);
                let (last, parent, end) = (place + 1, NONE, 0);
                nodes.push(Node { length, parent, end, first, last, is_root, live: 0 });
                begun = first;
            }
            if shared > 0 && open.last().is_none_or(|(length, _)| *length < shared) {
                open.push((shared, begun));
            }
            place += 1;
        }
        nodes.sort_unstable_by_key(|node| (node.first, node.length));
        let mut open: Vec<u32> = Vec::new();
        for at in 0..to_u32(nodes.len()) {
            let first = nodes[at as usize].first;
            while let Some(last) = open.pop_if(|last| nodes[*last as usize].last <= first) {
                nodes[last as usize].end = at;
            }
            nodes[at as usize].parent = open.last().copied().unwrap_or(NONE);
            open.push(at);
        }
        for last in open {
            nodes[last as usize].end = to_u32(nodes.len());
        }
        Self { dirty, order, nodes, proposals: Vec::new() }
    }

    /// Takes what did not change from a census.
    pub fn count(&mut self, census: &dyn Census) {
        let by_text: HashMap<&str, u32> =
            (0..).take(self.nodes.len()).map(|at| (self.text(at), at)).collect();
        let mut found = vec![0_u64; self.nodes.len()];
        let mut homes: Vec<u32> = Vec::new();
        let mut matched = vec![0_u64; self.proposals.len()];
        census.visit(&mut |urls, weight| {
            if urls.iter().any(|url| self.is_dirty(url)) {
                return;
            }
            homes.clear();
            homes.extend(urls.iter().filter_map(|url| home(&by_text, url)));
            homes.sort_unstable();
            // In each directory above several of its URLs the object counts once.
            for pair in homes.windows(2) {
                if let Some(both) = self.common(pair[0], pair[1]) {
                    found[both as usize] = found[both as usize].wrapping_sub(weight);
                }
            }
            for home in &homes {
                found[*home as usize] = found[*home as usize].wrapping_add(weight);
            }
            for (proposal, matched) in self.proposals.iter().zip(&mut matched) {
                if urls.iter().any(|url| proposal.pattern.matches(url)) {
                    *matched += weight;
                }
            }
        });
        for at in (0..self.nodes.len()).rev() {
            self.nodes[at].live = found[at];
            let parent = self.nodes[at].parent;
            if parent != NONE {
                found[parent as usize] = found[parent as usize].wrapping_add(found[at]);
            }
        }
        for (proposal, matched) in self.proposals.iter_mut().zip(matched) {
            proposal.live = matched;
        }
    }

    /// Takes what did not change below each directory from a table of the caller's. Of an expression it
    /// tells no more than that all it matches lies below one directory, which is taken to be hit whole.
    pub fn count_by(&mut self, live_below: impl Fn(&str) -> u64) {
        for at in 0..to_u32(self.nodes.len()) {
            let live = live_below(self.text(at));
            self.nodes[at as usize].live = live;
        }
        for proposal in &mut self.proposals {
            let start = proposal.pattern.start();
            proposal.live = live_below(&start[..start.rfind('/').map_or(0, |slash| slash + 1)]);
        }
    }

    pub(super) fn text(&self, at: u32) -> &'a str {
        let node = &self.nodes[at as usize];
        let first = self.order[node.first as usize];
        &self.dirty[first as usize].url[..node.length as usize]
    }

    fn is_dirty(&self, url: &str) -> bool {
        self.order.binary_search_by_key(&url, |at| self.dirty[*at as usize].url).is_ok()
    }

    /// Returns the deepest directory that two directories, in order, lie in.
    fn common(&self, outer: u32, inner: u32) -> Option<u32> {
        let mut at = outer;
        while self.nodes[at as usize].end <= inner {
            at = self.nodes[at as usize].parent;
            if at == NONE {
                return None;
            }
        }
        Some(at)
    }
}

/// Returns the places of changed URLs, sorted by text.
fn sorted(dirty: &[Dirty<'_>]) -> Vec<u32> {
    let mut keyed: Vec<(u64, u32)> = (0..).take(dirty.len()).map(|at| (0, at)).collect();
    sort_from(0, &mut keyed, dirty);
    keyed.into_iter().map(|(_, at)| at).collect()
}

/// Sorts URLs that are the same up to a byte: many by the next eight bytes, which stand beside the
/// places so that few texts are looked at, and those that are the same there too by the next.
fn sort_from(begin: usize, keyed: &mut [(u64, u32)], dirty: &[Dirty<'_>]) {
    let rest = |at: u32| dirty[at as usize].url.as_bytes().get(begin..).unwrap_or_default();
    if keyed.len() <= COMPARED {
        keyed.sort_unstable_by_key(|(_, at)| (rest(*at), *at));
        return;
    }
    for (key, at) in &mut *keyed {
        let rest = rest(*at);
        let mut bytes = [0; 8];
        match rest.first_chunk() {
            Some(chunk) => bytes = *chunk,
            None => bytes[..rest.len()].copy_from_slice(rest),
        }
        *key = u64::from_be_bytes(bytes);
    }
    keyed.sort_unstable();
    for same in keyed.chunk_by_mut(|one, other| one.0 == other.0) {
        // A text that ended before the next eight bytes is the same as its neighbours altogether.
        if same.len() > 1 && same[0].0.to_be_bytes()[7] > 0 {
            sort_from(begin + 8, same, dirty);
        }
    }
}

/// Returns the length of the innermost directory that two paths lie in; 0 where they share none.
fn shared_directory(one: &str, other: &str) -> u32 {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let words = one.chunks_exact(8).zip(other.chunks_exact(8));
    let begin = 8 * words.take_while(|(one, other)| one == other).count();
    let bytes = one[begin..].iter().zip(&other[begin..]);
    let shared = &one[..begin + bytes.take_while(|(one, other)| one == other).count()];
    let length = shared.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    // Before the host there is none.
    if shared.iter().filter(|byte| **byte == b'/').nth(2).is_some() { to_u32(length) } else { 0 }
}

/// Returns the deepest known directory that a URL lies in.
fn home(by_text: &HashMap<&str, u32>, url: &str) -> Option<u32> {
    let mut text = path_of(url);
    while let Some(slash) = text.rfind('/') {
        if let Some(at) = by_text.get(&text[..=slash]) {
            return Some(*at);
        }
        text = &text[..slash];
    }
    None
}

/// Returns a URL without its query.
fn path_of(url: &str) -> &str {
    url.split_once('?').map_or(url, |(path, _)| path)
}

/// Returns the length of `https://host/`.
pub(super) fn root_length(url: &str) -> usize {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url.len(), |slash| host + slash + 1)
}

pub(super) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
