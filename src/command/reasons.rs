//! How commands say why intents are not done.

use std::fmt::Write as _;

use serde_json::Value;

use super::words::{count, grouped};

/// Writes a line for each reason: with the target when it is of one intent, else with their number and
/// a target below. `all` is how many intents there are to tell of: what has no reason here is counted.
pub(super) fn lines(reasons: &Value, all: Option<u64>) -> String {
    let (mut text, mut told) = (String::new(), 0);
    for reason in reasons.as_array().into_iter().flatten() {
        let said = |key: &str| reason[key].as_str().unwrap_or_default();
        let number = reason["intents"].as_u64().unwrap_or_default();
        told += number;
        let (action, target, why) = (said("action"), said("target"), said("why"));
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let stands = said("stands");
        let _ = match number {
            1 => writeln!(text, "  {action} {target}: {stands}{why}"),
            _ => writeln!(text, "  {}: {stands}{why}\n    such as {target}", count(number, action)),
        };
    }
    if let Some(more) = all.map(|all| all.saturating_sub(told)).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {} more", grouped(more));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_one_reason_is_one_line_however_much_it_is() {
        let reason = |number: u64, why: &str| {
            serde_json::json!({
                "action": "prefetch", "stands": "quota", "why": why, "intents": number,
                "until": null, "target": "https://www.example.com/",
            })
        };
        let reasons = serde_json::json!([reason(1, ""), reason(4_169, "they are spent")]);
        assert_eq!(
            lines(&reasons, Some(5_170)),
            "  prefetch https://www.example.com/: quota\n  \
            4,169 prefetches: quota: they are spent\n    such as https://www.example.com/\n  \
            and 1,000 more\n"
        );
    }
}
