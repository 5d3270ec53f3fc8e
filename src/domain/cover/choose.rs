//! Weighing: what is widened now, what is kept for later in the day, and what waits.

use std::collections::HashMap;

use super::front::{Fronts, Point};
use super::pattern::Proposal;
use super::priced::{Ask, items};
use super::tree::Shape;
use super::{Budget, Census, Prices, Wide, directory};

/// With more changed URLs than this fewer expressions are tried, for each costs a pass over them.
const PASSES: usize = 4_000_000;

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

/// Expressions taken together, and what can be made of the rest.
struct Set {
    /// (Place of the proposal among the best, whether copies are dropped.)
    patterns: Vec<(usize, bool)>,
    covered: Vec<bool>,
    cost: u64,
    fronts: Fronts,
}

impl Shape<'_> {
    /// Decides what is asked for widely. Deterministic.
    #[must_use]
    pub fn choose(&self, budget: Budget, prices: &Prices, again: Again) -> Choice {
        let total = self.dirty.len() as u64;
        let lone = Choice { wide: Vec::new(), left: total };
        // There is room for all, even if as many change once more, and no directory saves its price.
        let is_roomy =
            total.saturating_mul(2) <= budget.urls || (again.chance == 0 && total <= budget.urls);
        if is_roomy && total.saturating_mul(prices.url) <= prices.directory {
            return lone;
        }
        let best = self.best_proposals();
        let mut sets = vec![self.set(Vec::new(), vec![false; self.dirty.len()], 0, budget, prices)];
        let mut ways = self.ways(&sets[0], 0);
        let mut tries = PASSES / self.dirty.len().max(1);
        prune(&mut ways);
        let mut chosen = weigh(&ways, budget, prices, again);
        let any_forced = self.dirty.iter().any(|dirty| dirty.force);
        for _ in 0..budget.regexes {
            let base = chosen.set;
            let mut better = false;
            for (at, proposal) in best.iter().enumerate() {
                for force in [false, true] {
                    if tries == 0
                        || (force && !any_forced)
                        || sets[base].patterns.iter().any(|(known, _)| *known == at)
                    {
                        continue;
                    }
                    tries -= 1;
                    let mut covered = sets[base].covered.clone();
                    let mut news = false;
                    for (dirty, covered) in self.dirty.iter().zip(&mut covered) {
                        if !*covered
                            && (force || !dirty.force)
                            && proposal.pattern.matches(dirty.url)
                        {
                            (*covered, news) = (true, true);
                        }
                    }
                    if !news {
                        continue;
                    }
                    let price = if force { prices.forced } else { prices.soft };
                    let cost = sets[base].cost.saturating_add(proposal.live.saturating_mul(price));
                    let patterns =
                        sets[base].patterns.iter().copied().chain([(at, force)]).collect();
                    let set = self.set(patterns, covered, cost, budget, prices);
                    ways.extend(self.ways(&set, sets.len()));
                    sets.push(set);
                    better = true;
                }
            }
            if !better {
                break;
            }
            prune(&mut ways);
            chosen = weigh(&ways, budget, prices, again);
            if chosen.set == base || sets[chosen.set].patterns.len() <= sets[base].patterns.len() {
                break;
            }
        }
        self.spell_out(&sets[chosen.set], chosen, &best)
    }

    fn set(
        &self,
        patterns: Vec<(usize, bool)>,
        covered: Vec<bool>,
        cost: u64,
        budget: Budget,
        prices: &Prices,
    ) -> Set {
        let fronts = Fronts::of(items(self, prices, &covered), budget.directories);
        Set { patterns, covered, cost, fronts }
    }

    fn ways(&self, set: &Set, number: usize) -> Vec<Way> {
        let open = set.covered.iter().filter(|covered| !**covered).count() as u64;
        let way = |(point, found): (usize, &Point)| Way {
            regexes: set.patterns.len() as u64,
            directories: u64::from(found.directories),
            left: open - found.covered,
            cost: set.cost.saturating_add(found.cost),
            set: number,
            point,
        };
        set.fronts.points().iter().enumerate().map(way).collect()
    }

    fn spell_out(&self, set: &Set, way: Way, best: &[&Proposal]) -> Choice {
        let mut taken = vec![false; self.dirty.len()];
        let mut wide = Vec::new();
        for (at, force) in &set.patterns {
            let proposal = best[*at];
            let members: Vec<u32> = (0..)
                .zip(self.dirty)
                .filter(|(at, dirty)| {
                    !taken[*at as usize]
                        && (*force || !dirty.force)
                        && proposal.pattern.matches(dirty.url)
                })
                .map(|(at, _): (u32, _)| at)
                .collect();
            members.iter().for_each(|at| taken[*at as usize] = true);
            let (target, collateral) = (proposal.pattern.target(), proposal.live);
            wide.push(Wide { target, force: *force, members, collateral });
        }
        for (at, ask) in set.fronts.chosen(way.point) {
            let node = &self.nodes[at as usize];
            let force = ask == Ask::Forced;
            let range = &self.order[node.first as usize..node.last as usize];
            let reached =
                |at: &&u32| !taken[**at as usize] && (force || !self.dirty[**at as usize].force);
            let mut members: Vec<u32> = range.iter().filter(reached).copied().collect();
            members.sort_unstable();
            members.iter().for_each(|at| taken[*at as usize] = true);
            wide.push(Wide {
                target: directory(self.text(at)),
                force,
                members,
                collateral: node.live,
            });
        }
        Choice { wide, left: way.left }
    }
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
            if !self.is_root(at) && members.len() as u64 >= least {
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
