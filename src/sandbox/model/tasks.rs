//! The tasks of accepted submissions: their ids, their rows and how they ripen.
//!
//! **Invariant:** a row is Complete only after its effect on the edge was applied.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::cdn::wire::row_type;
use crate::domain::ask::{Kind, Target};
use crate::domain::intent::Action;
use crate::domain::time::Timestamp;

use super::fault::{Ending, Faults};
use super::lines::Line;
use super::submit::Wish;

/// How long the CDN remembers tasks (API reference 0).
pub(crate) const HISTORY: Duration = Duration::from_secs(3 * 86_400);

/// What one target of a task does to the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) row: u64,
    pub(crate) action: Action,
    pub(crate) force: bool,
    pub(crate) target: Target,
}

/// One target of a task.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) task: u64,
    pub(crate) host: String,
    pub(crate) created: Timestamp,
    pub(crate) effect: Effect,
    scripted: Option<Ending>,
    state: State,
    /// How far it was when it was last asked for.
    asked: RefCell<Option<Progress>>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Ripening,
    Working,
    Ended(Result<(), String>),
}

/// How far a row is, in the API's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) status: &'static str,
    pub(crate) process: String,
    pub(crate) description: String,
}

impl Progress {
    fn new(status: &'static str, process: impl Into<String>) -> Self {
        Self { status, process: process.into(), description: String::new() }
    }
}

impl Row {
    /// Returns whether the row is shown at all.
    pub(crate) fn appears(&self) -> bool {
        self.scripted != Some(Ending::NoRow)
    }

    fn may_end(&self) -> bool {
        self.scripted != Some(Ending::Never)
    }

    /// Returns the row's `ObjectType`.
    pub(crate) const fn object_type(&self) -> &'static str {
        row_type(self.effect.action, self.effect.target.kind)
    }

    /// Returns how far the row is: Pending for a tenth of its ripening, then Refreshing with a
    /// rising share that stays below 100 % until the effect was applied.
    pub(crate) fn progress(&self, ripening: Duration, now: Timestamp) -> Progress {
        match &self.state {
            State::Ended(Ok(())) => Progress::new("Complete", "100%"),
            State::Ended(Err(why)) => {
                Progress { description: why.clone(), ..Progress::new("Failed", "100%") }
            }
            State::Ripening | State::Working => {
                let elapsed = now.since(self.created).as_micros();
                let share = (elapsed * 10_000 / ripening.as_micros().max(1)).min(9_999);
                if share < 1_000 {
                    Progress::new("Pending", "0%")
                } else {
                    let process = format!("{}.{:02}%", share / 100, share % 100);
                    Progress::new("Refreshing", process)
                }
            }
        }
    }

    /// Returns what who asks for the row is told of it.
    pub(crate) fn tell(&self, ripening: Duration, now: Timestamp) -> Progress {
        let progress = self.progress(ripening, now);
        let before = self.asked.replace(Some(progress.clone()));
        if self.scripted == Some(Ending::Lagging) {
            return before.unwrap_or_else(|| Progress::new("Pending", "0%"));
        }
        progress
    }
}

/// An id that urls of one domain share within one second.
#[derive(Debug)]
struct Merge {
    second: i64,
    task: u64,
    items: u64,
}

/// All tasks of the last three days.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) ripening: Duration,
    next_task: u64,
    next_row: u64,
    rows: BTreeMap<u64, Row>,
    queue: BTreeSet<(Timestamp, u64)>,
    merges: HashMap<(Action, String), Merge>,
    working: usize,
    prefetching: usize,
}

impl Tasks {
    pub(crate) fn new(first_task: u64, ripening: Duration) -> Self {
        Self {
            ripening,
            next_task: first_task,
            next_row: 0,
            rows: BTreeMap::new(),
            queue: BTreeSet::new(),
            merges: HashMap::new(),
            working: 0,
            prefetching: 0,
        }
    }

    /// Adds a row for each line, and returns the distinct ids in order.
    pub(crate) fn add(
        &mut self,
        wish: Wish,
        lines: Vec<Line>,
        faults: &mut Faults,
        now: Timestamp,
    ) -> Vec<String> {
        self.forget(now);
        // A prefetch begins when it stops being Pending, and is done as soon as it was fetched.
        let lead = match wish.action {
            Action::Refresh => self.ripening,
            Action::Prefetch => self.ripening / 10,
        };
        let mut ids = Vec::new();
        for line in lines {
            // The only sample of a call by tag answers one id for several.
            let shared = ids.last().copied().filter(|_| wish.kind == Kind::Tag);
            let task = shared.unwrap_or_else(|| self.task_for(wish, &line.host, now));
            if !ids.contains(&task) {
                ids.push(task);
            }
            let row = self.next_row;
            self.next_row += 1;
            self.prefetching += usize::from(wish.action == Action::Prefetch);
            self.queue.insert((now.plus(lead), row));
            let row_state = Row {
                task,
                host: line.host,
                created: now,
                scripted: faults.ending_of(&line.text, now),
                asked: RefCell::default(),
                effect: Effect {
                    row,
                    action: wish.action,
                    force: wish.force,
                    target: Target::new(wish.kind, line.text),
                },
                state: State::Ripening,
            };
            self.rows.insert(row, row_state);
        }
        ids.iter().map(u64::to_string).collect()
    }

    /// Returns the id for one more item: urls of one domain share ids within a second, 2,000
    /// refreshes or 500 prefetches each; nothing else is merged (API reference 1.2, 1.5).
    fn task_for(&mut self, wish: Wish, host: &str, now: Timestamp) -> u64 {
        let size = match wish.action {
            Action::Refresh => 2_000,
            Action::Prefetch => 500,
        };
        let second = now.as_seconds();
        let key = (wish.action, host.to_owned());
        if wish.kind == Kind::Url
            && let Some(merge) = self.merges.get_mut(&key)
            && merge.second == second
            && merge.items < size
        {
            merge.items += 1;
            return merge.task;
        }
        let task = self.next_task;
        self.next_task += 1;
        if wish.kind == Kind::Url {
            let items = 1;
            self.merges.insert(key, Merge { second, task, items });
        }
        task
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some(first) = self.rows.first_entry()
            && matches!(first.get().state, State::Ended(_))
            && now.since(first.get().created) > HISTORY
        {
            first.remove();
        }
        self.merges.retain(|_, merge| merge.second == now.as_seconds());
    }

    /// Hands out the effects that are due, oldest first; rows scripted to fail end here.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some((at, id)) = self.queue.first().copied()
            && at <= now
        {
            self.queue.pop_first();
            let Some(row) = self.rows.get_mut(&id).filter(|row| row.may_end()) else {
                continue;
            };
            row.state = State::Working;
            self.working += 1;
            match row.scripted.clone() {
                Some(Ending::Failed { description }) => self.end(id, Err(description)),
                Some(Ending::NoRow) => self.end(id, Ok(())),
                None | Some(Ending::Lagging | Ending::Never) => effects.push(row.effect.clone()),
            }
        }
        effects
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Ends a row whose effect was handed out.
    pub(crate) fn end(&mut self, row: u64, result: Result<(), String>) {
        if let Some(row) = self.rows.get_mut(&row)
            && row.state == State::Working
        {
            row.state = State::Ended(result);
            self.working -= 1;
            self.prefetching -= usize::from(row.effect.action == Action::Prefetch);
        }
    }

    pub(crate) const fn working(&self) -> bool {
        self.working > 0
    }

    /// Returns how many prefetches have not ended.
    pub(crate) const fn prefetching(&self) -> usize {
        self.prefetching
    }

    /// Returns the task id and target of every row that had its effect on the edge.
    pub(crate) fn effective(&self) -> Vec<(String, String)> {
        self.rows
            .values()
            .filter(|row| row.appears() && row.state == State::Ended(Ok(())))
            .map(|row| (row.task.to_string(), row.effect.target.text.clone()))
            .collect()
    }

    /// Returns the rows that are shown, newest first.
    pub(crate) fn shown(&self, now: Timestamp) -> impl Iterator<Item = &Row> {
        self.rows
            .values()
            .rev()
            .filter(move |row| row.appears() && now.since(row.created) <= HISTORY)
    }
}
