use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

/// A repository with a working tree.
struct Work(TempDir);

impl Work {
    fn new(options: &[&str]) -> Self {
        let work = Self(tempfile::tempdir().expect("a directory"));
        work.git(&[&["init", "-q", "-b", "main"], options].concat());
        work
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, words: &[&str]) -> String {
        let mut command = std::process::Command::new("git");
        for (key, value) in [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null")]
        {
            command.env(key, value);
        }
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "t").env(format!("GIT_{who}_EMAIL"), "t@t");
        }
        let output = command.current_dir(self.path()).args(words).output().expect("git runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write(&self, path: &[u8], text: &[u8]) {
        let full = self.path().join(OsStr::from_bytes(path));
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("made");
        std::fs::write(full, text).expect("written");
    }

    fn commit(&self) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "c"]);
        CommitId::parse(&self.git(&["rev-parse", "HEAD"])).expect("a name").expect("some")
    }

    fn asked(&self) -> Git {
        Git::new(self.path())
    }
}

fn shown(mut changes: Vec<(ChangeKind, RelPath)>) -> Vec<String> {
    changes.sort_by(|left, right| left.1.cmp(&right.1));
    changes.iter().map(|(kind, path)| format!("{} {path}", kind.letter())).collect()
}

async fn diff(work: &Work, before: &CommitId, after: &CommitId, prefix: &str) -> Vec<String> {
    let prefix = RelPath::new(prefix).expect("valid");
    shown(work.asked().diff(Some(before), Some(after), &prefix).await.expect("git compares"))
}

#[tokio::test]
async fn odd_names_are_the_bytes_that_git_has() {
    let work = Work::new(&[]);
    let empty = work.commit();
    let odd: [&[u8]; 7] =
        [b"a b", b"line\nbreak", b"tab\tand \"quotes\"", b"\xff\xfe", b"*.html", b"-n", b":(top)x"];
    for name in odd {
        work.write(name, b"one");
    }
    let one = work.commit();
    let found = work.asked().diff(Some(&empty), Some(&one), &RelPath::root()).await.expect("asks");
    let mut names: Vec<&[u8]> = found.iter().map(|(_, path)| path.as_bytes()).collect();
    names.sort_unstable();
    let mut wanted = odd;
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    let files = work.asked().files(&one, &RelPath::root()).await.expect("lists");
    assert!(files.keys().map(RelPath::as_bytes).eq(wanted));
    let paths: Vec<RelPath> = files.into_keys().collect();
    let digests = work.asked().digests(&one, &RelPath::root(), &paths).await.expect("reads");
    let one = blake3::hash(b"one");
    assert!(digests.len() == 7 && digests.values().all(|digest| digest.0 == one.as_bytes()[..16]));
}

#[tokio::test]
async fn only_what_is_served_counts_as_a_change() {
    let work = Work::new(&[]);
    for name in ["same", "mode", "text", "gone", "old", "link", "kind"] {
        work.write(name.as_bytes(), format!("{name}\n").repeat(20).as_bytes());
    }
    let before = work.commit();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(work.path().join("mode"), mode).expect("its mode");
    work.write(b"text", b"other");
    std::fs::remove_file(work.path().join("gone")).expect("removed");
    work.git(&["mv", "old", "new"]);
    std::fs::remove_file(work.path().join("link")).expect("removed");
    symlink("text", work.path().join("link")).expect("a link");
    std::fs::remove_file(work.path().join("kind")).expect("removed");
    work.write(b"kind/page", b"x");
    let name = before.as_str().to_owned();
    work.git(&["add", "-A"]);
    work.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{name},sub")]);
    work.git(&["commit", "-q", "-m", "c"]);
    let after = work.asked().tip("refs/heads/main").await.expect("asks").expect("a tip");
    let found = diff(&work, &before, &after, "").await;
    let wanted = ["D gone", "D kind", "A kind/page", "M link", "A new", "D old", "M text"];
    assert_eq!(found, wanted);
    let back = diff(&work, &after, &before, "").await;
    assert_eq!(back, ["A gone", "A kind", "D kind/page", "M link", "D new", "A old", "M text"]);
    let files = work.asked().files(&after, &RelPath::root()).await.expect("lists");
    assert!(!files.contains_key(&RelPath::new("sub").expect("valid")), "it is no file");
}

#[tokio::test]
async fn paths_count_from_the_prefix_on() {
    let work = Work::new(&[]);
    work.write(b"pub*/a", b"1");
    work.write(b"public/b", b"1");
    work.write(b"publicity/c", b"1");
    let one = work.commit();
    work.write(b"pub*/a", b"2");
    work.write(b"public/b", b"2");
    work.write(b"publicity/c", b"2");
    let two = work.commit();
    assert_eq!(diff(&work, &one, &two, "public").await, ["M b"]);
    assert_eq!(diff(&work, &one, &two, "pub*").await, ["M a"]);
    assert_eq!(diff(&work, &one, &two, "nowhere").await, [""; 0]);
    assert_eq!(diff(&work, &one, &two, "public/b").await, [""; 0], "a file is no prefix");
    let prefix = RelPath::new("public").expect("valid");
    let all = work.asked().diff(None, Some(&two), &prefix).await.expect("asks");
    assert_eq!(shown(all), ["A b"]);
    let none = work.asked().diff(Some(&two), None, &prefix).await.expect("asks");
    assert_eq!(shown(none), ["D b"]);
}

#[tokio::test]
async fn refs_and_commits_are_found_and_missing_ones_are_no_error() {
    for options in [&[][..], &["--object-format=sha256"]] {
        let work = Work::new(options);
        let git = work.asked();
        assert_eq!(git.tip("refs/heads/main").await.expect("asks"), None, "nothing yet");
        work.write(b"a", b"1");
        let one = work.commit();
        work.git(&["checkout", "-q", "-b", "side/main"]);
        work.write(b"b", b"1");
        let side = work.commit();
        work.git(&["checkout", "-q", "main"]);
        work.git(&["merge", "-q", "--no-ff", "side/main", "-m", "m"]);
        work.git(&["tag", "-a", "v1", "-m", "v1", &one.to_string()]);
        let merged = git.tip("refs/heads/main").await.expect("asks").expect("a tip");
        assert_eq!(git.tip("refs/tags/v1").await.expect("asks"), Some(one.clone()));
        assert_eq!(git.tip("refs/heads/side").await.expect("asks"), None, "a directory of refs");
        assert!(git.is_ancestor(&side, &merged).await.expect("asks"));
        assert!(!git.is_ancestor(&merged, &side).await.expect("asks"));
        assert!(git.has(&one).await.expect("asks"));
        let nowhere = "ab".repeat(one.as_str().len() / 2);
        let nowhere = CommitId::parse(&nowhere).expect("a name").expect("some");
        assert!(!git.has(&nowhere).await.expect("asks"));
        assert_eq!(diff(&work, &one, &merged, "").await, ["A b"]);
        let failed = git.diff(Some(&nowhere), Some(&one), &RelPath::root()).await;
        let error = failed.expect_err("it is missing").to_string();
        assert!(error.starts_with("git can't compare two commits: "), "{error}");
    }
}

#[tokio::test]
async fn three_thousand_files_are_compared_at_once() {
    let work = Work::new(&[]);
    let empty = work.commit();
    for number in 0..3_000 {
        work.write(format!("d{}/page {number}.html", number % 30).as_bytes(), b"x");
    }
    let full = work.commit();
    assert_eq!(diff(&work, &empty, &full, "").await.len(), 3_000);
    assert_eq!(diff(&work, &full, &empty, "d7").await.len(), 100);
}

#[tokio::test]
async fn a_repository_runs_nothing_by_being_asked() {
    let work = Work::new(&[]);
    work.write(b"a", b"1");
    work.write(b".gitattributes", b"* diff=evil filter=evil");
    let one = work.commit();
    work.write(b"a", b"2");
    let two = work.commit();
    let trap = work.path().join("trap");
    let run = format!("touch {}", trap.display());
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "core.gitProxy",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.smudge",
        "alias.diff-tree",
    ] {
        work.git(&["config", key, &run]);
    }
    work.git(&["config", "extensions.partialClone", "origin"]);
    work.git(&["config", "remote.origin.url", &format!("ext::{run}")]);
    work.git(&["config", "remote.origin.promisor", "true"]);
    let git = work.asked();
    let gone = CommitId::parse(&"ab".repeat(20)).expect("a name").expect("some");
    git.tip("refs/heads/main").await.expect("asks");
    assert!(!git.has(&gone).await.expect("asks"), "it is not fetched");
    assert_eq!(diff(&work, &one, &two, "").await, ["M a"]);
    git.digests(&two, &RelPath::root(), &[RelPath::new("a").expect("valid")]).await.expect("reads");
    assert!(!trap.exists());
}

#[tokio::test]
async fn a_fetch_follows_wherever_the_branch_goes() {
    let (theirs, ours) = (Work::new(&[]), tempfile::tempdir().expect("a directory"));
    let git = Git::new(&ours.path().join("clone.git"));
    let (from, name) = (theirs.path().to_str().expect("UTF-8"), "refs/refreshd/www");
    theirs.write(b"a", b"1");
    let one = theirs.commit();
    git.fetch(from, "refs/heads/main", name).await.expect("fetches");
    assert_eq!(git.tip(name).await.expect("asks"), Some(one.clone()));
    theirs.write(b"a", b"2");
    theirs.git(&["add", "."]);
    theirs.git(&["commit", "-q", "--amend", "-m", "again"]);
    git.fetch(from, "refs/heads/main", name).await.expect("a forced push is one, too");
    let two = git.tip(name).await.expect("asks").expect("a tip");
    assert!(two != one && git.has(&one).await.expect("asks"));
    git.fetch(from, "refs/heads/gone", name).await.expect("that it is gone is an answer");
    assert_eq!(git.tip(name).await.expect("asks"), None);
    let error = git.fetch("/nowhere", "refs/heads/main", name).await.expect_err("nothing there");
    assert!(error.to_string().contains("/nowhere"), "{error}");
    let error = git.fetch("ext::touch x", "refs/heads/main", name).await.expect_err("refused");
    assert!(error.to_string().contains("not allowed"), "{error}");
}

#[tokio::test]
async fn what_is_no_repository_is_named_and_none_is_looked_for_above() {
    let work = Work::new(&[]);
    work.write(b"below/file", b"x");
    work.commit();
    let error = Git::new(&work.path().join("below")).tip("refs/heads/main").await;
    let error = error.expect_err("it is no repository").to_string();
    assert!(error.contains("not a git repository") && error.contains("below"), "{error}");
    assert!(version().await.expect("git is there").starts_with("git version "));
}

/// Takes one fetch, and sends so many bytes of it, but not the rest, until nobody waits for this any more.
fn stall(work: &Path, bytes: u64) -> (u16, std::sync::mpsc::Sender<()>) {
    use std::io::Read as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (ended, until) = std::sync::mpsc::channel();
    let work = work.to_owned();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a fetch");
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("a length");
        let length = str::from_utf8(&length).expect("digits");
        let length = usize::from_str_radix(length, 16).expect("a number");
        stream.read_exact(&mut vec![0; length - 4]).expect("a request");
        let input: std::os::fd::OwnedFd = stream.try_clone().expect("cloned").into();
        let mut child = std::process::Command::new("git")
            .arg("upload-pack")
            .arg(work)
            .stdin(input)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("git runs");
        let output = child.stdout.take().expect("a pipe");
        std::io::copy(&mut output.take(bytes), &mut stream).expect("sent");
        until.recv().expect_err("it only ends");
        child.kill().expect("it ends");
        child.wait().expect("it ended");
    });
    (port, ended)
}

#[tokio::test]
async fn a_fetch_that_is_ended_leaves_nothing_behind() {
    let work = Work::new(&[]);
    for number in 0..150 {
        work.write(format!("f{number}").as_bytes(), number.to_string().as_bytes());
    }
    // Noise, which no packing makes smaller.
    let noise: Vec<u8> = (0_u32..62_500)
        .flat_map(|number| *blake3::hash(&number.to_le_bytes()).as_bytes())
        .collect();
    work.write(b"noise", &noise);
    work.commit();
    let (port, _ended) = stall(work.path(), 1_000_000);
    let clone = tempfile::tempdir().expect("a directory");
    let git = Git::new(&clone.path().join("c.git"));
    let packs = clone.path().join("c.git/objects/pack");
    let count = || std::fs::read_dir(&packs).map_or(0, Iterator::count);
    let from = format!("git://127.0.0.1:{port}/x");
    let is_begun = async {
        while count() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        fetched = git.fetch(&from, "refs/heads/main", "refs/refreshd/www") => {
            panic!("it waits for the rest: {fetched:?}");
        }
        () = is_begun => {}
    }
    assert_eq!(count(), 0);
}
