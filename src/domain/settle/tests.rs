use proptest::prelude::*;

use super::*;
use crate::domain::deploy::DeployId;
use crate::domain::time::Timestamp;

const WAITS: Waits = Waits {
    settle: Duration::from_secs(1),
    deploy_deadline: Duration::from_secs(10),
    unstable_after: Duration::from_secs(60),
    delete_settle: Duration::from_secs(30),
    transient: Duration::from_secs(5),
};

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("valid")
}

fn deploy(number: u64) -> Arc<Deploy> {
    let opened_at = Timestamp::from_seconds(number.cast_signed());
    let id = DeployId::new(opened_at, number);
    Arc::new(Deploy { id, origin: "www".into(), opened_at, closed_at: None })
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn mark(settler: &mut Settler, text: &str, at: u64) {
    settler.mark(&path(text), Witness::Watch, ms(at), &deploy(at));
}

fn due(settler: &mut Settler, at: u64) -> Vec<Look> {
    settler.due(ms(at), 100, &deploy(at))
}

#[test]
fn a_path_is_due_a_settle_after_its_last_mark() {
    let mut settler = Settler::new(WAITS, 100);
    mark(&mut settler, "a", 0);
    mark(&mut settler, "a", 700);
    assert!(due(&mut settler, 1_699).is_empty());
    let looks = due(&mut settler, 1_700);
    assert_eq!(looks.len(), 1);
    assert_eq!(looks[0].deploy, deploy(0));
    assert_eq!(settler.closing(ms(1_700)), None);
    settler.found(&looks[0], Found::Settled, ms(1_710));
    assert_eq!(settler.closing(ms(1_710)), Some(&deploy(0)));
    settler.closed();
    assert_eq!((settler.dirty(), settler.next()), (0, None));
}

#[test]
fn a_mark_during_the_look_asks_for_another() {
    let mut settler = Settler::new(WAITS, 100);
    mark(&mut settler, "a", 0);
    let looks = due(&mut settler, 1_000);
    mark(&mut settler, "a", 1_005);
    settler.found(&looks[0], Found::Settled, ms(1_010));
    assert_eq!(settler.closing(ms(1_010)), None);
    assert_eq!(due(&mut settler, 2_005).len(), 1);
}

#[test]
fn the_deadline_closes_the_deploy_and_what_still_changes_falls_into_the_next() {
    let mut settler = Settler::new(WAITS, 100);
    mark(&mut settler, "done", 0);
    for at in (0..=10_500).step_by(500) {
        mark(&mut settler, "changing", at);
    }
    let looks = due(&mut settler, 10_500);
    assert_eq!(looks.len(), 1, "only what rested");
    assert_eq!(settler.closing(ms(10_500)), None, "being looked at");
    settler.found(&looks[0], Found::Settled, ms(10_500));
    assert_eq!(settler.closing(ms(10_500)), Some(&deploy(0)));
    settler.closed();
    let looks = due(&mut settler, 11_500);
    assert_eq!(looks[0].path, path("changing"));
    assert_eq!(looks[0].deploy, deploy(11_500));
}

#[test]
fn what_never_rests_goes_anyway_and_is_followed_up() {
    let mut settler = Settler::new(WAITS, 100);
    for at in (0..60_000).step_by(500) {
        mark(&mut settler, "a", at);
        assert!(due(&mut settler, at).is_empty());
        if settler.closing(ms(at)).is_some() {
            settler.closed();
        }
    }
    settler.closed();
    let looks = due(&mut settler, 60_000);
    assert!(looks[0].anyway);
    settler.found(&looks[0], Found::Settled, ms(60_001));
    let followed = due(&mut settler, 61_001);
    assert!(!followed[0].anyway);
    settler.found(&followed[0], Found::Settled, ms(61_002));
    assert_eq!(settler.dirty(), 0);
}

#[test]
fn an_absence_waits_and_belongs_to_the_deploy_that_saw_it() {
    let mut settler = Settler::new(WAITS, 100);
    mark(&mut settler, "a", 0);
    let looks = due(&mut settler, 1_000);
    assert_eq!(looks[0].removal, None);
    settler.found(&looks[0], Found::Absent, ms(1_000));
    assert_eq!(settler.closing(ms(1_000)), Some(&deploy(0)));
    settler.closed();
    assert!(due(&mut settler, 30_999).is_empty());
    let looks = due(&mut settler, 31_000);
    assert_eq!(looks[0].removal, Some(deploy(0)));
    settler.give_back(looks[0].clone(), ms(31_000));
    let looks = due(&mut settler, 31_000);
    assert_eq!(looks[0].removal, Some(deploy(0)), "given back as it was");
    settler.found(&looks[0], Found::Settled, ms(31_000));
    assert_eq!(settler.dirty(), 0);
}

#[test]
fn what_comes_back_is_looked_at_as_usual() {
    let mut settler = Settler::new(WAITS, 100);
    mark(&mut settler, "a", 0);
    let looks = due(&mut settler, 1_000);
    settler.found(&looks[0], Found::Absent, ms(1_000));
    mark(&mut settler, "a", 5_000);
    let looks = due(&mut settler, 6_000);
    assert_eq!(looks[0].removal, None);
    settler.found(&looks[0], Found::Settled, ms(6_000));
    assert_eq!(settler.dirty(), 0);
}

#[test]
fn what_comes_back_late_rests_before_it_is_looked_at() {
    let mut settler = Settler::new(WAITS, 100);
    mark(&mut settler, "a", 0);
    let looks = due(&mut settler, 1_000);
    settler.found(&looks[0], Found::Absent, ms(1_000));
    settler.closed();
    mark(&mut settler, "a", 30_900);
    assert!(due(&mut settler, 31_000).is_empty());
    let looks = due(&mut settler, 31_900);
    assert_eq!(looks[0].removal, Some(deploy(0)), "if it is still absent");
}

#[test]
fn too_many_paths_become_the_whole_tree() {
    let mut settler = Settler::new(WAITS, 2);
    for name in ["a", "b", "c"] {
        mark(&mut settler, name, 0);
    }
    assert!(settler.take_collapse());
    assert!(!settler.take_collapse());
    assert_eq!((settler.dirty(), settler.next()), (0, None));
}

#[derive(Clone, Debug)]
enum Step {
    Mark(u8),
    Wait(u64),
    Look,
    Answer(u8),
    Close,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..5).prop_map(Step::Mark),
        4 => (1_u64..4_000).prop_map(Step::Wait),
        3 => Just(Step::Look),
        3 => any::<u8>().prop_map(Step::Answer),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn every_mark_is_followed_by_a_look_that_starts_after_it(
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let mut settler = Settler::new(WAITS, 100);
        let mut now = 0_u64;
        // By path: the newest mark that no look followed yet. Marks at the instant of a look
        // are made one millisecond apart from it.
        let mut owed: BTreeMap<RelPath, u64> = BTreeMap::new();
        let mut out: Vec<(u64, Look)> = Vec::new();
        let answer = |settler: &mut Settler, owed: &mut BTreeMap<RelPath, u64>, how: u8, now: u64, (began, look): (u64, Look)| {
            match how % 4 {
                0 => settler.give_back(look, ms(now)),
                1 => settler.found(&look, Found::Changing, ms(now)),
                2 if look.removal.is_none() => settler.found(&look, Found::Absent, ms(now)),
                _ => {
                    settler.found(&look, Found::Settled, ms(now));
                    if owed.get(&look.path).is_some_and(|marked| *marked < began) {
                        owed.remove(&look.path);
                    }
                }
            }
        };
        for step in steps {
            now += 1;
            match step {
                Step::Mark(name) => {
                    mark(&mut settler, &name.to_string(), now);
                    owed.insert(path(&name.to_string()), now);
                }
                Step::Wait(millis) => now += millis,
                Step::Look => out.extend(due(&mut settler, now).into_iter().map(|look| (now, look))),
                Step::Answer(how) => {
                    if !out.is_empty() {
                        let look = out.remove(0);
                        answer(&mut settler, &mut owed, how, now, look);
                    }
                }
                Step::Close => if settler.closing(ms(now)).is_some() { settler.closed() },
            }
            let active = settler.dirty.values().filter(|dirty| dirty.is_active()).count();
            prop_assert_eq!(active, settler.active);
        }
        for look in out.drain(..) {
            now += 1;
            answer(&mut settler, &mut owed, 3, now, look);
        }
        let mut turns = 0;
        while let Some(next) = settler.next() {
            turns += 1;
            prop_assert!(turns < 100, "it comes to rest");
            now = now.max(u64::try_from(next.as_millis()).expect("small")) + 1;
            for look in due(&mut settler, now) {
                answer(&mut settler, &mut owed, 3, now, (now, look));
            }
            if settler.closing(ms(now)).is_some() {
                settler.closed();
            }
        }
        prop_assert!(owed.is_empty(), "forgotten: {owed:?}");
    }
}
