//! What becomes of an intent whose ask came to nothing: pure, and shared by all journals.

use crate::domain::intent::{Wait, Waiting};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;

use super::{MAX_ATTEMPTS, MAX_EXPIRIES};

/// What becomes of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is pending again, visibly waiting.
    Again {
        /// How often it was asked in vain by now.
        attempt: u32,
        /// The wait; its `until` is the new `not_before`.
        waiting: Waiting,
    },
    /// It ends failed, for this reason.
    Failed(String),
}

/// Decides after a refusal. `own` says whether the intent's target is the very one that was asked,
/// not one that it merely covered; `alone`, whether the batch had no other ask: among several a split
/// fails nobody. `Unknown` is no refusal and is treated like `Later`.
pub(super) fn of_refusal(
    verdict: &Verdict,
    attempt: u32,
    (own, alone): (bool, bool),
    why: &str,
    not_before: Timestamp,
) -> Fate {
    let again = |wait| Fate::Again { attempt, waiting: waiting(wait, why, not_before) };
    match verdict {
        Verdict::Later { .. }
        | Verdict::Smaller
        | Verdict::Domain
        | Verdict::Renew
        | Verdict::Forbidden
        | Verdict::Operator
        | Verdict::Unknown => again(Wait::Retry),
        Verdict::NextDay => again(Wait::Quota),
        Verdict::Never if own => Fate::Failed(why.to_owned()),
        Verdict::Split if !alone => {
            let attempt = attempt.saturating_add(1).min(MAX_ATTEMPTS - 1);
            Fate::Again { attempt, waiting: waiting(Wait::Retry, why, not_before) }
        }
        Verdict::Never | Verdict::Split => of_failure(attempt, why, not_before),
    }
}

/// Decides after a task that failed: one attempt more.
pub(super) fn of_failure(attempt: u32, why: &str, not_before: Timestamp) -> Fate {
    again_below(MAX_ATTEMPTS, attempt, why, not_before)
}

/// Decides after a job that expired: one attempt more, and fewer of them, for each takes hours and may
/// well have been carried out.
pub(super) fn of_expiry(attempt: u32, why: &str, not_before: Timestamp) -> Fate {
    again_below(MAX_EXPIRIES, attempt, why, not_before)
}

fn again_below(most: u32, attempt: u32, why: &str, not_before: Timestamp) -> Fate {
    let attempt = attempt.saturating_add(1);
    if attempt >= most {
        Fate::Failed(why.to_owned())
    } else {
        Fate::Again { attempt, waiting: waiting(Wait::Retry, why, not_before) }
    }
}

fn waiting(wait: Wait, why: &str, not_before: Timestamp) -> Waiting {
    Waiting { wait, why: why.to_owned(), until: Some(not_before) }
}
