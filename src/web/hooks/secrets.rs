//! The secrets of a hook, as their files hold them now.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::Hook;
use crate::domain::hook::Provider;
use crate::source::webhook::Secrets;
use crate::web::secret_files::{self, SecretFiles};

/// The secrets of a hook, read again when a file changes.
pub(super) struct Keys(SecretFiles<Secrets>);

impl Keys {
    /// Makes an empty one: the files are read when they are first asked for.
    pub(super) fn new() -> Self {
        Self(SecretFiles::new())
    }

    /// Returns the secrets of a hook; none if no file holds one that can be used. Such a file is told of
    /// whenever it is read.
    pub(super) fn of(&self, hook: &Hook, now: Duration) -> Option<Arc<Secrets>> {
        self.0.of(&hook.secret_files, now, |is_first| {
            let secrets = read(hook);
            if !is_first && secrets.is_some() {
                tracing::info!(hook = %hook.name, "the hook's secrets were read again");
            }
            secrets
        })
    }
}

/// Reads what can be used: where one of two files is gone, the other's secret still holds.
fn read(hook: &Hook) -> Option<Secrets> {
    let good = hook.secret_files.iter().filter_map(|path| match text(&hook.provider, path) {
        Ok(text) => Some(text),
        Err(why) => {
            tracing::error!(
                hook = %hook.name,
                "the secret file `{}` can't be used: {why}",
                path.display()
            );
            None
        }
    });
    let secrets = Secrets::read(&hook.provider, good.collect()).ok();
    if secrets.is_none() {
        tracing::error!(
            hook = %hook.name,
            "the hook has no secret, and answers 503 until a file holds one"
        );
    }
    secrets
}

fn text(provider: &Provider, path: &Path) -> Result<SecretString, String> {
    let text = secret_files::read(path)?;
    Secrets::read(provider, vec![text.clone()]).map_err(|bad| bad.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::domain::names::HookName;
    use crate::web::secret_files::LOOK;

    #[test]
    fn files_are_read_again_when_they_change_and_what_cannot_be_used_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let secret_files: Vec<_> = ["old", "new"].map(|name| folder.path().join(name)).into();
        let hook = Hook {
            name: HookName::from("forge"),
            provider: Provider::GitHub,
            secret_files: secret_files.clone(),
            origins: Vec::new(),
            sources: Vec::new(),
        };
        let keys = Keys::new();
        let mut now = Duration::from_secs(1);
        assert!(keys.of(&hook, now).is_none(), "there is no file");
        fs::write(&secret_files[1], "it is a secret").expect("written");
        now += LOOK / 2;
        assert!(keys.of(&hook, now).is_none(), "it is not looked at yet");
        now += LOOK / 2;
        let one = keys.of(&hook, now).expect("one of the two");
        now += LOOK;
        let same = keys.of(&hook, now).expect("the same");
        assert!(Arc::ptr_eq(&one, &same), "an unchanged file is not read");
        fs::write(&secret_files[0], "it was a secret").expect("written");
        now += LOOK;
        assert!(!Arc::ptr_eq(&one, &keys.of(&hook, now).expect("both")));
        fs::write(&secret_files[0], "").expect("written");
        fs::write(&secret_files[1], "x".repeat(17_000)).expect("written");
        now += LOOK;
        assert!(keys.of(&hook, now).is_none(), "one is empty, one too long");
    }
}
