//! A recorded history: reads the lines of a file, and says what is wrong with which.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use crate::command::{Exit, Failed};
use crate::domain::change::ChangeKind;
use crate::domain::path::RelPath;
use crate::domain::simulate::Line;
use crate::domain::time::Timestamp;

/// How many bad lines are named at once.
const SHOWN: usize = 10;
/// What a line must be.
const FORM: &str =
    "a line is {\"time\": unix seconds, \"changes\": [[\"A\", \"M\" or \"D\", path], …]}";

/// Reads a history, plain or compressed by gzip; all that is wrong with it comes back at once.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, Failed> {
    let name = path.display();
    let unreadable =
        |error: std::io::Error| Failed::new(Exit::Io, format!("{name} could not be read: {error}"));
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let is_compressed = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read> = if is_compressed {
        Box::new(flate2::bufread::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut lines: Vec<Line> = Vec::new();
    let mut problems = Vec::new();
    for (number, text) in (1_u64..).zip(BufReader::new(plain).split(b'\n')) {
        let text = text.map_err(|error| {
            let remedy = if is_compressed { "; was it cut short? `gzip -t` tells" } else { "" };
            let message = format!("{name} could not be read beyond line {number}: {error}{remedy}");
            Failed::new(Exit::Io, message)
        })?;
        if text.trim_ascii().is_empty() {
            continue;
        }
        match line(&text) {
            Err(why) => problems.push(format!("{name}, line {number}: {why}")),
            Ok(line) if lines.last().is_some_and(|last| last.time > line.time) => {
                problems.push(format!(
                    "{name}, line {number}: it is older than the line before; write the oldest first"
                ));
            }
            Ok(line) => lines.push(line),
        }
    }
    if problems.is_empty() {
        return Ok(lines);
    }
    let more = problems.len().saturating_sub(SHOWN);
    problems.truncate(SHOWN);
    if more > 0 {
        problems.push(format!("… and {more} more bad lines"));
    }
    problems.push(FORM.to_owned());
    Err(Failed::new(Exit::Io, problems.join("\n")))
}

fn line(text: &[u8]) -> Result<Line, String> {
    let recorded: Value = serde_json::from_slice(text).map_err(|error| {
        // The parser counts lines too, and knows of one.
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        format!("it is not JSON: {why}, column {}", error.column())
    })?;
    let time = recorded["time"].as_i64().ok_or("`time` is no whole number of seconds")?;
    let changes = recorded["changes"].as_array().ok_or("`changes` is no list")?;
    let changes: Result<Vec<_>, String> = changes.iter().map(change).collect();
    Ok(Line { time: Timestamp::from_seconds(time), changes: changes? })
}

fn change(recorded: &Value) -> Result<(ChangeKind, RelPath), String> {
    let kind = match recorded[0].as_str() {
        Some("A") => ChangeKind::Created,
        Some("M") => ChangeKind::Modified,
        Some("D") => ChangeKind::Removed,
        _ => {
            return Err(format!(
                "{recorded} begins with no kind of change: A (added), M (modified) or D (deleted)"
            ));
        }
    };
    let path = recorded[1].as_str().and_then(|path| RelPath::new(path).ok());
    let path = path.filter(|path| !path.is_root() && recorded[2].is_null());
    let path = path.ok_or_else(|| {
        format!("{recorded} does not end in a path below the root, such as `docs/a.html`")
    })?;
    Ok((kind, path))
}
