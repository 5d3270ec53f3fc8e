//! The events that other programs wait for, each with an id that never changes.

/// An event that has a name and a `MESSAGE_ID`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// How a log line names it: `event = "…"`.
    pub(super) event: &'static str,
    /// 128 random bits in hexadecimal, as systemd's catalogue wants them.
    pub(super) id: &'static str,
}

const fn message(event: &'static str, id: &'static str) -> Message {
    Message { event, id }
}

/// Every event; systemd/refreshd.catalog explains each.
pub(super) const MESSAGES: [Message; 13] = [
    message("started", "dcaa5a1c879d42afb9cbe3f82deab92c"),
    message("stopping", "3ab94cdb89834e1a9dfeeb2847e2c3ed"),
    message("reload-applied", "89c52ad8f83f45f5a6a634928e3e47e5"),
    message("reload-refused", "2edee0ae094b455b9b2822fd113691b9"),
    message("overflow", "e36325ab535a47429a26db511f13b51a"),
    message("held", "1e9b99ad95a54f7793f52cb28ad767b1"),
    message("quota-exhausted", "cf5ab0d5c0ab4cd0bad455b47e7f02af"),
    message("cdn-closed", "76722da14fa44dc2a876513852465c7b"),
    message("cdn-open", "3a643335c0d1406c91ddfe0c6672c0a2"),
    message("database-damaged", "8402e2f575394d9fa2948593be97cef3"),
    message("gate-closed", "92fa3a4573fa41d49d25b38ea570c3bb"),
    message("key-refused", "ebd4908adced472cb93bf7f54bb101cc"),
    message("key-taken", "95515a2fd2854d5696f51757ca650958"),
];

/// Returns the event of a name.
pub(super) fn named(event: &str) -> Option<&'static Message> {
    MESSAGES.iter().find(|message| message.event == event)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;

    /// The ids that the catalogue explains in a language, each with its text.
    fn explained(language: &str) -> BTreeMap<&'static str, String> {
        let catalogue = include_str!("../../systemd/refreshd.catalog");
        let mut found = BTreeMap::new();
        let mut open: Option<&str> = None;
        for line in catalogue.lines() {
            if let Some(head) = line.strip_prefix("-- ") {
                let (id, of) = head.split_once(' ').unwrap_or((head, ""));
                open = (of == language).then_some(id);
            } else if let Some(id) = open {
                let text: &mut String = found.entry(id).or_default();
                text.push_str(line);
                text.push('\n');
            }
        }
        found
    }

    #[test]
    fn the_catalogue_explains_each_event_in_both_languages() {
        let ids: BTreeSet<&str> = MESSAGES.iter().map(|message| message.id).collect();
        assert_eq!(ids.len(), MESSAGES.len(), "no id stands for two");
        let page = include_str!("../../docs/logs.md");
        for Message { event, id } in &MESSAGES {
            assert!(page.contains(&format!("| `{event}` | {id} |")), "{event}");
        }
        for language in ["", "zh_CN"] {
            let explained = explained(language);
            assert_eq!(explained.keys().copied().collect::<BTreeSet<_>>(), ids, "{language}");
            for (id, text) in explained {
                let has = |start| text.lines().any(|line: &str| line.starts_with(start));
                assert!(has("Subject: ") && has("Defined-By: refreshd"), "{id} {language}");
                let body = text.split_once("\n\n").map_or("", |(_, body)| body).trim();
                assert!(body.lines().count() > 0 && !body.is_empty(), "{id} {language}");
            }
        }
    }

    /// Every `event = "…"` of the crate's log lines.
    fn used(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                used(&path, found);
            } else {
                let text = std::fs::read_to_string(&path).expect("a source");
                let parts = text.split("event = \"").skip(1);
                found.extend(parts.filter_map(|part| part.split('"').next().map(str::to_owned)));
            }
        }
    }

    #[test]
    fn every_event_that_a_log_line_names_has_an_id() {
        let mut found = BTreeSet::new();
        used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        found.remove("…");
        let unknown: Vec<_> = found.iter().filter(|event| named(event).is_none()).collect();
        assert!(unknown.is_empty() && found.contains("started"), "{unknown:?}");
    }
}
