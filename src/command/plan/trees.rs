//! The trees of an account's origins, walked when a plan first asks what lives beside what changed.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::command::branches::Branches;
use crate::config::Origin;
use crate::domain::cover::{Census, Visit};
use crate::domain::index::Index;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::url::CanonicalUrl;
use crate::source::Unavailable;
use crate::source::root::Root;
use crate::source::scan::{Comparison, Scan, THREADS, scan};

/// What lives in some origins, as far as anybody asked.
#[derive(Debug)]
pub(super) struct Trees<'c> {
    origins: Vec<&'c Origin>,
    branches: &'c Branches,
    walked: OnceCell<Walked>,
}

#[derive(Debug, Default)]
struct Walked {
    /// Files, by the place of their origin.
    files: Vec<Vec<RelPath>>,
    troubles: Vec<String>,
}

impl<'c> Trees<'c> {
    pub(super) fn of(origins: Vec<&'c Origin>, branches: &'c Branches) -> Self {
        Self { origins, branches, walked: OnceCell::new() }
    }

    /// Returns how many files each origin has.
    pub(super) fn counts(&self) -> BTreeMap<OriginName, u64> {
        let counted = self.origins.iter().zip(&self.walked().files);
        counted.map(|(origin, files)| (origin.name.clone(), files.len() as u64)).collect()
    }

    /// Returns what could not be read; nothing if nobody asked.
    pub(super) fn troubles(&self) -> &[String] {
        self.walked.get().map_or(&[], |walked| &walked.troubles)
    }

    fn walked(&self) -> &Walked {
        self.walked.get_or_init(|| {
            let mut all = Walked::default();
            for origin in &self.origins {
                let (files, trouble) = walk(origin, self.branches);
                all.files.push(files);
                let name = &origin.name;
                all.troubles.extend(trouble.map(|why| {
                    format!("origin {name}: {why}; unchanged objects there are not counted")
                }));
            }
            all
        })
    }
}

impl Census for Trees<'_> {
    fn visit(&self, visit: Visit<'_>) {
        for (origin, files) in self.origins.iter().zip(&self.walked().files) {
            for path in files {
                let urls = origin.mapping.urls(path).made;
                let urls: Vec<&str> = urls.iter().map(CanonicalUrl::as_str).collect();
                visit(&urls, origin.mapping.weight(path));
            }
        }
    }
}

/// Returns the files of an origin in order, and what could not be read.
fn walk(origin: &Origin, branches: &Branches) -> (Vec<RelPath>, Option<String>) {
    let Some(root) = origin.root() else {
        let is_served = |path: &&RelPath| origin.mapping.excluded(path, false).is_none();
        return (branches.files(origin).filter(is_served).cloned().collect(), None);
    };
    let files = Mutex::new(Vec::new());
    let walked = walk_into(origin, root, &files);
    let mut files = files.into_inner().unwrap_or_else(PoisonError::into_inner);
    files.sort_unstable();
    let trouble = match walked {
        Ok(scan) => scan.unknown.first().map(|(path, why)| {
            format!("{} of its places could not be read, {path} first: {why}", scan.unknown.len())
        }),
        Err(unavailable) => Some(unavailable.to_string()),
    };
    (files, trouble)
}

fn walk_into(
    origin: &Origin,
    root: &Path,
    files: &Mutex<Vec<RelPath>>,
) -> Result<Scan, Unavailable> {
    let root = Root::open(root, origin.links)?;
    // Compared with nothing, every file is a suspect.
    let comparison = Comparison {
        index: &RwLock::new(Index::default()),
        device: None,
        excluded: &|path, is_dir| origin.mapping.excluded(path, is_dir).is_some(),
        progress: &AtomicU64::new(0),
        threads: THREADS,
    };
    scan(&root, &RelPath::root(), &comparison, &|suspect| {
        if suspect.seen.is_some() {
            files.lock().unwrap_or_else(PoisonError::into_inner).push(suspect.path);
        }
    })
}
