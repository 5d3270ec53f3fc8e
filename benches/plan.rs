//! What planning costs: the cover of 1,000,000 changed URLs beside a plain sort of their texts, in the
//! same run; and whole plans. Times are CPU time; memory is measured in processes of their own:
//! `cargo bench --bench plan`.
#![expect(clippy::print_stdout, reason = "the figures are what a bench is for")]

use std::collections::HashMap;
use std::fs;
use std::hint::black_box;
use std::time::Duration;

use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::cover::{Again, Budget, Census, Choice, Dirty, Prices, Shape, Visit};
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Action, Cause, Intent, IntentId, Priority, State};
use refreshd::domain::limits::Limits;
use refreshd::domain::plan::{BATCH, Input, Policy, Widening, plan};
use refreshd::domain::quota::purse::Purse;
use refreshd::domain::quota::{Allowance, PerKind, QuotaKind};
use refreshd::domain::time::Timestamp;

use measure::{child, median, memory, random, timed};

#[path = "common/measure.rs"]
mod measure;

const URLS: u64 = 1_000_000;
const INTENTS: u64 = 200_000;
const BUDGET: Budget = Budget { urls: 10_000, directories: 100, regexes: 20 };
/// Twelve hours of waiting, the three hours of `spare` for an unchanged object, and asks as the day's
/// limits price them.
const PRICES: Prices = Prices {
    soft: 10_800_000,
    forced: 43_200_000,
    wait: 43_200_000,
    url: 108_000,
    directory: 10_800_000,
    regex: 54_000_000,
};
const AGAIN: Again = Again { chance: 300, wait: 25_000_000 };

/// A site: where its nth URL lies.
type Site = fn(u64) -> String;
const SITES: [(&str, Site); 4] = [
    ("100,000 directories", |number| {
        let at = number / 10;
        format!("https://h.example/d{:04}/e{:03}/page-{number:06}.html", at / 100, at % 100)
    }),
    ("one directory", |number| format!("https://h.example/posts/page-{number:06}.html")),
    ("nine levels", |number| {
        let part = |level: u64| format!("level-{}/", number >> (2 * level) & 3);
        let parts: String = (1..10).rev().map(part).collect();
        format!("https://h.example/{parts}{number:06}")
    }),
    ("many expressions", |number| {
        let name = ["index.html", "index.xml", "feed.json", "print.html", "amp.html"];
        let (language, name) = (number / 50_000, name[usize::try_from(number % 5).expect("small")]);
        format!("https://h.example/lang-{language:02}/{:06}/{name}", number / 5)
    }),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("memory") => println!("{}", cover_memory(arguments[1].parse().expect("a number"))),
        _ => measure(),
    }
}

fn measure() {
    println!("  {:<22} {:>9} {:>22} {:>12}", "1,000,000 URLs", "sorted in", "covered in", "a URL");
    for (at, (name, site)) in SITES.iter().enumerate() {
        let urls = urls(*site, URLS);
        let live = live(*site, URLS);
        let floor = median(|| {
            let mut sorted = urls.clone();
            timed(|| sorted.sort_unstable()).0
        });
        let mut chosen = Choice::default();
        let took = median(|| {
            let (took, choice) = timed(|| cover(&urls, &live));
            chosen = choice;
            took
        });
        let times = took.as_secs_f64() / floor.as_secs_f64();
        let memory = child(&["memory", &at.to_string()]);
        println!(
            "  {name:<22} {floor:>9.3?} {took:>12.3?} ({times:.2}) {memory:>8} bytes, \
            {} wide asks, {} URLs left",
            chosen.wide.len(),
            chosen.left
        );
    }
    println!("  {:<22} {:>9} {:>22}", "200,000 intents", "", "planned in");
    for (name, site) in SITES {
        let (took, batches) = plan_all(site);
        println!("  {name:<22} {:>9} {took:>12.3?}        {batches} batches", "");
    }
}

fn cover(urls: &[String], live: &HashMap<String, u64>) -> Choice {
    let dirty: Vec<Dirty<'_>> = urls.iter().map(|url| Dirty { url, force: false }).collect();
    let mut shape = Shape::of(&dirty);
    shape.propose(&[]);
    shape.count_by(|directory| live.get(directory).copied().unwrap_or(0));
    shape.choose(BUDGET, &PRICES, AGAIN)
}

/// Returns the most that covering needs besides the texts, in bytes a URL.
fn cover_memory(site: usize) -> usize {
    let (urls, live) = (urls(SITES[site].1, URLS), live(SITES[site].1, URLS));
    // From here on the most is counted anew.
    fs::write("/proc/self/clear_refs", "5").expect("written");
    let before = memory("VmRSS:");
    black_box(cover(&urls, &live));
    (memory("VmHWM:") - before) / urls.len()
}

/// Plans as many intents as the site has; returns how long it took and how many batches came of it.
fn plan_all(site: Site) -> (Duration, usize) {
    let now = Timestamp::parse("2026-11-22T04:00:00Z").expect("a time");
    let intent = |(number, url): (i64, String)| Intent {
        id: IntentId(number),
        account: "main".into(),
        action: Action::Refresh,
        target: Target::new(Kind::Url, url),
        force: false,
        priority: Priority::Normal,
        created_at: now,
        deploy: None,
        approved: false,
        cause: Cause {
            witness: Witness::Watch,
            at: now,
            origin: Some("www".into()),
            path: None,
            change: None,
            digest: None,
            deploy: None,
        },
        causes: 1,
        state: State::Pending { not_before: now, attempt: 0, waiting: None },
    };
    let intents: Vec<Intent> = (1..).zip(urls(site, INTENTS)).map(intent).collect();
    let allowances = PerKind::from_fn(|kind| {
        let limit = match kind {
            QuotaKind::Url => BUDGET.urls,
            QuotaKind::Regex => BUDGET.regexes,
            _ => BUDGET.directories,
        };
        Allowance { limit, used: 0 }
    });
    let census = Live { site };
    let input = Input {
        now,
        intents: &intents,
        open_refreshes: &[],
        in_flight: &[],
        purse: &Purse::plain(now, &allowances),
        batch: BATCH,
        limits: &Limits::DOCUMENTED,
        whole: false,
        widening: Widening {
            policy: Policy::Cover,
            census: &census,
            spare: Duration::from_secs(3 * 3_600),
            again: (300, 600),
            expressions: &[],
        },
    };
    let mut batches = 0;
    let took = median(|| {
        let (took, plan) = timed(|| plan(&input));
        batches = plan.batches.len();
        took
    });
    (took, batches)
}

/// As many unchanged objects beside the changed ones.
#[derive(Debug)]
struct Live {
    site: Site,
}

impl Census for Live {
    fn visit(&self, visit: Visit<'_>) {
        for number in 0..INTENTS {
            visit(&[&format!("{}.old", (self.site)(number))], 1);
        }
    }
}

/// The URLs of a site, in no order.
fn urls(site: Site, count: u64) -> Vec<String> {
    let mut urls: Vec<String> = (0..count).map(site).collect();
    for last in (1..count).rev() {
        let other = random(last) % (last + 1);
        urls.swap(usize::try_from(last).expect("fits"), usize::try_from(other).expect("fits"));
    }
    urls
}

/// How many unchanged objects live below each directory: up to eight beside each changed one, and more in
/// some directories than in others.
fn live(site: Site, count: u64) -> HashMap<String, u64> {
    let mut live: HashMap<String, u64> = HashMap::new();
    for number in 0..count {
        let (url, besides) = (site(number), random(number / 70) % 9);
        for (slash, _) in url.match_indices('/').skip(2) {
            let known = live.get_mut(&url[..=slash]);
            match known {
                Some(known) => *known += besides,
                None => drop(live.insert(url[..=slash].to_owned(), besides)),
            }
        }
    }
    live
}
