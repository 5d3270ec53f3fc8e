//! What a repository's own hook tells of a push, and where it leaves that when nobody listens.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::push::{CommitId, Listed, NoCommit, Push};

/// Below the repository, where announcements wait for the daemon.
pub const SPOOL: &str = "refreshd-spool";
/// How many announcements wait at most: the refs themselves tell of what came after.
const MOST: usize = 1_000;
/// How long one may be, in bytes.
pub const LONGEST: u64 = 4 << 20;

/// Refs of a repository moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// Drawn by who announces: with the same it is the same.
    pub id: String,
    /// The repository's own directory, absolute.
    pub repository: PathBuf,
    /// Which, in order.
    pub moved: Vec<Moved>,
}

/// A ref moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moved {
    /// The whole name of the ref.
    pub reference: String,
    /// Where it stood; zeros where it was made.
    pub before: String,
    /// Where it stands; zeros where it was deleted.
    pub after: String,
}

impl Moved {
    /// Reads a line of what git hands to `post-receive` (githooks(5)): old, new, ref.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let (before, rest) = line.split_once(' ')?;
        let (after, reference) = rest.split_once(' ')?;
        let own = str::to_owned;
        Some(Self { reference: own(reference), before: own(before), after: own(after) })
    }
}

impl Announcement {
    /// Returns whether its id may be the name of a file.
    #[must_use]
    pub fn has_plain_id(&self) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=64).contains(&self.id.len()) && self.id.bytes().all(is_plain)
    }

    /// Returns the pushes that it tells of.
    pub fn pushes(&self) -> Result<Vec<Push>, NoCommit> {
        let push = |moved: &Moved| {
            Ok(Push {
                reference: moved.reference.clone(),
                before: CommitId::parse(&moved.before)?,
                after: CommitId::parse(&moved.after)?,
                listed: Listed::nothing("the repository itself tells which paths changed"),
            })
        };
        self.moved.iter().map(push).collect()
    }

    /// Leaves it in the repository's spool, for the daemon to find.
    pub fn leave(&self) -> io::Result<()> {
        let spool = self.repository.join(SPOOL);
        match fs::DirBuilder::new().mode(0o755).create(&spool) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if fs::read_dir(&spool)?.count() >= MOST {
            return Err(io::Error::other(format!("{MOST} announcements wait there already")));
        }
        let (new, name) =
            (spool.join(format!(".{}", self.id)), spool.join(format!("{}.json", self.id)));
        let text = serde_json::to_vec(self)?;
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        io::Write::write_all(&mut file, &text)?;
        fs::rename(new, name)
    }
}

/// An announcement that was left in a spool.
#[derive(Debug)]
pub struct Left {
    /// The file that holds it.
    pub file: PathBuf,
    /// Who left it.
    pub uid: u32,
    /// What it says, or why that can't be read.
    pub announcement: Result<Announcement, String>,
}

/// Returns what was left in a repository, the oldest first.
pub fn left(repository: &Path) -> io::Result<Vec<Left>> {
    let entries = match fs::read_dir(repository.join(SPOOL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    // The names begin with the time.
    files.sort_unstable();
    files.truncate(MOST);
    Ok(files.into_iter().map(read).collect())
}

/// Reads a file that whoever owns the repository may have made: no link is followed, nothing waits.
fn read(file: PathBuf) -> Left {
    let mut uid = u32::MAX;
    let mut announcement = || {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let mut options = fs::OpenOptions::new();
        let opened = options.read(true).custom_flags(flags.bits().cast_signed()).open(&file)?;
        let metadata = opened.metadata()?;
        if !metadata.is_file() || metadata.len() > LONGEST {
            return Err(io::Error::other("it is no announcement"));
        }
        uid = metadata.uid();
        let mut text = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(opened, LONGEST), &mut text)?;
        Ok(serde_json::from_slice::<Announcement>(&text)?)
    };
    let announcement = announcement().map_err(|error| error.to_string());
    Left { file, uid, announcement }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(id: &str, repository: &Path) -> Announcement {
        let line = format!("{} {} refs/heads/main", "0".repeat(40), "a".repeat(40));
        let moved = vec![Moved::read(&line).expect("a line")];
        Announcement { id: id.to_owned(), repository: repository.to_owned(), moved }
    }

    #[test]
    fn what_is_left_is_found_in_order_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(left(folder.path()).expect("no spool yet").is_empty());
        let (second, first) =
            (announcement("2-b", folder.path()), announcement("1-a", folder.path()));
        second.leave().expect("left");
        first.leave().expect("left");
        let spool = folder.path().join(SPOOL);
        fs::write(spool.join(".3-c"), "half").expect("one that is being written");
        std::os::unix::fs::symlink("/etc/passwd", spool.join("4.json")).expect("a link");
        fs::write(spool.join("5.json"), "no JSON").expect("another file");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            spool.join("6.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .expect("a pipe");
        let found = left(folder.path()).expect("listed");
        let good: Vec<_> =
            found.iter().filter_map(|left| left.announcement.as_ref().ok()).collect();
        assert_eq!(good, [&first, &second]);
        assert_eq!(found.len(), 5, "what can't be read is named");
        assert!(found.iter().take(2).all(|left| left.uid == rustix::process::getuid().as_raw()));
        let pushes = first.pushes().expect("commits");
        assert_eq!((pushes[0].before.is_none(), pushes[0].after.is_some()), (true, true));
    }

    #[test]
    fn ids_are_names_of_files_in_the_spool() {
        let is_plain = |id: &str| announcement(id, Path::new("/")).has_plain_id();
        assert!(is_plain("0006-ab12"));
        for id in ["", "../x", "a/b", "a.json", &"a".repeat(65), "a\0"] {
            assert!(!is_plain(id), "{id:?}");
        }
    }
}
