//! The front: for each number of directories, what covers how many URLs at which cost.

use std::collections::BTreeSet;

use super::priced::{Ask, Item, best};
use super::tree::to_u32;

/// From so many directories on, only those are weighed that some price chooses.
const WEIGHED: usize = 192;
/// At so many worths of a URL …
const LEVELS: usize = 12;
/// … and of so many directories, those that save most there.
const GAINFUL: usize = 4_096;
/// How many points of a front are kept, times items: this bounds time and memory.
const POINTS: usize = 196_608;

/// One way to cover: better ways in every respect are known to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// How many directories are asked for.
    pub(super) directories: u32,
    /// How many URLs these stand for.
    pub(super) covered: u64,
    /// What their collateral costs.
    pub(super) cost: u64,
    /// How the last item of it is asked, if it is.
    ask: Option<Ask>,
    /// The point of the rest that it was made from.
    from: u32,
}

/// All fronts of a list of items, from each item on.
#[derive(Debug)]
pub(super) struct Fronts {
    items: Vec<Item>,
    fronts: Vec<Vec<Point>>,
}

impl Fronts {
    /// Finds the front of at most `directories` of the items.
    pub(super) fn of(items: Vec<Item>, directories: u64) -> Self {
        let items = if items.len() > WEIGHED { worth_weighing(&items, directories) } else { items };
        let most = POINTS / (items.len() + 1);
        let none = Point { directories: 0, covered: 0, cost: 0, ask: None, from: 0 };
        let mut fronts = vec![Vec::new(); items.len() + 1];
        fronts[items.len()].push(none);
        for (at, item) in items.iter().enumerate().rev() {
            let rest = &fronts[item.next as usize];
            let mut points: Vec<Point> = (0..)
                .zip(&fronts[at + 1])
                .map(|(from, point)| Point { ask: None, from, ..*point })
                .collect();
            let forced = item.forced.map(|forced| (Ask::Forced, forced));
            for (ask, (covered, cost)) in [(Ask::Soft, item.soft)].into_iter().chain(forced) {
                let with = (0..).zip(rest).map(|(from, point)| Point {
                    directories: point.directories + 1,
                    covered: point.covered + covered,
                    cost: point.cost.saturating_add(cost),
                    ask: Some(ask),
                    from,
                });
                points.extend(with.filter(|point| u64::from(point.directories) <= directories));
            }
            fronts[at] = thinned(undominated(points), most);
        }
        Self { items, fronts }
    }

    /// Returns the front, the fewest directories first.
    pub(super) fn points(&self) -> &[Point] {
        &self.fronts[0]
    }

    /// Returns which nodes a point of the front asks for.
    pub(super) fn chosen(&self, point: usize) -> Vec<(u32, Ask)> {
        let mut chosen = Vec::new();
        let (mut at, mut point) = (0, point);
        while let Some(item) = self.items.get(at) {
            let Point { ask, from, .. } = self.fronts[at][point];
            point = from as usize;
            match ask {
                Some(ask) => {
                    chosen.push((item.node, ask));
                    at = item.next as usize;
                }
                None => at += 1,
            }
        }
        chosen
    }
}

/// Drops each point that another beats or equals in all three respects.
fn undominated(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_unstable_by_key(|point| {
        (
            point.directories,
            std::cmp::Reverse(point.covered),
            point.cost,
            point.from,
            point.ask.is_some(),
        )
    });
    let mut kept = Vec::with_capacity(points.len());
    // What so many directories and fewer reach at least: (covered, cost), both falling.
    let mut known: Vec<(u64, u64)> = Vec::new();
    for group in points.chunk_by(|one, other| one.directories == other.directories) {
        let mut merged = Vec::with_capacity(known.len() + group.len());
        let mut known_before = known.into_iter().peekable();
        let mut least = u64::MAX;
        for point in group {
            while let Some((covered, cost)) =
                known_before.next_if(|(covered, _)| *covered >= point.covered)
            {
                if cost < least {
                    least = cost;
                    merged.push((covered, cost));
                }
            }
            if point.cost < least {
                least = point.cost;
                merged.push((point.covered, point.cost));
                kept.push(*point);
            }
        }
        merged.extend(known_before.filter(|(_, cost)| *cost < least));
        known = merged;
    }
    kept
}

/// Keeps at most `most` points, spread evenly.
fn thinned(points: Vec<Point>, most: usize) -> Vec<Point> {
    let count = points.len();
    if count <= most {
        return points;
    }
    (0..most).map(|nth| points[nth * (count - 1) / (most - 1).max(1)]).collect()
}

/// Keeps the items that the exact choice takes at some prices at which few enough are taken.
fn worth_weighing(items: &[Item], directories: u64) -> Vec<Item> {
    // What a URL must be worth for an item to be taken, from cheap to dear.
    let worth = |item: &Item| item.soft.1.checked_div(item.soft.0);
    let mut levels: Vec<u64> = items.iter().filter_map(worth).collect();
    levels.sort_unstable();
    let step = (levels.len() / LEVELS).max(1);
    let top = levels.last().copied().unwrap_or(0);
    let mut levels: Vec<u64> = levels.into_iter().step_by(step).chain([top]).collect();
    levels.dedup();
    let most = usize::try_from(directories).unwrap_or(usize::MAX).clamp(1, WEIGHED / 2);
    let mut nodes: BTreeSet<u32> = BTreeSet::new();
    for url in levels {
        let url = url.saturating_mul(2).saturating_add(1);
        let gain = |item: &Item| {
            let gain = |(urls, cost): (u64, u64)| urls.saturating_mul(url).saturating_sub(cost);
            gain(item.soft).max(item.forced.map_or(0, gain))
        };
        // What gains little is taken at no price at which few enough are: told by a sample.
        let step = (items.len() / GAINFUL).max(1);
        let mut gains: Vec<u64> = items.iter().step_by(step).map(gain).collect();
        let nth = gains.len().saturating_sub((GAINFUL / step).max(1));
        let least = *gains.select_nth_unstable(nth).1;
        let gainful = kept(items, |item| gain(item) >= least.max(1));
        // The least price of a directory at which not too many are taken.
        let (mut low, mut high) = (0, gainful.iter().map(gain).max().unwrap_or(0));
        while high - low > high / 64 {
            let middle = low + (high - low) / 2;
            if best(&gainful, url, middle).len() <= most {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        nodes.extend(best(&gainful, url, high).iter().map(|(at, _)| gainful[*at as usize].node));
        if nodes.len() >= WEIGHED {
            break;
        }
    }
    kept(items, |item| nodes.contains(&item.node))
}

/// Keeps some items, each with what lies below it.
fn kept(items: &[Item], is_wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
    let mut kept: Vec<Item> = Vec::new();
    let mut places: Vec<u32> = Vec::with_capacity(items.len() + 1);
    for item in items {
        places.push(to_u32(kept.len()));
        if is_wanted(item) {
            kept.push(*item);
        }
    }
    places.push(to_u32(kept.len()));
    for item in &mut kept {
        item.next = places[item.next as usize];
    }
    kept
}
