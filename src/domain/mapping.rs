//! The mapping: which URLs an origin's paths are served under, and which paths are nobody's business.

use std::collections::BTreeSet;

use super::ask::{Kind, Target};
use super::change::{Change, ChangeKind};
use super::deploy::DeployId;
use super::hint::Witness;
use super::intent::{Action, Cause, Wish};
use super::names::{AccountName, OriginName};
use super::path::RelPath;
use super::time::Timestamp;
use super::url::{Base, CanonicalUrl, UrlError};

pub(crate) mod globs;

#[cfg(test)]
mod tests;

use globs::Globs;

/// What is excluded unless the defaults are switched off, besides dot files and directories other
/// than `.well-known`: what editors and copying tools leave for a moment.
pub const DEFAULT_EXCLUSIONS: [&str; 7] =
    ["*~", "*.swp", "*.swx", "#*#", "4913", "*.tmp", "*.part"];

/// What [`Mapping::excluded`] answers for a dot file or directory that the defaults exclude.
pub const DOT_FILES: &str = ".*";

/// Under which further URLs a directory's index file is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DirectoryUrls {
    /// `dir/index.html` is also `/dir/`.
    #[default]
    Slash,
    /// It is also `/dir/` and `/dir`.
    Both,
    /// It is itself only.
    None,
}

/// What an operator says about an origin's mapping, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Whose CDN serves the domains.
    pub account: AccountName,
    /// Base URLs, each with its scheme and perhaps a path prefix.
    pub domains: Vec<String>,
    /// Names of index files, such as `index.html`.
    pub index: Vec<String>,
    /// Under which further URLs an index file is served.
    pub directory_urls: DirectoryUrls,
    /// Globs of paths that are never mapped.
    pub exclude: Vec<String>,
    /// Whether the default exclusions hold too.
    pub exclude_defaults: bool,
    /// Globs of paths to be prefetched after they were refreshed.
    pub prefetch: Vec<String>,
}

/// A field of [`Spec`] that can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `domains`.
    Domains,
    /// `index`.
    Index,
    /// `exclude`.
    Exclude,
    /// `prefetch`.
    Prefetch,
}

impl Field {
    /// Returns the field's name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domains => "domains",
            Self::Index => "index",
            Self::Exclude => "exclude",
            Self::Prefetch => "prefetch",
        }
    }
}

/// An item of a [`Spec`] that cannot stand, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct MappingError {
    /// Which field.
    pub field: Field,
    /// Which item of it, from 0; none when the field as a whole is wrong.
    pub item: Option<usize>,
    /// What is wrong, with a remedy.
    pub why: String,
}

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
    exclude: Globs,
    prefetch: Globs,
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
        let mut errors = Vec::new();
        let bases = read_bases(&spec.domains, &mut errors);
        for (item, name) in spec.index.iter().enumerate() {
            if name.contains('/') || RelPath::new(name.as_str()).map_or(true, |name| name.is_root())
            {
                errors.push(MappingError {
                    field: Field::Index,
                    item: Some(item),
                    why: format!("`{name}` is not a file name: write one such as `index.html`"),
                });
            }
        }
        let mut globs = |field, patterns: &[String]| {
            Globs::new(patterns).unwrap_or_else(|bad| {
                errors.extend(bad.into_iter().map(|(item, why)| MappingError {
                    field,
                    item: Some(item),
                    why,
                }));
                Globs::default()
            })
        };
        let prefetch = globs(Field::Prefetch, &spec.prefetch);
        // The operator's come first, so that errors name the right item.
        let mut exclude = spec.exclude.clone();
        if spec.exclude_defaults {
            exclude.extend(DEFAULT_EXCLUSIONS.map(str::to_owned));
        }
        let exclude = globs(Field::Exclude, &exclude);
        if !errors.is_empty() {
            return Err(errors);
        }
        let index = spec.index.iter().map(|name| name.clone().into_bytes()).collect();
        Ok(Self { spec, bases, index, exclude, prefetch })
    }

    /// Returns what the mapping was made from.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns where the root is served, without repetition.
    #[must_use]
    pub fn bases(&self) -> &[Base] {
        &self.bases
    }

    /// Returns the glob that excludes a path, or a directory that it lies in.
    #[must_use]
    pub fn excluded(&self, path: &RelPath, is_dir: bool) -> Option<&str> {
        if self.spec.exclude_defaults && has_dot_part(path) {
            return Some(DOT_FILES);
        }
        self.exclude.find(path, is_dir)
    }

    /// Returns the canonical URLs of a file: one for each domain, and more for an index file.
    #[must_use]
    pub fn urls(&self, path: &RelPath) -> Mapped<CanonicalUrl> {
        let mut spellings = vec![path.as_bytes().to_vec()];
        if self.spec.directory_urls != DirectoryUrls::None && self.index.contains(path.name()) {
            let directory = path.parent().unwrap_or_default().as_bytes().to_vec();
            if directory.is_empty() {
                spellings.push(directory);
            } else {
                spellings.push([directory.as_slice(), b"/"].concat());
                if self.spec.directory_urls == DirectoryUrls::Both {
                    spellings.push(directory);
                }
            }
        }
        let mut mapped = Mapped { made: Vec::new(), unmappable: Vec::new() };
        for base in &self.bases {
            for spelling in &spellings {
                match CanonicalUrl::of_path(base, spelling) {
                    Ok(url) => mapped.made.push(url),
                    Err(why) => mapped.unmappable.push(Unmappable { path: path.clone(), why }),
                }
            }
        }
        mapped
    }

    /// Returns whether a path is to be prefetched after it was refreshed.
    #[must_use]
    pub fn prefetch(&self, path: &RelPath) -> bool {
        self.prefetch.find(path, false).is_some()
    }

    /// Returns what a change of a path makes us wish for: a refresh of each URL, and where the path
    /// is still there and named for it, a prefetch of each URL that is not a directory's (the CDN
    /// prefetches files only: API reference, 1.5). The caller has looked at [`Self::excluded`].
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
        let urls = self.urls(&change.path);
        let cause = Cause {
            witness,
            at: now,
            origin: Some(origin.clone()),
            path: Some(change.path.clone()),
            change: Some(change.kind),
            digest: change.digest,
            deploy: Some(deploy.clone()),
        };
        let wish = |action, url: &CanonicalUrl| Wish {
            account: self.spec.account.clone(),
            action,
            target: Target::new(Kind::Url, url.as_str()),
            force: action == Action::Refresh && change.force,
            not_before,
            stage: crate::domain::stage::Stage::default(),
            hold: None,
            cause: cause.clone(),
        };
        let refresh = |url| wish(Action::Refresh, url);
        let mut made: Vec<Wish> = urls.made.iter().map(refresh).collect();
        if change.kind != ChangeKind::Removed && self.prefetch(&change.path) {
            let files = urls.made.iter().filter(|url| !url.is_directory());
            made.extend(files.map(|url| wish(Action::Prefetch, url)));
        }
        Mapped { made, unmappable: urls.unmappable }
    }
}

fn read_bases(domains: &[String], errors: &mut Vec<MappingError>) -> Vec<Base> {
    let mut bases: Vec<Base> = Vec::new();
    if domains.is_empty() {
        errors.push(MappingError {
            field: Field::Domains,
            item: None,
            why: "no domain is named: write at least one, such as `https://www.example.com`".into(),
        });
    }
    let mut refuse = |item, why| {
        errors.push(MappingError { field: Field::Domains, item: Some(item), why });
    };
    for (item, text) in domains.iter().enumerate() {
        match Base::parse(text) {
            Ok(base) if bases.contains(&base) => {
                refuse(
                    item,
                    format!("`{text}` is named twice: http and https share a cache entry"),
                );
            }
            Ok(base) => bases.push(base),
            Err(why) => refuse(item, why.to_string()),
        }
    }
    bases
}

fn has_dot_part(path: &RelPath) -> bool {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .any(|part| part.starts_with(b".") && part != b".well-known")
}
