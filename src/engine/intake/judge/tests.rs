use std::time::Duration;

use super::*;
use crate::domain::deploy::DeployId;
use crate::domain::index::{Digest, Fingerprint};
use crate::domain::path::RelPath;
use crate::domain::settle::{Settler, Waits};

const BASELINE: Timestamp = Timestamp::from_seconds(1_000);

fn deploy() -> Arc<Deploy> {
    let opened_at = Timestamp::EPOCH;
    let id = DeployId::new(opened_at, 1);
    Arc::new(Deploy { id, origin: "www".into(), opened_at, closed_at: None })
}

/// A look as the settler hands it out.
fn look(witness: Witness, anyway: bool, removal: bool) -> Look {
    let second = Duration::from_secs(1);
    let waits = Waits {
        settle: second,
        deploy_deadline: second * 10,
        unstable_after: if anyway { Duration::ZERO } else { second * 60 },
        delete_settle: Duration::ZERO,
    };
    let mut settler = Settler::new(waits, 10);
    settler.mark(&RelPath::new("a").expect("valid"), witness, Duration::ZERO, &deploy());
    let look = settler.due(second, 1, &deploy()).remove(0);
    if !removal {
        return look;
    }
    settler.found(&look, Found::Absent, second);
    settler.due(second, 1, &deploy()).remove(0)
}

fn entry(changed: Timestamp, byte: u8) -> Entry {
    let changed_ns = changed.as_micros() * 1_000;
    let fingerprint = Fingerprint { size: 1, modified_ns: 1, changed_ns, inode: 1 };
    Entry { fingerprint, digest: Some(Digest([byte; 16])), doubtful: false, linked: false }
}

fn is_change(judgement: &Judgement) -> bool {
    judgement.change.is_some()
}

#[test]
fn a_baseline_takes_what_is_older_unless_the_watch_told_of_it() {
    let (old, new) = (entry(Timestamp::from_seconds(900), 1), entry(BASELINE, 1));
    let scanned = look(Witness::Scan, false, false);
    let judged = judge(&scanned, None, Seen::File(old), Some(BASELINE));
    assert_eq!((judged.index, is_change(&judged)), (IndexStep::Hold(old), false));
    assert!(is_change(&judge(&scanned, None, Seen::File(new), Some(BASELINE))));
    assert!(is_change(&judge(&scanned, None, Seen::File(old), None)));
    let watched = look(Witness::Watch, false, false);
    assert!(is_change(&judge(&watched, None, Seen::File(old), Some(BASELINE))));
}

#[test]
fn what_changes_is_waited_for_until_it_goes_anyway() {
    let (prior, seen) =
        (entry(BASELINE, 1), Entry { digest: None, doubtful: true, ..entry(BASELINE, 1) });
    let seen = Entry { fingerprint: Fingerprint { size: 2, ..seen.fingerprint }, ..seen };
    let patient =
        judge(&look(Witness::Watch, false, false), Some(&prior), Seen::Changing(seen), None);
    assert_eq!((patient.found, patient.index), (Found::Changing, IndexStep::Leave));
    let anyway =
        judge(&look(Witness::Watch, true, false), Some(&prior), Seen::Changing(seen), None);
    assert_eq!((anyway.found, anyway.index), (Found::Settled, IndexStep::Hold(seen)));
    assert!(is_change(&anyway));
}

#[test]
fn an_absence_waits_before_it_is_a_removal() {
    let prior = entry(BASELINE, 1);
    for seen in [Seen::Absent, Seen::Directory, Seen::Other] {
        let first = look(Witness::Watch, false, false);
        assert_eq!(judge(&first, None, seen.clone(), None).found, Found::Settled);
        assert_eq!(judge(&first, Some(&prior), seen.clone(), None).found, Found::Absent);
        let last = judge(&look(Witness::Watch, false, true), Some(&prior), seen, None);
        assert_eq!((last.found, last.index), (Found::Settled, IndexStep::Forget));
        assert!(last.change.is_some_and(|(change, _)| change.force));
    }
}

#[test]
fn what_cannot_be_read_counts_as_changed_if_its_fingerprint_moved() {
    let prior = entry(BASELINE, 1);
    let unread = Entry { digest: None, ..prior };
    let watched = look(Witness::Watch, false, false);
    let unreadable = |entry| Seen::Unreadable(entry, "no".to_owned());
    let same = judge(&watched, Some(&prior), unreadable(Some(unread)), None);
    assert_eq!((same.index, is_change(&same)), (IndexStep::Hold(prior), false));
    assert_eq!(same.trouble.as_deref(), Some("no"));
    let moved = Entry { fingerprint: Fingerprint { size: 2, ..unread.fingerprint }, ..unread };
    assert!(is_change(&judge(&watched, Some(&prior), unreadable(Some(moved)), None)));
    assert_eq!(judge(&watched, Some(&prior), unreadable(None), None).found, Found::Changing);
    let anyway = judge(&look(Witness::Watch, true, false), Some(&prior), unreadable(None), None);
    assert_eq!((anyway.found, anyway.index), (Found::Settled, IndexStep::Leave));
}
