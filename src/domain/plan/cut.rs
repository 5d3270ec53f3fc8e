//! Cutting asks into batches that one request can hold.

use std::collections::HashMap;

use crate::domain::ask::{Kind, Target};
use crate::domain::intent::Action;
use crate::domain::limits::Limits;
use crate::domain::prefetch::PrefetchOptions;
use crate::domain::url;

/// What a request needs besides its targets, rounded up: `ObjectPath=` in a query, in a form also
/// `Force=false&` and `&ObjectType=IgnoreParams`; by tag `CacheTag=`, `&Force=false` and `&DomainName=`
/// with a host of up to 253 characters.
const OVERHEAD: usize = 320;

/// A batch being filled.
#[derive(Default)]
struct Open {
    places: Vec<usize>,
    bytes: usize,
    hosts: usize,
}

/// Returns the places of `targets` by batch. Order is kept within a batch; a batch is filled up with
/// later targets of its domains before a new one is begun for them, so that an origin with more
/// domains than a request may name doesn't scatter.
pub(super) fn cut<'a>(
    (action, kind): (Action, Kind),
    limits: &Limits,
    most: usize,
    targets: impl Iterator<Item = &'a Target>,
) -> Vec<Vec<usize>> {
    let most_bytes = match (action, kind) {
        // Whichever of its targets' options a call will carry, there is room for them.
        (Action::Prefetch, _) => limits.query_bytes.saturating_sub(PrefetchOptions::LONGEST),
        (Action::Refresh, Kind::Tag) => limits.query_bytes,
        (Action::Refresh, _) => limits.body_bytes,
    };
    let most_hosts = limits.domains(action, kind);
    let mut batches: Vec<Open> = Vec::new();
    let mut batch_of_host: HashMap<&str, usize> = HashMap::new();
    for (place, target) in targets.enumerate() {
        let bytes = encoded_length(target.tag().unwrap_or(&target.text));
        let host = target.host();
        let has_room = |at: usize| {
            let batch: &Open = &batches[at];
            batch.places.len() < most && OVERHEAD + batch.bytes + bytes <= most_bytes
        };
        let known = batch_of_host.get(host).copied().filter(|at| has_room(*at));
        let newest = batches.len().checked_sub(1);
        let at = known
            .or_else(|| newest.filter(|at| has_room(*at) && batches[*at].hosts < most_hosts))
            .unwrap_or_else(|| {
                batches.push(Open::default());
                batches.len() - 1
            });
        let batch = &mut batches[at];
        if known.is_none() {
            batch.hosts += 1;
            batch_of_host.insert(host, at);
        }
        batch.places.push(place);
        batch.bytes += bytes;
    }
    batches.into_iter().map(|batch| batch.places).collect()
}

/// Returns how long a target is in a query or form, with the line break (`%0A`) or comma (`%2C`) after
/// it.
pub(super) fn encoded_length(text: &str) -> usize {
    url::encoded_length(text) + 3
}
