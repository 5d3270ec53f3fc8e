//! Pace: when the next call of each sort may be made, as the answers so far tell.
//!
//! Pure: time and randomness are handed in. Five things slow calls down, each for its own reason:
//!
//! * *throttling* halves the rate of the one operation at once; it is regained slowly, and only once
//!   a call has gone through. Operations that are throttled together share one pace. It is no fault;
//! * an operation *closes* for a growing while when its queue is full or the key may not make it;
//! * a domain closes for a growing while when the CDN takes nothing more for it, and a kind when the
//!   CDN calls the day's quota spent;
//! * *faults* (nothing reached, time-outs, 5xx, pages of proxies) open a breaker for a growing while;
//!   then one cheap probe tells whether the CDN is back. Each also costs of a budget that answers
//!   refill, so that a CDN that fails often but not always is called once a minute;
//! * a *refused key* stops every call but one probe a minute, until it is taken or another one is there.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::ask::Kind;
use super::facts::Way;
use super::intent::Action;
use super::quota::QuotaKind;
use super::time::{Day, Timestamp};

/// One sort of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errand {
    /// Asking for refreshes.
    Refresh,
    /// Asking for refreshes by cache tag: an operation and a permission of their own.
    Tags,
    /// Asking for prefetches.
    Prefetch,
    /// Looking up what a batch in doubt became.
    Tasks,
    /// Following jobs.
    TasksById,
    /// Reading the quota: costs nothing, so it is also the probe.
    Quota,
}

impl Errand {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Refresh, Self::Tags, Self::Prefetch, Self::Tasks, Self::TasksById, Self::Quota];

    /// Returns the errand of asking for an action on targets of a kind.
    #[must_use]
    pub const fn of(action: Action, kind: Kind) -> Self {
        match (action, kind) {
            (Action::Refresh, Kind::Tag) => Self::Tags,
            (Action::Refresh, _) => Self::Refresh,
            (Action::Prefetch, _) => Self::Prefetch,
        }
    }

    /// Returns what it is called in a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refreshes",
            Self::Tags => "refreshes by tag",
            Self::Prefetch => "prefetches",
            Self::Tasks => "listing tasks",
            Self::TasksById => "following tasks",
            Self::Quota => "reading the quota",
        }
    }
}

impl fmt::Display for Errand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Now.
    Open,
    /// Not before this instant.
    Until(Timestamp),
    /// Not before the probe has been answered.
    Shut,
}

impl Gate {
    /// Returns when it opens, if that is known.
    #[must_use]
    pub const fn at(self) -> Option<Timestamp> {
        match self {
            Self::Until(at) => Some(at),
            Self::Open | Self::Shut => None,
        }
    }
}

/// What came of a call, as far as the pace is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was answered.
    Answer,
    /// It was refused for what it asked for; the CDN is well.
    Refused,
    /// It was refused for this moment: again a little later.
    Later {
        /// The least wait.
        after: Duration,
    },
    /// Calls come too fast.
    Throttled {
        /// The least wait.
        after: Duration,
    },
    /// Nothing more of this operation for now.
    Closed {
        /// The first wait; it doubles each time.
        after: Duration,
        /// Why.
        why: String,
    },
    /// Neither taken nor refused: nothing reached, no whole answer, a server's error.
    Fault {
        /// Whether anything was reached.
        reached: bool,
        /// The least wait.
        after: Duration,
        /// Why.
        why: String,
    },
    /// The CDN is being maintained: no call for now.
    Down {
        /// The least wait.
        after: Duration,
        /// Why.
        why: String,
    },
    /// The key is refused.
    Key {
        /// Why.
        why: String,
    },
}

/// What an operator is told, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The key is refused.
    KeyRefused,
    /// The key is taken again.
    KeyTaken,
    /// The CDN does not answer.
    Away,
    /// The CDN answers again.
    Back,
    /// Calls of an operation go slower.
    Slower,
    /// An operation is closed.
    Closed,
    /// An operation is open again.
    Open,
}

/// Faults in a row that open the breaker.
const FAULTS: u32 = 5;
/// For how long it opens first …
const AWAY: Duration = Duration::from_secs(30);
/// … and at most: a probe costs nothing, and an operator waits for the end of an outage.
const AWAY_MOST: Duration = Duration::from_secs(120);
/// Where nothing was reached not even the CDN is asked: then at most this, so that a name or a route that
/// is mended is used within a minute.
const UNREACHED_MOST: Duration = Duration::from_secs(54);
/// A refused key is probed this often.
const KEY_PROBE: Duration = Duration::from_secs(60);
/// What a kind waits first that the CDN calls spent.
const SPENT: Duration = Duration::from_secs(60);
/// What a closed operation, domain or kind waits at most.
const CLOSED_MOST: Duration = Duration::from_secs(3_600);
/// What a single fault waits at most.
const FAULT_MOST: Duration = Duration::from_secs(60);
/// However often it is throttled, an operation is tried once in this time.
const SLOWEST: Duration = Duration::from_secs(60);
/// How much of the full rate is regained in a minute: all of it in five.
const REGAINED: f64 = 0.2;
/// What the budget of faults holds, what a fault costs, and an answer brings back.
const BUDGET: u32 = 500;
const FAULT_COSTS: u32 = 5;

/// One operation's pace.
#[derive(Clone, Debug)]
struct Lane {
    /// Calls a second when all is well.
    full: f64,
    /// Calls a second at `since`, or now if nothing is being regained.
    rate: f64,
    /// Since when the rate is regained.
    since: Option<Timestamp>,
    /// When the last call ended.
    last: Timestamp,
    not_before: Timestamp,
    /// Faults and refusals for the moment in a row.
    faults: u32,
    /// How often in a row it closed, and why it is closed.
    closures: u32,
    why: String,
}

impl Lane {
    fn rate(&self, now: Timestamp) -> f64 {
        let minutes = self.since.map_or(0.0, |since| now.since(since).as_secs_f64() / 60.0);
        self.full.min(REGAINED.mul_add(self.full * minutes, self.rate))
    }

    fn is_slow(&self, now: Timestamp) -> bool {
        self.rate(now) < self.full
    }

    /// Returns whether nothing has gone through since it was throttled.
    fn is_throttled(&self) -> bool {
        self.since.is_none() && self.rate < self.full
    }
}

/// A growing wait.
#[derive(Clone, Debug)]
struct Wait {
    until: Timestamp,
    times: u32,
    why: String,
}

/// The pace of one account.
#[derive(Clone, Debug)]
pub struct Pace {
    lanes: BTreeMap<Errand, Lane>,
    hosts: BTreeMap<String, Wait>,
    kinds: BTreeMap<QuotaKind, (Day, Wait)>,
    /// Faults since the last answer.
    faults: u32,
    away: Option<Wait>,
    key: Option<Wait>,
    budget: u32,
}

impl Pace {
    /// Makes the pace of an account whose operations may be called so often a second.
    #[must_use]
    pub fn new(calls_per_second: impl Fn(Errand) -> u32) -> Self {
        let lane = |errand: Errand| Lane {
            full: f64::from(calls_per_second(errand).max(1)),
            rate: f64::from(calls_per_second(errand).max(1)),
            since: None,
            last: Timestamp::EPOCH,
            not_before: Timestamp::EPOCH,
            faults: 0,
            closures: 0,
            why: String::new(),
        };
        Self {
            lanes: Errand::ALL.into_iter().map(|errand| (errand, lane(errand))).collect(),
            hosts: BTreeMap::new(),
            kinds: BTreeMap::new(),
            faults: 0,
            away: None,
            key: None,
            budget: BUDGET,
        }
    }

    /// Returns whether a call may be made now.
    #[must_use]
    pub fn gate(&self, errand: Errand, now: Timestamp) -> Gate {
        let mut at = Timestamp::EPOCH;
        for wait in self.key.iter().chain(&self.away) {
            if errand != Errand::Quota {
                return Gate::Shut;
            }
            at = at.max(wait.until);
        }
        if let Some(lane) = self.lanes.get(&errand) {
            // The probe is paced by what it probes for.
            if at == Timestamp::EPOCH {
                at = lane.not_before;
                if lane.is_slow(now) {
                    let last = if lane.is_throttled() { self.last_throttled() } else { lane.last };
                    at = at.max(last.plus(Duration::from_secs_f64(1.0 / lane.rate(now))));
                }
                if self.budget < FAULT_COSTS {
                    at = at.max(lane.last.plus(SLOWEST));
                }
            }
        }
        if now >= at { Gate::Open } else { Gate::Until(at) }
    }

    /// Returns when the last call was made of any operation that is throttled: together they are paced
    /// as one, for it may be the account that calls too fast.
    fn last_throttled(&self) -> Timestamp {
        let throttled = self.lanes.values().filter(|lane| lane.is_throttled());
        throttled.map(|lane| lane.last).max().unwrap_or(Timestamp::EPOCH)
    }

    /// Returns whether an operation is not allowed, or its queue is full, and it is not time yet to try.
    #[must_use]
    pub fn is_closed(&self, errand: Errand, now: Timestamp) -> bool {
        self.lanes.get(&errand).is_some_and(|lane| lane.closures > 0 && lane.not_before > now)
    }

    /// Returns when the probe that everything waits for may be made, if everything does.
    #[must_use]
    pub fn probe_at(&self) -> Option<Timestamp> {
        self.key.iter().chain(&self.away).map(|wait| wait.until).max()
    }

    /// Takes in what came of a call; returns what is news.
    pub fn heard(
        &mut self,
        errand: Errand,
        heard: Heard,
        now: Timestamp,
        random: u64,
    ) -> Option<News> {
        let is_fault = matches!(heard, Heard::Fault { .. } | Heard::Down { .. });
        let is_key = matches!(heard, Heard::Key { .. });
        let mut news = None;
        if is_fault {
            self.faults = self.faults.saturating_add(1);
            self.budget = self.budget.saturating_sub(FAULT_COSTS);
            if let Some(key) = &mut self.key {
                key.until = now.plus(KEY_PROBE);
            }
        } else {
            self.faults = 0;
            self.budget = self.budget.saturating_add(1).min(BUDGET);
            news = self.away.take().map(|_| News::Back);
            // Whoever refuses a key says so; every other answer has taken it.
            if !is_key && self.key.take().is_some() {
                news = Some(News::KeyTaken);
            }
        }
        let (faults, is_away) = (self.faults, self.away.is_some());
        let throttled = self.lanes.values().filter(|lane| lane.is_throttled());
        let slowest = throttled.map(|lane| lane.rate).reduce(f64::min).unwrap_or(f64::MAX);
        let lane = self.lanes.get_mut(&errand)?;
        lane.last = now;
        let is_again = is_fault || matches!(heard, Heard::Later { .. });
        lane.faults = if is_again { lane.faults.saturating_add(1) } else { 0 };
        if matches!(heard, Heard::Answer | Heard::Refused) {
            if lane.closures > 0 {
                (lane.closures, lane.why) = (0, String::new());
                news = news.or(Some(News::Open));
            }
            if lane.is_slow(now) && lane.since.is_none() {
                lane.since = Some(now);
            } else if !lane.is_slow(now) {
                (lane.rate, lane.since) = (lane.full, None);
            }
        }
        match heard {
            Heard::Answer | Heard::Refused => {}
            Heard::Later { after } => {
                lane.not_before = now.plus(grown(after, lane.faults - 1, FAULT_MOST, random));
            }
            Heard::Throttled { after } => {
                news = news.or((!lane.is_slow(now)).then_some(News::Slower));
                let rate = lane.rate(now).min(slowest);
                lane.rate = (rate / 2.0).max(1.0 / SLOWEST.as_secs_f64());
                lane.since = None;
                lane.not_before = now.plus(after);
            }
            Heard::Closed { after, why } => {
                news = news.or((lane.closures == 0).then_some(News::Closed));
                lane.not_before = now.plus(grown(after, lane.closures, CLOSED_MOST, random));
                lane.closures = lane.closures.saturating_add(1);
                lane.why = why;
            }
            Heard::Fault { reached, after, why } => {
                let wait = grown(Duration::from_secs(1), lane.faults - 1, FAULT_MOST, random);
                lane.not_before = now.plus(wait.max(after));
                if faults >= FAULTS {
                    news = (!is_away).then_some(News::Away);
                    let most = if reached { AWAY_MOST } else { UNREACHED_MOST };
                    self.open(AWAY.max(after)..most, why, now, random);
                }
            }
            Heard::Down { after, why } => {
                // The probe may well be answered while this operation is not.
                lane.not_before = now.plus(grown(after, lane.faults - 1, AWAY_MOST, random));
                news = (!is_away).then_some(News::Away);
                self.open(after..AWAY_MOST, why, now, random);
            }
            Heard::Key { why } => {
                news = self.key.is_none().then_some(News::KeyRefused);
                self.key = Some(Wait { until: now.plus(KEY_PROBE), times: 1, why });
            }
        }
        news
    }

    /// Opens the breaker, or lets it stay open for longer: from the first of the `waits` to the last.
    fn open(&mut self, waits: Range<Duration>, why: String, now: Timestamp, random: u64) {
        let times = self.away.as_ref().map_or(0, |wait| wait.times);
        let wait = grown(waits.start, times, waits.end, random);
        self.away = Some(Wait { until: now.plus(wait), times: times.saturating_add(1), why });
    }

    /// Lets the probe try another key at once. That one was refused is news no more before it is taken.
    pub fn new_key(&mut self, now: Timestamp) {
        if let Some(key) = &mut self.key {
            key.until = now;
        }
    }

    /// Closes a kind of quota that the CDN calls spent, whatever is known of it: first for a minute, and
    /// twice as long each time in a row, but for this day only.
    pub fn close_kind(&mut self, kind: QuotaKind, why: &str, now: Timestamp, random: u64) {
        let times = self.spent_today(kind, now).map_or(0, |wait| wait.times);
        let until = now.plus(grown(SPENT, times, CLOSED_MOST, random));
        let wait = Wait { until, times: times.saturating_add(1), why: why.to_owned() };
        self.kinds.insert(kind, (Day::of(now), wait));
    }

    /// Forgets that a kind was spent: the CDN took something of it.
    pub fn open_kind(&mut self, kind: QuotaKind) {
        self.kinds.remove(&kind);
    }

    /// Returns until when nothing of a kind is asked for because the CDN calls it spent, and why.
    #[must_use]
    pub fn closed_kind(&self, kind: QuotaKind, now: Timestamp) -> Option<(Timestamp, &str)> {
        let wait = self.spent_today(kind, now).filter(|wait| wait.until > now)?;
        Some((wait.until.min(Day::of(now).next().start()), &wait.why))
    }

    fn spent_today(&self, kind: QuotaKind, now: Timestamp) -> Option<&Wait> {
        self.kinds.get(&kind).filter(|(day, _)| *day == Day::of(now)).map(|(_, wait)| wait)
    }

    /// Closes a domain: first for `after`, and twice as long each time in a row. Returns until when, and
    /// whether that is news.
    pub fn close_host(
        &mut self,
        host: &str,
        after: Duration,
        why: &str,
        now: Timestamp,
        random: u64,
    ) -> (Timestamp, bool) {
        let times = self.hosts.get(host).map_or(0, |wait| wait.times);
        let until = now.plus(grown(after, times, CLOSED_MOST, random));
        let wait = Wait { until, times: times.saturating_add(1), why: why.to_owned() };
        self.hosts.insert(host.to_owned(), wait);
        (until, times == 0)
    }

    /// Returns until when a domain takes nothing, and why.
    #[must_use]
    pub fn closed_host(&self, host: &str, now: Timestamp) -> Option<(Timestamp, &str)> {
        let wait = self.hosts.get(host).filter(|wait| wait.until > now)?;
        Some((wait.until, &wait.why))
    }

    /// Returns whether any domain takes nothing.
    #[must_use]
    pub fn has_closed_hosts(&self, now: Timestamp) -> bool {
        self.hosts.values().any(|wait| wait.until > now)
    }

    /// Forgets that domains were closed: the CDN took something for them. Returns those that were.
    pub fn open_hosts<'h>(&mut self, hosts: impl IntoIterator<Item = &'h str>) -> Vec<String> {
        let hosts = hosts.into_iter();
        hosts.filter_map(|host| self.hosts.remove_entry(host)).map(|(host, _)| host).collect()
    }

    /// Returns how the way to the CDN stands: the worst that [`note`](Self::note) tells of.
    #[must_use]
    pub fn way(&self, now: Timestamp) -> Way {
        if self.key.is_some() {
            Way::KeyRefused
        } else if self.away.is_some() {
            Way::Away
        } else if self.lanes.values().any(|lane| lane.closures > 0) {
            Way::Closed
        } else if self.note(now).is_empty() {
            Way::Open
        } else {
            Way::Slow
        }
    }

    /// Says what slows or stops calls; empty when nothing does.
    #[must_use]
    pub fn note(&self, now: Timestamp) -> String {
        let mut lines = Vec::new();
        if let Some(key) = &self.key {
            lines.push(format!("the CDN refuses the key: {}; probed once a minute", key.why));
        }
        if let Some(away) = &self.away {
            let (why, until) = (&away.why, away.until);
            lines.push(format!("the CDN does not answer: {why}; probed at {until}"));
        }
        for (errand, lane) in &self.lanes {
            if lane.closures > 0 {
                let (why, at) = (&lane.why, lane.not_before);
                lines.push(if at > now {
                    format!("{errand}: {why}; again at {at}")
                } else {
                    format!("{errand}: {why}; tried again with what comes next")
                });
            } else if lane.is_slow(now) {
                let rate = lane.rate(now);
                lines.push(if rate < 1.0 {
                    format!("{errand}: throttled to one call in {:.0} s", 1.0 / rate)
                } else {
                    format!("{errand}: throttled to {rate:.0} calls a second")
                });
            }
        }
        if self.budget < FAULT_COSTS {
            lines.push("too many calls fail: one a minute until fewer do".to_owned());
        }
        for kind in QuotaKind::ALL {
            if let Some((until, why)) = self.closed_kind(kind, now) {
                lines.push(format!("{}: {why}; again at {until}", kind.plural()));
            }
        }
        for (host, wait) in self.hosts.iter().filter(|(_, wait)| wait.until > now) {
            lines.push(format!("{host}: {}; again at {}", wait.why, wait.until));
        }
        lines.join("; ")
    }
}

/// Returns `first` doubled `times` times, at most `most` (or `first`, if that is longer), and up to a
/// tenth more.
fn grown(first: Duration, times: u32, most: Duration, random: u64) -> Duration {
    let wait = first.saturating_mul(1 << times.min(20)).min(most.max(first));
    let tenths = u32::try_from(random % 101).unwrap_or(0);
    wait.saturating_mul(1000 + tenths) / 1000
}

#[cfg(test)]
mod tests;
