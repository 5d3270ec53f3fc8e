use super::*;
use crate::domain::ask::Kind;
use crate::domain::task::{Ask, BatchKey};

fn batch(names: &[usize]) -> Batch {
    let ask = |name: &usize| Ask {
        target: Target::new(Kind::Url, format!("https://www.example.com/{name}")),
        intents: Vec::new(),
    };
    Batch {
        key: BatchKey::new(Timestamp::EPOCH, 0),
        account: "main".into(),
        action: Action::Refresh,
        kind: Kind::Url,
        force: false,
        asks: names.iter().map(ask).collect(),
    }
}

/// Finds the bad ones among `n`; returns the calls it took, and what was accepted.
fn find(n: usize, bad: &[usize]) -> (usize, usize) {
    let mut lessons = Lessons::default();
    let (mut calls, mut accepted) = (0, 0);
    let mut waiting: Vec<usize> = (0..n).collect();
    while !waiting.is_empty() {
        let names: Vec<usize> = match lessons.suspects.last() {
            Some(set) => {
                let half: HashSet<&str> = set.half().iter().map(|it| it.text.as_str()).collect();
                let is_in = |name: &&usize| {
                    half.contains(format!("https://www.example.com/{name}").as_str())
                };
                waiting.iter().filter(is_in).copied().collect()
            }
            None => waiting.clone(),
        };
        assert!(!names.is_empty(), "suspects always wait");
        calls += 1;
        let batch = batch(&names);
        if names.iter().any(|name| bad.contains(name)) {
            lessons.refused(&batch);
            if names.len() == 1 {
                waiting.retain(|name| *name != names[0]);
            }
        } else {
            lessons.accepted(&batch);
            accepted += names.len();
            waiting.retain(|name| !names.contains(name));
        }
    }
    (calls, accepted)
}

#[test]
fn one_bad_ask_is_found_in_twice_the_logarithm_and_everything_else_goes_through() {
    for n in 1_usize..=300 {
        let most = (0..n).map(|bad| find(n, &[bad])).inspect(|(_, good)| assert_eq!(*good, n - 1));
        let most = most.map(|(calls, _)| calls).max().expect("there is one");
        let log = u32::try_from(n).map(f64::from).expect("small").log2();
        assert!(
            f64::from(u32::try_from(most).expect("small")) <= 2.0f64.mul_add(log, 1.0),
            "{n}: {most}"
        );
    }
}

#[test]
fn several_bad_asks_are_all_found() {
    let (calls, accepted) = find(100, &[3, 4, 50, 99]);
    assert_eq!(accepted, 96);
    assert!(calls <= 4 * 14, "{calls} calls");
    assert_eq!(find(8, &[0, 1, 2, 3, 4, 5, 6, 7]).1, 0);
}

#[test]
fn calls_of_a_kind_get_smaller_until_the_day_turns() {
    let mut lessons = Lessons::default();
    let today = Timestamp::EPOCH;
    assert_eq!(lessons.limits(Limits::DOCUMENTED, today), Limits::DOCUMENTED);
    assert_eq!(lessons.too_many(&batch(&[1, 2, 3, 4]), today), 2);
    assert_eq!(lessons.too_many(&batch(&[1]), today), 1);
    let learnt = Limits { urls_per_request: 1, ..Limits::DOCUMENTED };
    assert_eq!(lessons.limits(Limits::DOCUMENTED, today), learnt);
    let tomorrow = Day::of(today).next().start();
    assert_eq!(lessons.limits(Limits::DOCUMENTED, tomorrow), Limits::DOCUMENTED);
}
