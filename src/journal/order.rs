//! When a stage of a deploy is let go though one before it is not out: shared by all journals.
//!
//! A stage waits for what of the earlier ones is under way: pending, being tried again, in a call or
//! in doubt, and where the operator wants it complete, accepted. It waits neither for what is parked
//! for the day's quota, nor for what a person holds or paused, nor for what failed: that may take a
//! day or for ever, and a page that stays old for so long is worse than one that comes before its
//! style sheet. And it waits no longer than this after its deploy closed, whatever happens.

use std::time::Duration;

use crate::domain::deploy::DeployId;
use crate::domain::intent::{Wait, Waiting};
use crate::domain::stage::{After, Order};
use crate::domain::time::Timestamp;

/// The waits of an intent that no later stage waits for.
pub(super) const PASSED_BY: [Wait; 3] = [Wait::Quota, Wait::Hold, Wait::Pause];

/// How long after the closing of a deploy its stages are kept apart. A refresh takes five to six
/// minutes to be complete (API reference, section 0).
pub(super) const fn patience(after: After) -> Duration {
    match after {
        After::Accepted => Duration::from_secs(10 * 60),
        After::Complete => Duration::from_secs(60 * 60),
    }
}

/// Says what an intent waits for.
pub(super) fn waiting(order: Order, deploy: &DeployId, until: Timestamp) -> Waiting {
    Waiting {
        wait: Wait::Stage,
        why: format!("goes out after {} of deploy {deploy}, or at {until}", order.before()),
        until: Some(until),
    }
}
