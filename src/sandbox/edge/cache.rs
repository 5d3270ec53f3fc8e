//! The copies that the edge holds: a map in memory, bounded, and what refreshes do to it.
//!
//! **Invariant:** an answer that was asked of the origin before a refresh took effect is not kept
//! after it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;

use crate::domain::time::Timestamp;

use super::key::{Key, Reach};

/// How much is kept in all, in bytes of bodies; the oldest copies go first.
const TOTAL: usize = 512 << 20;

/// One copy.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// When the origin last said that this is its content.
    pub(crate) since: Timestamp,
    pub(crate) life: Duration,
    /// Whether a soft refresh has marked it.
    pub(crate) marked: bool,
}

impl Held {
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        !self.marked && now.since(self.since) < self.life
    }
}

/// All copies, and the fetches that are under way.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    copies: HashMap<Key, (u64, Held)>,
    /// Keys by age.
    ages: BTreeMap<u64, Key>,
    bytes: usize,
    /// Fetches under way, and whether a refresh reached them meanwhile.
    fetches: HashMap<u64, (Key, bool)>,
    next: u64,
}

impl Cache {
    pub(crate) fn get(&self, key: &Key) -> Option<Held> {
        self.copies.get(key).map(|(_, copy)| copy.clone())
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Notes that the origin is being asked, and returns the fetch's number.
    pub(crate) fn begin(&mut self, key: Key) -> u64 {
        let fetch = self.number();
        self.fetches.insert(fetch, (key, false));
        fetch
    }

    /// Forgets a fetch whose answer isn't to be kept.
    pub(crate) fn abandon(&mut self, fetch: u64) {
        self.fetches.remove(&fetch);
    }

    /// Keeps a fetch's answer, unless a refresh reached it meanwhile; returns whether it was kept.
    pub(crate) fn keep(&mut self, fetch: u64, copy: Held) -> bool {
        let Some((key, false)) = self.fetches.remove(&fetch) else {
            return false;
        };
        self.drop_copy(&key);
        let number = self.number();
        self.bytes += copy.body.len();
        self.ages.insert(number, key.clone());
        self.copies.insert(key, (number, copy));
        while self.bytes > TOTAL
            && let Some((_, oldest)) = self.ages.first_key_value()
        {
            let oldest = oldest.clone();
            self.drop_copy(&oldest);
        }
        true
    }

    /// Drops a fetch's old copy: the origin has something else now that isn't kept.
    pub(crate) fn replace_with_nothing(&mut self, fetch: u64) {
        if let Some((key, _)) = self.fetches.remove(&fetch) {
            self.drop_copy(&key);
        }
    }

    fn drop_copy(&mut self, key: &Key) {
        if let Some((number, copy)) = self.copies.remove(key) {
            self.ages.remove(&number);
            self.bytes -= copy.body.len();
        }
    }

    /// Lets a refresh take effect: drops what it reaches, or only marks it.
    pub(crate) fn refresh(&mut self, reach: &Reach, drop: bool) {
        for (key, overtaken) in self.fetches.values_mut() {
            *overtaken |= reach.covers(key);
        }
        // The usual case needs no look at every key.
        let reached: Vec<Key> = if let Reach::Url(key) = reach {
            vec![key.clone()]
        } else {
            let copies = self.copies.iter();
            let reached =
                copies.filter(|(key, (_, copy))| reach.covers(key) && reach.means(&copy.headers));
            reached.map(|(key, _)| key.clone()).collect()
        };
        for key in reached {
            if drop {
                self.drop_copy(&key);
            } else if let Some((_, copy)) = self.copies.get_mut(&key) {
                copy.marked = true;
            }
        }
    }
}
