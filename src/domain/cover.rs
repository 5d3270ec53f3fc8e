//! The cover: which directories and regexes stand for which changed URLs, at the least price.
//!
//! Enters: changed URLs, what is left of each quota, and prices. Leaves: wide asks with the URLs that
//! each stands for; what none stands for stays a URL refresh, or waits. Every price is in
//! milliseconds that one changed URL stays stale, so that waiting, revalidating what did not change
//! and a scarce directory can be weighed against each other.
//!
//! For given prices the directories are chosen exactly, in time linear in the tree ([`priced`]).
//! Under budgets they are chosen from the whole front of (directories, URLs covered, cost): exactly
//! while there are few directories, else among those that some price chooses ([`front`]).
//! **Invariant:** a wide ask reaches each URL that it stands for, with the force it needs, and no more
//! asks are chosen than there is budget.

use super::ask::{Kind, Target};

mod choose;
mod front;
mod pattern;
mod priced;
mod recur;
mod tree;

#[cfg(test)]
mod tests;

pub use choose::{Again, Choice};
pub use recur::Recurrence;
pub use tree::Shape;

/// A changed URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirty<'a> {
    /// Its canonical text.
    pub url: &'a str,
    /// Whether cached copies must be dropped: a soft wide ask doesn't reach it.
    pub force: bool,
}

/// How many asks of each kind may be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Budget {
    /// URL refreshes, and what else can take a single URL.
    pub urls: u64,
    /// Directory refreshes.
    pub directories: u64,
    /// Regex refreshes.
    pub regexes: u64,
}

/// What things cost, in milliseconds that one changed URL stays stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// A live object that did not change and that the edge must revalidate.
    pub soft: u64,
    /// A live object that did not change and that the origin must send again.
    pub forced: u64,
    /// A changed URL that waits for the day's turn.
    pub wait: u64,
}

/// An ask that stands for several changed URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wide {
    /// A directory or an expression.
    pub target: Target,
    /// Whether copies are to be dropped.
    pub force: bool,
    /// Places of the changed URLs that it stands for, ascending.
    pub members: Vec<u32>,
    /// The weight of the live, unchanged objects that it reaches too.
    pub collateral: u64,
}

/// What a [`Census`] calls for each live object: its URLs and its weight.
pub type Visit<'v> = &'v mut dyn FnMut(&[&str], u64);

/// The live objects of the sites whose URLs changed.
pub trait Census: std::fmt::Debug {
    /// Hands each live object out: its URLs, and how much it weighs (1 where nothing else is said).
    fn visit(&self, visit: Visit<'_>);
}

fn directory(text: &str) -> Target {
    Target::new(Kind::Directory, text)
}
