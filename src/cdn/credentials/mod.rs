//! Where the access key comes from, and how it stays fresh: a room in the room.
//!
//! Enters: a [`KeySource`], which only describes; [`Surroundings`], which hold all that is read
//! of this machine. Leaves: [`Credentials`] and when to look again, or one error that names place
//! and remedy.
//! **Invariant:** the environment of the process is read in one function,
//! [`Surroundings::of_process`]; all files are read by [`Fetcher::read`](fetch::Fetcher::read), which
//! remembers them, so that each is noticed when it changes.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::domain::time::Timestamp;

mod answer;
mod chain;
mod cli;
mod ecs;
mod fetch;
mod files;
mod http;
mod ini;
mod keyring;
mod process;
mod sts;
mod surroundings;
mod uri;
mod words;

#[cfg(test)]
mod tests;

pub use keyring::{Keyring, Renewed};
pub use process::{Runner, SystemRunner};
pub use surroundings::Surroundings;

/// An access key, with the token that temporary keys need.
#[derive(Clone)]
pub struct Credentials {
    /// The access key id.
    pub key_id: String,
    /// The access key secret.
    pub secret: SecretString,
    /// The security token of a temporary key.
    pub security_token: Option<SecretString>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials([redacted])")
    }
}

impl Credentials {
    /// Takes a pair, and a token unless that is empty.
    #[must_use]
    pub fn new(key_id: &str, secret: &str, token: Option<&str>) -> Self {
        Self {
            key_id: key_id.to_owned(),
            secret: secret.into(),
            security_token: token.filter(|token| !token.is_empty()).map(SecretString::from),
        }
    }

    /// Returns whether both are the same key.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key_id == other.key_id
            && self.secret.expose_secret() == other.secret.expose_secret()
            && self.token() == other.token()
    }

    /// Returns the security token, empty when there is none.
    #[must_use]
    pub fn token(&self) -> &str {
        self.security_token.as_ref().map_or("", |token| token.expose_secret())
    }
}

/// How a key ages (API reference 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// It lasts until somebody writes another one.
    Lasting,
    /// It is renewed a quarter of an hour before it expires.
    Session,
    /// Like a session, and renewed each hour; an old one is used until there is a new one, for the
    /// metadata service may hand out keys that last longer than it says.
    Metadata,
    /// It is renewed three minutes before it expires, or each hour.
    Process,
}

/// A key as it was fetched.
#[derive(Debug)]
struct Fetched {
    credentials: Credentials,
    expires_at: Option<Timestamp>,
    habit: Habit,
    /// Where it was found, for people.
    source: String,
}

/// Why there is no key: the place, what is wrong with it, and the remedy; never what it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CredentialError {
    message: String,
    /// Whether it may end without anybody doing anything, as with a service that isn't up yet.
    pub may_pass: bool,
}

impl CredentialError {
    /// Makes an error that lasts until somebody does something.
    fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), may_pass: false }
    }

    /// Makes an error that may end by itself.
    fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), may_pass: true }
    }

    /// Says at which place it came.
    fn at(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }
}
