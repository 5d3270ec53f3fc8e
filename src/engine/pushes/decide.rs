//! What a push comes to.

use std::time::Duration;

use super::record::Cause;
use super::states::Changes;
use super::{Done, Pushes, Trouble, unless_stopped};
use crate::domain::change::ChangeKind;
use crate::domain::hint::Witness;
use crate::domain::push::{CommitId, Fate, Listed};
use crate::store::{End, OpenPush, PushEnd, Tip};

/// How long a push whose commit is missing is first left alone; doubling up to the second.
const LATER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// When it is given up, and after how many tries at least: the daemon may have been down for a day.
const GIVE_UP: (Duration, u32) = (Duration::from_secs(86_400), 10);

/// What is to be done about a push.
enum Verdict {
    /// Nothing, for this reason.
    Nothing(&'static str),
    /// These changes are asked for; the tip moves, or stays.
    Ask { changes: Changes, steps: Vec<Done>, tip: Option<CommitId>, why: String },
    /// These changes are asked for as they were told: the repository lacks the commit that has them.
    AskUnseen { changes: Changes, commit: CommitId, why: String },
    /// It can't be told yet.
    Later(String),
}

impl Pushes {
    /// Ends a push, or puts it off.
    pub(super) async fn push(&mut self, tip: &Tip, open: OpenPush) -> Result<(), Trouble> {
        let stop = self.stop.clone();
        let verdict = match unless_stopped(&stop, Box::pin(self.judge(tip, &open))).await {
            Err(Trouble::Git(error)) => Verdict::Later(error.to_string()),
            verdict => verdict?,
        };
        let (origin, now) = (self.settings.origin.clone(), self.clock.server_now());
        let delivery = open.delivery.0;
        let witness = if open.again { Witness::Operator } else { Witness::Webhook };
        match verdict {
            Verdict::Nothing(why) => {
                tracing::info!(%origin, delivery, "a push changes nothing: {why}");
                self.end(open, Fate::Nothing, why.to_owned()).await
            }
            Verdict::Later(why)
                if now.since(open.at) >= GIVE_UP.0 && open.attempts >= GIVE_UP.1 =>
            {
                let path = self.settings.repository.path.display();
                let why = format!(
                    "{why}; it was tried {} times: bring the commits into {path}, or set \
                     `fetch_from`; what the branch holds there is refreshed without it",
                    open.attempts + 1
                );
                tracing::error!(%origin, delivery, "a push failed: {why}");
                self.compare_at = None;
                self.end(open, Fate::Failed, why).await
            }
            Verdict::Later(why) => {
                let wait = LATER.0 * 2_u32.saturating_pow(open.attempts.min(20));
                let until = now.plus(wait.min(LATER.1));
                tracing::warn!(%origin, delivery, %until, "a push waits: {why}");
                Ok(self.store.push_later(open.id, until, &why).await?)
            }
            Verdict::AskUnseen { changes, commit, why } => {
                let cause = Cause { witness, commit: Some(commit) };
                let deploy = self.record(changes, &cause, None, Some((open.id, &why))).await?;
                let deploy = deploy.map(tracing::field::display);
                tracing::info!(%origin, delivery, deploy, "a push is done: {why}");
                Ok(())
            }
            Verdict::Ask { changes, steps, tip: to, why } => {
                let at = to.clone().or_else(|| tip.commit.clone());
                let cause = Cause { witness, commit: at.clone() };
                let place = tip.place.clone();
                let to = to.map(|commit| Tip { place, commit: Some(commit) });
                let deploy = self.record(changes, &cause, to, Some((open.id, &why))).await?;
                let deploy = deploy.map(tracing::field::display);
                tracing::info!(%origin, delivery, deploy, "a push is done: {why}");
                if let Some(at) = at {
                    for step in steps {
                        self.remember(step, at.clone());
                    }
                }
                Ok(())
            }
        }
    }

    async fn end(&self, open: OpenPush, fate: Fate, why: String) -> Result<(), Trouble> {
        let ends = vec![(open.id, End { fate, why, deploy: None })];
        let end = PushEnd { ends, tip: None };
        Ok(self.store.end_pushes(&self.settings.origin, end, self.clock.server_now()).await?)
    }

    async fn judge(&mut self, tip: &Tip, open: &OpenPush) -> Result<Verdict, Trouble> {
        let push = &open.push;
        if push.reference != self.settings.branch {
            return Ok(Verdict::Nothing("it is about another branch"));
        }
        let tip = tip.commit.as_ref();
        if push.before.is_none() && push.after.is_none() {
            return self.judge_unnamed(tip).await;
        }
        let Some(after) = &push.after else {
            let before = self.there(push.before.as_ref()).await?;
            return self.judge_deleted(tip, before).await;
        };
        if !self.git.has(after).await? {
            self.fetch().await?;
            if !self.git.has(after).await? {
                return self.judge_missing(open, after).await;
            }
        }
        let before = self.there(push.before.as_ref()).await?;
        let is_next = tip == push.before.as_ref();
        let was_told = self.store.was_pushed(open.id).await?;
        let found = self.git.tip(&self.reference).await?;
        // A branch that is made anew where it once was is no old news, nor is what it holds now.
        let may_be_late = found.as_ref() != Some(after) && (push.before.is_some() || was_told);
        let is_late =
            !is_next && (tip == Some(after) || may_be_late && self.is_done(tip, after).await?);
        let is_stray = !self.holds(found.as_ref(), after).await?;
        let is_over = is_late || was_told && is_stray;
        let mut steps: Vec<Done> = Vec::new();
        if !is_over {
            let between = before.filter(|before| tip.is_some_and(|tip| tip != *before));
            if let Some(before) = between {
                steps.push((tip.cloned(), before.clone()));
            }
            steps.push((between.or(tip).cloned(), after.clone()));
        }
        let own: Done = (before.cloned(), after.clone());
        if open.again {
            if push.before.is_some() && before.is_none() {
                let why = "the repository has not the commit that the branch stood at before";
                return Ok(Verdict::Later(why.to_owned()));
            }
            if !steps.contains(&own) {
                steps.push(own.clone());
            }
        } else if is_over && was_told {
            return Ok(Verdict::Nothing("repeated: it was told of before, and is done"));
        } else if is_late {
            let Some(before) = before else {
                return Ok(Verdict::Nothing("done already: the branch was compared since"));
            };
            let mut changes = Changes::default();
            self.add(&mut changes, &own).await?;
            self.leave_out_done(&mut changes, before).await?;
            if changes.is_empty() {
                return Ok(Verdict::Nothing("done already: the branch was compared since"));
            }
            let why = "told of late: what only it changed".to_owned();
            return Ok(Verdict::Ask { changes, steps: vec![own], tip: None, why });
        }
        let mut changes = Changes::default();
        for step in &steps {
            self.add(&mut changes, step).await?;
        }
        let from = push.before.as_ref().map_or("nothing", CommitId::short);
        let why = format!("from {from} to {}", after.short());
        Ok(Verdict::Ask { changes, steps, tip: (!is_over).then(|| after.clone()), why })
    }

    /// Judges a push whose sender names no commits: what the branch holds now is what came.
    async fn judge_unnamed(&mut self, tip: Option<&CommitId>) -> Result<Verdict, Trouble> {
        match self.look().await? {
            Some(found) if tip != Some(&found) => {
                let step: Done = (tip.cloned(), found.clone());
                let mut changes = Changes::default();
                self.add(&mut changes, &step).await?;
                let why = "the branch was compared".to_owned();
                Ok(Verdict::Ask { changes, steps: vec![step], tip: Some(found), why })
            }
            _ => Ok(Verdict::Nothing("the branch is where it was")),
        }
    }

    /// Judges that the branch is gone: what it held last may have been served.
    async fn judge_deleted(
        &mut self,
        tip: Option<&CommitId>,
        before: Option<&CommitId>,
    ) -> Result<Verdict, Trouble> {
        const GONE: &str = "the branch was deleted; what is served is unknown until it is back";
        let Some(before) = before.filter(|before| tip != Some(*before)) else {
            return Ok(Verdict::Nothing(GONE));
        };
        if self.is_done(tip, before).await? {
            return Ok(Verdict::Nothing(GONE));
        }
        let step: Done = (tip.cloned(), before.clone());
        let mut changes = Changes::default();
        self.add(&mut changes, &step).await?;
        let (to, why) = (Some(before.clone()), GONE.to_owned());
        Ok(Verdict::Ask { changes, steps: vec![step], tip: to, why })
    }

    /// Judges a push whose commit the repository lacks: by the sender's list, if that is whole.
    async fn judge_missing(&self, open: &OpenPush, after: &CommitId) -> Result<Verdict, Trouble> {
        let short = after.short();
        let lacking = format!("the repository has no commit {short} yet");
        let push = &open.push;
        match &push.listed {
            _ if !open.again && self.store.was_pushed(open.id).await? => {
                Ok(Verdict::Nothing("repeated: it was told of before, and is done"))
            }
            Listed::Cut { why, .. } => Ok(Verdict::Later(format!("{lacking}, and {why}"))),
            Listed::All(paths) => {
                let mut changes = Changes::default();
                for path in paths.iter().filter_map(|path| path.from(&self.settings.prefix)) {
                    // Whether it is there now nobody says: what is dropped is right either way.
                    changes.add(path, ChangeKind::Modified, true);
                }
                let why = format!("{lacking}: by the list of who told of it");
                Ok(Verdict::AskUnseen { changes, commit: after.clone(), why })
            }
        }
    }

    /// Returns a commit if the repository has it.
    async fn there<'c>(
        &self,
        commit: Option<&'c CommitId>,
    ) -> Result<Option<&'c CommitId>, Trouble> {
        match commit {
            Some(commit) if self.git.has(commit).await? => Ok(Some(commit)),
            _ => Ok(None),
        }
    }

    /// Returns whether a commit is the tip, came before it, or was passed by lately.
    async fn is_done(&self, tip: Option<&CommitId>, commit: &CommitId) -> Result<bool, Trouble> {
        let is_end = |((from, to), _): &(Done, _)| from.as_ref() == Some(commit) || to == commit;
        Ok(self.done.iter().any(is_end) || self.holds(tip, commit).await?)
    }

    /// Returns whether a commit is in the history of another, which may be gone.
    async fn holds(&self, of: Option<&CommitId>, commit: &CommitId) -> Result<bool, Trouble> {
        match of {
            Some(of) if of == commit => Ok(true),
            Some(of) if self.git.has(of).await? && self.git.has(commit).await? => {
                Ok(self.git.is_ancestor(commit, of).await?)
            }
            _ => Ok(false),
        }
    }

    /// Leaves out what was asked for since `before` was served.
    async fn leave_out_done(
        &self,
        changes: &mut Changes,
        before: &CommitId,
    ) -> Result<(), Trouble> {
        for ((from, to), tip) in &self.done {
            if self.holds(Some(before), tip).await? {
                continue;
            }
            let is_there = match from {
                Some(from) => self.git.has(from).await?,
                None => true,
            };
            if is_there && self.git.has(to).await? {
                let found = self.git.diff(from.as_ref(), Some(to), &self.settings.prefix).await?;
                for (_, path) in &found {
                    changes.leave_out(path);
                }
            }
        }
        Ok(())
    }
}
