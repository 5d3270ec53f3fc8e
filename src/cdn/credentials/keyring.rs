//! The keyring of an account: the key in use, and when it is fetched anew.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::fetch::{Fetcher, Stamp, stamp};
use super::{CredentialError, Credentials, Fetched, Habit, Surroundings, chain};
use crate::clock::SharedClock;
use crate::domain::credentials::{KeySource, Place, shortened};
use crate::domain::facts::KeyFacts;
use crate::domain::time::Timestamp;

/// A session's key is renewed so long before it expires (API reference 4.3).
const STALE: Duration = Duration::from_secs(15 * 60);
/// A command's key is renewed so long before it expires (API reference 4.3).
const STALE_PROCESS: Duration = Duration::from_secs(3 * 60);
/// The metadata service is asked again after this long, as the SDK does (API reference 4.3).
const HOURLY: Duration = Duration::from_secs(3600);
/// What is due is fetched at most this often (API reference 4.3).
const MINUTE: Duration = Duration::from_secs(60);
/// A change of a file is noticed within this.
const LOOK: Duration = Duration::from_secs(5);
/// A metadata service that failed is asked again within this, at random (API reference 4.3).
const METADATA_RETRY: Duration = Duration::from_secs(10);

/// What a renewal came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whether there is another key than before.
    pub is_new: bool,
    /// When to come again, of the CDN's time.
    pub next: Timestamp,
    /// What is known of the key.
    pub facts: KeyFacts,
}

/// An account's key: fetched, kept, and renewed before it expires.
pub struct Keyring {
    source: KeySource,
    around: Surroundings,
    clock: SharedClock,
    current: RwLock<Option<Arc<Fetched>>>,
    state: tokio::sync::Mutex<State>,
}

/// What one renewal leaves for the next.
#[derive(Default)]
struct State {
    /// The place of the chain that had a key: it is asked again, and the others only once the CDN
    /// has refused its key (API reference 4.1).
    found: Option<Place>,
    /// The files that the last fetch read.
    read: BTreeMap<PathBuf, Option<Stamp>>,
    /// When a fetch is due; never for a key that lasts.
    due: Option<Timestamp>,
    is_begun: bool,
    failures: u32,
    trouble: String,
    /// Whether it was told that the key is lost.
    is_lost: bool,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keyring")
            .field("source", &self.source)
            .field("around", &self.around)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Makes a keyring that is empty until the first [`renew`](Self::renew).
    #[must_use]
    pub fn new(source: KeySource, around: Surroundings, clock: SharedClock) -> Self {
        let (current, state) = (RwLock::default(), tokio::sync::Mutex::default());
        Self { source, around, clock, current, state }
    }

    /// Returns the key in use; none before one was fetched, or once it has expired.
    #[must_use]
    pub fn key(&self) -> Option<Credentials> {
        let now = self.clock.server_now();
        self.current().filter(|current| is_usable(current, now)).map(|it| it.credentials.clone())
    }

    fn current(&self) -> Option<Arc<Fetched>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches a key where there is none, where it is due, where a file of it has changed, or where
    /// the CDN refused it. What fails is told once and tried again; the key in use stays.
    pub async fn renew(&self, refused: bool) -> Renewed {
        self.try_renew(refused).await.0
    }

    /// Like [`renew`](Self::renew), with the reason why a fetch failed.
    pub async fn try_renew(&self, refused: bool) -> (Renewed, Result<(), CredentialError>) {
        let mut state = self.state.lock().await;
        let now = self.clock.server_now();
        let due = !state.is_begun || state.due.is_some_and(|due| due <= now);
        let changed = || state.read.iter().any(|(path, seen)| stamp(path) != *seen);
        let mut is_new = false;
        let mut result = Ok(());
        if refused || due || changed() {
            if refused {
                state.found = None;
            }
            match self.fetch(&mut state).await {
                Ok(fetched) => is_new = self.take(fetched, &mut state),
                Err(error) => {
                    self.failed(&error, &mut state);
                    result = Err(error);
                }
            }
            state.is_begun = true;
        }
        let now = self.clock.server_now();
        let look = (!state.read.is_empty()).then(|| now.plus(LOOK));
        let next = [state.due, look].into_iter().flatten().min();
        let facts = self.facts(&state);
        (Renewed { is_new, next: next.unwrap_or_else(|| now.plus(MINUTE)), facts }, result)
    }

    async fn fetch(&self, state: &mut State) -> Result<Fetched, CredentialError> {
        let fetcher = Fetcher {
            source: &self.source,
            around: &self.around,
            clock: &*self.clock,
            read: Mutex::default(),
        };
        let result = match (&self.source.place, &state.found) {
            (Place::Chain { .. }, Some(found)) => fetcher.place(found).await,
            (Place::Chain { profile, ecs, uri }, None) => {
                let places = chain::places(profile.as_ref(), ecs, uri.as_ref());
                let first = fetcher.first(&places).await;
                first.map(|(place, fetched)| {
                    state.found = Some(place);
                    fetched
                })
            }
            (place, _) => fetcher.place(place).await,
        };
        let result = match result {
            Ok(base) => fetcher.on_top(base).await,
            Err(error) => Err(error),
        };
        state.read = fetcher.read.into_inner().unwrap_or_else(PoisonError::into_inner);
        result
    }

    fn take(&self, fetched: Fetched, state: &mut State) -> bool {
        let now = self.clock.server_now();
        state.due = due(&fetched, now);
        (state.failures, state.is_lost) = (0, false);
        if !std::mem::take(&mut state.trouble).is_empty() {
            tracing::info!("there is an access key again, from {}", fetched.source);
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let known = current.as_ref().map(|current| &current.credentials);
        let is_new = !known.is_some_and(|known| known.is_same(&fetched.credentials));
        if is_new {
            tracing::info!(
                key.source = fetched.source,
                key.id = shortened(&fetched.credentials.key_id),
                key.expires_at = fetched.expires_at.map(tracing::field::display),
                "took a new access key into use"
            );
        }
        *current = Some(Arc::new(fetched));
        is_new
    }

    fn failed(&self, error: &CredentialError, state: &mut State) {
        let now = self.clock.server_now();
        state.failures = state.failures.saturating_add(1);
        let current = self.current();
        let is_metadata = current.as_ref().is_some_and(|it| it.habit == Habit::Metadata);
        let wait = if is_metadata { self.metadata_retry(state.failures) } else { MINUTE };
        state.due = Some(now.plus(wait));
        let usable = current.filter(|current| is_usable(current, now));
        if state.trouble.is_empty() {
            let meanwhile = match &usable {
                Some(_) => "the one there is stays in use",
                None => "until there is one, nothing is submitted",
            };
            tracing::warn!("no new access key could be had; {meanwhile}: {error}");
        }
        if usable.is_none() && state.failures > 1 && !std::mem::replace(&mut state.is_lost, true) {
            tracing::error!("there is no valid access key, and none could be had: {error}");
        }
        state.trouble.clone_from(&error.message);
    }

    /// From a second to ten, and later to what doubles with each failure, up to a minute.
    fn metadata_retry(&self, failures: u32) -> Duration {
        let doubled = Duration::from_millis(100) * (1 << (failures.saturating_sub(1)).min(10));
        let most = METADATA_RETRY.max(doubled).min(MINUTE);
        let span = u64::try_from(most.as_millis()).unwrap_or(1_000).max(1_001) - 1_000;
        Duration::from_millis(1_000 + self.clock.random() % span)
    }

    fn facts(&self, state: &State) -> KeyFacts {
        let trouble = state.trouble.clone();
        self.current().map_or_else(
            || KeyFacts { trouble: trouble.clone(), ..KeyFacts::default() },
            |current| KeyFacts {
                source: current.source.clone(),
                key_id: shortened(&current.credentials.key_id),
                expires_at: current.expires_at,
                trouble: trouble.clone(),
            },
        )
    }
}

fn is_usable(fetched: &Fetched, now: Timestamp) -> bool {
    fetched.habit == Habit::Metadata || fetched.expires_at.is_none_or(|expires| now < expires)
}

/// Returns when a key that was fetched `now` is fetched again.
fn due(fetched: &Fetched, now: Timestamp) -> Option<Timestamp> {
    let (before, hourly) = match fetched.habit {
        Habit::Lasting => return None,
        Habit::Session => (STALE, false),
        Habit::Metadata => (STALE, true),
        Habit::Process => (STALE_PROCESS, fetched.expires_at.is_none()),
    };
    let stale = fetched.expires_at.map(|expires| expires.minus(before));
    let due = stale.into_iter().chain(hourly.then(|| now.plus(HOURLY))).min()?;
    // A key that is stale already is not fetched all the time.
    Some(due.max(now.plus(MINUTE)))
}
