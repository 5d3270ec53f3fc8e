//! What a new mapping gives that the old one did not: the CDN may hold it from before, so that a person
//! decides whether it is refreshed.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::clock::SharedClock;
use crate::domain::ask::{Kind, Target};
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::hint::Witness;
use crate::domain::index::Index;
use crate::domain::intent::{Action, Cause, Outgoing, Priority, Wish};
use crate::domain::mapping::Mapping;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::url::CanonicalUrl;
use crate::store::{Record, Store, StoreError};

/// URLs that are recorded at once.
const CHUNK: usize = 1_000;
/// URLs that are named to who asks.
const NAMED: usize = 10;

/// The files of an origin, and the mappings they had and have.
#[derive(Clone)]
pub(super) struct Remap {
    pub(super) origin: OriginName,
    pub(super) files: Arc<RwLock<Index>>,
    pub(super) old: Arc<Mapping>,
    pub(super) new: Arc<Mapping>,
}

/// What of an origin has URLs that it had not before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remapped {
    /// Which origin.
    pub origin: OriginName,
    /// How many URLs.
    pub urls: u64,
    /// Some of them.
    pub sample: Vec<String>,
    /// Under which deploy they are held; none where that was only looked at.
    pub deploy: Option<DeployId>,
}

/// What stands for a URL in a set: sets of these are bounded, however long URLs are, and two URLs have the
/// same by no chance that matters.
fn mark(url: &CanonicalUrl) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(url.as_str().as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}

impl Remap {
    /// Visits every file. The index is locked for a directory at a time.
    fn each_file(&self, mut visit: impl FnMut(&RelPath)) {
        let read = || self.files.read().unwrap_or_else(PoisonError::into_inner);
        let directories: Vec<RelPath> = read().directories_below(&RelPath::root()).collect();
        for directory in directories {
            let names: Vec<_> = read().names(&directory).map(|(name, _)| name).collect();
            names.iter().filter_map(|name| directory.join(name).ok()).for_each(|path| visit(&path));
        }
    }

    fn urls(mapping: &Mapping, path: &RelPath) -> Vec<CanonicalUrl> {
        let excluded = mapping.excluded(path, false).is_some();
        if excluded { Vec::new() } else { mapping.urls(path).made }
    }

    /// Returns the marks of the URLs that the new mapping gives to any file, and the old one to none.
    fn news(&self) -> HashSet<u128> {
        let mut news = HashSet::new();
        self.each_file(|path| {
            let old = Self::urls(&self.old, path);
            let new = Self::urls(&self.new, path).into_iter();
            news.extend(new.filter(|url| !old.contains(url)).map(|url| mark(&url)));
        });
        if !news.is_empty() {
            self.each_file(|path| {
                for url in Self::urls(&self.old, path) {
                    news.remove(&mark(&url));
                }
            });
        }
        news
    }

    /// Visits each of the URLs that `news` marks, once, until told to stop.
    fn each_new(
        &self,
        mut news: HashSet<u128>,
        mut visit: impl FnMut(&RelPath, CanonicalUrl) -> bool,
    ) {
        let mut goes_on = true;
        self.each_file(|path| {
            if !goes_on || news.is_empty() {
                return;
            }
            for url in Self::urls(&self.new, path) {
                if goes_on && news.remove(&mark(&url)) {
                    goes_on = visit(path, url);
                }
            }
        });
    }

    /// Counts what is new.
    pub(super) fn look(&self) -> Remapped {
        let news = self.news();
        let urls = news.len() as u64;
        let mut sample = Vec::new();
        self.each_new(news, |_, url| {
            sample.push(url.as_str().to_owned());
            sample.len() < NAMED
        });
        Remapped { origin: self.origin.clone(), urls, sample, deploy: None }
    }

    /// Records what is new, to be held for a person; nothing where nothing is.
    pub(super) async fn hold(
        self,
        store: &Store,
        clock: &SharedClock,
    ) -> Result<Option<Remapped>, StoreError> {
        let (news, this) = (Arc::new(self.clone()), self);
        let ended = |_| StoreError::Inconsistent("looking at the files was cut short".to_owned());
        let news = spawn_blocking(move || news.news()).await.map_err(ended)?;
        if news.is_empty() {
            return Ok(None);
        }
        let (urls, at, origin) = (news.len() as u64, clock.server_now(), this.origin.clone());
        let id = DeployId::new(at, clock.random());
        let (word, be) = if urls == 1 { ("URL", "is") } else { ("URLs", "are") };
        let why = format!("the mapping of origin {origin} changed: {urls} {word} {be} new");
        let account = this.new.spec().account.clone();
        let wish = |(path, url): (RelPath, CanonicalUrl)| {
            Outgoing::Wish(Wish {
                account: account.clone(),
                action: Action::Refresh,
                target: Target::new(Kind::Url, url.as_str()),
                force: false,
                priority: Priority::Normal,
                not_before: at,
                stage: crate::domain::stage::Stage::default(),
                hold: Some(why.clone()),
                cause: Cause {
                    witness: Witness::Scan,
                    at,
                    origin: Some(origin.clone()),
                    path: Some(path),
                    change: None,
                    digest: None,
                    deploy: Some(id.clone()),
                },
            })
        };
        let deploy =
            |closed_at| Deploy { id: id.clone(), origin: origin.clone(), opened_at: at, closed_at };
        let blank = || Record::blank(origin.clone(), at);
        let opening = vec![Outgoing::Deploy(deploy(None))];
        store.record(Record { outgoing: opening, ..blank() }).await?;
        let (chunks, mut chunks_in) = mpsc::channel(1);
        let looking = spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK);
            this.each_new(news, |path, url| {
                chunk.push((path.clone(), url));
                chunk.len() < CHUNK || chunks.blocking_send(std::mem::take(&mut chunk)).is_ok()
            });
            // Nobody takes it where recording failed.
            let _ = chunks.blocking_send(chunk);
        });
        let mut sample = Vec::new();
        while let Some(chunk) = chunks_in.recv().await {
            let named = NAMED.saturating_sub(sample.len());
            sample.extend(chunk.iter().take(named).map(|(_, url)| url.as_str().to_owned()));
            let outgoing = chunk.into_iter().map(wish).collect();
            store.record(Record { outgoing, ..blank() }).await?;
        }
        looking.await.map_err(ended)?;
        let closing = vec![Outgoing::Deploy(deploy(Some(clock.server_now())))];
        store.record(Record { outgoing: closing, ..blank() }).await?;
        tracing::warn!(%origin, deploy = %id, urls, "{why}; `refreshd approve {id}` has them refreshed");
        Ok(Some(Remapped { origin, urls, sample, deploy: Some(id) }))
    }
}
