//! The tokens of those who may change things, as their files hold them now.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::Settings;
use crate::web::secret_files::{self, SecretFiles};

/// The fewest characters of a token: nobody guesses 32 that were drawn.
const SHORTEST: usize = 32;

/// The tokens, read again when a file changes.
pub(super) struct Tokens(SecretFiles<Known>);

/// What is known of each token: its file's name and its digest.
pub(super) struct Known(Vec<(String, [u8; 32])>);

impl Tokens {
    /// Makes an empty one: the files are read when they are first asked for.
    pub(super) fn new() -> Self {
        Self(SecretFiles::new())
    }

    /// Returns the tokens that can be used now. A file that can't is told of whenever it is read.
    pub(super) fn of(&self, settings: &Settings, now: Duration) -> Option<Arc<Known>> {
        self.0.of(&settings.token_files, now, |is_first| {
            let known: Vec<_> = settings.token_files.iter().filter_map(|file| read(file)).collect();
            if !is_first {
                tracing::info!(tokens = known.len(), "the page's tokens were read again");
            }
            Some(Known(known))
        })
    }
}

impl Known {
    /// Returns whose token this is. Each is compared, by its digest: how long that takes tells nothing of
    /// the token.
    pub(super) fn name_of(&self, token: &[u8]) -> Option<&str> {
        let token = digest(token);
        let differs = |known: &[u8; 32]| {
            known.iter().zip(token).fold(0, |differs, (known, byte)| differs | (known ^ byte))
        };
        let found = self.0.iter().map(|(name, known)| (name, differs(known)));
        let same =
            found.fold(None, |same, (name, differs)| if differs == 0 { Some(name) } else { same });
        same.map(String::as_str)
    }
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn read(path: &Path) -> Option<(String, [u8; 32])> {
    let token = secret_files::read(path).and_then(|text| {
        let token = text.expose_secret().trim_ascii();
        if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = "a token is one line of at least 32 characters without spaces: make one with \
                       `openssl rand -hex 32`";
            return Err(why.to_owned());
        }
        Ok(digest(token.as_bytes()))
    });
    match token {
        Ok(token) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Some((crate::domain::path::foreign_text(&name), token))
        }
        Err(why) => {
            tracing::error!("the token file `{}` can't be used: {why}", path.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::secret_files::LOOK;

    #[test]
    fn a_token_is_known_by_its_file_and_only_as_long_as_it_stands_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = ["alice", "ci", "short"].map(|name| folder.path().join(name));
        let (old, new) = ("o".repeat(32), "n".repeat(40));
        std::fs::write(&files[0], format!("{old}\n")).expect("written");
        std::fs::write(&files[2], "s".repeat(31)).expect("written");
        let settings =
            Settings { token_files: files.to_vec(), is_private: false, hosts: Vec::new() };
        let tokens = Tokens::new();
        let name = |token: &str, at: Duration| {
            let known = tokens.of(&settings, at).expect("they are read");
            known.name_of(token.as_bytes()).map(str::to_owned)
        };
        let start = Duration::from_secs(1);
        assert_eq!(name(&old, start).as_deref(), Some("alice"));
        for wrong in ["", &old[1..], &format!("{old}o"), &"s".repeat(31), &"p".repeat(32)] {
            assert_eq!(name(wrong, start), None, "{wrong}");
        }
        std::fs::write(&files[0], &new).expect("written");
        std::fs::write(&files[1], &old).expect("written");
        assert_eq!(name(&new, start + LOOK).as_deref(), Some("alice"));
        assert_eq!(name(&old, start + LOOK).as_deref(), Some("ci"));
    }
}
