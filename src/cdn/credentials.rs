//! Where the access key comes from: files, read at start and again when the CDN refuses the key.
//!
//! Other providers (environment, metadata service, OIDC) will stand beside [`CredentialFiles`];
//! the client only asks for a set of [`Credentials`].

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

#[cfg(test)]
mod tests;

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
    /// Returns whether both are the same key.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let token = |of: &Self| of.security_token.as_ref().map(|it| it.expose_secret().to_owned());
        self.key_id == other.key_id
            && self.secret.expose_secret() == other.secret.expose_secret()
            && token(self) == token(other)
    }
}

/// The files that hold an access key, one value a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFiles {
    /// Holds the access key id.
    pub key_id: PathBuf,
    /// Holds the access key secret.
    pub secret: PathBuf,
    /// Holds the security token, where the key is a temporary one.
    pub security_token: Option<PathBuf>,
}

/// Why a key cannot be had from its files.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file can't be read.
    #[error(
        "cannot read the {what} from `{}`: {source}; {}",
        path.display(),
        remedy(path)
    )]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no key.
    #[error(
        "`{}` does not hold the {what}: {reason}; write the value alone into the file, as the \
         console of Alibaba Cloud shows it",
        path.display()
    )]
    Malformed {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

fn remedy(path: &Path) -> &'static str {
    if path.is_absolute() {
        "the file must exist and be readable for the user that refreshd runs as"
    } else {
        "`%d` is known inside the systemd unit only; outside it set $CREDENTIALS_DIRECTORY to the \
         directory of the key files"
    }
}

impl CredentialFiles {
    /// Reads the files. One that holds a secret and is readable for everybody is warned of.
    pub fn read(&self) -> Result<Credentials, CredentialError> {
        let secret = |path: &Path, what| {
            warn_if_exposed(path, what);
            read_value(path, what).map(SecretString::from)
        };
        Ok(Credentials {
            key_id: read_value(&self.key_id, "access key id")?,
            secret: secret(&self.secret, "access key secret")?,
            security_token: self
                .security_token
                .as_deref()
                .map(|path| secret(path, "security token"))
                .transpose()?,
        })
    }
}

/// Security tokens, the longest of the values, have about 1,000 bytes.
const LIMIT: u64 = 16 * 1024;

fn read_value(path: &Path, what: &'static str) -> Result<String, CredentialError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|source| CredentialError::Unreadable { what, path: path.to_owned(), source })?;
    let value = bytes.trim_ascii_end();
    let reason = if value.is_empty() {
        "it is empty"
    } else if bytes.len() as u64 > LIMIT {
        "it is longer than 16 KiB"
    } else if !value.iter().all(u8::is_ascii_graphic) {
        "it holds blanks, several lines or characters other than ASCII"
    } else {
        return Ok(value.iter().copied().map(char::from).collect());
    };
    Err(CredentialError::Malformed { what, path: path.to_owned(), reason })
}

fn warn_if_exposed(path: &Path, what: &str) {
    const READABLE_FOR_OTHERS: u32 = 0o004;
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & READABLE_FOR_OTHERS != 0 {
        warn!(
            credentials.file = %path.display(),
            "the {what} is readable for every user of this machine; run `chmod o-rwx` on its file"
        );
    }
}
