//! This room posts alarms to where people look: chats, and whoever takes JSON.
//!
//! Enters: the alarms that stand. Leaves: requests to receivers, each at most once an hour for the same
//! alarm, tried again for a day.
//! **Invariant:** nobody waits for a receiver, redirects are not followed, and no URL or secret of one is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::clock::SharedClock;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::endpoint::Proxy;
use crate::domain::notice::{Language, Receiver};
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreError, Waiting};
use crate::telemetry::meters::{Meter, Meters};

mod body;

use body::{Event, Told};

/// The same alarm is told of once in this time.
pub const QUIET: Duration = Duration::from_secs(3600);
/// What can't be posted is given up after this.
pub const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
/// The first wait after a failure; it doubles …
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(1800);
/// How long connecting, and a whole request, may take.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));
/// No answer of a receiver is read further, in bytes.
const ANSWER: usize = 16 * 1024;
/// The longest file with a URL or a secret, in bytes.
const LONGEST: u64 = 16 * 1024;
/// So many alarms of a receiver are remembered.
const REMEMBERED: usize = 1_000;

/// Where alarms are posted, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The receiver's name.
    pub name: String,
    /// Whose form they take.
    pub receiver: Receiver,
    /// The file with its URL, which is a secret.
    pub url_file: PathBuf,
    /// The file with what posts are signed with.
    pub secret_file: Option<PathBuf>,
    /// Which kinds; all when empty.
    pub alarms: Vec<AlarmKind>,
    /// In which language.
    pub language: Language,
}

/// How it goes with a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Outcome {
    /// How many posts wait.
    pub waiting: u64,
    /// Why the last attempt failed, if one was made and failed; empty when it went well.
    pub tried: Option<String>,
}

/// Posts to one receiver.
pub struct Poster {
    settings: Settings,
    store: Store,
    clock: SharedClock,
    meters: Meters,
}

impl Poster {
    /// Makes one; nothing happens before [`step`](Self::step).
    #[must_use]
    pub const fn new(settings: Settings, store: Store, clock: SharedClock, meters: Meters) -> Self {
        Self { settings, store, clock, meters }
    }

    /// Returns the receiver's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Writes down what is news among the alarms, and posts the oldest that is due.
    pub async fn step(&self, alarms: &[Alarm]) -> Result<Outcome, StoreError> {
        let (name, now) = (&self.settings.name, self.clock.server_now());
        let wanted = |alarm: &&Alarm| {
            let kinds = &self.settings.alarms;
            // That notices fail would be told in vain by those that fail.
            alarm.key != format!("notices.failed/{name}")
                && (kinds.is_empty() || kinds.contains(&alarm.kind))
        };
        let mut standing = Vec::new();
        for alarm in alarms.iter().filter(wanted).take(REMEMBERED) {
            let told = serde_json::to_string(&Told::from(alarm))
                .map_err(|error| StoreError::Inconsistent(error.to_string()))?;
            standing.push((alarm.key.clone(), told));
        }
        let forgotten = now.minus(GIVE_UP);
        let waiting = self.store.note_alarms(name, standing, now, QUIET, forgotten).await?;
        let mut outcome = Outcome { waiting: waiting.number, tried: None };
        let Some(due) = waiting.due else {
            return Ok(outcome);
        };
        let tried = self.send(&due).await;
        let (result, at) = match &tried {
            Ok(()) => ("posted", None),
            Err(_) => ("failed", Some(now.plus(wait(due.attempts)))),
        };
        self.meters.count(Meter::Notices, &[name, result]);
        self.store.posted(name, &due.alarm, at).await?;
        if tried.is_ok() {
            outcome.waiting = outcome.waiting.saturating_sub(1);
        }
        outcome.tried = Some(tried.err().unwrap_or_default());
        Ok(outcome)
    }

    async fn send(&self, due: &Waiting) -> Result<(), String> {
        let told: Told = serde_json::from_str(&due.told).map_err(|error| error.to_string())?;
        let url = secret(&self.settings.url_file)?;
        let url = Url::parse(url.expose_secret())
            .ok()
            .filter(is_allowed)
            .ok_or("the file of `url_file` holds no https URL")?;
        let secret = self.settings.secret_file.as_deref().map(secret).transpose()?;
        let event = if due.is_end { Event::Ended } else { Event::Raised };
        let id = format!("{}-{}", due.queued_at.as_micros(), due.alarm);
        let form = (self.settings.receiver, self.settings.language);
        let key = secret.as_ref().map(SecretString::expose_secret);
        let post = body::post(form, &url, key, (event, &told), &id, self.clock.now());
        let client = crate::http::builder(&url, &Proxy::None, PATIENCE.0)
            .and_then(|builder| builder.timeout(PATIENCE.1).build())
            .map_err(|error| error.without_url().to_string())?;
        let mut request = client.post(post.url).body(post.body);
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        // Its URL is a secret.
        let plain = |error: reqwest::Error| error.without_url().to_string();
        let mut answer = request.send().await.map_err(plain)?;
        let status = answer.status().as_u16();
        let mut read = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(plain)? {
            read.extend_from_slice(&part);
            if read.len() > ANSWER {
                return Err("its answer is too long".to_owned());
            }
        }
        body::judge(self.settings.receiver, status, &read)
    }
}

/// Over the network only encrypted; to this machine also in the clear.
fn is_allowed(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

fn secret(path: &Path) -> Result<SecretString, String> {
    let unread = |why: String| format!("{}: {why}", path.display());
    let size = fs::metadata(path).map_err(|error| unread(error.to_string()))?.len();
    if size > LONGEST {
        return Err(unread("it is too long".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
    match text.trim() {
        "" => Err(unread("it is empty".to_owned())),
        text => Ok(SecretString::from(text)),
    }
}

fn wait(attempts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempts.min(10)).min(LONGEST_WAIT)
}

/// Since when a receiver has been failing, after an outcome; none when it is well.
#[must_use]
pub fn failing_since(
    before: Option<Timestamp>,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Timestamp> {
    match &outcome.tried {
        None => before,
        Some(why) if why.is_empty() => None,
        Some(_) => before.or(Some(now)),
    }
}
