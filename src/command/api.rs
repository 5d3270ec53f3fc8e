//! Asking `/api/v1` over the control socket.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

use crate::config::Config;

use super::{Exit, Failed, control};

/// Makes a path with parameters of those that have a value.
pub(super) fn path(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut text = format!("/api/v1/{path}");
    let given = parameters.iter().filter_map(|(key, value)| Some((key, (*value)?)));
    for (number, (key, value)) in given.enumerate() {
        let sign = if number == 0 { '?' } else { '&' };
        let _ = write!(text, "{sign}{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    text
}

/// Asks, and fails with what a refusal says.
pub(super) async fn get(config: &Config, path: &str) -> Result<Value, Failed> {
    judge(control::ask(config, path, None::<&()>).await?)
}

/// Has something done, and fails with what a refusal says.
pub(super) async fn post(
    config: &Config,
    path: &str,
    body: &impl Serialize,
) -> Result<Value, Failed> {
    judge(control::ask(config, path, Some(body)).await?)
}

fn judge((code, answer): (u16, Value)) -> Result<Value, Failed> {
    let exit = match code {
        200..300 => return Ok(answer),
        400 => Exit::Usage,
        503 => Exit::Io,
        _ => Exit::No,
    };
    Err(Failed::new(exit, control::problem(&answer)))
}

/// Returns a field's text; empty where there is none.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
