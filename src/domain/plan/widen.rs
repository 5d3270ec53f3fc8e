//! Widening: when URLs run short, directories and expressions stand for some of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::planner::{Planner, Wanted, without_query};
use super::{Policy, Widening};
use crate::domain::ask::{Kind, Target};
use crate::domain::cover::{Again, Budget, Choice, Dirty, Prices, Shape, Wide};
use crate::domain::intent::{Action, Priority};
use crate::domain::names::OriginName;
use crate::domain::quota::QuotaKind;
use crate::domain::quota::purse::Bound;
use crate::domain::time::{Day, Timestamp};

/// An object that is dropped though it did not change costs so many times what one costs that is
/// only revalidated: the origin sends it whole. Our judgement; no source states a figure.
const FORCED: u64 = 4;

/// What waits is looked at again no sooner than after this.
const SOONEST: Duration = Duration::from_secs(300);

impl Planner<'_> {
    /// Lets wide asks stand for URLs where the policy finds that worth its price.
    pub(super) fn widen(&mut self, widening: &Widening<'_>) {
        let in_flight = |kind| self.in_flight(Action::Refresh, kind);
        if widening.policy == Policy::PerUrl || in_flight(Kind::Url) {
            return;
        }
        if in_flight(Kind::Directory) || in_flight(Kind::Regex) {
            // What finds no room meanwhile may go widely once that is no longer in doubt.
            self.look_again = Some(self.input.now.plus(SOONEST));
            return;
        }
        let open: Vec<usize> = self.open(Action::Refresh, Kind::Url).collect();
        if !self.purse.has_shares() {
            self.widen_some(&open, widening);
            return;
        }
        // What one origin may spend, another may not: each is decided on for itself.
        let mut by_origin: BTreeMap<Option<&OriginName>, Vec<usize>> = BTreeMap::new();
        for at in open {
            by_origin.entry(self.leading(at).cause.origin.as_ref()).or_default().push(at);
        }
        for open in by_origin.into_values() {
            self.widen_some(&open, widening);
        }
    }

    fn widen_some(&mut self, open: &[usize], widening: &Widening<'_>) {
        let Some(first) = open.first() else {
            return;
        };
        let origin = self.leading(*first).cause.origin.as_ref();
        // A minute's limits are soon over: nothing is widened for them.
        let today = |kind, priority: Priority| self.purse.room_today(kind, priority, origin).left;
        let left = |kind| today(kind, Priority::Normal);
        let hour = self.purse.hour().map_or(u64::MAX, |hour| hour.left);
        let open_of = |kind| self.open(Action::Refresh, kind).count() as u64;
        let count = |priority| {
            open.iter().filter(|at| self.leading(**at).priority == priority).count() as u64
        };
        let singles = if self.in_flight(Action::Refresh, Kind::IgnoreParams) {
            0
        } else {
            left(QuotaKind::IgnoreParams).saturating_sub(open_of(Kind::IgnoreParams))
        };
        // What presses has the reserve: it is widened only when that is short, too.
        let urgent = count(Priority::Urgent);
        let is_pressed = urgent > today(QuotaKind::Url, Priority::Urgent);
        let urls = if is_pressed {
            today(QuotaKind::Url, Priority::Urgent)
        } else {
            left(QuotaKind::Url).max(urgent)
        };
        let budget = Budget {
            urls,
            directories: left(QuotaKind::Directory)
                .saturating_sub(open_of(Kind::Directory))
                .min(hour),
            regexes: left(QuotaKind::Regex).saturating_sub(open_of(Kind::Regex)).min(hour),
        };
        let changes = open.iter().filter(|at| self.leading(**at).priority != Priority::Backfill);
        let short = (changes.count() as u64).saturating_sub(urls);
        if widening.policy == Policy::Cover && short > 0 {
            self.fold_queries(open, short, singles);
        }
        let is_open = |at: &&usize| {
            let one = &self.wanted[**at];
            !one.members.is_empty() && one.target.kind == Kind::Url
        };
        let open: Vec<usize> = open.iter().filter(is_open).copied().collect();
        let is_free = |at: &usize| {
            let may_wait = self.leading(*at).priority != Priority::Urgent;
            self.may_be_widened(*at) && (may_wait || is_pressed)
        };
        let free: Vec<usize> = open.iter().copied().filter(is_free).collect();
        let backfill = |at: &&usize| self.leading(**at).priority == Priority::Backfill;
        let bound = open.len() - free.len() - open.iter().filter(backfill).count();
        let budget = Budget { urls: budget.urls.saturating_sub(bound as u64), ..budget };
        // Unless there is room for all of it, and as much again.
        if free.len() as u64 * 2 > budget.urls {
            let wanted = free.iter().map(|at| &self.wanted[*at]);
            let dirty: Vec<Dirty<'_>> =
                wanted.map(|one| Dirty { url: &one.target.text, force: one.force }).collect();
            let choice = match widening.policy {
                Policy::PerUrl => Choice::default(),
                Policy::Cover => self.cover(&free, &dirty, budget, widening),
                Policy::Threshold(least) => Shape::of(&dirty).over(least, budget, widening.census),
            };
            let is_short = choice.left > budget.urls;
            if is_short && (choice.wide.len() as u64) < budget.directories + budget.regexes {
                // What is kept for later in the day is worth less with every hour of it.
                let rest = Day::of(self.input.now).next().start().since(self.input.now);
                self.plan_again_at(self.input.now.plus(rest / 4));
            }
            let mut wide = choice.wide;
            wide.sort_by_key(|wide| std::cmp::Reverse(wide.members.len()));
            let mut is_full = false;
            for wide in wide {
                is_full |= !self.stand_for(&free, wide);
            }
            let is_full = is_full || is_short;
            if let Some(hour) = self.purse.hour().filter(|hour| is_full && hour.left == 0) {
                self.plan_again_at(hour.until);
            }
        }
        if widening.policy == Policy::Cover {
            self.order_by_path();
        }
    }

    fn cover(
        &self,
        free: &[usize],
        dirty: &[Dirty<'_>],
        budget: Budget,
        widening: &Widening<'_>,
    ) -> Choice {
        let mut shape = Shape::of(dirty);
        if budget.regexes > 0 {
            shape.propose(widening.expressions);
        }
        shape.count(widening.census);
        // A path waits as long as the last of its URLs: each of these costs its part.
        let paths: HashSet<_> = free
            .iter()
            .map(|at| {
                let cause = &self.leading(*at).cause;
                let own = cause.path.is_none().then_some(*at);
                (cause.origin.as_ref(), cause.path.as_ref(), own)
            })
            .collect();
        let day = Day::of(self.input.now).next().start().since(self.input.now);
        let price = |wait: Duration| {
            milliseconds(wait).saturating_mul(paths.len() as u64) / (free.len() as u64).max(1)
        };
        let soft = milliseconds(widening.spare);
        // A day's allowance is worth the same in each kind; a hundred URLs, one object spared.
        let url = soft / 100;
        let limit = |kind| self.purse.limit(kind);
        let worth = |kind| url.saturating_mul(limit(QuotaKind::Url)) / limit(kind).max(1);
        let prices = Prices {
            soft,
            forced: soft.saturating_mul(FORCED),
            wait: price(day),
            url,
            directory: worth(QuotaKind::Directory),
            regex: worth(QuotaKind::Regex),
        };
        let wait = price(day) / 1_000 * widening.again.1;
        shape.choose(budget, &prices, Again { chance: widening.again.0, wait })
    }

    fn plan_again_at(&mut self, at: Timestamp) {
        let at = at.max(self.input.now.plus(SOONEST));
        self.look_again = self.look_again.into_iter().chain([at]).min();
    }

    /// Makes a wide ask of what it stands for, unless that finds no room: then its URLs go, or wait, by
    /// themselves.
    fn stand_for(&mut self, free: &[usize], wide: Wide) -> bool {
        let quota = QuotaKind::of(Action::Refresh, wide.target.kind);
        let members = wide.members.iter().map(|at| self.leading(free[*at as usize]));
        let Some(leading) = members.min_by_key(|intent| intent.priority) else {
            return true;
        };
        let origin = leading.cause.origin.as_ref();
        let room = self.purse.room(quota, leading.priority, origin, wide.target.host());
        if room.left == 0 && room.bound != Bound::Minute {
            return false;
        }
        let mut one = Wanted {
            action: Action::Refresh,
            target: Cow::Owned(wide.target),
            force: wide.force,
            attempt: 0,
            members: Vec::new(),
            oldest: usize::MAX,
            collateral: wide.collateral,
            rank: 0,
            planned: false,
        };
        for at in wide.members {
            let narrow = &mut self.wanted[free[at as usize]];
            one.members.append(&mut narrow.members);
            one.oldest = one.oldest.min(narrow.oldest);
        }
        self.wanted.push(one);
        self.afford_one(self.wanted.len() - 1, quota);
        true
    }

    /// Lets paths with few URLs left go before those with many: so that fewer paths wait.
    fn order_by_path(&mut self) {
        let mut urls: BTreeMap<_, u32> = BTreeMap::new();
        let open: Vec<usize> = self.open(Action::Refresh, Kind::Url).collect();
        let path = |at: &usize| {
            let cause = &self.leading(*at).cause;
            (cause.origin.as_ref(), cause.path.as_ref())
        };
        for at in &open {
            *urls.entry(path(at)).or_default() += 1;
        }
        let ranks: Vec<u32> =
            open.iter().map(|at| urls.get(&path(at)).copied().unwrap_or(0)).collect();
        for (at, rank) in open.into_iter().zip(ranks) {
            self.wanted[at].rank = rank;
        }
    }

    /// Lets one refresh of a URL with all its queries stand for the changed ones, where there are
    /// several: the most first, until so many URLs fewer are short.
    fn fold_queries(&mut self, open: &[usize], mut short: u64, asks: u64) {
        let mut by_text: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for at in open.iter().filter(|at| self.may_be_widened(**at)) {
            by_text.entry(without_query(&self.wanted[*at].target.text)).or_default().push(*at);
        }
        let several = by_text.into_iter().filter(|(_, places)| places.len() > 1);
        let mut several: Vec<(String, Vec<usize>)> =
            several.map(|(text, places)| (text.to_owned(), places)).collect();
        several.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
        for (text, places) in several.into_iter().take(usize::try_from(asks).unwrap_or(usize::MAX))
        {
            if short == 0 {
                return;
            }
            short = short.saturating_sub(places.len() as u64);
            let first = places[0];
            self.wanted[first].target = Cow::Owned(Target::new(Kind::IgnoreParams, text));
            for at in &places[1..] {
                self.wanted[first].force |= self.wanted[*at].force;
                self.carry(vec![(*at, first)]);
            }
        }
    }

    /// Returns whether something wide may stand for it. Backfill takes what is left over: nothing
    /// scarce is spent on it, and nothing else is widened to make room for it.
    fn may_be_widened(&self, at: usize) -> bool {
        self.wanted[at].can_be_carried() && self.leading(at).priority != Priority::Backfill
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
