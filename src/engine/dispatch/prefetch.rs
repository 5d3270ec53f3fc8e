//! Prefetches of hosts that want it done in different ways.

use crate::cdn::Submission;
use crate::domain::intent::Action;
use crate::domain::plan::PlannedBatch;
use crate::domain::prefetch::{PrefetchByHost, PrefetchOptions};
use crate::domain::task::Batch;

/// Keeps of a planned batch what one call can ask for: of a prefetch what has the options of its first
/// ask. The rest is pending still, and goes by the next plan.
pub(super) fn alike(mut batch: PlannedBatch, hosts: &PrefetchByHost) -> PlannedBatch {
    if batch.action == Action::Refresh {
        return batch;
    }
    let options: Vec<PrefetchOptions> =
        batch.asks.iter().map(|ask| hosts.of(ask.target.host())).collect();
    let stays = |at: usize| options.get(at) == options.first();
    let mut places = 0..;
    batch.asks.retain(|_| places.next().is_some_and(stays));
    let mut places = 0..;
    batch.collateral.retain(|_| places.next().is_some_and(stays));
    batch
}

/// Writes a batch as the call that asks for it.
pub(super) fn submission(batch: &Batch, hosts: &PrefetchByHost) -> Submission {
    Submission {
        action: batch.action,
        kind: batch.kind,
        force: batch.force,
        targets: batch.asks.iter().map(|ask| ask.target.clone()).collect(),
        prefetch: batch.asks.first().map(|ask| hosts.of(ask.target.host())).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ask::{Kind, Target};
    use crate::domain::intent::IntentId;
    use crate::domain::task::Ask;

    fn batch(action: Action, hosts: &[&str]) -> PlannedBatch {
        let ask = |(at, host): (usize, &&str)| Ask {
            target: Target::new(Kind::Url, format!("https://{host}/{at}")),
            intents: vec![IntentId(1)],
        };
        PlannedBatch {
            action,
            kind: Kind::Url,
            force: false,
            asks: hosts.iter().enumerate().map(ask).collect(),
            collateral: (0..hosts.len() as u64).collect(),
            why: String::new(),
        }
    }

    #[test]
    fn a_prefetch_has_the_options_of_one_kind_of_host() {
        let l2 = PrefetchOptions { l2: true, ..PrefetchOptions::default() };
        let mut hosts = PrefetchByHost::default();
        for host in ["a.example", "c.example"] {
            hosts.insert(host, &l2);
        }
        let names = ["a.example", "b.example", "c.example", "d.example"];
        let kept = alike(batch(Action::Prefetch, &names), &hosts);
        let texts: Vec<_> = kept.asks.iter().map(|ask| ask.target.text.as_str()).collect();
        assert_eq!(texts, ["https://a.example/0", "https://c.example/2"]);
        assert_eq!(kept.collateral, [0, 2]);
        let kept = alike(batch(Action::Prefetch, &names[1..]), &hosts);
        assert_eq!(kept.asks.len(), 2);
        let kept = alike(batch(Action::Refresh, &names), &hosts);
        assert_eq!(kept.asks.len(), 4);
    }
}
