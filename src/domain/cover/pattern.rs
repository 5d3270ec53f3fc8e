//! Expressions that match many changed URLs: proposed from the URLs themselves.

use std::collections::BTreeSet;

use super::tree::{Shape, root_length};
use crate::domain::ask::{Kind, Target};
use crate::domain::guard::is_root;
use crate::domain::url::literal_start;

/// How many expressions are tried: each costs a pass over all changed URLs.
const TRIED: usize = 12;
/// How many beginnings and endings are paired.
const BEGINNINGS: usize = 20;
const ENDINGS: usize = 12;
/// How many expressions are counted against what is live.
const COUNTED: usize = 128;
/// How many of a domain's changed URLs are looked at to find these.
const SAMPLE: usize = 4_096;
/// An expression must stand for so many URLs of the sample, one of so many at least.
const WORTH: usize = 32;

/// An expression of the permitted forms (API reference, 1.4), with a quick way to match it.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// One form between two texts.
    Span {
        start: String,
        /// Whether the form is `.*`, which matches slashes, and not `[^/]*`.
        deep: bool,
        end: String,
    },
    /// Whatever an operator wrote.
    Written(regex::Regex, String),
}

/// An expression that may be asked for.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) pattern: Pattern,
    /// How many changed URLs it matches, judged by a sample.
    count: usize,
    /// The weight of what lives, matches and did not change.
    pub(super) live: u64,
}

impl Pattern {
    /// Compiles an expression that is canonical already; none if it isn't of the permitted forms.
    fn written(expression: &str) -> Option<Self> {
        let mut source = String::from("^");
        let mut rest = expression;
        while !rest.is_empty() {
            let literal = literal_start(rest);
            source.push_str(&regex::escape(literal));
            rest = &rest[literal.len()..];
            let form =
                ["[0-9]", "[a-z]", "[^/]*", ".*"].into_iter().find(|form| rest.starts_with(form));
            if let Some(form) = form {
                source.push_str(form);
                rest = &rest[form.len()..];
            }
        }
        source.push('$');
        Some(Self::Written(regex::Regex::new(&source).ok()?, expression.to_owned()))
    }

    /// Returns whether the expression matches a whole URL.
    pub(super) fn matches(&self, url: &str) -> bool {
        match self {
            Self::Span { start, deep, end } => url
                .strip_prefix(start.as_str())
                .and_then(|rest| rest.strip_suffix(end.as_str()))
                .is_some_and(|middle| *deep || !middle.contains('/')),
            Self::Written(regex, _) => regex.is_match(url),
        }
    }

    /// Returns what all that it matches begins with.
    pub(super) fn start(&self) -> &str {
        match self {
            Self::Span { start, .. } => start,
            Self::Written(_, text) => literal_start(text),
        }
    }

    /// Returns the expression as a target.
    pub(super) fn target(&self) -> Target {
        Target::new(
            Kind::Regex,
            match self {
                Self::Span { start, deep: true, end } => format!("{start}.*{end}"),
                Self::Span { start, deep: false, end } => format!("{start}[^/]*{end}"),
                Self::Written(_, text) => text.clone(),
            },
        )
    }
}

impl Shape<'_> {
    /// Finds expressions that may stand for many changed URLs, besides the operator's.
    pub fn propose(&mut self, templates: &[Target]) {
        // A whole domain, only a person refreshes.
        let templates =
            templates.iter().filter(|target| target.kind == Kind::Regex && !is_root(target));
        let written = templates.filter_map(|target| Pattern::written(&target.text));
        let mut proposed: Vec<Proposal> = written
            .map(|pattern| {
                let count = self.dirty.iter().filter(|dirty| pattern.matches(dirty.url)).count();
                Proposal { pattern, count, live: 0 }
            })
            .collect();
        // Where most changed, an expression saves most.
        let mut roots: Vec<(u32, u32)> = Vec::new();
        let mut at = 0;
        while let Some(node) = self.nodes.get(at as usize) {
            roots.push((node.first, node.last));
            at = node.end;
        }
        roots.sort_by_key(|(first, last)| std::cmp::Reverse(last - first));
        for (first, last) in roots.into_iter().take(2) {
            proposed.extend(self.of_domain(first as usize, last as usize));
        }
        self.proposals = proposed;
    }

    /// Proposes expressions for one domain's URLs: the pairs of a frequent beginning and a frequent
    /// ending.
    fn of_domain(&self, first: usize, last: usize) -> Vec<Proposal> {
        let step = (last - first).div_ceil(SAMPLE).max(1);
        let sample: Vec<&str> = self.order[first..last]
            .iter()
            .step_by(step)
            .map(|at| self.dirty[*at as usize].url)
            .collect();
        let enough = (sample.len() / WORTH).max(8);
        let Some(root) = sample.first().map(|url| root_length(url)) else {
            return Vec::new();
        };
        let beginnings = frequent(&sample, enough, BEGINNINGS);
        let mut backwards: Vec<String> =
            sample.iter().map(|url| url[root.min(url.len())..].chars().rev().collect()).collect();
        backwards.sort_unstable();
        let backwards: Vec<&str> = backwards.iter().map(String::as_str).collect();
        let endings = frequent(&backwards, enough, ENDINGS);
        let mut pairs: Vec<Proposal> = Vec::new();
        let mut seen: BTreeSet<Vec<bool>> = BTreeSet::new();
        for beginning in &beginnings {
            let start = if beginning.len() < root { &sample[0][..root] } else { beginning };
            for ending in &endings {
                let end: String = ending.chars().rev().collect();
                for deep in [false, true] {
                    let pattern = Pattern::Span { start: start.to_owned(), deep, end: end.clone() };
                    if !is_literal(start)
                        || !is_literal(&end)
                        || (start.len() <= root && end.is_empty())
                    {
                        continue;
                    }
                    let matched: Vec<bool> =
                        sample.iter().map(|url| pattern.matches(url)).collect();
                    let count = matched.iter().filter(|matched| **matched).count();
                    // Of those that match the same, the first has the longest beginning.
                    if count >= enough && seen.insert(matched) {
                        pairs.push(Proposal { pattern, count: count * step, live: 0 });
                    }
                }
            }
        }
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        pairs.truncate(COUNTED);
        pairs
    }

    /// Keeps the expressions worth trying: those that nothing beats in both what they match and
    /// what they hit besides, the widest first.
    pub(super) fn best_proposals(&self) -> Vec<&Proposal> {
        let mut best: Vec<&Proposal> = self.proposals.iter().collect();
        best.sort_by_key(|one| (std::cmp::Reverse(one.count), one.live));
        let mut least = u64::MAX;
        best.retain(|one| {
            let keeps = one.count > 1 && one.live < least;
            least = least.min(one.live);
            keeps
        });
        best.truncate(TRIED);
        best
    }
}

/// Returns the longest texts that at least `least` of the sorted texts begin with, one for each set
/// of texts, the most frequent first.
fn frequent<'t>(sorted: &[&'t str], least: usize, most: usize) -> Vec<&'t str> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    // Runs of texts that share a beginning: (its length, the first text of the run).
    let mut open: Vec<(usize, usize)> = vec![(0, 0)];
    for at in 1..=sorted.len() {
        let shared = match sorted.get(at) {
            Some(text) => common_length(sorted[at - 1], text),
            None => 0,
        };
        let mut begun = at - 1;
        while let Some((length, first)) = open.pop_if(|(length, _)| *length > shared) {
            if at - first >= least {
                found.push((at - first, &sorted[first][..length]));
            }
            begun = first;
        }
        if open.last().is_none_or(|(length, _)| *length < shared) {
            open.push((shared, begun));
        }
    }
    if sorted.len() >= least {
        found.push((sorted.len(), ""));
    }
    found.sort_by_key(|(count, text)| (std::cmp::Reverse(*count), std::cmp::Reverse(text.len())));
    found.truncate(most);
    found.into_iter().map(|(_, text)| text).collect()
}

fn common_length(one: &str, other: &str) -> usize {
    let shared = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    // A percent-encoded byte is not cut.
    let cut = one[..shared].rfind('%').filter(|percent| shared - percent < 3);
    cut.unwrap_or(shared)
}

/// Whether a text means itself in an expression.
fn is_literal(text: &str) -> bool {
    !text.contains(['[', ']', '*', '\\', '^', '|', '{', '}', '?', '+', '(', ')', '$'])
}
