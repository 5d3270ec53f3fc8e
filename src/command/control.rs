//! Asking the running daemon over its control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::config::Config;

use super::{Exit, Failed};

/// Where the daemon listens when systemd gives it no directory of its own.
pub(super) const SOCKET: &str = "control.sock";
/// Where it listens under the unit file.
const RUN_SOCKET: &str = "/run/refreshd/control.sock";

/// Asks the daemon of a configuration; returns the HTTP status and the JSON body.
pub(super) async fn ask(
    config: &Config,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<(u16, Value), Failed> {
    let mut tried = Vec::new();
    for socket in candidates(config) {
        let answer = match is_ours(&socket, config).await {
            Ok(()) => try_one(&socket, path, body).await,
            Err(why) => Err(why),
        };
        match answer {
            Ok(answer) => return Ok(answer),
            Err(why) => tried.push(format!("  {}: {why}", socket.display())),
        }
    }
    Err(Failed::new(
        Exit::Unavailable,
        format!(
            "no daemon answers for {}:\n{}\nis it running? start it with `refreshd run --config {}` or `systemctl start refreshd`",
            config.path.display(),
            tried.join("\n"),
            config.path.display()
        ),
    ))
}

/// Returns what a refusal says, one problem a line.
pub(super) fn problem(answer: &Value) -> String {
    let problems: Vec<&str> =
        answer["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match answer.as_str() {
        Some(text) => text.to_owned(),
        None => problems.join("\n"),
    }
}

fn candidates(config: &Config) -> Vec<PathBuf> {
    config.control_socket.clone().map_or_else(
        || vec![config.state_dir.join(SOCKET), PathBuf::from(RUN_SOCKET)],
        |socket| vec![socket],
    )
}

/// Checks that a socket which the configuration does not name is that of its own daemon: a machine
/// may run another one, and a wish must not reach the wrong CDN.
async fn is_ours(socket: &Path, config: &Config) -> Result<(), String> {
    if socket != Path::new(RUN_SOCKET) || config.control_socket.is_some() {
        return Ok(());
    }
    let (_, status) = try_one(socket, "/status", None::<&()>).await?;
    match status["state_dir"].as_str() {
        Some(other) if Path::new(other) != config.state_dir => {
            Err(format!("it is another daemon's, whose state_dir is {other}"))
        }
        _ => Ok(()),
    }
}

/// Asks on one socket; an error says why there is no answer.
pub(super) async fn try_one(
    socket: &Path,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<(u16, Value), String> {
    match socket.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err("there is no socket".to_owned()),
        Err(error) => return Err(reason(&error)),
    }
    let client = crate::http::local_client()
        .unix_socket(socket)
        .timeout(Duration::from_secs(30))
        .build()
        .map_err(|error| error.to_string())?;
    let url = format!("http://localhost{path}");
    let request = match body {
        None => client.get(url),
        Some(body) => client
            .post(url)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body).map_err(|error| error.to_string())?),
    };
    let answer = request.send().await.map_err(|error| innermost(&error))?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.map_err(|error| innermost(&error))?;
    let value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Ok((status, value))
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.downcast_ref::<std::io::Error>().map_or_else(|| error.to_string(), reason)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "not for this user; ask as root, as the daemon's user or from its group".to_owned()
        }
        std::io::ErrorKind::ConnectionRefused => "its daemon is gone".to_owned(),
        _ => error.to_string(),
    }
}
