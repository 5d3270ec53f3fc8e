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
/// What is due is fetched at most this often, and what was handed out believed for so long (API
/// reference 4.3).
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
    current: RwLock<Option<Arc<Current>>>,
    state: tokio::sync::Mutex<State>,
}

/// The key in use.
struct Current {
    fetched: Fetched,
    /// When it was fetched, by the boot clock.
    at: Duration,
}

/// What one renewal leaves for the next.
#[derive(Default)]
struct State {
    /// The place of the chain that had a key: it is asked again, and the others only once the CDN
    /// has refused its key (API reference 4.1).
    found: Option<Place>,
    /// The files that the last fetch read.
    read: BTreeMap<PathBuf, Option<Stamp>>,
    /// When a fetch is due whatever the key says of itself, by the boot clock: what the CDN teaches us
    /// of the time moves no wait.
    again: Option<Duration>,
    /// No fetch is due before, by the boot clock.
    rest: Duration,
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
        self.usable().map(|current| current.fetched.credentials.clone())
    }

    /// Returns the key that may be used. What was just handed out may, though it has expired by our
    /// clock: that may be wrong, and nothing but a call sets it right.
    fn usable(&self) -> Option<Arc<Current>> {
        let (now, boot) = (self.clock.server_now(), self.clock.boot());
        self.current().filter(|current| {
            current.fetched.habit == Habit::Metadata
                || current.fetched.expires_at.is_none_or(|expires| now < expires)
                || boot.saturating_sub(current.at) < MINUTE
        })
    }

    fn current(&self) -> Option<Arc<Current>> {
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
        let due = !state.is_begun || self.due(&state).is_some_and(|due| due <= now);
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
        let next = [self.due(&state), look].into_iter().flatten().min();
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
        let (now, at) = (self.clock.server_now(), self.clock.boot());
        let hourly = match fetched.habit {
            Habit::Metadata => true,
            Habit::Process => fetched.expires_at.is_none(),
            Habit::Lasting | Habit::Session => false,
        };
        state.again = hourly.then(|| at + HOURLY);
        // One that is stale already, or soon will be, is not fetched all the time.
        let left = fetched.expires_at.map_or(Duration::ZERO, |expires| expires.since(now));
        state.rest = at + (left / 2).min(stale_before(fetched.habit) / 2).max(MINUTE);
        (state.failures, state.is_lost) = (0, false);
        if !std::mem::take(&mut state.trouble).is_empty() {
            tracing::info!("there is an access key again, from {}", fetched.source);
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let known = current.as_ref().map(|current| &current.fetched.credentials);
        let is_new = !known.is_some_and(|known| known.is_same(&fetched.credentials));
        if is_new {
            tracing::info!(
                key.source = fetched.source,
                key.id = shortened(&fetched.credentials.key_id),
                key.expires_at = fetched.expires_at.map(tracing::field::display),
                "took a new access key into use"
            );
        }
        *current = Some(Arc::new(Current { fetched, at }));
        is_new
    }

    fn failed(&self, error: &CredentialError, state: &mut State) {
        state.failures = state.failures.saturating_add(1);
        let usable = self.usable();
        let is_metadata = usable.as_ref().is_some_and(|it| it.fetched.habit == Habit::Metadata);
        let wait = if is_metadata { self.metadata_retry(state.failures) } else { MINUTE };
        state.rest = self.clock.boot() + wait;
        state.again = Some(state.rest);
        if usable.is_none() {
            // Nothing is left to be kept: the chain is looked through from its beginning.
            state.found = None;
        }
        // The first one of all, if it can't be had, ends the start, which says so itself.
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let ends_the_start = current.is_none() && !error.may_pass;
        drop(current);
        if state.trouble.is_empty() && !ends_the_start {
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
                source: current.fetched.source.clone(),
                key_id: shortened(&current.fetched.credentials.key_id),
                expires_at: current.fetched.expires_at,
                trouble: trouble.clone(),
            },
        )
    }

    /// Returns when a fetch is due, of the CDN's time; never for a key that lasts.
    fn due(&self, state: &State) -> Option<Timestamp> {
        let (now, boot) = (self.clock.server_now(), self.clock.boot());
        let at = |at: Duration| now.plus(at.saturating_sub(boot));
        let before_expiry = self.current().and_then(|current| {
            let fetched = &current.fetched;
            fetched.expires_at.map(|expires| expires.minus(stale_before(fetched.habit)))
        });
        let due = before_expiry.into_iter().chain(state.again.map(at)).min()?;
        Some(due.max(at(state.rest)))
    }
}

/// Returns how long before it expires a key is fetched anew.
const fn stale_before(habit: Habit) -> Duration {
    match habit {
        Habit::Process => STALE_PROCESS,
        Habit::Lasting | Habit::Session | Habit::Metadata => STALE,
    }
}
