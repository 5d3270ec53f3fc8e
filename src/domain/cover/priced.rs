//! Which directories are chosen when every URL and every directory has a price.

use super::Prices;
use super::tree::{Shape, to_u32};

/// What choosing a directory comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Its node.
    pub(super) node: u32,
    /// The first item that isn't below it.
    pub(super) next: u32,
    /// How many URLs it stands for, and what its collateral costs, when it is asked softly …
    pub(super) soft: (u64, u64),
    /// … and with force; none where nothing must be dropped.
    pub(super) forced: Option<(u64, u64)>,
}

/// How an item is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Soft,
    Forced,
}

/// The directories that may be chosen, in preorder; `reached` tells which URLs an
/// expression stands for already: those that aren't 0.
pub(super) fn items(shape: &Shape<'_>, prices: &Prices, reached: &[u8]) -> Vec<Item> {
    // How many of the URLs up to a place are soft, and how many must be dropped.
    let mut sums: Vec<(u32, u32)> = Vec::with_capacity(shape.order.len() + 1);
    let (mut soft, mut forced) = (0, 0);
    sums.push((soft, forced));
    for at in &shape.order {
        if reached.get(*at as usize).is_none_or(|by| *by == 0) {
            let force = shape.dirty[*at as usize].force;
            soft += u32::from(!force);
            forced += u32::from(force);
        }
        sums.push((soft, forced));
    }
    let mut items: Vec<Item> = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    for (at, node) in (0..).zip(&shape.nodes) {
        while let Some(last) =
            open.pop_if(|last| shape.nodes[items[*last as usize].node as usize].end <= at)
        {
            items[last as usize].next = to_u32(items.len());
        }
        let (before, after) = (sums[node.first as usize], sums[node.last as usize]);
        let (soft, forced) = (u64::from(after.0 - before.0), u64::from(after.1 - before.1));
        if node.is_root || soft + forced < 2 {
            continue;
        }
        open.push(to_u32(items.len()));
        items.push(Item {
            node: at,
            next: 0,
            soft: (soft, node.live.saturating_mul(prices.soft)),
            forced: (forced > 0).then(|| (soft + forced, node.live.saturating_mul(prices.forced))),
        });
    }
    let end = to_u32(items.len());
    for last in open {
        items[last as usize].next = end;
    }
    items
}

/// Chooses what is worth most when a URL costs `url` and a directory `directory` besides its
/// collateral: exact, for what lies below a chosen directory is never chosen too, and in linear time.
/// Returns the items in order.
pub(super) fn best(items: &[Item], url: u64, directory: u64) -> Vec<(u32, Ask)> {
    // The most that can be saved from an item on, against asking for each URL.
    let mut saved = vec![0_u64; items.len() + 1];
    let mut asks: Vec<Option<Ask>> = vec![None; items.len()];
    for (at, item) in items.iter().enumerate().rev() {
        saved[at] = saved[at + 1];
        let forced = item.forced.map(|forced| (Ask::Forced, forced));
        for (ask, (urls, cost)) in [(Ask::Soft, item.soft)].into_iter().chain(forced) {
            let gain = (urls.saturating_mul(url)).saturating_sub(cost.saturating_add(directory));
            let with = gain + saved[item.next as usize];
            if gain > 0 && with > saved[at] {
                (saved[at], asks[at]) = (with, Some(ask));
            }
        }
    }
    let mut chosen = Vec::new();
    let mut at = 0;
    while let Some(item) = items.get(at) {
        match asks[at] {
            Some(ask) => {
                chosen.push((to_u32(at), ask));
                at = item.next as usize;
            }
            None => at += 1,
        }
    }
    chosen
}
