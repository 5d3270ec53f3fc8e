//! The purse: what may still be spent now, on what and for whom, and what stands against more.
//!
//! A purse is made for one plan. It never gives more than the day has left; on top of that:
//!
//! * the *reserve*, the last part of a day, is for urgent work only;
//! * a *share* is an origin's part of the rest: others may use it only beyond what its owner has left
//!   of it. When less is left than was promised, each owner has its part of what there is;
//! * *pacing*: backfill leaves normal work what that is expected to need until the day turns, and in
//!   the first half of what is open to it at least that half's even spread;
//! * no host gets more in any minute than the CDN takes;
//! * no more wide refreshes begin in any hour than the operator allows.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{Allowance, PerKind, QuotaKind};
use crate::domain::intent::Priority;
use crate::domain::limits::Limits;
use crate::domain::names::OriginName;
use crate::domain::time::{Day, Timestamp};

/// The minute of the CDN's limits for a host.
pub const MINUTE: Duration = Duration::from_secs(60);
/// The hour of the cap on wide refreshes.
pub const HOUR: Duration = Duration::from_secs(3_600);
/// How often backfill is looked at again while it makes room.
const PACE: Duration = Duration::from_secs(900);
/// One call more than the clock's whole second, as in [`may_call`](super::may_call).
const MARGIN: Duration = Duration::from_secs(1);

/// Returns whether an ask of this kind counts against the cap on wide refreshes.
#[must_use]
pub const fn is_wide(kind: QuotaKind) -> bool {
    matches!(kind, QuotaKind::Directory | QuotaKind::Regex | QuotaKind::Tag)
}

/// What an operator decides about an account's spending.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rules {
    /// How much of each kind's day only urgent work may touch, in percent, rounded down to asks.
    pub reserve: u64,
    /// How much of each kind's day, less the reserve, is kept for an origin: in percent, together at
    /// most 100.
    pub shares: BTreeMap<OriginName, u64>,
    /// How many wide refreshes (directory, regex, tag) may begin in any hour; none for no cap.
    pub wide_per_hour: Option<u64>,
}

impl Rules {
    /// Returns how much of a day's `limit` is reserve.
    #[must_use]
    pub const fn reserved(&self, limit: u64) -> u64 {
        part(limit, self.reserve)
    }

    /// Returns how much of a day's `limit` of a kind is kept for an origin: of tags nothing, for only a
    /// person asks by tag.
    #[must_use]
    pub fn share(&self, origin: &OriginName, kind: QuotaKind, limit: u64) -> u64 {
        let percent = self.shares.get(origin).filter(|_| kind != QuotaKind::Tag);
        let percent = percent.copied().unwrap_or(0);
        part(limit - self.reserved(limit), percent)
    }
}

/// Returns `percent` of `whole`, rounded down.
const fn part(whole: u64, percent: u64) -> u64 {
    let percent = if percent > 100 { 100 } else { percent };
    whole / 100 * percent + whole % 100 * percent / 100
}

/// What an account spent lately.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Spending {
    /// Today, by origin.
    pub origins: BTreeMap<OriginName, PerKind<u64>>,
    /// Today, by others than us, as far as the CDN's answers told.
    pub foreign: PerKind<u64>,
    /// What began in the last minute of the kinds that a host takes so much of in a minute, and in the
    /// last hour of the wide kinds; oldest first.
    pub recent: Vec<Recent>,
}

/// Some asks that began at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// When.
    pub at: Timestamp,
    /// Of which kind.
    pub kind: QuotaKind,
    /// On which host.
    pub host: String,
    /// How many.
    pub amount: u64,
}

/// What stands against spending more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The day is spent.
    Day,
    /// The rest is reserve.
    Reserve,
    /// The rest is the share of others.
    Share,
    /// Backfill leaves the rest to normal work, for now.
    Pace,
    /// The host had its minute's.
    Minute,
    /// The hour had its wide refreshes.
    Hour,
}

/// How much room there is, and what bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many asks may still be spent.
    pub left: u64,
    /// What stands against more.
    pub bound: Bound,
    /// When there may be more.
    pub until: Timestamp,
}

impl Room {
    /// Lets something else stand against more, too.
    fn narrow(&mut self, left: u64, bound: Bound, until: Timestamp) {
        let longer = left == 0 && self.left == 0 && until > self.until;
        if left < self.left || longer {
            *self = Self { left, bound, until };
        }
    }
}

/// What one host had in the last minute.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    used: PerKind<u64>,
    newest: Timestamp,
}

/// One kind's part of the purse.
#[derive(Clone, Copy, Debug, Default)]
struct Pot {
    allowance: Allowance,
    /// What is left of the day.
    rest: u64,
    reserve: u64,
    /// What backfill leaves to others.
    keep: u64,
    /// What all origins have left of their shares.
    promised: u64,
}

/// What may still be spent now. Asking is cheap: a few look-ups.
#[derive(Clone, Debug)]
pub struct Purse {
    now: Timestamp,
    turn: Timestamp,
    pots: PerKind<Pot>,
    shares: BTreeMap<OriginName, PerKind<u64>>,
    hosts: HashMap<String, Minute>,
    /// How much of a kind one host takes in any minute.
    per_minute: PerKind<Option<u64>>,
    cap: Option<u64>,
    /// When wide refreshes of the last hour began, oldest first; filled if there is a cap.
    wide: Vec<(Timestamp, u64)>,
}

impl Purse {
    /// Makes a purse that knows of a day's allowances only.
    #[must_use]
    pub fn plain(now: Timestamp, allowances: &PerKind<Allowance>) -> Self {
        let (rules, spending) = (Rules::default(), Spending::default());
        Self::new(now, allowances, &rules, &Limits::DOCUMENTED, &spending, &PerKind::default())
    }

    /// Returns what the day allows of a kind, spent or not.
    #[must_use]
    pub fn limit(&self, kind: QuotaKind) -> u64 {
        self.pots[kind].allowance.limit
    }

    /// Makes a purse. `expected` is what normal and urgent work may need until the day turns, as far
    /// as earlier days tell.
    #[must_use]
    pub fn new(
        now: Timestamp,
        allowances: &PerKind<Allowance>,
        rules: &Rules,
        limits: &Limits,
        spending: &Spending,
        expected: &PerKind<u64>,
    ) -> Self {
        let turn = Day::of(now).next().start();
        let mut shares: BTreeMap<OriginName, PerKind<u64>> = BTreeMap::new();
        for origin in rules.shares.keys() {
            let spent = spending.origins.get(origin).copied().unwrap_or_default();
            let left = |kind: QuotaKind| {
                rules.share(origin, kind, allowances[kind].limit).saturating_sub(spent[kind])
            };
            shares.insert(origin.clone(), PerKind::from_fn(left));
        }
        let pots = PerKind::from_fn(|kind| {
            let allowance = allowances[kind];
            let reserve = rules.reserved(allowance.limit);
            Pot {
                allowance,
                rest: allowance.left(),
                reserve,
                keep: even_spread(allowance.limit - reserve, now, turn).max(expected[kind]),
                promised: shares.values().map(|left| left[kind]).sum(),
            }
        });
        let mut purse = Self {
            now,
            turn: turn.plus(MARGIN),
            pots,
            shares,
            hosts: HashMap::new(),
            per_minute: limits.per_minute(),
            cap: rules.wide_per_hour,
            wide: Vec::new(),
        };
        for recent in &spending.recent {
            purse.remember(recent.at, recent.kind, &recent.host, recent.amount);
        }
        purse
    }

    /// Counts what began at `at` against the limits of a minute and of an hour.
    fn remember(&mut self, at: Timestamp, kind: QuotaKind, host: &str, amount: u64) {
        if self.per_minute[kind].is_some() && self.now.since(at) < MINUTE {
            if !self.hosts.contains_key(host) {
                self.hosts.insert(host.to_owned(), Minute::default());
            }
            if let Some(minute) = self.hosts.get_mut(host) {
                minute.used[kind] += amount;
                minute.newest = minute.newest.max(at);
            }
        }
        if self.cap.is_some() && is_wide(kind) && self.now.since(at) < HOUR {
            match self.wide.last_mut() {
                Some((last, count)) if *last == at => *count += amount,
                _ => self.wide.push((at, amount)),
            }
        }
    }

    /// Returns how many asks of a kind may still go out now.
    #[must_use]
    pub fn left(
        &self,
        kind: QuotaKind,
        priority: Priority,
        origin: Option<&OriginName>,
        host: &str,
    ) -> u64 {
        self.room(kind, priority, origin, host).left
    }

    /// Returns how many asks of a kind may still go out now, and what stands against more: where
    /// several things forbid it altogether, the one that does so longest.
    #[must_use]
    pub fn room(
        &self,
        kind: QuotaKind,
        priority: Priority,
        origin: Option<&OriginName>,
        host: &str,
    ) -> Room {
        let mut room = self.room_today(kind, priority, origin);
        if let Some(limit) = self.per_minute[kind] {
            let minute = self.hosts.get(host).copied().unwrap_or_default();
            let left = limit.saturating_sub(minute.used[kind]);
            let until = minute.newest.max(self.now.minus(MINUTE)).plus(MINUTE);
            room.narrow(left, Bound::Minute, until);
        }
        if let Some(hour) = self.hour().filter(|_| is_wide(kind)) {
            room.narrow(hour.left, hour.bound, hour.until);
        }
        room
    }

    /// Returns how many asks of a kind may still go out today, a minute's and an hour's limits left
    /// aside.
    #[must_use]
    pub fn room_today(
        &self,
        kind: QuotaKind,
        priority: Priority,
        origin: Option<&OriginName>,
    ) -> Room {
        let pot = &self.pots[kind];
        let mut room = Room { left: pot.rest, bound: Bound::Day, until: self.turn };
        let mut open = pot.rest;
        if priority != Priority::Urgent {
            open = open.saturating_sub(pot.reserve);
            room.narrow(open, Bound::Reserve, self.turn);
        }
        if pot.promised > 0 {
            let own = origin.and_then(|origin| self.shares.get(origin)).map_or(0, |own| own[kind]);
            let beyond = open.saturating_sub(pot.promised - own);
            // Rounded up: what is left is never out of everybody's reach.
            let part = (u128::from(open) * u128::from(own)).div_ceil(u128::from(pot.promised));
            open = beyond.max(u64::try_from(part).unwrap_or(open)).min(open);
            room.narrow(open, Bound::Share, self.turn);
        }
        if priority == Priority::Backfill {
            let paced = (pot.rest.saturating_sub(pot.reserve)).saturating_sub(pot.keep);
            room.narrow(paced, Bound::Pace, next_pace(self.now));
        }
        room
    }

    /// Returns how many wide refreshes may still begin within the hour; none without a cap.
    #[must_use]
    pub fn hour(&self) -> Option<Room> {
        let begun: u64 = self.wide.iter().map(|(_, count)| count).sum();
        let oldest = self.wide.first().map_or(self.now, |(at, _)| *at);
        self.cap.map(|cap| Room {
            left: cap.saturating_sub(begun),
            bound: Bound::Hour,
            until: oldest.plus(HOUR),
        })
    }

    /// Returns whether origins have shares: then what one may spend another may not.
    #[must_use]
    pub fn has_shares(&self) -> bool {
        !self.shares.is_empty()
    }

    /// Takes asks out of the purse. What is not in it can't be taken: ask first.
    pub fn spend(&mut self, kind: QuotaKind, origin: Option<&OriginName>, host: &str, amount: u64) {
        let pot = &mut self.pots[kind];
        pot.rest = pot.rest.saturating_sub(amount);
        if let Some(own) = origin.and_then(|origin| self.shares.get_mut(origin)) {
            let taken = own[kind].min(amount);
            own[kind] -= taken;
            pot.promised -= taken;
        }
        self.remember(self.now, kind, host, amount);
    }

    /// Says why what finds no room waits, and until when.
    #[must_use]
    pub fn why(&self, kind: QuotaKind, room: &Room, host: &str) -> String {
        let what = kind.plural();
        let Pot { allowance, reserve, .. } = self.pots[kind];
        let limit = allowance.limit;
        let midnight = Day::of(self.now).next().start();
        let after_midnight = format!("goes out after 00:00 UTC+8 ({midnight})");
        let until = room.until;
        match room.bound {
            Bound::Day => {
                let state = match (limit, allowance.left()) {
                    (0, _) => format!("the account is allowed no {what} today"),
                    (_, 0) => format!("today's {what} ({limit}) are spent"),
                    // Still true when it is read after they are gone.
                    _ => format!("today's {what} ({limit}) go to older changes"),
                };
                format!("{state}; {after_midnight}")
            }
            Bound::Reserve => format!(
                "{reserve} of today's {limit} {what} {kept} for urgent work; {after_midnight}",
                kept = if reserve == 1 { "is kept" } else { "are kept" },
            ),
            Bound::Share => format!(
                "what is left of today's {what} ({limit}) is the share of other origins; \
                {after_midnight}"
            ),
            Bound::Pace => format!(
                "it is in no hurry, and what is left of today's {what} ({limit}) is kept for \
                changes; looked at again at {until}"
            ),
            Bound::Minute => format!(
                "{host} was asked for all the {what} that the CDN takes in a minute; goes out \
                after {until}"
            ),
            Bound::Hour => format!(
                "as many directories, regexes and tags were refreshed within an hour as the account's \
                `wide_per_hour` allows; goes out after {until}"
            ),
        }
    }
}

/// Returns half of what is open to all, less what of it the day's course has freed for backfill.
fn even_spread(open: u64, now: Timestamp, turn: Timestamp) -> u64 {
    let day = 86_400;
    let left = turn.since(now).as_secs().min(day);
    let half = u128::from(open) * u128::from(left) / u128::from(2 * day);
    u64::try_from(half).unwrap_or(open)
}

/// Returns when backfill is looked at next.
fn next_pace(now: Timestamp) -> Timestamp {
    let slot = i64::try_from(PACE.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_seconds((now.as_seconds().div_euclid(slot) + 1) * slot)
}

#[cfg(test)]
mod tests;
