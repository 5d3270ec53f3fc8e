//! The secrets of a hook, as their files hold them now.

use std::fs::{self, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::Hook;
use crate::domain::hook::Provider;
use crate::source::webhook::Secrets;

/// A change of a file is noticed within this.
const LOOK: Duration = Duration::from_secs(10);
/// The longest file, in bytes: a secret has hardly more than a hundred.
const LONGEST: u64 = 16 * 1024;

/// The secrets of a hook, read again when a file changes.
pub(super) struct Keys {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the files were last looked at, by the boot clock.
    looked_at: Option<Duration>,
    stamps: Vec<Option<Stamp>>,
    secrets: Option<Arc<Secrets>>,
}

/// What changes of a file when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl Keys {
    /// Makes an empty one: the files are read when they are first asked for.
    pub(super) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// Returns the secrets of a hook; none if no file holds one that can be used. Such a file is told of
    /// whenever it is read.
    pub(super) fn of(&self, hook: &Hook, now: Duration) -> Option<Arc<Secrets>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = state.looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK);
        if is_due {
            let is_first = state.looked_at.replace(now).is_none();
            let stamp = |path: &PathBuf| fs::metadata(path).ok().map(|found| Stamp::of(&found));
            let stamps: Vec<_> = hook.secret_files.iter().map(stamp).collect();
            if is_first || stamps != state.stamps {
                state.stamps = stamps;
                state.secrets = read(hook).map(Arc::new);
                if !is_first && state.secrets.is_some() {
                    tracing::info!(hook = %hook.name, "the hook's secrets were read again");
                }
            }
        }
        state.secrets.clone()
    }
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        let changed = (found.ctime(), found.ctime_nsec());
        Self { place: (found.dev(), found.ino()), size: found.size(), changed }
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
    const READABLE_FOR_OTHERS: u32 = 0o004;
    let problem = |error: std::io::Error| format!("{error}; check that it exists and who owns it");
    let found = fs::metadata(path).map_err(problem)?;
    if !found.is_file() {
        return Err("it is no file".to_owned());
    }
    if found.mode() & READABLE_FOR_OTHERS != 0 {
        tracing::warn!(
            "the secret file `{}` is readable for every user of this machine; run `chmod o-rwx` on it",
            path.display()
        );
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(problem)?;
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(problem)?;
    let text = SecretString::from(text);
    if text.expose_secret().len() as u64 > LONGEST {
        return Err("it is longer than 16 KiB".to_owned());
    }
    Secrets::read(provider, vec![text.clone()]).map_err(|bad| bad.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::HookName;

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
