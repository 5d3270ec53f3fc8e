//! Key files: one value each.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tracing::warn;

use super::fetch::{Fetcher, Recipe};
use super::{CredentialError, Credentials};
use crate::domain::credentials::KeyFiles;

/// Security tokens, the longest of the values, have about 1,000 bytes.
const LIMIT: usize = 16 * 1024;

impl Fetcher<'_> {
    /// Reads key files. One that holds a secret and is readable for everybody is warned of.
    pub(super) fn files(&self, files: &KeyFiles) -> Result<Recipe, CredentialError> {
        let id = self.value(&files.key_id, "access key id")?;
        let secret = self.secret(&files.secret, "access key secret")?;
        let token = files.security_token.as_deref();
        let token = token.map(|path| self.secret(path, "security token")).transpose()?;
        Ok(Recipe::Key(Credentials::new(&id, &secret, token.as_deref())))
    }

    fn secret(&self, path: &Path, what: &str) -> Result<String, CredentialError> {
        warn_if_exposed(path, what);
        self.value(path, what)
    }

    fn value(&self, path: &Path, what: &str) -> Result<String, CredentialError> {
        let bytes = self.read(path)?;
        let value = bytes.trim_ascii_end();
        let reason = if value.is_empty() {
            "it is empty"
        } else if bytes.len() > LIMIT {
            "it is longer than 16 KiB"
        } else if !value.iter().all(u8::is_ascii_graphic) {
            "it holds blanks, several lines or characters other than ASCII"
        } else {
            return Ok(value.iter().copied().map(char::from).collect());
        };
        Err(CredentialError::lasting(format!(
            "`{}` does not hold the {what}: {reason}; write the value alone into the file, as the \
             console of Alibaba Cloud shows it",
            path.display()
        )))
    }
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
