//! Weighing: what is widened now, what is kept for later in the day, and what waits.

use std::collections::HashMap;

use super::front::{Fronts, Point};
use super::pattern::Proposal;
use super::priced::{Ask, items};
use super::tree::Shape;
use super::{Budget, Census, Prices, Wide, directory};

/// With more changed URLs than this fewer expressions are tried, for each costs a pass over them.
const PASSES: usize = 1_500_000;

/// The prospect of as large a change set as this one later today: what is spent now is missing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Again {
    /// How likely it is, in thousandths.
    pub chance: u64,
    /// What a changed URL that waits costs then, as [`Prices::wait`].
    pub wait: u64,
}

/// What is decided on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Choice {
    /// The wide asks: directories, then expressions.
    pub wide: Vec<Wide>,
    /// How many URLs are left for URL refreshes; what the budget has no room for waits.
    pub left: u64,
}

/// A way to cover, with some expressions besides the directories of a point.
#[derive(Clone, Copy, Debug)]
struct Way {
    regexes: u64,
    directories: u64,
    left: u64,
    cost: u64,
    /// The set of expressions, and the point of its front.
    set: usize,
    point: usize,
}

/// An expression that is taken: its place among the best, and whether copies are dropped.
type Taken = (usize, bool);

impl Shape<'_> {
    /// Decides what is asked for widely. Deterministic.
    #[must_use]
    pub fn choose(&self, budget: Budget, prices: &Prices, again: Again) -> Choice {
        let total = self.dirty.len() as u64;
        let lone = Choice { wide: Vec::new(), left: total };
        // There is room for all, even if as many change once more.
        if total.saturating_mul(2) <= budget.urls || (again.chance == 0 && total <= budget.urls) {
            return lone;
        }
        let best = self.best_proposals();
        let mut sets: Vec<Vec<Taken>> = vec![Vec::new()];
        let mut reached = vec![0; self.dirty.len()];
        let mut ways = self.ways(&best, &sets, &reached, budget, prices);
        prune(&mut ways);
        let mut chosen = weigh(&ways, budget, prices, again);
        let mut tries = PASSES / self.dirty.len().max(1);
        let any_forced = self.dirty.iter().any(|dirty| dirty.force);
        for _ in 0..budget.regexes {
            let base = sets[chosen.set].clone();
            let unused = (0..best.len()).filter(|at| base.iter().all(|(taken, _)| taken != at));
            let more = unused.flat_map(|at| [(at, false), (at, true)]);
            for one in more.filter(|(_, force)| any_forced || !force).take(tries) {
                tries -= 1;
                let mut reached = reached.clone();
                if self.reach(&best, one, &mut reached) {
                    sets.push(base.iter().copied().chain([one]).collect());
                    ways.extend(self.ways(&best, &sets, &reached, budget, prices));
                }
            }
            prune(&mut ways);
            chosen = weigh(&ways, budget, prices, again);
            if sets[chosen.set].len() <= base.len() {
                break;
            }
            reached = self.reached(&best, &sets[chosen.set]);
        }
        self.spell_out(&best, &sets[chosen.set], chosen, budget, prices)
    }

    /// Returns what can be made of the directories beside the last of the sets, which reached so much.
    fn ways(
        &self,
        best: &[&Proposal],
        sets: &[Vec<Taken>],
        reached: &[u8],
        budget: Budget,
        prices: &Prices,
    ) -> Vec<Way> {
        let number = sets.len() - 1;
        let open = reached.iter().map(|by| u64::from(*by == 0)).sum::<u64>();
        let cost = |(at, force): &Taken| {
            best[*at].live.saturating_mul(if *force { prices.forced } else { prices.soft })
        };
        let cost = sets[number].iter().map(cost).fold(0, u64::saturating_add);
        let fronts = Fronts::of(items(self, prices, reached), budget.directories);
        let way = |(point, found): (usize, &Point)| Way {
            regexes: sets[number].len() as u64,
            directories: u64::from(found.directories),
            left: open - found.covered,
            cost: cost.saturating_add(found.cost),
            set: number,
            point,
        };
        fronts.points().iter().enumerate().map(way).collect()
    }

    /// Notes which URLs an expression stands for, of those that none stands for yet: by its place
    /// among the best, from 1. Returns whether there are any.
    fn reach(&self, best: &[&Proposal], (at, force): Taken, reached: &mut [u8]) -> bool {
        let mut any = false;
        for (dirty, by) in self.dirty.iter().zip(reached) {
            if *by == 0 && (force || !dirty.force) && best[at].pattern.matches(dirty.url) {
                (*by, any) = (name(at), true);
            }
        }
        any
    }

    fn reached(&self, best: &[&Proposal], set: &[Taken]) -> Vec<u8> {
        let mut reached = vec![0; self.dirty.len()];
        for one in set {
            self.reach(best, *one, &mut reached);
        }
        reached
    }

    fn spell_out(
        &self,
        best: &[&Proposal],
        set: &[Taken],
        way: Way,
        budget: Budget,
        prices: &Prices,
    ) -> Choice {
        let reached = self.reached(best, set);
        let mut wide = Vec::new();
        for (at, force) in set {
            let by = (0..).zip(&reached).filter(|(_, by)| **by == name(*at));
            let members: Vec<u32> = by.map(|(place, _)| place).collect();
            let (target, collateral) = (best[*at].pattern.target(), best[*at].live);
            wide.push(Wide { target, force: *force, members, collateral });
        }
        let fronts = Fronts::of(items(self, prices, &reached), budget.directories);
        for (at, ask) in fronts.chosen(way.point) {
            let node = &self.nodes[at as usize];
            let force = ask == Ask::Forced;
            let range = &self.order[node.first as usize..node.last as usize];
            let is_member = |at: &&u32| {
                reached[**at as usize] == 0 && (force || !self.dirty[**at as usize].force)
            };
            let mut members: Vec<u32> = range.iter().filter(is_member).copied().collect();
            members.sort_unstable();
            let (target, collateral) = (directory(self.text(at)), node.live);
            wide.push(Wide { target, force, members, collateral });
        }
        Choice { wide, left: way.left }
    }
}

/// Returns how [`Shape::reach`] notes an expression; there are few.
fn name(at: usize) -> u8 {
    u8::try_from(at + 1).unwrap_or(u8::MAX)
}

/// Drops each way that another of as many asks or fewer beats.
fn prune(ways: &mut Vec<Way>) {
    ways.sort_unstable_by_key(|way| {
        (way.regexes, way.directories, way.left, way.cost, way.set, way.point)
    });
    let mut least: Option<Way> = None;
    ways.retain(|way| {
        let same = least
            .filter(|least| (least.regexes, least.directories) == (way.regexes, way.directories));
        let keeps = same.is_none_or(|least| way.cost < least.cost);
        if keeps {
            least = Some(*way);
        }
        keeps
    });
}

impl Way {
    /// Returns what taking it costs when URL refreshes have so much room and waiting has this price.
    fn price(&self, urls: u64, wait: u64, prices: &Prices) -> u64 {
        let asked = self.left.min(urls).saturating_mul(prices.url);
        let wide = (self.directories.saturating_mul(prices.directory))
            .saturating_add(self.regexes.saturating_mul(prices.regex));
        let waits = self.left.saturating_sub(urls).saturating_mul(wait);
        self.cost.saturating_add(asked).saturating_add(wide).saturating_add(waits)
    }
}

/// Chooses the way that costs least, what it leaves undone and what it leaves for later included.
/// `ways` has one that asks for nothing wide.
fn weigh(ways: &[Way], budget: Budget, prices: &Prices, again: Again) -> Way {
    let mut known: HashMap<(u64, u64, u64), u64> = HashMap::new();
    let mut later = |way: &Way| {
        let urls = budget.urls.saturating_sub(way.left);
        let directories = budget.directories - way.directories;
        let regexes = budget.regexes - way.regexes;
        *known.entry((urls, directories, regexes)).or_insert_with(|| {
            let is_possible = |way: &&Way| way.directories <= directories && way.regexes <= regexes;
            let possible = ways.iter().filter(is_possible);
            possible.map(|way| way.price(urls, again.wait, prices)).min().unwrap_or(0)
        })
    };
    let mut best: Option<((u64, u64, u64), Way)> = None;
    for way in ways {
        if way.directories > budget.directories || way.regexes > budget.regexes {
            continue;
        }
        let once_more = if again.chance > 0 { later(way) } else { 0 };
        let expected = once_more.saturating_mul(again.chance) / 1_000;
        let cost = way.price(budget.urls, prices.wait, prices).saturating_add(expected);
        // Of ways that cost the same, the one with the fewest wide asks, then the fewest asks.
        let key = (cost, way.regexes + way.directories, way.left);
        if best.is_none_or(|(known, _)| key < known) {
            best = Some((key, *way));
        }
    }
    best.map_or(ways[0], |(_, way)| way)
}

impl Shape<'_> {
    /// Lets a directory stand for the URLs that lie in it directly, where they are `least` at least and
    /// not all have room: what a script would do, for comparison. Those with the most URLs come first.
    #[must_use]
    pub fn over(mut self, least: u64, budget: Budget, census: &dyn Census) -> Choice {
        let mut wide: Vec<Wide> = Vec::new();
        let mut left = self.dirty.len() as u64;
        if left <= budget.urls {
            return Choice { wide, left };
        }
        self.count(census);
        let mut nodes: Vec<(u32, Vec<u32>)> = Vec::new();
        for (at, node) in (0_u32..).zip(&self.nodes) {
            let text = self.text(at);
            let range = &self.order[node.first as usize..node.last as usize];
            let within = |place: &&u32| {
                let dirty = &self.dirty[**place as usize];
                !dirty.force && !dirty.url[text.len()..].contains('/')
            };
            let members: Vec<u32> = range.iter().filter(within).copied().collect();
            if !node.is_root && members.len() as u64 >= least {
                nodes.push((at, members));
            }
        }
        nodes.sort_by_key(|(at, members)| (std::cmp::Reverse(members.len()), *at));
        for (at, mut members) in nodes {
            if wide.len() as u64 >= budget.directories {
                break;
            }
            members.sort_unstable();
            left -= members.len() as u64;
            let (target, collateral) = (directory(self.text(at)), self.nodes[at as usize].live);
            wide.push(Wide { target, force: false, members, collateral });
        }
        Choice { wide, left }
    }
}
