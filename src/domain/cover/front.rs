//! The front: for each number of directories, what covers how many URLs at which cost.

use super::priced::{Ask, Item, best};

/// From so many directories on, only those are weighed that some price chooses.
const WEIGHED: usize = 192;
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
    // What is known so far: (covered, cost), both rising.
    let mut stairs: Vec<(u64, u64)> = Vec::new();
    points.retain(|point| {
        let at = stairs.partition_point(|(covered, _)| *covered < point.covered);
        if stairs.get(at).is_some_and(|(_, cost)| *cost <= point.cost) {
            return false;
        }
        // It beats those before it that cost as much or more.
        let begin = stairs[..at].partition_point(|(_, cost)| *cost < point.cost);
        let same = stairs.get(at).is_some_and(|(covered, _)| *covered == point.covered);
        stairs.splice(begin..at + usize::from(same), [(point.covered, point.cost)]);
        true
    });
    points
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
    let mut wanted = vec![false; items.len()];
    let mut number = 0;
    // What a URL must be worth for an item to be taken, from cheap to dear.
    let mut worth: Vec<u64> =
        items.iter().map(|item| item.soft.1.checked_div(item.soft.0).unwrap_or(u64::MAX)).collect();
    worth.sort_unstable();
    let step = (worth.len() / 12).max(1);
    let top = worth.iter().rev().find(|worth| **worth < u64::MAX).copied().unwrap_or(0);
    let levels = worth
        .into_iter()
        .step_by(step)
        .chain([top])
        .map(|worth| worth.saturating_mul(2).saturating_add(1));
    let mut levels: Vec<u64> =
        levels.filter(|worth| *worth <= top.saturating_mul(2).saturating_add(1)).collect();
    levels.dedup();
    let most = usize::try_from(directories).unwrap_or(usize::MAX).clamp(1, WEIGHED / 2);
    for url in levels {
        // The least price of a directory at which not too many are taken.
        let largest = items
            .iter()
            .map(|item| item.soft.0.max(item.forced.map_or(0, |forced| forced.0)))
            .max();
        let (mut low, mut high) = (0_u64, url.saturating_mul(largest.unwrap_or(0)));
        while low < high {
            let middle = low + (high - low) / 2;
            if best(items, url, middle).len() <= most {
                high = middle;
            } else {
                low = middle + 1;
            }
            if high - low <= high / 64 {
                break;
            }
        }
        for (at, _) in best(items, url, high) {
            let at = at as usize;
            number += usize::from(!wanted[at]);
            wanted[at] = true;
        }
        if number >= WEIGHED {
            break;
        }
    }
    let mut kept: Vec<Item> = Vec::with_capacity(number);
    let mut place = vec![0_u32; items.len() + 1];
    for (at, item) in items.iter().enumerate() {
        place[at] = kept.len() as u32;
        if wanted[at] {
            kept.push(*item);
        }
    }
    place[items.len()] = kept.len() as u32;
    for item in &mut kept {
        item.next = place[item.next as usize];
    }
    kept
}
