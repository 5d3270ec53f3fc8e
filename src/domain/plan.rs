//! The plan: which asks go to the CDN now, in which batches, and what waits and why.
//!
//! **Invariant:** every intent handed in is in exactly one ask, or waits with a reason, or is left
//! for the next turn because a batch of its action and kind is in flight; and no kind's asks are
//! more than its budget.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::ask::{Kind, Target};
use super::intent::{Action, Intent, IntentId, Wait, Waiting};
use super::quota::{Allowance, PerKind, QuotaKind};
use super::task::Ask;
use super::time::{Day, Timestamp};
use super::url::literal_start;

mod cover;
mod cut;
mod say;

#[cfg(test)]
mod tests;

/// The most distinct domains of one refresh request (API reference, section 0).
pub const DOMAINS_PER_REQUEST: usize = 10;

/// How long the encoded query of a prefetch may be, in bytes: its targets travel there, and no
/// limit of the gateway is published (API reference, 1.1).
pub const QUERY_BYTES: usize = 8_000;

/// How long the encoded form of a refresh may be, in bytes: ours, for the same reason.
pub const BODY_BYTES: usize = 1 << 20;

/// How large a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most asks of a batch, whatever the CDN takes: it bounds how much can be in doubt at once.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch: 100 }
    }
}

impl Limits {
    /// Returns the most asks of one request: the smaller of `batch` and what the API takes (API
    /// reference, section 0; for ignore-params nothing is stated, and 100 is a day's quota).
    #[must_use]
    pub fn per_request(self, action: Action, kind: Kind) -> usize {
        let taken = match (action, kind) {
            (Action::Refresh, Kind::Url) => 1_000,
            (Action::Refresh, Kind::Regex) => 1,
            (Action::Refresh, Kind::Directory | Kind::IgnoreParams) | (Action::Prefetch, _) => 100,
        };
        self.batch.clamp(1, taken)
    }
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Now, as the CDN's clock has it.
    pub now: Timestamp,
    /// Due intents of one account, oldest first.
    pub intents: &'a [Intent],
    /// Targets of open refreshes that could delay a prefetch (rule 9).
    pub open_refreshes: &'a [Target],
    /// Action and kind of each batch in flight or in doubt: there is one a kind.
    pub in_flight: &'a [(Action, Kind)],
    /// What the day allows and what is spent.
    pub allowances: &'a PerKind<Allowance>,
    /// How large a batch may be.
    pub limits: Limits,
}

/// A batch that has no key yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBatch {
    /// What the CDN is to do.
    pub action: Action,
    /// The kind that all asks share.
    pub kind: Kind,
    /// Whether cached copies are to be dropped; false where the wire has no use for it.
    pub force: bool,
    /// The asks, oldest first.
    pub asks: Vec<Ask>,
    /// One sentence: why these.
    pub why: String,
}

/// What is to be asked, and what waits.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// The batches, the one with the oldest intent first.
    pub batches: Vec<PlannedBatch>,
    /// What waits, and why.
    pub waiting: Vec<(IntentId, Waiting)>,
}

/// A target that is wanted, with the intents that want it. Without members it is carried by another.
#[derive(Debug)]
struct Wanted<'a> {
    action: Action,
    target: &'a Target,
    force: bool,
    attempt: u32,
    /// Places of its intents in the input, its own and those it carries.
    members: Vec<usize>,
    /// The place of its oldest intent; stays when it is carried.
    oldest: usize,
}

impl Wanted<'_> {
    /// Returns whether a wider ask may stand for it: not if one already failed it (rule 2).
    const fn can_be_carried(&self) -> bool {
        self.attempt == 0
    }
}

/// Decides what is asked of the CDN now. Deterministic: the same input makes the same plan.
#[must_use]
pub fn plan(input: &Input<'_>) -> Plan {
    let mut planner = Planner {
        input,
        wanted: gather(input.intents),
        planned: Vec::new(),
        waiting: Vec::new(),
    };
    // Wide kinds first: only an ask that really goes out carries others.
    planner.nest_directories();
    let directories = planner.afford(Action::Refresh, Kind::Directory);
    planner.carry_below(&directories);
    planner.afford(Action::Refresh, Kind::Regex);
    let variants = planner.afford(Action::Refresh, Kind::IgnoreParams);
    planner.carry_variants(&variants);
    planner.afford(Action::Refresh, Kind::Url);
    planner.hold_prefetches();
    for kind in Kind::ALL {
        planner.afford(Action::Prefetch, kind);
    }
    planner.finish()
}

/// Makes one of each (action, target), in the order of their oldest intents.
fn gather(intents: &[Intent]) -> Vec<Wanted<'_>> {
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    let mut places: HashMap<(Action, &Target), usize> = HashMap::with_capacity(intents.len());
    for (place, intent) in intents.iter().enumerate() {
        let at = *places
            .entry((intent.action, &intent.target))
            .or_insert(wanted.len());
        if at == wanted.len() {
            wanted.push(Wanted {
                action: intent.action,
                target: &intent.target,
                force: false,
                attempt: 0,
                members: Vec::with_capacity(1),
                oldest: place,
            });
        }
        let one = &mut wanted[at];
        one.force |= intent.force;
        one.attempt = one.attempt.max(intent.attempt());
        one.members.push(place);
    }
    wanted
}

struct Planner<'a> {
    input: &'a Input<'a>,
    wanted: Vec<Wanted<'a>>,
    /// Places in `wanted` of what goes out.
    planned: Vec<usize>,
    waiting: Vec<(usize, Waiting)>,
}

impl<'a> Planner<'a> {
    fn in_flight(&self, action: Action, kind: Kind) -> bool {
        self.input.in_flight.contains(&(action, kind))
    }

    /// Returns what is wanted of an action and kind and not carried by another.
    fn open(&self, action: Action, kind: Kind) -> impl Iterator<Item = usize> {
        self.wanted
            .iter()
            .enumerate()
            .filter(move |(_, one)| {
                one.action == action && one.target.kind == kind && !one.members.is_empty()
            })
            .map(|(at, _)| at)
    }

    fn item(&self, at: usize, wide: bool) -> cover::Item<'a> {
        let one = &self.wanted[at];
        cover::Item {
            text: &one.target.text,
            wide,
            force: one.force,
            can_be_carried: one.can_be_carried(),
            place: at,
        }
    }

    fn carry(&mut self, pairs: Vec<(usize, usize)>) {
        for (narrow, wide) in pairs {
            let members = std::mem::take(&mut self.wanted[narrow].members);
            let oldest = self.wanted[narrow].oldest;
            self.wanted[wide].members.extend(members);
            self.wanted[wide].oldest = self.wanted[wide].oldest.min(oldest);
        }
    }

    /// Lets a directory carry the directories below it. This comes before the budget is spent: a
    /// directory that then doesn't fit leaves nothing over for those it would have carried.
    fn nest_directories(&mut self) {
        if self.in_flight(Action::Refresh, Kind::Directory) {
            return;
        }
        let items = self.open(Action::Refresh, Kind::Directory);
        let pairs = cover::by_prefix(items.map(|at| self.item(at, true)).collect());
        self.carry(pairs);
    }

    /// Lets planned directories carry what lies below them.
    fn carry_below(&mut self, directories: &[usize]) {
        if directories.is_empty() {
            return;
        }
        let wide = directories.iter().map(|at| self.item(*at, true));
        let narrow = [Kind::IgnoreParams, Kind::Url]
            .into_iter()
            .flat_map(|kind| self.open(Action::Refresh, kind))
            .map(|at| self.item(at, false));
        let pairs = cover::by_prefix(wide.chain(narrow).collect());
        self.carry(pairs);
    }

    /// Lets planned ignore-params asks carry the queries of their URLs.
    fn carry_variants(&mut self, variants: &[usize]) {
        let by_text: HashMap<&str, usize> = variants
            .iter()
            .map(|at| (self.wanted[*at].target.text.as_str(), *at))
            .collect();
        if by_text.is_empty() {
            return;
        }
        let pairs = self
            .open(Action::Refresh, Kind::Url)
            .filter_map(|narrow| {
                let one = &self.wanted[narrow];
                let wide = *by_text.get(without_query(&one.target.text))?;
                let reaches = self.wanted[wide].force || !one.force;
                (reaches && one.can_be_carried()).then_some((narrow, wide))
            })
            .collect();
        self.carry(pairs);
    }

    /// Plans what the budget allows of an action and kind, oldest first; the rest waits. Returns
    /// what is planned. Nothing is, while a batch is in flight.
    fn afford(&mut self, action: Action, kind: Kind) -> Vec<usize> {
        if self.in_flight(action, kind) {
            return Vec::new();
        }
        let mut open: Vec<usize> = self.open(action, kind).collect();
        open.sort_unstable_by_key(|at| self.wanted[*at].oldest);
        let quota = QuotaKind::of(action, kind);
        let allowance = self.input.allowances[quota];
        let planned = &self.planned;
        let spent = planned
            .iter()
            .filter(|at| {
                let one = &self.wanted[**at];
                QuotaKind::of(one.action, one.target.kind) == quota
            })
            .count();
        let left = usize::try_from(allowance.left())
            .unwrap_or(usize::MAX)
            .saturating_sub(spent);
        let rest = open.split_off(left.min(open.len()));
        if !rest.is_empty() {
            let refill = Day::of(self.input.now).next().start();
            let waiting = Waiting {
                wait: Wait::Quota,
                why: say::spent(quota, allowance, refill),
                until: Some(refill.plus(Duration::from_secs(1))),
            };
            for at in rest {
                self.let_wait(at, &waiting);
            }
        }
        self.planned.extend(&open);
        open
    }

    /// Lets a prefetch wait while a refresh of its URL is open (rule 9). An open expression delays
    /// every URL that begins as it does: whether it matches is for the CDN to say.
    fn hold_prefetches(&mut self) {
        let prefetches: Vec<usize> = Kind::ALL
            .into_iter()
            .filter(|kind| !self.in_flight(Action::Prefetch, *kind))
            .flat_map(|kind| self.open(Action::Prefetch, kind))
            .collect();
        if prefetches.is_empty() {
            return;
        }
        let asked = self.wanted.iter();
        let refreshes: Vec<&Target> = asked
            .filter(|one| one.action == Action::Refresh)
            .map(|one| one.target)
            .chain(self.input.open_refreshes)
            .collect();
        let exact: HashSet<(Kind, &str)> = refreshes
            .iter()
            .map(|target| (target.kind, target.text.as_str()))
            .collect();
        let wide = refreshes.iter().enumerate().filter_map(|(place, target)| {
            let text = match target.kind {
                Kind::Directory => target.text.as_str(),
                Kind::Regex => literal_start(&target.text),
                Kind::Url | Kind::IgnoreParams => return None,
            };
            Some(cover::Item {
                text,
                wide: true,
                force: false,
                can_be_carried: false,
                place,
            })
        });
        let narrow = prefetches.iter().map(|at| cover::Item {
            can_be_carried: true,
            force: false,
            ..self.item(*at, false)
        });
        let below: HashMap<usize, usize> = cover::by_prefix(wide.chain(narrow).collect())
            .into_iter()
            .collect();
        for at in prefetches {
            let text = self.wanted[at].target.text.as_str();
            let refresh = if exact.contains(&(Kind::Url, text)) {
                "its url".to_owned()
            } else if exact.contains(&(Kind::IgnoreParams, without_query(text))) {
                format!("{} {}", Kind::IgnoreParams, without_query(text))
            } else if let Some(place) = below.get(&at) {
                refreshes[*place].to_string()
            } else {
                continue;
            };
            let waiting = Waiting {
                wait: Wait::Refresh,
                why: format!("goes out after the refresh of {refresh}, which is still open"),
                until: None,
            };
            self.let_wait(at, &waiting);
        }
    }

    fn let_wait(&mut self, at: usize, waiting: &Waiting) {
        for member in std::mem::take(&mut self.wanted[at].members) {
            self.waiting.push((member, waiting.clone()));
        }
    }

    fn finish(mut self) -> Plan {
        let intents = self.input.intents;
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for one in &mut self.wanted {
            one.members.sort_unstable();
        }
        self.planned
            .sort_unstable_by_key(|at| self.wanted[*at].oldest);
        for at in self.planned {
            let one = &self.wanted[at];
            let kind = one.target.kind;
            // A url refresh deletes and a prefetch fetches, whatever `Force` says.
            let force = one.force && one.action == Action::Refresh && kind != Kind::Url;
            groups
                .entry((one.action, kind, force, one.attempt))
                .or_default()
                .push(at);
        }
        let mut batches: Vec<(usize, PlannedBatch)> = Vec::new();
        for ((action, kind, force, attempt), group) in groups {
            // What was refused once goes apart and in ever smaller batches, so that one bad target
            // is soon alone.
            let limit = self.input.limits.per_request(action, kind);
            let limit = limit.checked_shr(attempt).unwrap_or(0).max(1);
            let targets = group.iter().map(|at| self.wanted[*at].target);
            for batch in cut::cut(action, limit, targets) {
                let batch: Vec<&Wanted<'_>> = batch
                    .into_iter()
                    .map(|nth| &self.wanted[group[nth]])
                    .collect();
                let oldest = batch.iter().map(|one| one.oldest).min().unwrap_or_default();
                let why = say::why(&batch, intents);
                let asks = batch.into_iter().map(|one| Ask {
                    target: one.target.clone(),
                    intents: one.members.iter().map(|at| intents[*at].id).collect(),
                });
                let asks = asks.collect();
                batches.push((
                    oldest,
                    PlannedBatch {
                        action,
                        kind,
                        force,
                        asks,
                        why,
                    },
                ));
            }
        }
        batches.sort_by_key(|(oldest, _)| *oldest);
        self.waiting.sort_by_key(|(place, _)| *place);
        let waiting = self.waiting.into_iter();
        Plan {
            batches: batches.into_iter().map(|(_, batch)| batch).collect(),
            waiting: waiting
                .map(|(place, waiting)| (intents[place].id, waiting))
                .collect(),
        }
    }
}

fn without_query(text: &str) -> &str {
    text.split_once('?').map_or(text, |(path, _)| path)
}
