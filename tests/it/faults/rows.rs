//! The rows of the matrix. The figures are what the project promises; those of calls are from the
//! bounds that its design states for throttling, outages and refused keys.

use std::collections::BTreeMap;
use std::time::Duration;

use refreshd::cdn::wire::Operation::{
    self, DescribeRefreshTaskById, DescribeRefreshTasks, PushObjectCache, RefreshObjectCaches,
};
use refreshd::domain::intent::Action;
use refreshd::domain::quota::QuotaKind;
use refreshd::sandbox::{CallFault, Ending, Fault, Reply, Shape, TargetFault};

use super::bench::Act;
use super::row::{Calls, Duplicates, Row};
use super::work::{Change, DOMAINS, HOUR, MINUTE, burst};

/// The domain that faults of one domain are of.
const ILL: &str = DOMAINS[1];

/// What calls in ten minutes of throttling are bounded by.
const THROTTLED: Calls = Calls::AtMost(30);

/// What calls in an outage, or where none are needed besides, are bounded by.
const USUAL: Calls = Calls::AsUsual(120);

/// A pause that doubles is over, after a fault, within the time that the fault lasted.
fn doubled(row: Row) -> Row {
    Row { caught_up: row.span.end.saturating_sub(row.span.start), ..row }
}

/// The longest pause of the breaker, and a minute.
const BREAKER: Duration = Duration::from_secs(3 * 60);

/// What leaves no trace, though it was sent twice and alone, steps aside for an hour.
const ASIDE: Duration = Duration::from_secs(66 * 60);

/// Longer than any run.
const ALWAYS: Option<u64> = Some(7 * 86_400);

impl Row {
    /// A row whose fault meets every call that `scope` leaves, from the span's beginning to its end.
    fn with(name: &'static str, minutes: u32, scope: CallFault) -> Self {
        Self::new(name, minutes).and(scope)
    }

    /// Without a word on how long, a fault lasts for the span.
    fn and(mut self, fault: CallFault) -> Self {
        let span = fault.times.is_none().then(|| self.seconds());
        let for_seconds = fault.for_seconds.or(span);
        self.acts
            .push((self.span.start, Act::Fault(Fault::Call(CallFault { for_seconds, ..fault }))));
        self
    }

    fn seconds(&self) -> u64 {
        self.span.end.saturating_sub(self.span.start).as_secs()
    }

    fn calls_at_most(mut self, calls: Calls) -> Self {
        self.calls = calls;
        self
    }

    fn elsewhere(mut self, fits: fn(&Change) -> bool) -> Self {
        self.elsewhere = Some(fits);
        self
    }

    fn repeats(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// Lets tasks that begin in the span end so.
    fn ending(mut self, ending: Ending) -> Self {
        let for_seconds = Some(self.seconds());
        let fault = TargetFault { target: None, times: None, for_seconds, ending };
        self.acts.push((self.span.start, Act::Fault(Fault::Target(fault))));
        self
    }
}

fn error(status: u16, code: &str) -> CallFault {
    CallFault::new(Reply::error(status, code))
}

fn of(operation: Operation, fault: CallFault) -> CallFault {
    CallFault { action: Some(operation.to_string()), ..fault }
}

fn on(domain: &str, fault: CallFault) -> CallFault {
    CallFault { domain: Some(domain.to_owned()), ..fault }
}

fn asks_of(reply: &Reply, work: bool) -> [CallFault; 2] {
    [RefreshObjectCaches, PushObjectCache]
        .map(|operation| of(operation, CallFault { work, ..CallFault::new(reply.clone()) }))
}

/// A row whose fault meets submissions only.
fn submissions(name: &'static str, minutes: u32, reply: &Reply, work: bool) -> Row {
    let [refreshes, prefetches] = asks_of(reply, work);
    Row::with(name, minutes, refreshes).and(prefetches)
}

fn is_elsewhere(change: &Change) -> bool {
    change.target.host() != ILL
}

fn is_refresh(change: &Change) -> bool {
    change.action == Action::Refresh
}

fn is_prefetch(change: &Change) -> bool {
    change.action == Action::Prefetch
}

const fn any(_: &Change) -> bool {
    true
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![Row::new("nothing goes wrong", 60)];
    rows.extend(throttling());
    rows.extend(queues());
    rows.extend(outages());
    rows.extend(doubts());
    rows.extend(answers());
    rows.extend(tasks());
    rows.extend(rights());
    rows.extend(time());
    rows.extend(targets());
    rows
}

fn throttling() -> Vec<Row> {
    let throttled = |retry_after| {
        let code = "Throttling.User".to_owned();
        CallFault::new(Reply::Error { status: 400, code, retry_after })
    };
    let left = ("x-ratelimit-user-api".to_owned(), "Limit:5,Remain:0,TimeLeft:45000".to_owned());
    let by_header = CallFault { headers: BTreeMap::from([left]), ..error(503, "Throttling.Api") };
    let xml = CallFault::new(Reply::Xml { status: 400, code: "Throttling.User".to_owned() });
    vec![
        Row::with("throttled 10 min", 10, throttled(None)).calls_at_most(THROTTLED),
        Row::with("throttled 10 min, retry-after 30 s", 10, throttled(Some(30_000)))
            .calls_at_most(THROTTLED),
        Row::with("throttled 10 min at 503, TimeLeft 45 s", 10, by_header).calls_at_most(THROTTLED),
        Row::with("throttled 10 min in XML", 10, xml).calls_at_most(THROTTLED),
        Row::with("refreshes throttled 10 min", 10, of(RefreshObjectCaches, throttled(None)))
            .calls_at_most(Calls::Of(RefreshObjectCaches, 30))
            .elsewhere(is_prefetch),
        Row::with("prefetches throttled 10 min", 10, of(PushObjectCache, throttled(None)))
            .calls_at_most(Calls::Of(PushObjectCache, 30))
            .elsewhere(is_refresh),
        Row::with("looks throttled 10 min", 10, of(DescribeRefreshTaskById, throttled(None)))
            .calls_at_most(Calls::Of(DescribeRefreshTaskById, 30))
            .elsewhere(any),
    ]
}

fn queues() -> Vec<Row> {
    let full = || of(PushObjectCache, error(403, "PreloadQueueFull"));
    let pushes = |most| Calls::Of(PushObjectCache, most);
    let per_minute = on(ILL, error(400, "QuotaPerMinuteExceeded.Refresh"));
    let mut spent = Row::with("prefetch queue full 30 min, none left", 30, full())
        .calls_at_most(pushes(3))
        .elsewhere(is_refresh);
    spent.acts.insert(0, (HOUR, Act::Remaining(QuotaKind::Prefetch, 0)));
    // What is left of the day, until the CDN's midnight.
    spent.begin = "2026-11-22T12:00:00Z";
    spent.caught_up = 3 * HOUR;
    vec![
        Row::with("a domain's minute is full 10 min", 10, per_minute)
            .calls_at_most(USUAL)
            .elsewhere(is_elsewhere),
        Row::with("a domain's queue is full 10 min", 10, on(ILL, error(400, "TooMany.Refresh")))
            .calls_at_most(USUAL)
            .elsewhere(is_elsewhere),
        doubled(Row::with("prefetch queue full 30 min, some left", 30, full()))
            .calls_at_most(pushes(12))
            .elsewhere(is_refresh),
        spent,
    ]
}

fn outages() -> Vec<Row> {
    let mut refused = Row::new("connection refused 1 h", 60).calls_at_most(USUAL);
    refused.acts = vec![(refused.span.start, Act::Close), (refused.span.end, Act::Open)];
    let mut midnight = Row::with("503 for 1 h over midnight", 60, error(503, "ServiceUnavailable"))
        .calls_at_most(USUAL);
    midnight.begin = "2026-11-22T14:30:00Z";
    let rows = [
        Row::with("503 for 1 h", 60, error(503, "ServiceUnavailable")).calls_at_most(USUAL),
        Row::with("500 of a strange code 10 min", 10, error(500, "Strange.Trouble"))
            .calls_at_most(THROTTLED),
        refused,
        Row::with("all connections reset 10 min", 10, CallFault::new(Reply::Reset))
            .calls_at_most(THROTTLED),
        Row::with("HTML 502 for 10 min", 10, CallFault::new(Reply::Html { status: 502 }))
            .calls_at_most(THROTTLED),
        midnight,
    ];
    rows.map(|row| Row { caught_up: BREAKER, ..row }).into()
}

fn doubts() -> Vec<Row> {
    let html = Reply::Html { status: 502 };
    let nonce = |work| CallFault {
        times: Some(3),
        work,
        ..of(RefreshObjectCaches, error(400, "SignatureNonceUsed"))
    };
    let forbidden = || of(DescribeRefreshTasks, error(403, "Forbidden.RAM"));
    // The CDN lists whole seconds: a task made in the very second in which its batch was staged can't
    // be told from an older one, and is not adopted.
    let slow = |row| Row { travel: Duration::from_secs(1)..Duration::from_secs(3), ..row };
    let aside = |row| Row { caught_up: ASIDE, ..row };
    vec![
        aside(submissions("asks lost on the way 10 min", 10, &Reply::Reset, false)),
        slow(submissions("asks accepted, then reset 10 min", 10, &Reply::Reset, true)),
        slow(submissions("asks accepted, answers cut 10 min", 10, &Reply::Truncated, true)),
        slow(submissions("asks accepted, HTML 502 for 10 min", 10, &html, true)),
        submissions("as reset, in the second of staging", 10, &Reply::Reset, true)
            .repeats(Duplicates::ABatchADoubt),
        submissions("as reset, listing forbidden", 10, &Reply::Reset, true)
            .and(CallFault { for_seconds: Some(3_600), ..forbidden() })
            .repeats(Duplicates::ABatchADoubt),
        Row::with("listing forbidden 1 h", 60, forbidden()).calls_at_most(USUAL).elsewhere(any),
        slow(Row::with("nonce used, accepted", 10, nonce(true))),
        aside(Row::with("nonce used, not accepted", 10, nonce(false))),
    ]
}

fn answers() -> Vec<Row> {
    let shaped = |shape| CallFault { for_seconds: ALWAYS, ..CallFault::new(Reply::Shape(shape)) };
    let keys = ["Process", "Description", "TotalCount", "PageNumber", "PageSize", "CreationTime"];
    let bare = Shape { without: keys.map(str::to_owned).into(), ..Shape::default() };
    let status = Some("Auditing".to_owned());
    vec![
        Row::with("numbers swapped, keys in any order", 120, {
            shaped(Shape { swap_numbers: true, shuffle: true, ..Shape::default() })
        })
        .calls_at_most(USUAL)
        .elsewhere(any),
        Row::with("optional keys missing", 120, shaped(bare)).calls_at_most(USUAL).elsewhere(any),
        Row::with("unknown status words 1 h", 60, {
            CallFault::new(Reply::Shape(Shape { status, ..Shape::default() }))
        })
        .elsewhere(any),
    ]
}

fn tasks() -> Vec<Row> {
    let given_up = |row: Row| Row { give_up: 2 * HOUR, duplicates: Duplicates::OnceMore, ..row };
    let followed = |row: Row, percent| row.elsewhere(any).calls_at_most(Calls::AsUsual(percent));
    vec![
        followed(Row::new("answers are a question late", 60).ending(Ending::Lagging), 130),
        given_up(followed(Row::new("tasks of 1 h never end", 60).ending(Ending::Never), 400)),
        given_up(followed(
            Row::new("tasks of 1 h are never listed", 60).ending(Ending::NoRow),
            400,
        )),
    ]
}

fn rights() -> Vec<Row> {
    let mut rotated =
        Row::new("token expired, a new one after 10 min", 10).calls_at_most(Calls::AtMost(11));
    rotated.acts = vec![(rotated.span.start, Act::Expire), (rotated.span.end, Act::Rotate)];
    rotated.caught_up = MINUTE;
    let mut instance =
        Row::new("metadata v2 only, keys of an hour", 120).calls_at_most(USUAL).elsewhere(any);
    instance.instance = true;
    let hourly = Calls::AtMost(61);
    let polls = of(DescribeRefreshTaskById, error(403, "Forbidden.RAM"));
    vec![
        rotated,
        instance,
        Row::with("key refused 1 h", 60, error(404, "InvalidAccessKeyId.NotFound"))
            .calls_at_most(hourly),
        Row::with("signature refused 1 h", 60, error(400, "SignatureDoesNotMatch"))
            .calls_at_most(hourly),
        doubled(Row::with("all forbidden 1 h", 60, error(403, "Forbidden.RAM")))
            .calls_at_most(hourly),
        Row::with("looks forbidden 1 h", 60, polls)
            .calls_at_most(Calls::Of(DescribeRefreshTaskById, 61))
            .elsewhere(any),
    ]
}

fn time() -> Vec<Row> {
    let off = |name, ahead| Row { ahead, ..Row::new(name, 60) }.elsewhere(any);
    vec![off("our clock 2 h ahead", 7_200), off("our clock 2 h behind", -7_200)]
}

fn targets() -> Vec<Row> {
    let strange = |fault| of(RefreshObjectCaches, fault);
    let bad = |name: &str| Some(format!("https://{ILL}/{name}"));
    let mut one = Row::with("one malformed url in 100", 60, {
        let target = bad("burst/41");
        CallFault { target, for_seconds: ALWAYS, ..error(400, "InvalidObjectPath.Malformed") }
    })
    .calls_at_most(Calls::Of(RefreshObjectCaches, 14));
    burst(&mut one.more, HOUR, ILL, "burst", 100);
    one.alone = true;
    one.visible = 1;

    let mut unknown = Row::with("an unknown 4xx for one url", 60, {
        let target = bad("burst/7");
        CallFault { target, for_seconds: ALWAYS, ..error(400, "Strange.Refusal") }
    });
    burst(&mut unknown.more, HOUR + MINUTE, ILL, "burst", 30);
    unknown.visible = 1;

    let mut offline = Row::with(
        "10,000 urls of an offline domain 1 h",
        60,
        on(ILL, error(404, "InvalidDomain.Offline")),
    )
    .calls_at_most(Calls::AtMost(300))
    .elsewhere(is_elsewhere);
    burst(&mut offline.more, HOUR + MINUTE, ILL, "burst", 10_000);
    offline.quota[QuotaKind::Url] = 50_000;
    offline.caught_up = HOUR;
    vec![
        Row::with("an unknown 4xx once", 60, {
            strange(CallFault { times: Some(1), ..error(400, "Strange.Refusal") })
        }),
        unknown,
        one,
        offline,
    ]
}
