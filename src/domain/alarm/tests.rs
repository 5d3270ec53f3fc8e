use super::*;
use crate::domain::facts::{
    AccountFacts, FailingFacts, GateFacts, NoticeFacts, PolledFacts, ReloadFacts, Unmapped,
};
use crate::domain::own::Unserved;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

fn known(facts: &Facts) -> Known<'_> {
    Known {
        now: now(),
        facts,
        quotas: Vec::new(),
        held: Vec::new(),
        paused: Vec::new(),
        troubles: Troubles::default(),
        deliveries_failed: 0,
        clock_offset: Duration::ZERO,
    }
}

fn quota(kind: QuotaKind, left: u64, runs_out: Option<Timestamp>) -> QuotaNow {
    QuotaNow { account: AccountName::from("main"), kind, limit: 100, left, runs_out }
}

fn account(way: Way, note: &str, key: KeyFacts) -> AccountFacts {
    AccountFacts { way, note: note.to_owned(), key, ..AccountFacts::default() }
}

fn key(source: &str, trouble: &str, expires_in: u64) -> KeyFacts {
    KeyFacts {
        source: source.to_owned(),
        trouble: trouble.to_owned(),
        expires_at: Some(now().plus(Duration::from_secs(expires_in))),
        ..KeyFacts::default()
    }
}

/// Everything is wrong at once.
fn all_wrong() -> Facts {
    let mut facts = Facts::default();
    let gone = OriginFacts {
        state: OriginState::Unavailable,
        note: "the root is gone".to_owned(),
        polled: vec![PolledFacts { path: "uploads".to_owned(), why: "it is on FUSE".to_owned() }],
        unmapped: vec![Unmapped { path: "a.txt".to_owned(), why: "no rule".to_owned() }],
        ..OriginFacts::default()
    };
    facts.origins.insert(OriginName::from("www"), gone);
    let nothing = KeyFacts::default();
    let mut first = account(Way::KeyRefused, "the CDN refuses the key", nothing.clone());
    first.domains.unchecked = "Forbidden".to_owned();
    first.domains.unserved = vec![Unserved {
        origin: OriginName::from("www"),
        domain: "www.example.com".to_owned(),
        what: "it is offline".to_owned(),
        mend: "start it".to_owned(),
    }];
    let rest = [
        ("a", first),
        ("b", account(Way::Away, "the CDN does not answer", key("", "no such file", 0))),
        ("c", account(Way::Slow, "throttled", key("metadata", "no answer", 60))),
    ];
    facts.accounts.extend(rest.map(|(name, account)| (AccountName::from(name), account)));
    let gate = GateFacts {
        deploys: 1,
        wishes: 2,
        since: now().minus(HOUR),
        why: "503".to_owned(),
        ..GateFacts::default()
    };
    facts.gates.insert(OriginName::from("www"), gate);
    facts.reload =
        Some(ReloadFacts { at: now(), refused: "2 problems".to_owned(), ..ReloadFacts::default() });
    let failing = FailingFacts { since: now(), why: "the disk is full".to_owned() };
    facts.failing.insert("forward".to_owned(), failing);
    let notice = NoticeFacts { waiting: 1, failing_since: Some(now()), why: "404".to_owned() };
    facts.notices.insert("ops".to_owned(), notice);
    facts
}

#[test]
fn every_kind_is_raised_by_what_it_means() {
    let facts = all_wrong();
    let all = Known {
        quotas: vec![
            quota(QuotaKind::Url, 0, Some(now())),
            quota(QuotaKind::Directory, 5, Some(now().plus(HOUR))),
            quota(QuotaKind::Regex, 5, None),
        ],
        held: vec![HeldNow {
            deploy: DeployId::from_text("www-1".to_owned()),
            origin: Some(OriginName::from("www")),
            intents: 1,
            since: now(),
            why: "a fifth vanished".to_owned(),
        }],
        paused: vec![PausedNow {
            account: AccountName::from("a"),
            origin: None,
            since: now().minus(25 * HOUR),
            waiting: 3,
        }],
        troubles: Troubles {
            failed_today: 2,
            oldest_doubt: Some(now().minus(HOUR)),
            oldest_unexplained: None,
        },
        deliveries_failed: 1,
        clock_offset: HOUR,
        ..known(&facts)
    };
    let mut raised: Vec<AlarmKind> = all.alarms().iter().map(|alarm| alarm.kind).collect();
    // What nothing explains is only raised where nothing else is.
    let calm = Facts::default();
    let late = Troubles { oldest_unexplained: Some(now().minus(HOUR)), ..Troubles::default() };
    let late = Known { troubles: late, ..known(&calm) }.alarms();
    raised.extend(late.iter().map(|alarm| alarm.kind));
    raised.sort_unstable();
    raised.dedup();
    assert_eq!(raised, AlarmKind::ALL);
    let lines: Vec<String> = all
        .alarms()
        .into_iter()
        .map(|alarm| {
            format!("{} {}: {} -> {}", alarm.severity.as_str(), alarm.key, alarm.what, alarm.remedy)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn nothing_is_raised_while_nothing_is_wrong() {
    let facts = Facts::default();
    assert_eq!(known(&facts).alarms(), []);
    let young = Troubles {
        failed_today: 0,
        oldest_doubt: Some(now()),
        oldest_unexplained: Some(now().minus(Duration::from_secs(899))),
    };
    let paused = vec![PausedNow {
        account: AccountName::from("a"),
        origin: None,
        since: now().minus(HOUR),
        waiting: 3,
    }];
    let fine = Known {
        quotas: vec![quota(QuotaKind::Url, 1, None)],
        troubles: young,
        paused,
        ..known(&facts)
    };
    assert_eq!(fine.alarms(), []);
}

#[test]
fn a_change_whose_wait_is_known_is_no_lag() {
    let late = Troubles { oldest_unexplained: Some(now().minus(HOUR)), ..Troubles::default() };
    let mut facts = Facts::default();
    let closed = account(Way::Away, "the CDN does not answer", KeyFacts::default());
    facts.accounts.insert(AccountName::from("main"), closed);
    let kinds: Vec<_> =
        Known { troubles: late, ..known(&facts) }.alarms().iter().map(|alarm| alarm.kind).collect();
    assert_eq!(kinds, [AlarmKind::CdnClosed]);
}

#[test]
fn an_alarm_stands_since_it_was_first_seen_until_it_is_gone() {
    let facts = all_wrong();
    let mut seen = Seen::default();
    let mut first = known(&facts).alarms();
    seen.note(&mut first, now());
    let mut second = known(&facts).alarms();
    seen.note(&mut second, now().plus(HOUR));
    assert_eq!(first, second);
    seen.note(&mut [], now().plus(HOUR));
    let mut third = known(&facts).alarms();
    seen.note(&mut third, now().plus(2 * HOUR));
    let refused = third.iter().find(|alarm| alarm.kind == AlarmKind::KeyRefused);
    assert_eq!(refused.and_then(|alarm| alarm.since), Some(now().plus(2 * HOUR)));
}
