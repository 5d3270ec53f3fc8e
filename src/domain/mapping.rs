//! The mapping: which URLs an origin's paths are served under, and which paths are nobody's business.

use std::collections::BTreeSet;

use super::ask::{Kind, Target};
use super::change::{Change, ChangeKind};
use super::deploy::DeployId;
use super::hint::Witness;
use super::intent::{Action, Cause, Priority, Wish};
use super::names::OriginName;
use super::path::RelPath;
use super::time::Timestamp;
use super::url::{Base, CanonicalUrl, UrlError};

mod check;
mod fingerprint;
pub(crate) mod globs;
mod pattern;
mod serve;
mod spec;
mod template;
mod trace;

#[cfg(test)]
mod tests;

pub use spec::{DirectoryUrls, Field, MappingError, QuerySpec, RewriteSpec, Spec};
pub use trace::{Rule, Step};

use check::Check;
use globs::Globs;
use pattern::Pattern;
use serve::Reached;
use template::Template;
use trace::Notes;

/// What is excluded unless the defaults are switched off, besides dot files and directories other
/// than `.well-known`: what editors and copying tools leave for a moment.
pub const DEFAULT_EXCLUSIONS: [&str; 7] =
    ["*~", "*.swp", "*.swx", "#*#", "4913", "*.tmp", "*.part"];

/// How much an object weighs that many ask for, against one where nothing is said. Our judgement.
const POPULAR: u64 = 10;

/// What [`Mapping::excluded`] answers for a dot file or directory that the defaults exclude.
pub const DOT_FILES: &str = ".*";

/// A URL of a changed path that the CDN cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {why}")]
pub struct Unmappable {
    /// The path.
    pub path: RelPath,
    /// Why.
    pub why: UrlError,
}

/// What a path maps to. The URLs that can be asked for go even when another one can't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped<T> {
    /// What was made.
    pub made: Vec<T>,
    /// What could not be, to be shown.
    pub unmappable: Vec<Unmappable>,
}

/// A checked mapping from an origin's paths to canonical URLs.
#[derive(Clone, Debug)]
pub struct Mapping {
    spec: Spec,
    bases: Vec<Base>,
    index: BTreeSet<Vec<u8>>,
    clean_urls: Vec<Vec<u8>>,
    variants: Globs,
    rewrites: Vec<Rewrite>,
    queries: Vec<Query>,
    short_ttl: Globs,
    immutable: Globs,
    exclude: Globs,
    prefetch: Globs,
    popular: Globs,
}

#[derive(Clone, Debug)]
struct Rewrite {
    from: Pattern,
    to: Vec<Template>,
    only: bool,
}

#[derive(Clone, Debug)]
struct Query {
    paths: Globs,
    /// Query strings without their `?`.
    variants: Vec<String>,
    ignore_params: bool,
}

/// What a change of a path would cause, and what each rule said on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The rules in the order they were asked.
    pub steps: Vec<Step>,
    /// What would be wished for.
    pub asks: Vec<(Action, Target)>,
    /// What has no URL.
    pub unmappable: Vec<Unmappable>,
}

impl PartialEq for Mapping {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Eq for Mapping {}

impl Mapping {
    /// Checks a spec; all that is wrong comes back at once.
    pub fn new(spec: Spec) -> Result<Self, Vec<MappingError>> {
        let mut check = Check::default();
        let bases = check.bases(&spec.domains);
        check.names(&spec);
        let variants = check.variants(&spec.variants);
        let short_ttl = check.globs(Field::ShortTtl, None, &spec.short_ttl);
        let immutable = check.globs(Field::Immutable, None, &spec.immutable);
        let prefetch = check.globs(Field::Prefetch, None, &spec.prefetch);
        let popular = check.globs(Field::Popular, None, &spec.popular);
        // The operator's come first, so that errors name the right item.
        let mut exclude = spec.exclude.clone();
        if spec.exclude_defaults {
            exclude.extend(DEFAULT_EXCLUSIONS.map(str::to_owned));
        }
        let exclude = check.globs(Field::Exclude, None, &exclude);
        let rewrites = (0..).zip(&spec.rewrites);
        let rewrites = rewrites.filter_map(|(rule, spec)| check.rewrite(rule, spec)).collect();
        let queries = (0..).zip(&spec.queries);
        let queries = queries.map(|(rule, spec)| check.query(rule, spec)).collect();
        if !check.errors.is_empty() {
            return Err(check.errors);
        }
        let bytes = |texts: &[String]| -> Vec<Vec<u8>> {
            texts.iter().map(|text| text.clone().into_bytes()).collect()
        };
        let (index, clean_urls) =
            (bytes(&spec.index).into_iter().collect(), bytes(&spec.clean_urls));
        Ok(Self {
            spec,
            bases,
            index,
            clean_urls,
            variants,
            rewrites,
            queries,
            short_ttl,
            immutable,
            exclude,
            prefetch,
            popular,
        })
    }

    /// Returns what the mapping was made from.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Holds its URLs to what its account's CDN takes, in bytes.
    pub fn hold_to(&mut self, url_bytes: usize) {
        self.spec.url_bytes = url_bytes;
    }

    /// Returns where the root is served, without repetition.
    #[must_use]
    pub fn bases(&self) -> &[Base] {
        &self.bases
    }

    /// Returns the hosts that paths have URLs on: the domains', and those that rewrites name.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let rewritten = self.rewrites.iter().flat_map(|rewrite| &rewrite.to);
        let domains = self.bases.iter().map(|base| base.url().host());
        domains.chain(rewritten.filter_map(Template::host))
    }

    /// Returns the glob that excludes a path, or a directory that it lies in.
    #[must_use]
    pub fn excluded(&self, path: &RelPath, is_dir: bool) -> Option<&str> {
        if self.spec.exclude_defaults && has_dot_part(path) {
            return Some(DOT_FILES);
        }
        self.exclude.find(path, is_dir)
    }

    /// Returns the canonical URLs that a file changes: one for each domain, and more where rules say
    /// so. The caller has looked at [`Self::excluded`].
    #[must_use]
    pub fn urls(&self, path: &RelPath) -> Mapped<CanonicalUrl> {
        let reached = self.reached(path, false, &mut Notes::off());
        let made = reached.made.into_iter().filter(|reached| reached.refresh);
        Mapped { made: made.map(|reached| reached.url).collect(), unmappable: reached.unmappable }
    }

    /// Returns whether a URL is one of a file's, also where it is none that is asked for.
    #[must_use]
    pub fn reaches(&self, path: &RelPath, url: &CanonicalUrl) -> bool {
        let wanted = Target::new(Kind::Url, url.as_str());
        let reached = self.reached(path, false, &mut Notes::off());
        reached.made.iter().any(|reached| reached.target().covers(&wanted))
    }

    /// Returns how much it weighs that a wide refresh hits a file though it did not change: 1, and
    /// [`POPULAR`] where many ask for it.
    #[must_use]
    pub fn weight(&self, path: &RelPath) -> u64 {
        if self.popular.find(path, false).is_some() { POPULAR } else { 1 }
    }

    /// Returns whether a path is to be prefetched after it was refreshed.
    #[must_use]
    pub fn prefetch(&self, path: &RelPath) -> bool {
        self.prefetch.find(path, false).is_some()
    }

    /// Returns what a change of a path makes us wish for: a refresh of each URL, and where the path
    /// is still there and named for it, a prefetch of each URL that is not a directory's (the CDN
    /// prefetches files only: API reference, 1.5). What never changes under its name is not refreshed
    /// when it is created, unless `force` says that it was there before. The caller has looked at
    /// [`Self::excluded`].
    #[must_use]
    pub fn wishes(
        &self,
        origin: &OriginName,
        change: &Change,
        deploy: &DeployId,
        witness: Witness,
        now: Timestamp,
        not_before: Timestamp,
    ) -> Mapped<Wish> {
        let asks = self.asks(&change.path, change.kind, change.force, &mut Notes::off());
        let cause = Cause {
            witness,
            at: now,
            origin: Some(origin.clone()),
            path: Some(change.path.clone()),
            change: Some(change.kind),
            digest: change.digest,
            deploy: Some(deploy.clone()),
        };
        // What is gone, or has other bytes behind the same validators, is served until it is dropped.
        let presses = change.force || change.kind == ChangeKind::Removed;
        let wish = |(action, target)| Wish {
            account: self.spec.account.clone(),
            action,
            target,
            force: action == Action::Refresh && change.force,
            priority: if presses && action == Action::Refresh {
                Priority::Urgent
            } else {
                Priority::Normal
            },
            not_before,
            stage: crate::domain::stage::Stage::default(),
            hold: None,
            cause: cause.clone(),
        };
        Mapped { made: asks.made.into_iter().map(wish).collect(), unmappable: asks.unmappable }
    }

    /// Returns what [`Self::wishes`] would wish for, after [`Self::excluded`], and why: `force` as in
    /// [`Change`].
    #[must_use]
    pub fn explain(&self, path: &RelPath, kind: ChangeKind, force: bool) -> Explained {
        let mut notes = Notes::on();
        notes.about(|| path.to_string());
        let asks = if let Some(glob) = self.excluded(path, false) {
            notes.fired(Rule::Exclude, None, || {
                let default = if self.spec.exclude.iter().any(|named| named == glob) {
                    ""
                } else {
                    ", one of the defaults,"
                };
                format!("`{glob}`{default} matches: what happens to it causes nothing")
            });
            Mapped { made: Vec::new(), unmappable: Vec::new() }
        } else {
            notes.not(Rule::Exclude, None, || {
                let named = serve::no_glob(&self.spec.exclude);
                let defaults =
                    if self.spec.exclude_defaults { ", and no default matches" } else { "" };
                format!("{named}{defaults}")
            });
            self.asks(path, kind, force, &mut notes)
        };
        Explained { steps: notes.into_steps(), asks: asks.made, unmappable: asks.unmappable }
    }

    fn asks(
        &self,
        path: &RelPath,
        kind: ChangeKind,
        force: bool,
        notes: &mut Notes,
    ) -> Mapped<(Action, Target)> {
        let merely_created = kind == ChangeKind::Created && !force;
        let reached = self.reached(path, merely_created, notes);
        let refreshes = reached.made.iter().filter(|reached| reached.refresh);
        let mut made: Vec<_> =
            refreshes.map(|reached| (Action::Refresh, reached.target())).collect();
        if self.is_prefetched(path, kind, notes) {
            let files = reached
                .made
                .iter()
                .filter(|reached| !reached.is_short_lived && !reached.url.is_directory());
            let target = |reached: &Reached| Target::new(Kind::Url, reached.url.as_str());
            made.extend(files.map(|reached| (Action::Prefetch, target(reached))));
        }
        Mapped { made, unmappable: reached.unmappable }
    }

    fn is_prefetched(&self, path: &RelPath, kind: ChangeKind, notes: &mut Notes) -> bool {
        notes.about(|| path.to_string());
        match self.prefetch.find(path, false) {
            Some(_) if kind == ChangeKind::Removed => {
                notes.not(Rule::Prefetch, None, || "it is gone".to_owned());
                false
            }
            Some(glob) => {
                notes.fired(Rule::Prefetch, None, || {
                    format!("`{glob}` matches: prefetched when its refresh has ended")
                });
                true
            }
            None => {
                notes.not(Rule::Prefetch, None, || serve::no_glob(&self.spec.prefetch));
                false
            }
        }
    }
}

fn has_dot_part(path: &RelPath) -> bool {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .any(|part| part.starts_with(b".") && part != b".well-known")
}
