//! Durations as people write them: `500ms`, `1s`, `3m`, `1h30m`, `2d`.

use std::fmt::Write as _;
use std::time::Duration;

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: whole numbers, each with its unit, the larger unit first.
///
/// The error says what is wrong in words that follow "the duration".
pub fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    if rest.is_empty() {
        return Err("is empty".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(format!("has no whole number before `{rest}`"));
        }
        if unit.is_empty() {
            return Err(format!("has no unit after `{number}`"));
        }
        let Some((_, milliseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("has an unknown unit `{unit}`"));
        };
        if *milliseconds >= smallest {
            return Err(format!("has `{unit}` after an equal or smaller unit"));
        }
        smallest = *milliseconds;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*milliseconds))
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| "is too long".to_owned())?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration in the form [`parse`] reads, dropping what is below a millisecond.
pub(super) fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, milliseconds) in UNITS {
        let count = rest / milliseconds;
        rest %= milliseconds;
        if count > 0 {
            // Writing to a text can't fail.
            let _ = write!(text, "{count}{unit}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_read_and_added() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("1s", 1_000),
            ("3m", 180_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn the_error_says_what_is_wrong() {
        for (text, error) in [
            ("", "is empty"),
            ("180", "has no unit after `180`"),
            ("s", "has no whole number before `s`"),
            ("1.5s", "has no unit after `1`"),
            ("-1s", "has no whole number before `-1s`"),
            ("3 m", "has no unit after `3`"),
            ("3w", "has an unknown unit `w`"),
            ("3m3m", "has `m` after an equal or smaller unit"),
            ("1s1h", "has `h` after an equal or smaller unit"),
            ("999999999999999999d", "is too long"),
            ("99999999999999999999s", "is too long"),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(milliseconds in 0_u64..=1 << 40) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
