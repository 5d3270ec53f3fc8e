//! What a repository's own hook tells of a push, and where it leaves that when nobody listens.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use sha2::{Digest as _, Sha256};

use super::webhook::is_reference;
use crate::domain::path::escape;
use crate::domain::push::{CommitId, Listed, NoCommit, Push};

/// Below the repository, where announcements wait for the daemon.
pub const SPOOL: &str = "refreshd-spool";
/// How many announcements wait at most: the refs themselves tell of what came after.
const MOST: usize = 1_000;
/// How long one may be, in bytes.
pub const LONGEST: u64 = 4 << 20;
/// How much of why one can't be read is told, in bytes: it may repeat what it read.
const MOST_WORDS: usize = 200;

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

    /// Returns what it is known by: nobody's other announcement can be taken for it, whatever its id.
    #[must_use]
    pub fn key(&self) -> String {
        let mut text = self.repository.as_os_str().as_encoded_bytes().to_vec();
        for Moved { reference, before, after } in &self.moved {
            text.extend(format!("\0{reference}\0{before}\0{after}").into_bytes());
        }
        let digest = Sha256::digest(&text);
        let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        format!("{}+{}", self.id, digits.collect::<String>())
    }

    /// Returns the pushes that it tells of: one for a ref, as git tells it, and none of what git would
    /// not call a ref.
    pub fn pushes(&self) -> Result<Vec<Push>, NoCommit> {
        let mut told = BTreeSet::new();
        let refs = self.moved.iter().filter(|moved| is_reference(&moved.reference));
        let push = |moved: &Moved| {
            Ok(Push {
                reference: moved.reference.clone(),
                before: CommitId::parse(&moved.before)?,
                after: CommitId::parse(&moved.after)?,
                listed: Listed::nothing("the repository itself tells which paths changed"),
            })
        };
        refs.filter(|moved| told.insert(&moved.reference)).map(push).collect()
    }

    /// Leaves it in the repository's spool, for the daemon to find. Whoever may write to the repository may
    /// leave one there.
    pub fn leave(&self) -> io::Result<()> {
        let spool = self.repository.join(SPOOL);
        match fs::DirBuilder::new().mode(0o755).create(&spool) {
            Ok(()) => {
                let mode = fs::metadata(&self.repository)?.mode() & 0o7777;
                fs::set_permissions(&spool, fs::Permissions::from_mode(mode | 0o755))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if left(&self.repository)?.len() >= MOST {
            return Err(io::Error::other(format!("{MOST} announcements wait there already")));
        }
        let (new, name) =
            (spool.join(format!(".{}", self.id)), spool.join(format!("{}.json", self.id)));
        let text = serde_json::to_vec(self)?;
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        let written = io::Write::write_all(&mut file, &text).and_then(|()| fs::rename(&new, name));
        if written.is_err() {
            // It takes the room of others; why it was not written is what matters.
            let _ = fs::remove_file(&new);
        }
        written
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

/// Returns the files of what was left in a repository, the oldest first. Whoever owns the repository may have
/// made any number of them.
pub fn left(repository: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(repository.join(SPOOL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    // The names begin with the time.
    let mut files = BTreeSet::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|ending| ending == "json") {
            files.insert(path);
        }
        if files.len() > MOST {
            files.pop_last();
        }
    }
    Ok(files.into_iter().collect())
}

/// Reads a file that whoever owns the repository may have made: no link is followed, nothing waits.
#[must_use]
pub fn read(file: PathBuf) -> Left {
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
    let told = |error: io::Error| {
        let words = error.to_string();
        escape(words.as_bytes().get(..MOST_WORDS).unwrap_or(words.as_bytes()))
    };
    let announcement = announcement().map_err(told);
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
        let found: Vec<Left> = left(folder.path()).expect("listed").into_iter().map(read).collect();
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

    #[test]
    fn what_others_put_into_a_spool_is_bounded_and_tells_little() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = folder.path().join(SPOOL);
        fs::create_dir(&spool).expect("a spool");
        for number in 0..MOST + 10 {
            fs::write(spool.join(format!("{number:05}.json")), "").expect("a file");
        }
        let files = left(folder.path()).expect("listed");
        assert_eq!((files.len(), files.last()), (MOST, Some(&spool.join("00999.json"))));
        let long = format!("{{\"id\":\"1\",\"moved\":\"\\u001b[2J{}\"}}", "x".repeat(1 << 20));
        fs::write(spool.join("long.json"), long).expect("a file");
        let why = read(spool.join("long.json")).announcement.expect_err("no list");
        assert!(why.len() < 1_000 && !why.contains('\u{1b}'), "{why}");
    }

    #[test]
    fn what_could_not_be_left_takes_no_room_and_a_spool_is_for_all_who_may_write() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o2775)).expect("a mode");
        announcement("1-a", folder.path()).leave().expect("left");
        let spool = folder.path().join(SPOOL);
        assert_eq!(fs::metadata(&spool).expect("made").mode() & 0o7777, 0o2775);
        // A directory stands where the file is to go.
        fs::create_dir(spool.join("2-b.json")).expect("made");
        announcement("2-b", folder.path()).leave().expect_err("it can't be put there");
        assert!(!spool.join(".2-b").exists());
        for number in 0..MOST {
            fs::write(spool.join(format!(".{number}")), "half").expect("what a crash left");
        }
        announcement("3-c", folder.path()).leave().expect("halves are none that wait");
    }

    #[test]
    fn a_ref_is_told_of_once_and_what_is_none_never() {
        let mut announcement = announcement("1-a", Path::new("/srv/a.git"));
        let moved = announcement.moved[0].clone();
        for name in ["refs/heads/main", "refs/heads/\u{1b}[2J", "refs/../../x", "main", ""] {
            announcement.moved.push(Moved { reference: name.to_owned(), ..moved.clone() });
        }
        let pushes = announcement.pushes().expect("commits");
        let names: Vec<_> = pushes.iter().map(|push| push.reference.as_str()).collect();
        assert_eq!(names, ["refs/heads/main"]);
    }

    #[test]
    fn nobody_can_take_the_id_of_anothers_announcement() {
        let one = announcement("1-a", Path::new("/srv/a.git"));
        let elsewhere = Announcement { repository: "/srv/b.git".into(), ..one.clone() };
        let mut other = one.clone();
        other.moved[0].after = "b".repeat(40);
        assert_eq!(one.key(), one.clone().key());
        assert_ne!(one.key(), elsewhere.key());
        assert_ne!(one.key(), other.key());
    }
}
