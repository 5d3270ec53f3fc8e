//! Whether the hosts of an account's origins are domains of it: asked once after the start.

use std::collections::BTreeSet;

use super::account::AccountBoard;
use crate::cdn::Cdn;
use crate::domain::facts::DomainFacts;
use crate::domain::names::OriginName;
use crate::domain::own::{unchecked, unserved};

/// Asks the CDN for its domains, and tells of what is wrong with `hosts`. Nothing depends on it.
pub(super) async fn ask(
    hosts: &BTreeSet<(OriginName, String)>,
    cdn: &dyn Cdn,
    board: &AccountBoard,
) {
    if hosts.is_empty() {
        return;
    }
    let answer = cdn.domains().await;
    let account = board.account();
    let facts = if let Some(unchecked) = unchecked(&answer) {
        tracing::warn!(account = %account, "its domains could not be checked: {unchecked}");
        DomainFacts { unchecked, unserved: Vec::new() }
    } else {
        let unserved = unserved(hosts, &answer.unwrap_or_default());
        for one in &unserved {
            tracing::warn!(account = %account, origin = %one.origin, domain = one.domain, "{}; {}", one.what, one.mend);
        }
        DomainFacts { unchecked: String::new(), unserved }
    };
    board.domains(facts);
}
