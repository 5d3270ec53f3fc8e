//! Random scripts of faults.

use proptest::prelude::*;
use refreshd::cdn::wire::Operation;
use refreshd::domain::quota::QuotaKind;
use refreshd::sandbox::{CallFault, Ending, Fault, Reply, Shape, TargetFault};

use super::bench::Act;
use super::row::{Duplicates, Row};
use super::work::{DOMAINS, HOUR, MINUTE, burst};

const CODES: [(u16, &str); 14] = [
    (400, "Throttling.User"),
    (429, "TooManyRequests"),
    (503, "ServiceUnavailable"),
    (500, "InternalError"),
    (502, "Strange.Trouble"),
    (400, "QuotaPerMinuteExceeded.Refresh"),
    (400, "TooMany.Refresh"),
    (403, "PreloadQueueFull"),
    (403, "ServiceBusy"),
    (403, "SystemBusy"),
    (400, "SignatureNonceUsed"),
    (404, "InvalidAccessKeyId.NotFound"),
    (403, "Forbidden.RAM"),
    (404, "InvalidDomain.Offline"),
];

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        6 => (0..CODES.len(), prop::option::of(1_000_u64..60_000)).prop_map(|(code, retry_after)| {
            let (status, code) = CODES[code];
            Reply::Error { status, code: code.to_owned(), retry_after }
        }),
        1 => (0..CODES.len()).prop_map(|code| {
            let (status, code) = CODES[code];
            Reply::Xml { status, code: code.to_owned() }
        }),
        1 => Just(Reply::Html { status: 502 }),
        1 => Just(Reply::Reset),
        1 => Just(Reply::Truncated),
        1 => any::<[bool; 3]>().prop_map(|[swap_numbers, shuffle, bare]| {
            let without = ["Process", "TotalCount", "CreationTime"].map(str::to_owned);
            let without = if bare { without.into() } else { Vec::new() };
            Reply::Shape(Shape { swap_numbers, shuffle, without, status: None })
        }),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let actions = prop::option::of(0..5_usize);
    let calls = (actions, prop::option::of(0..3_usize), reply(), any::<bool>(), 60_u64..1_500);
    let calls = calls.prop_map(|(action, domain, reply, work, seconds)| {
        // An error code says that the call was not carried out, but for these.
        let is_refusal = matches!(&reply, Reply::Error { status: 400..500, code, .. } | Reply::Xml { status: 400..500, code } if code != "SignatureNonceUsed");
        let is_throttled = matches!(&reply, Reply::Error { code, .. } | Reply::Xml { code, .. } if code.starts_with("Throttling"));
        Fault::Call(CallFault {
            action: action.map(|at| Operation::ALL[at].to_string()),
            domain: domain.map(|at| DOMAINS[at].to_owned()),
            for_seconds: Some(seconds),
            work: work && !is_refusal && !is_throttled,
            ..CallFault::new(reply)
        })
    });
    let description = "Internal Error".to_owned();
    let endings = prop::sample::select(vec![
        Ending::Lagging,
        Ending::Never,
        Ending::NoRow,
        Ending::Failed { description },
    ]);
    let tasks = (endings, 60_u64..600).prop_map(|(ending, seconds)| {
        Fault::Target(TargetFault { target: None, times: None, for_seconds: Some(seconds), ending })
    });
    prop_oneof![4 => calls, 1 => tasks]
}

/// One to five faults with the minute of the second hour that each begins at, and a day's quota of
/// URLs, which may not last.
pub(super) type Script = (Vec<(u32, Fault)>, u64);

pub(super) fn script() -> impl Strategy<Value = Script> {
    (prop::collection::vec((0_u32..60, fault()), 1..6), 150_u64..2_000)
}

/// Makes a row of a script.
pub(super) fn row_of((faults, urls): Script) -> Row {
    let mut row = Row::new("a random script", 60);
    let at = |(minute, fault)| (HOUR + minute * MINUTE, Act::Fault(fault));
    row.acts = faults.into_iter().map(at).collect();
    burst(&mut row.more, HOUR + 10 * MINUTE, DOMAINS[0], "burst", 120);
    row.quota[QuotaKind::Url] = urls;
    row.duplicates = Duplicates::Counted;
    row
}
