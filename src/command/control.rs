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

/// An answer is waited for this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which daemon is meant.
#[derive(Clone, Debug)]
pub(super) struct Whose {
    /// Its configuration.
    pub path: PathBuf,
    /// Where its state is, if that is known.
    pub state_dir: Option<PathBuf>,
    /// Whether it has to be the daemon of that state, wherever it answers.
    pub is_checked: bool,
    /// Where it answers, if its configuration says so.
    pub control_socket: Option<PathBuf>,
}

impl Whose {
    /// Returns the daemon of a configuration.
    pub(super) fn of(config: &Config) -> Self {
        let (path, state_dir) = (config.path.clone(), Some(config.state_dir.clone()));
        let control_socket = config.control_socket.clone();
        Self { path, state_dir, is_checked: true, control_socket }
    }
}

/// Asks the daemon of a configuration; returns the HTTP status and the JSON body.
pub(super) async fn ask(
    config: &Config,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<(u16, Value), Failed> {
    ask_within(&Whose::of(config), path, body, PATIENCE).await
}

/// Asks a daemon, and waits for the answer that long.
pub(super) async fn ask_within(
    config: &Whose,
    path: &str,
    body: Option<&impl Serialize>,
    patience: Duration,
) -> Result<(u16, Value), Failed> {
    let mut tried = Vec::new();
    for socket in candidates(config) {
        let answer = match is_ours(&socket, config).await {
            Ok(()) => try_within(&socket, path, body, patience).await,
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

fn candidates(config: &Whose) -> Vec<PathBuf> {
    let beside = config.state_dir.iter().map(|state_dir| state_dir.join(SOCKET));
    match &config.control_socket {
        Some(socket) => vec![socket.clone()],
        None => beside.chain([PathBuf::from(RUN_SOCKET)]).collect(),
    }
}

/// Checks that a socket which the configuration does not name is that of its own daemon: a machine
/// may run another one, and a wish must not reach the wrong CDN.
async fn is_ours(socket: &Path, config: &Whose) -> Result<(), String> {
    if socket != Path::new(RUN_SOCKET) || config.control_socket.is_some() || !config.is_checked {
        return Ok(());
    }
    let (_, status) = try_one(socket, "/status", None::<&()>).await?;
    match status["state_dir"].as_str() {
        Some(other) if config.state_dir.as_ref().is_some_and(|ours| Path::new(other) != ours) => {
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
    try_within(socket, path, body, PATIENCE).await
}

async fn try_within(
    socket: &Path,
    path: &str,
    body: Option<&impl Serialize>,
    patience: Duration,
) -> Result<(u16, Value), String> {
    match socket.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err("there is no socket".to_owned()),
        Err(error) => return Err(reason(&error)),
    }
    let client = crate::http::local_client()
        .unix_socket(socket)
        .timeout(patience)
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
