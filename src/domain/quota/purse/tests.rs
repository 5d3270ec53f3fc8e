use proptest::prelude::*;

use super::*;

const NOON: &str = "2026-11-22T04:00:00Z";
const HOST: &str = "www.example.com";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("valid")
}

fn allowances(limit: u64, used: u64) -> PerKind<Allowance> {
    PerKind::from_fn(|_| Allowance { limit, used })
}

fn shares(shares: &[(&str, u64)]) -> BTreeMap<OriginName, u64> {
    shares.iter().map(|(name, percent)| ((*name).into(), *percent)).collect()
}

fn purse(allowances: &PerKind<Allowance>, rules: &Rules, spending: &Spending) -> Purse {
    Purse::new(at(NOON), allowances, rules, &Limits::DOCUMENTED, spending, &PerKind::default())
}

fn left(purse: &Purse, priority: Priority, origin: &str) -> u64 {
    purse.left(QuotaKind::Url, priority, Some(&origin.into()), HOST)
}

#[test]
fn only_urgent_work_touches_the_reserve() {
    let rules = Rules { reserve: 5, ..Rules::default() };
    let mut purse = purse(&allowances(1_000, 940), &rules, &Spending::default());
    assert_eq!(left(&purse, Priority::Urgent, "www"), 60);
    assert_eq!(left(&purse, Priority::Normal, "www"), 10);
    purse.spend(QuotaKind::Url, None, HOST, 10);
    let room = purse.room(QuotaKind::Url, Priority::Normal, None, HOST);
    assert_eq!((room.left, room.bound), (0, Bound::Reserve));
    assert_eq!(
        purse.why(QuotaKind::Url, &room, HOST),
        "50 of today's 1000 URL refreshes are kept for urgent work; goes out after \
        00:00 UTC+8 (2026-11-22T16:00:00Z)"
    );
    assert_eq!(room.until, at("2026-11-22T16:00:01Z"));
    assert_eq!(left(&purse, Priority::Urgent, "www"), 50);
}

#[test]
fn a_share_is_its_owners_until_it_is_spent() {
    let rules = Rules { shares: shares(&[("a", 30), ("b", 20)]), ..Rules::default() };
    let mut purse = purse(&allowances(100, 0), &rules, &Spending::default());
    assert_eq!(["a", "b", "c"].map(|name| left(&purse, Priority::Normal, name)), [80, 70, 50]);
    purse.spend(QuotaKind::Url, Some(&"c".into()), HOST, 50);
    assert_eq!(["a", "b", "c"].map(|name| left(&purse, Priority::Normal, name)), [30, 20, 0]);
    let room = purse.room(QuotaKind::Url, Priority::Normal, Some(&"c".into()), HOST);
    assert_eq!(room.bound, Bound::Share);
    purse.spend(QuotaKind::Url, Some(&"a".into()), HOST, 30);
    assert_eq!(["a", "b", "c"].map(|name| left(&purse, Priority::Urgent, name)), [0, 20, 0]);
    assert_eq!(purse.left(QuotaKind::Tag, Priority::Normal, None, HOST), 100, "nobody's share");
}

#[test]
fn what_others_spent_shrinks_the_shares_together() {
    let rules = Rules { shares: shares(&[("a", 50), ("b", 50)]), ..Rules::default() };
    let purse = purse(&allowances(100, 60), &rules, &Spending::default());
    assert_eq!(["a", "b", "c"].map(|name| left(&purse, Priority::Normal, name)), [20, 20, 0]);
}

#[test]
fn backfill_leaves_normal_work_its_day() {
    let none = Spending::default();
    let at_noon = purse(&allowances(1_000, 0), &Rules::default(), &none);
    // Half of a day is left: half of the half that is spread evenly.
    assert_eq!(left(&at_noon, Priority::Backfill, "www"), 750);
    assert_eq!(left(&at_noon, Priority::Normal, "www"), 1_000);
    let room = purse(&allowances(1_000, 800), &Rules::default(), &none).room(
        QuotaKind::Url,
        Priority::Backfill,
        None,
        HOST,
    );
    assert_eq!((room.left, room.bound), (0, Bound::Pace));
    assert_eq!(room.until, at("2026-11-22T04:15:00Z"));
    let expected = PerKind::from_fn(|_| 900);
    let all = allowances(1_000, 0);
    let busy = Purse::new(at(NOON), &all, &Rules::default(), &Limits::DOCUMENTED, &none, &expected);
    assert_eq!(left(&busy, Priority::Backfill, "www"), 100);
}

#[test]
fn a_host_gets_no_more_in_a_minute_than_the_cdn_takes() {
    let now = at(NOON);
    let recent = |seconds: u64, amount| Recent {
        at: now.minus(Duration::from_secs(seconds)),
        kind: QuotaKind::Directory,
        host: HOST.to_owned(),
        amount,
    };
    let recent = vec![recent(60, 50), recent(59, 60), recent(10, 40)];
    let spending = Spending { recent, ..Spending::default() };
    let purse = purse(&allowances(1_000, 150), &Rules::default(), &spending);
    let room = purse.room(QuotaKind::Directory, Priority::Normal, None, HOST);
    assert_eq!((room.left, room.bound), (0, Bound::Minute), "what is a minute old is over");
    assert_eq!(room.until, now.plus(Duration::from_secs(50)));
    assert_eq!(purse.left(QuotaKind::Directory, Priority::Normal, None, "other.example"), 100);
    assert_eq!(purse.left(QuotaKind::Url, Priority::Normal, None, HOST), 850);
    let limits = Limits { urls_per_minute: 30, ..Limits::DOCUMENTED };
    let all = allowances(1_000, 150);
    let rules = Rules::default();
    let purse = Purse::new(now, &all, &rules, &limits, &spending, &PerKind::default());
    assert_eq!(purse.left(QuotaKind::Url, Priority::Normal, None, HOST), 30);
}

#[test]
fn a_cap_bounds_the_wide_refreshes_of_any_hour() {
    let now = at(NOON);
    let recent = |minutes: u64, kind| Recent {
        at: now.minus(Duration::from_secs(minutes * 60)),
        kind,
        host: HOST.to_owned(),
        amount: 1,
    };
    let recent = vec![recent(50, QuotaKind::Directory), recent(20, QuotaKind::Regex)];
    let spending = Spending { recent, ..Spending::default() };
    let rules = Rules { wide_per_hour: Some(3), ..Rules::default() };
    let mut purse = purse(&allowances(100, 2), &rules, &spending);
    assert_eq!(purse.left(QuotaKind::Regex, Priority::Urgent, None, HOST), 1);
    purse.spend(QuotaKind::Tag, None, HOST, 1);
    let room = purse.room(QuotaKind::Regex, Priority::Urgent, None, HOST);
    assert_eq!((room.left, room.bound), (0, Bound::Hour));
    assert_eq!(room.until, now.plus(Duration::from_secs(600)));
    assert_eq!(purse.left(QuotaKind::Url, Priority::Normal, None, HOST), 98);
}

#[test]
fn of_two_bounds_the_longer_one_is_told() {
    let now = at(NOON);
    let recent = Recent { at: now, kind: QuotaKind::Url, host: HOST.to_owned(), amount: 10_000 };
    let spending = Spending { recent: vec![recent], ..Spending::default() };
    let spent = purse(&allowances(10_000, 10_000), &Rules::default(), &spending);
    let room = spent.room(QuotaKind::Url, Priority::Backfill, None, HOST);
    assert_eq!(room.bound, Bound::Day);
}

proptest! {
    #[test]
    fn whoever_spends_the_day_is_neither_overspent_nor_left_over(
        limit in 0_u64..60,
        used in 0_u64..30,
        reserve in 0_u64..40,
        percents in (0_u64..50, 0_u64..50),
        asks in prop::collection::vec((0_usize..3, 0_usize..3), 0..200),
    ) {
        let names: [OriginName; 3] = ["a".into(), "b".into(), "c".into()];
        let shares = shares(&[("a", percents.0), ("b", percents.1)]);
        let rules = Rules { reserve, shares, ..Rules::default() };
        let mut purse = purse(&allowances(limit, used), &rules, &Spending::default());
        let mut spent = 0;
        let mut by_origin = [0_u64; 3];
        for (priority, origin) in asks {
            let name = Some(&names[origin]);
            if purse.left(QuotaKind::Url, Priority::ALL[priority], name, HOST) > 0 {
                purse.spend(QuotaKind::Url, name, HOST, 1);
                spent += 1;
                by_origin[origin] += 1;
            }
        }
        prop_assert!(used + spent <= limit.max(used));
        // Nothing is out of everybody's reach.
        let reach = names.iter().map(|name| purse.left(QuotaKind::Url, Priority::Urgent, Some(name), HOST));
        prop_assert_eq!(reach.max().unwrap_or(0) > 0, used + spent < limit);
        // Whoever has a share has had it, or can have what is left of it: nobody else spent it.
        if used == 0 {
            for (place, name) in names.iter().enumerate() {
                let can = purse.left(QuotaKind::Url, Priority::Urgent, Some(name), HOST);
                prop_assert!(by_origin[place] + can >= rules.share(name, QuotaKind::Url, limit));
            }
        }
    }
}
