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
        stuck: Vec::new(),
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

fn lag(account: &str, kind: QuotaKind, age: Duration) -> Lag {
    Lag { account: AccountName::from(account), kind, since: now().minus(age) }
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
    let lasting = KeyFacts { expires_at: None, ..key("a file", "it is gone", 0) };
    let rest = [
        ("a", first),
        ("b", account(Way::Away, "the CDN does not answer", key("", "no such file", 0))),
        ("c", account(Way::Slow, "throttled", key("metadata", "no answer", 60))),
        ("d", account(Way::Open, "", lasting)),
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
            failed_today: 3,
            failed_left: 2,
            oldest_doubt: Some(now().minus(HOUR)),
            lags: vec![lag("other", QuotaKind::Url, HOUR), lag("a", QuotaKind::Url, HOUR)],
        },
        deliveries_failed: 1,
        stuck: vec![("poll a".to_owned(), HOUR)],
        clock_offset: HOUR,
        ..known(&facts)
    };
    let mut raised: Vec<AlarmKind> = all.alarms().iter().map(|alarm| alarm.kind).collect();
    // A database that fails explains every lag.
    let calm = Facts::default();
    let late = Known { troubles: all.troubles.clone(), ..known(&calm) }.alarms();
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
        failed_today: 1,
        oldest_doubt: Some(now()),
        lags: vec![lag("a", QuotaKind::Url, Duration::from_secs(899))],
        ..Troubles::default()
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
fn a_lag_is_explained_by_its_own_account_and_kind_alone() {
    let mut facts = Facts::default();
    let closed = account(Way::Away, "the CDN does not answer", KeyFacts::default());
    facts.accounts.insert(AccountName::from("away"), closed);
    let lags = [
        ("away", QuotaKind::Url),
        ("main", QuotaKind::Url),
        ("main", QuotaKind::Directory),
        ("other", QuotaKind::Url),
    ];
    let lags = lags.map(|(account, kind)| lag(account, kind, HOUR)).to_vec();
    let late = Known {
        troubles: Troubles { lags, ..Troubles::default() },
        quotas: vec![quota(QuotaKind::Url, 0, None)],
        paused: vec![PausedNow {
            account: AccountName::from("away"),
            origin: None,
            since: now().minus(25 * HOUR),
            waiting: 3,
        }],
        ..known(&facts)
    };
    let left: Vec<_> = late.lags().map(|lag| (lag.account.as_str(), lag.kind)).collect();
    assert_eq!(left, [("main", QuotaKind::Directory), ("other", QuotaKind::Url)]);
    let alarms = late.alarms();
    let lagging = alarms.iter().filter(|alarm| alarm.kind == AlarmKind::LagHigh);
    let keys: Vec<&str> = lagging.map(|alarm| alarm.key.as_str()).collect();
    assert_eq!(keys, ["lag.high/main", "lag.high/other"]);
}

#[test]
fn spent_quota_is_an_error_unless_it_is_soon_back_or_for_prefetches() {
    let facts = Facts::default();
    let severity = |kind, now: Timestamp| {
        let known = Known { now, quotas: vec![quota(kind, 0, None)], ..known(&facts) };
        known.alarms()[0].severity
    };
    let turn = Day::of(now()).next().start();
    assert_eq!(severity(QuotaKind::Url, turn.minus(2 * HOUR)), Severity::Error);
    assert_eq!(severity(QuotaKind::Url, turn.minus(HOUR)), Severity::Warning);
    assert_eq!(severity(QuotaKind::Prefetch, turn.minus(2 * HOUR)), Severity::Warning);
}

#[test]
fn an_alarm_stands_since_it_was_first_seen_until_it_is_gone() {
    let facts = all_wrong();
    let mut seen = Seen::default();
    let noted = |seen: &mut Seen, at: Timestamp| {
        let mut alarms = known(&facts).alarms();
        seen.note(&mut alarms, at);
        alarms
    };
    noted(&mut seen, now());
    let first = noted(&mut seen, now().plus(HOUR));
    assert_eq!(first, noted(&mut seen, now().plus(2 * HOUR)));
    seen.note(&mut Vec::new(), now().plus(HOUR));
    let third = noted(&mut seen, now().plus(2 * HOUR));
    let refused = third.iter().find(|alarm| alarm.kind == AlarmKind::KeyRefused);
    assert_eq!(refused.and_then(|alarm| alarm.since), Some(now().plus(2 * HOUR)));
}

#[test]
fn what_passes_soon_is_not_told_of() {
    let facts = all_wrong();
    let mut seen = Seen::default();
    let mut stands = |kind: AlarmKind, seconds: u64| {
        let mut alarms = known(&facts).alarms();
        seen.note(&mut alarms, now().plus(Duration::from_secs(seconds)));
        alarms.iter().any(|alarm| alarm.kind == kind)
    };
    assert!(stands(AlarmKind::KeyRefused, 0));
    for (kind, after) in
        [(AlarmKind::DatabaseFailing, 60), (AlarmKind::CdnSlow, 300), (AlarmKind::KeyUnread, 600)]
    {
        assert!(!stands(kind, after - 1), "{kind:?}");
        assert!(stands(kind, after), "{kind:?}");
    }
}

#[test]
fn a_forecast_that_comes_and_goes_stands_for_an_hour() {
    let facts = Facts::default();
    let mut seen = Seen::default();
    let mut stands = |left: u64, runs_out: bool, minutes: u64| {
        let runs_out = runs_out.then(|| now().plus(HOUR));
        let quotas = vec![quota(QuotaKind::Url, left, runs_out)];
        let mut alarms = Known { quotas, ..known(&facts) }.alarms();
        seen.note(&mut alarms, now().plus(Duration::from_secs(minutes * 60)));
        alarms.iter().map(|alarm| alarm.kind).collect::<Vec<_>>()
    };
    assert_eq!(stands(5, true, 0), [AlarmKind::QuotaForecast]);
    assert_eq!(stands(5, false, 59), [AlarmKind::QuotaForecast]);
    assert_eq!(stands(5, false, 60), []);
    assert_eq!(stands(5, true, 61), [AlarmKind::QuotaForecast]);
    assert_eq!(stands(0, false, 62), [AlarmKind::QuotaExhausted]);
}

#[test]
fn an_origin_that_is_polled_as_a_whole_has_no_parts() {
    let mut facts = Facts::default();
    let polled = OriginFacts {
        state: OriginState::Polling,
        watch: "it is on NFS".to_owned(),
        advice: "mount it otherwise".to_owned(),
        ..OriginFacts::default()
    };
    facts.origins.insert(OriginName::from("www"), polled);
    assert_eq!(
        known(&facts).alarms()[0].what,
        "origin www: no events come from any of it, compared at intervals instead: it is on NFS"
    );
}
