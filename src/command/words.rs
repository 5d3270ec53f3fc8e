//! How numbers are said to people.

use std::path::Path;

/// Says how many of something there are: `1 file`, `1,234 files`.
pub(super) fn count(number: u64, word: &str) -> String {
    let plural = match (number, word.strip_suffix('y')) {
        (1, _) => word.to_owned(),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if word.ends_with("sh") || word.ends_with("ch") => format!("{word}es"),
        _ => format!("{word}s"),
    };
    format!("{} {plural}", grouped(number))
}

/// Writes a number with a comma after each thousand.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Says how many bytes something has, in units of a thousand.
pub(super) fn size(bytes: u64) -> String {
    let (mut whole, mut tenths, mut unit) = (bytes, 0, "B");
    for next in ["kB", "MB", "GB", "TB"] {
        if whole < 1_000 {
            break;
        }
        (whole, tenths, unit) = (whole / 1_000, whole % 1_000 / 100, next);
    }
    if whole < 10 && unit != "B" {
        format!("{whole}.{tenths} {unit}")
    } else {
        format!("{whole} {unit}")
    }
}

/// Says how long something lasts, to two units: `50 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Returns the end of a command line that makes it about this configuration: nothing for the default.
pub(super) fn config_option(config: &Path) -> String {
    if config == Path::new(super::DEFAULT_CONFIG) {
        String::new()
    } else {
        format!(" --config {}", config.display())
    }
}

/// How wide a bar is, in characters.
const BAR: u64 = 20;

/// Draws how much of all is done.
pub(super) fn bar(done: u64, all: u64) -> String {
    let full = (done * BAR).checked_div(all).unwrap_or(0);
    let percent = (done * 100).checked_div(all).unwrap_or(0);
    let bar: String = (0..BAR).map(|at| if at < full { '#' } else { '.' }).collect();
    format!("[{bar}] {percent:3} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_say_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(1, "directory"), "1 directory");
        assert_eq!(count(2_000, "directory"), "2,000 directories");
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(2, "deploy"), "2 deploys");
        assert_eq!(
            ["refresh", "prefetch"].map(|word| count(2, word)),
            ["2 refreshes", "2 prefetches"]
        );
        let sizes = [0, 999, 1_000, 3_450_000, 20_000_000, 7_900_000_000_000];
        assert_eq!(sizes.map(size), ["0 B", "999 B", "1.0 kB", "3.4 MB", "20 MB", "7.9 TB"]);
        assert_eq!([59, 200, 7_500].map(span), ["59 s", "3 min 20 s", "2 h 5 min"]);
    }
}
