//! Where an account's key comes from, as a description: what is fetched, nothing of how.

use std::path::PathBuf;
use std::time::Duration;

use ::url::Url;

/// How long the keys of an assumed role last unless somebody says otherwise (API reference 4.5).
pub const SESSION: Duration = Duration::from_secs(3600);
/// The shortest session that STS grants (API reference 4.5).
pub const SHORTEST_SESSION: Duration = Duration::from_secs(900);

/// Where an account's key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    /// Where a key is found.
    pub place: Place,
    /// The role that is assumed with it, and whose keys are used instead.
    pub role: Option<Role>,
    /// Who is asked for a role's keys; without one the address that Alibaba Cloud documents.
    pub sts_endpoint: Option<Url>,
}

impl KeySource {
    /// Takes the key that lies at `place`, as it is.
    #[must_use]
    pub const fn at(place: Place) -> Self {
        Self { place, role: None, sts_endpoint: None }
    }
}

/// Where a key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first of the places below, from the environment on, that has one (API reference 4.1).
    Chain {
        /// The profile of the files; else the environment's.
        profile: Option<String>,
        /// How the metadata service is asked.
        ecs: Ecs,
        /// Who is asked last; else whom the environment names.
        uri: Option<Url>,
    },
    /// Files, one value each.
    Files(KeyFiles),
    /// Environment variables.
    Environment,
    /// The file of Alibaba Cloud's command line tool.
    Cli {
        /// The profile; else the environment's, else the file's current one.
        profile: Option<String>,
    },
    /// The INI file of Alibaba Cloud's SDKs.
    Ini {
        /// The profile; else the environment's, else `default`.
        profile: Option<String>,
    },
    /// A role for the token of an identity provider, as pods of ACK have them.
    Oidc,
    /// The role of the ECS instance, asked of its metadata service.
    Ecs(Ecs),
    /// A service that answers with a key.
    Uri(Option<Url>),
}

/// The files that hold an access key, one value a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// Holds the access key id.
    pub key_id: PathBuf,
    /// Holds the access key secret.
    pub secret: PathBuf,
    /// Holds the security token, where the key is a temporary one.
    pub security_token: Option<PathBuf>,
}

/// How the metadata service of an ECS instance is asked.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ecs {
    /// The instance's role; else the environment's, else asked for.
    pub role_name: Option<String>,
    /// Whether it may be asked without a token where that fails; else as the environment says.
    pub v1: Option<bool>,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// `acs:ram::ACCOUNT:role/NAME`.
    pub arn: String,
    /// Under which name; else the environment's, else `refreshd`.
    pub session_name: Option<String>,
    /// What a role of somebody else's account may want to hear.
    pub external_id: Option<String>,
    /// What the session may do at most: a policy in JSON.
    pub policy: Option<String>,
    /// How long the session lasts; at least [`SHORTEST_SESSION`].
    pub duration: Duration,
}

/// Shortens a key id for people: its first and last four characters.
#[must_use]
pub fn shortened(key_id: &str) -> String {
    let letters: Vec<char> = key_id.chars().collect();
    if letters.len() < 12 {
        return "…".to_owned();
    }
    let (head, tail) = (&letters[..4], &letters[letters.len() - 4..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_key_id_shows_eight_characters_of_at_least_twelve() {
        assert_eq!(shortened("LTAI5tAbCdEfGhIj1234"), "LTAI…1234");
        assert_eq!(shortened("LTAI12345678"), "LTAI…5678");
        assert_eq!(shortened("LTAI1234567"), "…");
        assert_eq!(shortened(""), "…");
    }
}
