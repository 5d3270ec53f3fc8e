use proptest::prelude::*;

use super::*;
use crate::domain::mapping::Spec;

const SETTLE: Duration = Duration::from_secs(2);

fn mapping() -> Mapping {
    let spec = Spec::plain("main".into(), vec!["https://h.example".to_owned()]);
    Mapping::new(spec).expect("a good mapping")
}

/// A small history: change sets with the seconds since the one before, of few paths in few
/// directories, so that sets meet.
fn any_history() -> impl Strategy<Value = Vec<Line>> {
    let gap = prop_oneof![0..4_i64, 100..10_000_i64, 80_000..100_000_i64];
    let path = (0..3_u8, 0..3_u8, 0..4_u8)
        .prop_map(|(outer, inner, file)| format!("{outer}/{inner}/{file}.html"));
    let kind = prop_oneof![
        1 => Just(ChangeKind::Created),
        3 => Just(ChangeKind::Modified),
        1 => Just(ChangeKind::Removed),
    ];
    let set = prop::collection::vec((kind, path), 0..20);
    prop::collection::vec((gap, set), 0..12).prop_map(|sets| {
        let mut time = 1_700_000_000;
        let line = |(gap, set): (i64, Vec<(ChangeKind, String)>)| {
            time += gap;
            let path = |path: String| RelPath::new(path).expect("a good path");
            let changes = set.into_iter().map(|(kind, text)| (kind, path(text))).collect();
            Line { time: Timestamp::from_seconds(time), changes }
        };
        sets.into_iter().map(line).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_day_is_overspent_and_every_change_arrives(
        history in any_history(),
        (urls, others) in (1..30_u64, 0..4_u64),
        reserve in prop_oneof![Just(0_u64), Just(5), Just(40)],
        (own_share, other_share) in (0..50_u64, 0..50_u64),
        wide_per_hour in prop_oneof![Just(None), Just(Some(1_u64))],
        policy in prop_oneof![
            Just(Policy::Cover), Just(Policy::PerUrl), (1..6_u64).prop_map(Policy::Threshold)
        ],
        spare in prop_oneof![Just(0_u64), Just(600), Just(10_800)],
    ) {
        let (origin, mapping) = (OriginName::from("www"), mapping());
        let limits =
            PerKind::from_fn(|kind| if kind == QuotaKind::Url { urls } else { others });
        let shares = BTreeMap::from([("www".into(), own_share), ("blog".into(), other_share)]);
        let rules = Rules { reserve, shares, wide_per_hour };
        let terms = Terms {
            origin: &origin,
            mapping: &mapping,
            settle: SETTLE,
            // Else it may cut a set short before it has settled.
            deadline: Duration::from_secs(1_000_000),
            limits: &limits,
            takes: &Limits::DOCUMENTED,
            rules: &rules,
            guard: &Guard::default(),
            spare: Duration::from_secs(spare),
            expressions: &[],
        };
        let report = simulate(&history, terms, policy);
        prop_assert_eq!(&report, &simulate(&history, terms, policy));
        prop_assert_eq!(report.overspent_days, 0);
        prop_assert_eq!(report.uncovered, 0);
        let changes: usize = history.iter().map(|line| line.changes.len()).sum();
        prop_assert_eq!(report.changes, changes as u64);
        let lag = &report.lag_seconds;
        if report.targets > 0 {
            prop_assert!(lag.mean >= SETTLE.as_secs_f64() && lag.p50 >= SETTLE.as_secs());
        }
        prop_assert!(lag.p50 <= lag.p90 && lag.p90 <= lag.p99 && lag.p99 <= lag.max);
        let spent = |kind: QuotaKind| report.spent[kind.as_str()];
        let days = u64::try_from(report.days).expect("days go on");
        for kind in QuotaKind::ALL {
            prop_assert!(spent(kind) <= limits[kind] * days, "{}", kind);
        }
        if policy == Policy::PerUrl {
            prop_assert_eq!(report.collateral, Collateral::default());
            prop_assert!(spent(QuotaKind::Url) <= report.targets);
        }
    }
}
