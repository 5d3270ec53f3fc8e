//! A row of the matrix: what goes wrong, what it may cost, and whether it cost more.

use std::collections::BTreeMap;
use std::time::Duration;

use refreshd::cdn::wire::Operation;
use refreshd::clock::ManualClock;
use refreshd::domain::quota::{PerKind, QuotaKind};
use refreshd::domain::time::Timestamp;

use super::bench::{Act, Bench, CALLS, Setting};
use super::counted::Span;
use super::measure::Measured;
use super::work::{Change, HOUR, MINUTE, Stream, stream};

/// How many targets may be accepted twice.
#[derive(Clone, Copy, Debug)]
pub(super) enum Duplicates {
    None,
    /// At most a batch for each submission without an answer.
    ABatchADoubt,
    /// What was accepted while the fault lasted, each once more.
    OnceMore,
    /// At most a batch for each submission without an answer, and what the CDN never ended well.
    Counted,
}

/// How many calls may be made while the fault lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Calls {
    Any,
    AtMost(usize),
    /// Of one operation.
    Of(Operation, usize),
    /// That many times as many as without the fault, in percent.
    AsUsual(usize),
}

/// One row.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) begin: &'static str,
    pub(super) ahead: i64,
    pub(super) quota: PerKind<u64>,
    /// When the fault lasts.
    pub(super) span: Span,
    /// What happens besides the changes.
    pub(super) acts: Vec<(Duration, Act)>,
    /// How long a call takes to the CDN, and its answer back.
    pub(super) travel: Span,
    /// Whether the keys are those of an instance's role, for an hour each.
    pub(super) instance: bool,
    /// What changes besides the stream, or in its place.
    pub(super) more: Stream,
    pub(super) alone: bool,
    pub(super) duplicates: Duplicates,
    pub(super) calls: Calls,
    /// Within which time after the fault all is accepted that had changed before its end.
    pub(super) caught_up: Duration,
    /// What the fault doesn't concern: it waits no longer than a minute.
    pub(super) elsewhere: Option<fn(&Change) -> bool>,
    /// How many changes may wait or fail in the end, visibly.
    pub(super) visible: u64,
    /// After which time a task that does not end is given up.
    pub(super) give_up: Duration,
    /// How long a run may last.
    pub(super) limit: Duration,
}

impl Row {
    /// A row in which nothing happens: between 09:00 and noon of the CDN's day.
    pub(super) fn new(name: &'static str, minutes: u32) -> Self {
        Self {
            name,
            begin: "2026-11-22T01:00:00Z",
            ahead: 0,
            quota: PerKind::from_fn(|kind| match kind {
                QuotaKind::Url => 10_000,
                QuotaKind::Prefetch => 1_000,
                QuotaKind::Directory | QuotaKind::IgnoreParams | QuotaKind::Tag => 100,
                QuotaKind::Regex => 20,
            }),
            span: HOUR..HOUR + minutes * MINUTE,
            acts: Vec::new(),
            travel: Duration::from_millis(20)..Duration::from_millis(150),
            instance: false,
            more: Stream::new(),
            alone: false,
            duplicates: Duplicates::None,
            calls: Calls::Any,
            caught_up: 5 * MINUTE,
            elsewhere: None,
            visible: 0,
            give_up: 6 * HOUR,
            limit: 12 * HOUR,
        }
    }

    /// Makes the bench that the row is run on.
    pub(super) async fn bench(&self, seed: u64) -> Bench {
        let refusable = self.acts.iter().any(|(_, act)| matches!(act, Act::Close));
        let (begin, ahead, quota) = (self.begin, self.ahead, self.quota);
        let travel = self.travel.clone();
        let (instance, give_up) = (self.instance, self.give_up);
        let setting = Setting { begin, ahead, quota, refusable, instance, travel, give_up, seed };
        Bench::new(setting).await
    }

    /// Runs the row.
    pub(super) async fn run(&self, seed: u64) -> Measured {
        let mut bench = self.bench(seed).await;
        let mut agenda: BTreeMap<Duration, Vec<Act>> = BTreeMap::new();
        for (at, act) in &self.acts {
            agenda.entry(*at).or_default().push(act.clone());
        }
        let usual = stream(&ManualClock::new(Timestamp::EPOCH, seed));
        let usual = Some(usual).filter(|_| !self.alone).into_iter().flatten();
        for (at, changes) in usual.chain(self.more.clone()) {
            agenda.entry(at).or_default().push(Act::Change(changes));
        }
        agenda.entry(self.span.end).or_default();
        while bench.passed() < self.limit && !bench.hangs && bench.cdn.count() <= CALLS {
            while let Some(first) = agenda.first_entry()
                && *first.key() <= bench.passed()
            {
                for act in first.remove() {
                    bench.act(act).await;
                }
            }
            bench.turn().await;
            let next = agenda.keys().next().copied();
            if next.is_none() && bench.open().await == 0 {
                break;
            }
            bench.pass(next).await;
        }
        let measured = Measured::of(&bench).await;
        bench.sandbox.stop().await;
        measured
    }

    /// Returns how many targets may be accepted twice.
    pub(super) fn may_repeat(&self, measured: &Measured) -> u64 {
        match self.duplicates {
            Duplicates::None => 0,
            Duplicates::ABatchADoubt => 100 * measured.doubts,
            Duplicates::Counted => 100 * measured.doubts + measured.ineffective,
            Duplicates::OnceMore => {
                measured.accepted.iter().filter(|at| self.span.contains(at)).count() as u64
            }
        }
    }

    /// Returns the calls that are bounded, and their bound.
    pub(super) fn calls(&self, measured: &Measured, usual: &Measured) -> (usize, Option<usize>) {
        let all = measured.calls(None, &self.span);
        match self.calls {
            Calls::Any => (all, None),
            Calls::AtMost(most) => (all, Some(most)),
            Calls::Of(operation, most) => (measured.calls(Some(operation), &self.span), Some(most)),
            Calls::AsUsual(percent) => (all, Some(usual.calls(None, &self.span) * percent / 100)),
        }
    }

    /// Says what of the promise was broken, whatever it cost.
    pub(super) fn promise(&self, measured: &Measured) -> Vec<String> {
        let mut broken = Vec::new();
        let mut check = |what: &str, is: u64, most: u64| {
            if is > most {
                broken.push(format!("{what}: {is}, at most {most}"));
            }
        };
        check("lost", measured.lost.len() as u64, 0);
        check("accepted twice", measured.duplicates, self.may_repeat(measured));
        check("quota spent twice", measured.twice, 0);
        check("overspent", measured.overspent, 0);
        broken.extend(measured.endless.iter().map(|state| format!("endless: {state}")));
        broken.extend(measured.lost.iter().take(3).map(|lost| format!("lost {lost}")));
        broken
    }

    /// Says what cost more than it may.
    pub(super) fn broken(&self, measured: &Measured, usual: &Measured) -> Vec<String> {
        let mut broken = self.promise(measured);
        let mut check = |what: &str, is: u64, most: u64| {
            if is > most {
                broken.push(format!("{what}: {is}, at most {most}"));
            }
        };
        check("waiting or failed", measured.visible, self.visible);
        check("looks at tasks within 10 s", measured.hasty as u64, 0);
        let (calls, most) = self.calls(measured, usual);
        check("calls", calls as u64, most.map_or(u64::MAX, |most| most as u64));
        let caught_up = measured.caught_up(self.span.end).as_secs();
        check("seconds to catch up", caught_up, self.caught_up.as_secs());
        if let Some(fits) = self.elsewhere {
            let longest = measured.longest(&self.span, fits).as_secs();
            check("seconds that others waited", longest, 60);
        }
        // Full speed: what changes then waits no longer than usual.
        let after = self.span.end + self.caught_up..Duration::MAX;
        let longest = measured.longest(&after, |_| true).as_secs();
        let usually = usual.longest(&after, |_| true).as_secs().max(60);
        if self.visible == 0 {
            check("seconds that later changes waited", longest, usually);
        }
        broken
    }
}
