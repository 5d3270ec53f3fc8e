//! The directories of changed URLs, and how much that did not change lies below each.

use std::collections::HashMap;

use super::pattern::Proposal;
use super::{Census, Dirty};

/// A directory that changed URLs lie below. Nodes stand in preorder, which is also the order of
/// their texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// A changed URL below it, by its place: it begins with the directory's text …
    named_by: u32,
    /// … of this length.
    length: u32,
    parent: u32,
    /// The node after its subtree.
    pub(super) end: u32,
    /// The range of its URLs in `order`.
    pub(super) first: u32,
    pub(super) last: u32,
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

/// The parent of a domain's root.
const NONE: u32 = u32::MAX;

impl<'a> Shape<'a> {
    /// Sorts changed URLs, at most `u32::MAX`, into their directories.
    #[must_use]
    pub fn of(dirty: &'a [Dirty<'a>]) -> Self {
        let mut order: Vec<u32> = (0..).take(dirty.len()).collect();
        order.sort_unstable_by_key(|at| dirty[*at as usize].url);
        let mut nodes: Vec<Node> = Vec::new();
        // The directories that the current URL lies in, outermost first.
        let mut open: Vec<u32> = Vec::new();
        for (place, at) in (0..).zip(&order) {
            let url = dirty[*at as usize].url;
            let path = path_of(url);
            let lies_in = |node: &Node| {
                let length = node.length as usize;
                let text = &dirty[node.named_by as usize].url[..length];
                length <= path.len() && path.as_bytes()[..length] == *text.as_bytes()
            };
            while let Some(last) = open.pop_if(|at| !lies_in(&nodes[*at as usize])) {
                close(&mut nodes, last, place);
            }
            let known =
                open.last().map_or(root_length(path) - 1, |at| nodes[*at as usize].length as usize);
            for (slash, _) in path.bytes().enumerate().skip(known).filter(|(_, byte)| *byte == b'/')
            {
                let parent = open.last().copied().unwrap_or(NONE);
                open.push(to_u32(nodes.len()));
                nodes.push(Node {
                    named_by: *at,
                    length: to_u32(slash + 1),
                    parent,
                    end: 0,
                    first: place,
                    last: 0,
                    live: 0,
                });
            }
        }
        while let Some(last) = open.pop() {
            close(&mut nodes, last, to_u32(order.len()));
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

    /// Takes what did not change below each directory from a table of the caller's.
    pub fn count_by(&mut self, live_below: impl Fn(&str) -> u64) {
        for at in 0..to_u32(self.nodes.len()) {
            let live = live_below(self.text(at));
            self.nodes[at as usize].live = live;
        }
    }

    pub(super) fn text(&self, at: u32) -> &'a str {
        let node = &self.nodes[at as usize];
        &self.dirty[node.named_by as usize].url[..node.length as usize]
    }

    /// Returns whether a node is a domain's root, which only a person decides to refresh whole.
    pub(super) fn is_root(&self, at: u32) -> bool {
        self.nodes[at as usize].parent == NONE
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

fn close(nodes: &mut [Node], at: u32, last: u32) {
    let end = to_u32(nodes.len());
    let node = &mut nodes[at as usize];
    (node.end, node.last) = (end, last);
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

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
