//! Writes files whole or not at all, and never over another.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The mode of a file that only its owner reads.
pub(super) const SECRET: u32 = 0o400;

/// Files that were written; those that are not kept go again.
#[derive(Default)]
pub(super) struct Written(Vec<PathBuf>);

impl Written {
    /// Writes a new file below a directory, which is made if it isn't there; an error names the file.
    pub(super) fn file(&mut self, path: &Path, text: &str, mode: u32) -> Result<(), String> {
        let io = |error: std::io::Error| format!("{} can't be written: {error}", path.display());
        let directory = path.parent().unwrap_or(Path::new("/"));
        // Where secrets are kept nobody else enters.
        let shut = if mode == SECRET { 0o700 } else { 0o755 };
        std::fs::DirBuilder::new().recursive(true).mode(shut).create(directory).map_err(io)?;
        let beside = unfinished(path);
        let finished = make(&beside, text, mode).and_then(|()| std::fs::hard_link(&beside, path));
        let _ = std::fs::remove_file(&beside);
        finished.map_err(io)?;
        self.0.push(path.to_owned());
        // So that the name outlives a power cut, too.
        std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
    }

    /// Keeps what was written.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn make(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = std::fs::File::options().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Moves a file that is in the way to a name beside it that is free, and returns that.
pub(super) fn put_aside(path: &Path) -> Result<PathBuf, String> {
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 { ".old".to_owned() } else { format!(".old.{number}") });
        PathBuf::from(name)
    };
    let io = |error| format!("{} can't be put aside: {error}", path.display());
    for backup in (0..1_000).map(named) {
        // A link fails where the name is taken.
        match std::fs::hard_link(path, &backup) {
            Ok(()) => return std::fs::remove_file(path).map(|()| backup).map_err(io),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error)),
        }
    }
    Err(format!("{} has a thousand copies beside it: remove some", path.display()))
}

/// Returns the name of a file while it is written.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_overwritten_and_what_is_not_kept_goes_again() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("below/key");
        Written::default().file(&path, "one", 0o400).expect("written");
        assert!(!path.exists(), "it was not kept");
        let mut written = Written::default();
        written.file(&path, "two", 0o400).expect("written");
        let why = written.file(&path, "three", 0o400).expect_err("it is there");
        assert!(why.contains("below/key can't be written: File exists"), "{why}");
        written.keep();
        assert_eq!(std::fs::read_to_string(&path).expect("kept"), "two");
        assert_eq!(path.metadata().expect("there").mode() & 0o777, 0o400);
        let parent = path.parent().expect("a directory");
        assert_eq!(parent.metadata().expect("there").mode() & 0o777, 0o700);
        let aside = [put_aside(&path), {
            Written::default().file(&path, "gone", 0o400).expect("written");
            std::fs::write(&path, "four").expect("written");
            put_aside(&path)
        }];
        let [first, second] = aside.map(|aside| aside.expect("put aside"));
        assert_eq!(std::fs::read_to_string(first).expect("kept"), "two");
        assert_eq!(std::fs::read_to_string(second).expect("kept"), "four");
        assert_eq!(std::fs::read_dir(parent).expect("listed").count(), 2, "nothing is left over");
    }
}
