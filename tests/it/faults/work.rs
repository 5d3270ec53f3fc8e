//! What changes, and when: a stream of urls on three domains, some directories, an expression and a
//! few prefetches.

use std::collections::BTreeMap;
use std::time::Duration;

use refreshd::clock::{Clock, ManualClock};
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::intent::Action;

pub(super) const DOMAINS: [&str; 3] = ["a.example.com", "b.example.com", "c.example.com"];

/// One thing that must become fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) action: Action,
    pub(super) target: Target,
    pub(super) force: bool,
}

impl Change {
    pub(super) fn url(domain: &str, path: &str) -> Self {
        let target = Target::new(Kind::Url, format!("https://{domain}/{path}"));
        Self { action: Action::Refresh, target, force: false }
    }
}

/// What changes, by the time since the beginning.
pub(super) type Stream = BTreeMap<Duration, Vec<Change>>;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// Three hours of changes: every few minutes some, now and then very many.
pub(super) fn stream(dice: &ManualClock) -> Stream {
    let below = |most: u64| dice.random() % most;
    let mut stream = Stream::new();
    let mut at = Duration::from_secs(5);
    while at < 3 * HOUR {
        let domain = DOMAINS[usize::try_from(below(3)).expect("small")];
        let count = match below(10) {
            0 => 100 + below(100),
            1..4 => 4 + below(30),
            _ => 1 + below(3),
        };
        // From few enough that some change again, and some lie below a directory.
        let paths = (0..count).map(|_| match below(8) {
            0 => format!("d{}/{}", below(4), below(30)),
            _ => below(400).to_string(),
        });
        let group: Vec<Change> = paths.map(|path| Change::url(domain, &path)).collect();
        stream.entry(at).or_default().extend(group);
        at += Duration::from_millis(60_000 + below(480_000));
    }
    let mut more = |kind, force, text: String, action| {
        let at = Duration::from_millis(below(10_800_000));
        let target = Target::new(kind, text);
        stream.entry(at).or_default().push(Change { action, target, force });
    };
    for number in 0..6 {
        let domain = DOMAINS[number % 3];
        let text = format!("https://{domain}/d{number}/");
        more(Kind::Directory, number == 0, text, Action::Refresh);
    }
    more(Kind::Regex, false, format!("https://{}/x/.*.css", DOMAINS[0]), Action::Refresh);
    for number in 0..8 {
        let text = format!("https://{}/new/{number}", DOMAINS[number % 3]);
        more(Kind::Url, false, text, Action::Prefetch);
    }
    stream
}

/// Adds that many urls of a domain at once.
pub(super) fn burst(stream: &mut Stream, at: Duration, domain: &str, name: &str, count: usize) {
    let urls = (0..count).map(|number| Change::url(domain, &format!("{name}/{number}")));
    stream.entry(at).or_default().extend(urls);
}
