//! What a web server makes of the files of a root: some of them are asked for, and compared.

use std::path::Path;
use std::time::Duration;

use url::Url;

use crate::domain::gate::Servers;
use crate::domain::path::RelPath;
use crate::domain::url::{Base, CanonicalUrl};
use crate::probe::server::Server;

/// So many entries of a tree are looked at for files that tell something.
const MOST_ENTRIES: usize = 5_000;
/// A longer file tells no more than a shorter one.
const MOST_BYTES: u64 = 1 << 20;
/// How long a web server beside us may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Names of the files that servers send for their directory.
const INDEX: [&str; 3] = ["index.html", "index.htm", "default.html"];
/// Endings of files that are another form of the one beside them.
const FORMS: [&str; 3] = ["br", "gz", "zst"];

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// Keys that the origin needs, each with its reason.
    pub(super) advice: Vec<(String, &'static str)>,
    /// What to tell of each file.
    pub(super) lines: Vec<String>,
    /// How many were served as they are, and how many were asked for.
    pub(super) same: usize,
    pub(super) asked: usize,
    /// Why nothing was asked.
    pub(super) silent: Option<String>,
}

/// Files that tell something: an index, a page, anything else.
#[derive(Default)]
struct Picked {
    index: Option<RelPath>,
    page: Option<RelPath>,
    other: Option<RelPath>,
    forms: Vec<&'static str>,
}

impl Picked {
    fn files(&self) -> impl Iterator<Item = &RelPath> {
        [&self.index, &self.page, &self.other].into_iter().flatten()
    }
}

/// Asks a web server for files of a root, by the names that visitors of `base` use.
pub(super) async fn look(root: &Path, base: &Base, server: &Url) -> Seen {
    let picked = pick(root);
    let mut seen = Seen::default();
    for form in &picked.forms {
        seen.advise(
            format!("variants = [\"*.{form}\"]"),
            "Files that are another form of the one beside them.",
        );
    }
    let servers = Servers { urls: vec![server.clone()], timeout: TIMEOUT };
    let server = match Server::all(&servers) {
        Ok(mut servers) if !servers.is_empty() => servers.remove(0),
        Ok(_) => return seen,
        Err(error) => return Seen { silent: Some(error.to_string()), ..seen },
    };
    for path in picked.files() {
        let (Ok(url), Ok(bytes)) =
            (CanonicalUrl::of_path(base, path.as_bytes()), std::fs::read(path.under(root)))
        else {
            continue;
        };
        let answer = match ask(&server, &url).await {
            Ok(answer) => answer,
            Err(why) if seen.asked == 0 => {
                return Seen { silent: Some(format!("{}: {why}", server.name())), ..seen };
            }
            Err(why) => (0, why.into_bytes()),
        };
        seen.asked += 1;
        let (is_same, what) = match &answer {
            (200, body) if *body == bytes => (true, "the same bytes".to_owned()),
            (200, _) => (false, "other bytes".to_owned()),
            (0, why) => (false, String::from_utf8_lossy(why).into_owned()),
            (status, _) => (false, format!("status {status}")),
        };
        seen.same += usize::from(is_same);
        let mark = if is_same { "ok " } else { "?? " };
        seen.lines.push(format!("{mark} {}  {url}: {what}", path.shown()));
        seen.spellings(&server, (path, &url), &bytes).await;
    }
    seen
}

/// Asks for a URL; a body is read as far as it can be compared.
async fn ask(server: &Server, url: &CanonicalUrl) -> Result<(u16, Vec<u8>), String> {
    server.body(url, usize::try_from(MOST_BYTES).unwrap_or(usize::MAX) + 1).await
}

impl Seen {
    fn advise(&mut self, line: String, why: &'static str) {
        // A key is written once: what comes later is a further element of its list.
        let key = line.split('=').next().unwrap_or_default();
        if let Some((known, _)) = self.advice.iter_mut().find(|(known, _)| known.starts_with(key))
            && let (Some(front), Some((_, more))) = (known.strip_suffix(']'), line.split_once('['))
        {
            *known = format!("{front}, {more}");
            return;
        }
        self.advice.push((line, why));
    }

    /// Looks under which other spellings a file is served.
    async fn spellings(
        &mut self,
        server: &Server,
        (path, url): (&RelPath, &CanonicalUrl),
        bytes: &[u8],
    ) {
        let is_served = async |spelling: &str| {
            let Ok(spelling) = CanonicalUrl::parse(spelling) else { return false };
            ask(server, &spelling).await.is_ok_and(|answer| answer.0 == 200 && answer.1 == bytes)
        };
        let name = String::from_utf8_lossy(path.name()).into_owned();
        if let Some(index) = INDEX.into_iter().find(|index| *index == name) {
            let Some(directory) = url.as_str().strip_suffix(index) else { return };
            if is_served(directory).await {
                if index != INDEX[0] {
                    let line = format!("index = [\"{}\", \"{index}\"]", INDEX[0]);
                    self.advise(line, "Files that are also served as their directory.");
                }
                let bare = directory.trim_end_matches('/');
                if path.parent().is_some_and(|parent| !parent.is_root()) && is_served(bare).await {
                    let line = "directory_urls = \"both\"".to_owned();
                    self.advise(line, "A directory is served with and without its `/`.");
                }
            }
        } else if let Some(bare) = url.as_str().strip_suffix(".html")
            && is_served(bare).await
        {
            let line = "clean_urls = [\".html\"]".to_owned();
            self.advise(line, "Pages are also served without their ending.");
        }
    }
}

/// Looks for files that tell something, nearest to the root first; an index below a directory tells most.
fn pick(root: &Path) -> Picked {
    let mut picked = Picked::default();
    let mut open = std::collections::VecDeque::from([RelPath::root()]);
    let mut left = MOST_ENTRIES;
    while let Some(directory) = open.pop_front() {
        let entries = std::fs::read_dir(directory.under(root)).into_iter().flatten();
        let mut names: Vec<_> =
            entries.filter_map(Result::ok).take(left).map(|entry| entry.file_name()).collect();
        left -= names.len();
        names.sort();
        for name in &names {
            use std::os::unix::ffi::OsStrExt;
            let Ok(path) = directory.join(name.as_bytes()) else { continue };
            let Ok(metadata) = path.under(root).symlink_metadata() else { continue };
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            if metadata.is_dir() {
                open.push_back(path);
            } else if metadata.is_file() && (1..=MOST_BYTES).contains(&metadata.len()) {
                picked.take(path, &directory, &name.to_string_lossy(), &names);
            }
        }
    }
    picked
}

impl Picked {
    fn take(
        &mut self,
        path: RelPath,
        directory: &RelPath,
        name: &str,
        beside: &[std::ffi::OsString],
    ) {
        let ending = name.rsplit_once('.');
        let form = ending.and_then(|(front, ending)| {
            let form = FORMS.into_iter().find(|form| *form == ending)?;
            beside.iter().any(|name| name == front).then_some(form)
        });
        if let Some(form) = form {
            if !self.forms.contains(&form) {
                self.forms.push(form);
            }
            return;
        }
        let is_index = INDEX.contains(&name);
        let place = match ending {
            _ if is_index => &mut self.index,
            Some((_, "html")) => &mut self.page,
            _ => &mut self.other,
        };
        let is_nearer_root =
            |known: &RelPath| known.parent().is_some_and(|parent| parent.is_root());
        let is_better =
            is_index && !directory.is_root() && place.as_ref().is_some_and(is_nearer_root);
        if place.is_none() || is_better {
            *place = Some(path);
        }
    }
}
