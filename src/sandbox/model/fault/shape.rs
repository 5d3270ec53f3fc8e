//! Answers that say the same, or less, in another shape than the documented one.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

/// How an answer looks otherwise than documented.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// Numbers are written as strings, and strings that are numbers, task ids too, as numbers.
    pub swap_numbers: bool,
    /// Keys come in a random order.
    pub shuffle: bool,
    /// Keys that are missing, wherever they stand.
    pub without: Vec<String>,
    /// The `Status` of every task.
    pub status: Option<String>,
}

impl Shape {
    /// Writes an answer in this shape; `dice` throws random numbers.
    pub(crate) fn write(&self, body: &Value, dice: &mut dyn FnMut() -> u64) -> String {
        let mut text = String::new();
        self.put(body, dice, &mut text);
        text
    }

    fn put(&self, value: &Value, dice: &mut dyn FnMut() -> u64, out: &mut String) {
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members
                    .iter()
                    .filter(|(key, _)| !self.without.contains(key))
                    .map(|(key, value)| (if self.shuffle { dice() } else { 0 }, key, value))
                    .collect();
                members.sort_by_key(|(place, ..)| *place);
                join(out, ['{', '}'], members, |out, (_, key, value)| {
                    let _ = write!(out, "{}:", Value::from(key.as_str()));
                    match &self.status {
                        Some(status) if key == "Status" => self.put(&status[..].into(), dice, out),
                        _ => self.put(value, dice, out),
                    }
                });
            }
            Value::Array(items) => {
                join(out, ['[', ']'], items, |out, item| self.put(item, dice, out));
            }
            Value::Number(number) if self.swap_numbers => {
                let _ = write!(out, "\"{number}\"");
            }
            Value::String(text) if self.swap_numbers && text.parse::<u64>().is_ok() => {
                out.push_str(text);
            }
            other => {
                let _ = write!(out, "{other}");
            }
        }
    }
}

fn join<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    mut put: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        put(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn numbers() -> impl FnMut() -> u64 {
        let mut last = 1_u64;
        move || {
            last = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            last
        }
    }

    #[test]
    fn the_documented_shape_says_what_it_was_told() {
        let body = json!({"a": [1, "2", null, "\"x\""], "b": {"c": true}});
        let text = Shape::default().write(&body, &mut numbers());
        assert_eq!(text, body.to_string());
    }

    #[test]
    fn numbers_change_their_type_and_keys_go_missing() {
        let body =
            json!({"TotalCount": 1, "Tasks": [{"TaskId": "12", "Process": "1.5%", "Status": "x"}]});
        let shape = Shape {
            swap_numbers: true,
            without: vec!["Process".to_owned()],
            status: Some("Auditing".to_owned()),
            ..Shape::default()
        };
        let text = shape.write(&body, &mut numbers());
        let read: Value = serde_json::from_str(&text).expect("JSON");
        let expected = json!({"TotalCount": "1", "Tasks": [{"TaskId": 12, "Status": "Auditing"}]});
        assert_eq!(read, expected);
    }

    #[test]
    fn a_shuffled_answer_has_every_order_in_time() {
        let body = json!({"a": 1, "b": 2, "c": 3});
        let shape = Shape { shuffle: true, ..Shape::default() };
        let mut dice = numbers();
        let texts: BTreeSet<String> = (0..200).map(|_| shape.write(&body, &mut dice)).collect();
        assert_eq!(texts.len(), 6, "{texts:?}");
        for text in texts {
            assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), body);
        }
    }
}
