//! How `refreshd status` tells of an account's day.

use std::fmt::Write as _;

use serde_json::Value;

use crate::domain::quota::QuotaKind;
use crate::domain::time::Timestamp;

/// Writes what a person should know of each account's day: a line for each kind that has something
/// to say, and one for each origin with a share.
pub(super) fn lines(status: &Value) -> String {
    let mut text = String::new();
    for (account, day) in status["treasury"].as_object().into_iter().flatten() {
        for kind in QuotaKind::ALL {
            let said = said_of(&day["kinds"][kind.as_str()]);
            if !said.is_empty() {
                let _ = writeln!(text, "  {account}, {kind}: {}", said.join(", "));
            }
        }
        for (origin, kinds) in day["origins"].as_object().into_iter().flatten() {
            let shares: Vec<String> = QuotaKind::ALL
                .into_iter()
                .map(|kind| (kind, &kinds[kind.as_str()]))
                .filter(|(_, of_day)| of_day["share"].as_u64().is_some_and(|share| share > 0))
                .map(|(kind, of_day)| format!("{kind} {}/{}", of_day["used"], of_day["share"]))
                .collect();
            if !shares.is_empty() {
                let shares = shares.join(", ");
                let _ = writeln!(text, "  {account}, spent of the share of {origin}: {shares}");
            }
        }
    }
    text
}

fn said_of(of_day: &Value) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(percent) = of_day["alarm"].as_u64() {
        said.push(format!("at least {percent} % spent"));
    }
    if let Some(foreign) = of_day["foreign"].as_u64().filter(|foreign| *foreign > 0) {
        said.push(format!("{foreign} spent by somebody else"));
    }
    if let Some(expected) = of_day["expected"].as_u64().filter(|expected| *expected > 0) {
        said.push(format!("about {expected} more expected today"));
    }
    if let Some(micros) = of_day["runs_out"].as_i64() {
        let at = Timestamp::from_micros(micros);
        said.push(format!("as usual it would be spent at {at}"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_told_where_there_is_something_to_tell() {
        let quiet = serde_json::json!({
            "reserve": 5, "foreign": 0, "alarm": null, "expected": null, "runs_out": null
        });
        let busy = serde_json::json!({
            "reserve": 500, "foreign": 37, "alarm": 90, "expected": 1200,
            "runs_out": 1_795_348_800_000_000_i64
        });
        let share = serde_json::json!({ "share": 2850, "used": 100 });
        let none = serde_json::json!({ "share": 0, "used": 3 });
        let status = serde_json::json!({ "treasury": { "main": {
            "kinds": { "url": busy, "directory": quiet },
            "origins": { "www": { "url": share }, "blog": { "url": none } },
        }}});
        assert_eq!(
            lines(&status),
            "  main, url: at least 90 % spent, 37 spent by somebody else, about 1200 more expected today, \
            as usual it would be spent at 2026-11-22T12:00:00Z\n  \
            main, spent of the share of www: url 100/2850\n"
        );
    }
}
