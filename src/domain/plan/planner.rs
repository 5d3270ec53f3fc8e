//! The steps of a plan, from what is wanted to batches.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use super::{Input, Plan, PlannedBatch, below, cut, say};
use crate::domain::ask::{Kind, Target};
use crate::domain::intent::{Action, Intent, Priority, Wait, Waiting};
use crate::domain::quota::QuotaKind;
use crate::domain::quota::purse::Purse;
use crate::domain::task::Ask;
use crate::domain::time::Timestamp;
use crate::domain::url::literal_start;

/// A target that is wanted, with the intents that want it. Without members it is carried by another.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) action: Action,
    pub(super) target: Cow<'a, Target>,
    pub(super) force: bool,
    pub(super) attempt: u32,
    /// Places of its intents in the input, its own and those it carries.
    pub(super) members: Vec<usize>,
    /// The place of its oldest intent; stays when it is carried.
    pub(super) oldest: usize,
    /// The weight of live objects that it reaches though they did not change; 0 where not known.
    pub(super) collateral: u64,
    /// Among the equally pressing the lower goes first.
    pub(super) rank: u32,
    /// Whether it is paid for.
    pub(super) planned: bool,
}

impl Wanted<'_> {
    /// Returns whether a wider ask may stand for it: not if one already failed it (rule 2).
    pub(super) const fn can_be_carried(&self) -> bool {
        self.attempt == 0
    }
}

/// Makes one of each (action, target), in the order of their oldest intents.
fn gather(intents: &[Intent]) -> Vec<Wanted<'_>> {
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    let mut places: HashMap<(Action, &Target), usize> = HashMap::with_capacity(intents.len());
    for (place, intent) in intents.iter().enumerate() {
        let at = *places.entry((intent.action, &intent.target)).or_insert(wanted.len());
        if at == wanted.len() {
            wanted.push(Wanted {
                action: intent.action,
                target: Cow::Borrowed(&intent.target),
                force: false,
                attempt: 0,
                members: Vec::with_capacity(1),
                oldest: place,
                collateral: 0,
                rank: 0,
                planned: false,
            });
        }
        let one = &mut wanted[at];
        one.force |= intent.force;
        one.attempt = one.attempt.max(intent.attempt());
        one.members.push(place);
    }
    wanted
}

/// A plan being made: what is still open shrinks with each step.
pub(super) struct Planner<'a> {
    pub(super) input: &'a Input<'a>,
    /// What is left of the input's purse.
    pub(super) purse: Purse,
    pub(super) wanted: Vec<Wanted<'a>>,
    /// Places in `wanted` of what goes out.
    planned: Vec<usize>,
    waiting: Vec<(usize, Waiting)>,
    /// When URLs that wait for quota are planned again at the latest, though the day is not over.
    pub(super) look_again: Option<Timestamp>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        Self {
            input,
            purse: input.purse.clone(),
            wanted: gather(input.intents),
            planned: Vec::new(),
            waiting: Vec::new(),
            look_again: None,
        }
    }

    pub(super) fn in_flight(&self, action: Action, kind: Kind) -> bool {
        self.input.in_flight.contains(&(action, kind))
    }

    /// Returns what is wanted of an action and kind, not carried by another and not paid for yet.
    pub(super) fn open(&self, action: Action, kind: Kind) -> impl Iterator<Item = usize> {
        self.wanted
            .iter()
            .enumerate()
            .filter(move |(_, one)| {
                let is_open = !one.planned && !one.members.is_empty();
                is_open && one.action == action && one.target.kind == kind
            })
            .map(|(at, _)| at)
    }

    fn item(&self, at: usize, wide: bool) -> below::Item<'_> {
        let one = &self.wanted[at];
        below::Item {
            text: &one.target.text,
            wide,
            force: one.force,
            can_be_carried: one.can_be_carried(),
            place: at,
        }
    }

    pub(super) fn carry(&mut self, pairs: Vec<(usize, usize)>) {
        for (narrow, wide) in pairs {
            let members = std::mem::take(&mut self.wanted[narrow].members);
            let oldest = self.wanted[narrow].oldest;
            self.wanted[wide].members.extend(members);
            self.wanted[wide].oldest = self.wanted[wide].oldest.min(oldest);
        }
    }

    /// Lets a directory carry the directories below it. This comes before the budget is spent: a
    /// directory that then doesn't fit leaves nothing over for those it would have carried.
    pub(super) fn nest_directories(&mut self) {
        if self.in_flight(Action::Refresh, Kind::Directory) {
            return;
        }
        let items = self.open(Action::Refresh, Kind::Directory);
        let pairs = below::by_prefix(items.map(|at| self.item(at, true)).collect());
        self.carry(pairs);
    }

    /// Lets planned directories carry what lies below them.
    pub(super) fn carry_below(&mut self, directories: &[usize]) {
        if directories.is_empty() {
            return;
        }
        let wide = directories.iter().map(|at| self.item(*at, true));
        let narrow = [Kind::IgnoreParams, Kind::Url]
            .into_iter()
            .flat_map(|kind| self.open(Action::Refresh, kind))
            .map(|at| self.item(at, false));
        let pairs = below::by_prefix(wide.chain(narrow).collect());
        self.carry(pairs);
    }

    /// Lets planned ignore-params asks carry the queries of their URLs.
    pub(super) fn carry_variants(&mut self, variants: &[usize]) {
        let by_text: HashMap<&str, usize> =
            variants.iter().map(|at| (self.wanted[*at].target.text.as_str(), *at)).collect();
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

    /// Plans what the purse allows of an action and kind, the most pressing and oldest first; the rest
    /// waits. Returns what is planned. Nothing is, while a batch is in flight.
    pub(super) fn afford(&mut self, action: Action, kind: Kind) -> Vec<usize> {
        if self.in_flight(action, kind) {
            return Vec::new();
        }
        let mut open: Vec<usize> = self.open(action, kind).collect();
        open.sort_by_cached_key(|at| self.turn(*at));
        let quota = QuotaKind::of(action, kind);
        open.retain(|at| self.pay(*at, quota));
        self.planned.extend(&open);
        open
    }

    /// Plans one ask if the purse allows it, else lets it wait.
    pub(super) fn afford_one(&mut self, at: usize, quota: QuotaKind) {
        if self.pay(at, quota) {
            self.planned.push(at);
        }
    }

    /// Returns what decides whose turn it is: the lower goes first.
    pub(super) fn turn(&self, at: usize) -> (Priority, u32, usize) {
        let one = &self.wanted[at];
        (self.leading(at).priority, one.rank, one.oldest)
    }

    /// Returns the intent that an ask is paid for: the most pressing, and of these the oldest.
    pub(super) fn leading(&self, at: usize) -> &'a Intent {
        let one = &self.wanted[at];
        let intents = one.members.iter().map(|place| &self.input.intents[*place]);
        intents.min_by_key(|intent| intent.priority).unwrap_or(&self.input.intents[one.oldest])
    }

    /// Takes one ask out of the purse, or lets what wants it wait; returns whether it may go out.
    fn pay(&mut self, at: usize, quota: QuotaKind) -> bool {
        let (intent, host) = (self.leading(at), self.wanted[at].target.host());
        let origin = intent.cause.origin.as_ref();
        let room = self.purse.room(quota, intent.priority, origin, host);
        if room.left > 0 {
            self.purse.spend(quota, origin, host, 1);
            self.wanted[at].planned = true;
            return true;
        }
        let mut why = self.purse.why(quota, &room, host);
        let mut until = room.until;
        if let Some(sooner) = self.look_again.filter(|at| quota == QuotaKind::Url && *at < until) {
            until = sooner;
            let _ =
                write!(why, "; sooner if a directory or regex becomes worth it, looked at {until}");
        }
        let waiting = Waiting { wait: Wait::Quota, why, until: Some(until) };
        self.let_wait(at, &waiting);
        false
    }

    /// Lets a prefetch wait while a refresh of its URL is open (rule 9). An open expression delays
    /// every URL that begins as it does: whether it matches is for the CDN to say.
    pub(super) fn hold_prefetches(&mut self) {
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
            .map(|one| &*one.target)
            .chain(self.input.open_refreshes)
            .collect();
        let exact: HashSet<(Kind, &str)> =
            refreshes.iter().map(|target| (target.kind, target.text.as_str())).collect();
        let wide = refreshes.iter().enumerate().filter_map(|(place, target)| {
            let text = match target.kind {
                Kind::Directory => target.text.as_str(),
                Kind::Regex => literal_start(&target.text),
                // Which URLs a tag reaches is not known: most likely not this one.
                Kind::Url | Kind::IgnoreParams | Kind::Tag => return None,
            };
            Some(below::Item { text, wide: true, force: false, can_be_carried: false, place })
        });
        let narrow = prefetches.iter().map(|at| below::Item {
            can_be_carried: true,
            force: false,
            ..self.item(*at, false)
        });
        let below: HashMap<usize, usize> =
            below::by_prefix(wide.chain(narrow).collect()).into_iter().collect();
        let mut held = Vec::new();
        for at in prefetches {
            let text = self.wanted[at].target.text.as_str();
            let refresh = if exact.contains(&(Kind::Url, text)) {
                "its URL".to_owned()
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
            held.push((at, waiting));
        }
        for (at, waiting) in held {
            self.let_wait(at, &waiting);
        }
    }

    pub(super) fn let_wait(&mut self, at: usize, waiting: &Waiting) {
        for member in std::mem::take(&mut self.wanted[at].members) {
            self.waiting.push((member, waiting.clone()));
        }
    }

    pub(super) fn finish(mut self) -> Plan {
        let intents = self.input.intents;
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for one in &mut self.wanted {
            one.members.sort_unstable();
        }
        self.planned.sort_unstable_by_key(|at| self.wanted[*at].oldest);
        for at in self.planned {
            let one = &self.wanted[at];
            let kind = one.target.kind;
            // A url refresh deletes and a prefetch fetches, whatever `Force` says.
            let force = one.force && one.action == Action::Refresh && kind != Kind::Url;
            groups.entry((one.action, kind, force, one.attempt)).or_default().push(at);
        }
        let mut batches: Vec<(usize, PlannedBatch)> = Vec::new();
        for ((action, kind, force, attempt), group) in groups {
            // What was refused once goes apart and in ever smaller batches, so that one bad target
            // is soon alone.
            // (From 128, so that seven attempts are enough: the eighth ends it failed.)
            let limit = self.input.per_request(action, kind);
            let limit = match attempt {
                0 => limit,
                _ if self.input.whole => limit,
                _ => limit.min(128).checked_shr(attempt).unwrap_or(0).max(1),
            };
            let targets = group.iter().map(|at| &*self.wanted[*at].target);
            for batch in cut::cut((action, kind), self.input.limits, limit, targets) {
                let batch: Vec<&Wanted<'_>> =
                    batch.into_iter().map(|nth| &self.wanted[group[nth]]).collect();
                let oldest = batch.iter().map(|one| one.oldest).min().unwrap_or_default();
                let why = say::why(&batch, intents);
                let collateral = batch.iter().map(|one| one.collateral).collect();
                let asks = batch.into_iter().map(|one| Ask {
                    target: (*one.target).clone(),
                    intents: one.members.iter().map(|at| intents[*at].id).collect(),
                });
                let asks = asks.collect();
                let batch = PlannedBatch { action, kind, force, asks, collateral, why };
                batches.push((oldest, batch));
            }
        }
        batches.sort_by_key(|(oldest, _)| *oldest);
        self.waiting.sort_by_key(|(place, _)| *place);
        let waiting = self.waiting.into_iter();
        Plan {
            batches: batches.into_iter().map(|(_, batch)| batch).collect(),
            waiting: waiting.map(|(place, waiting)| (intents[place].id, waiting)).collect(),
        }
    }
}

pub(super) fn without_query(text: &str) -> &str {
    text.split_once('?').map_or(text, |(path, _)| path)
}
