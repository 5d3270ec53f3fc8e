//! What secret files hold now: they are read again when one of them changes.

use std::fs::{self, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

/// A change of a file is noticed within this.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// The longest file, in bytes: a secret has hardly more than a hundred.
const LONGEST: u64 = 16 * 1024;

/// What was made of some secret files.
pub(super) struct SecretFiles<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    /// When the files were last looked at, by the boot clock.
    looked_at: Option<Duration>,
    stamps: Vec<Option<Stamp>>,
    made: Option<Arc<T>>,
}

/// What changes of a file when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl<T> SecretFiles<T> {
    /// Makes an empty one: the files are read when they are first asked for.
    pub(super) fn new() -> Self {
        let state = State { looked_at: None, stamps: Vec::new(), made: None };
        Self { state: Mutex::new(state) }
    }

    /// Returns what `make` makes of the files, which is told whether it is the first time; made anew once
    /// a file has changed.
    pub(super) fn of(
        &self,
        files: &[PathBuf],
        now: Duration,
        make: impl FnOnce(bool) -> Option<T>,
    ) -> Option<Arc<T>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = state.looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK);
        if is_due {
            let is_first = state.looked_at.replace(now).is_none();
            let stamp = |path: &PathBuf| fs::metadata(path).ok().map(|found| Stamp::of(&found));
            let stamps: Vec<_> = files.iter().map(stamp).collect();
            if is_first || stamps != state.stamps {
                state.stamps = stamps;
                state.made = make(is_first).map(Arc::new);
            }
        }
        state.made.clone()
    }
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        let changed = (found.ctime(), found.ctime_nsec());
        Self { place: (found.dev(), found.ino()), size: found.size(), changed }
    }
}

/// Reads a secret file, or says why it can't be used.
pub(super) fn read(path: &Path) -> Result<SecretString, String> {
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
    Ok(text)
}
