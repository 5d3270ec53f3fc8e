//! What an operator says about an origin's mapping, and how it is refused.

use crate::domain::limits::Limits;
use crate::domain::names::AccountName;

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
    /// The longest URL that this CDN takes, in bytes.
    pub url_bytes: usize,
    /// Base URLs, each with its scheme and perhaps a path prefix.
    pub domains: Vec<String>,
    /// Names of index files, such as `index.html`.
    pub index: Vec<String>,
    /// Under which further URLs an index file is served.
    pub directory_urls: DirectoryUrls,
    /// Endings that a URL may leave out: with `.html`, `a.html` is also `/a`.
    pub clean_urls: Vec<String>,
    /// Globs of files that are another form of the file named without their last ending, such as
    /// `*.br` and `*.gz`.
    pub variants: Vec<String>,
    /// Which files change other URLs than those of their paths.
    pub rewrites: Vec<RewriteSpec>,
    /// What is served under more than one query string.
    pub queries: Vec<QuerySpec>,
    /// Globs of what the CDN keeps for less than five minutes.
    pub short_ttl: Vec<String>,
    /// Globs of what never changes under its name.
    pub immutable: Vec<String>,
    /// Whether names that carry a fingerprint of their content are such, too.
    pub immutable_defaults: bool,
    /// Globs of paths that are never mapped.
    pub exclude: Vec<String>,
    /// Whether the default exclusions hold too.
    pub exclude_defaults: bool,
    /// Globs of paths to be prefetched after they were refreshed.
    pub prefetch: Vec<String>,
    /// Globs of what many visitors ask for: a wide refresh that hits it costs more.
    pub popular: Vec<String>,
}

impl Spec {
    /// Makes the spec of a mapping without rules of the operator's.
    #[must_use]
    pub fn plain(account: AccountName, domains: Vec<String>) -> Self {
        Self {
            account,
            url_bytes: Limits::DOCUMENTED.url_bytes,
            domains,
            index: vec!["index.html".to_owned()],
            directory_urls: DirectoryUrls::default(),
            clean_urls: Vec::new(),
            variants: Vec::new(),
            rewrites: Vec::new(),
            queries: Vec::new(),
            short_ttl: Vec::new(),
            immutable: Vec::new(),
            immutable_defaults: true,
            exclude: Vec::new(),
            exclude_defaults: true,
            prefetch: Vec::new(),
            popular: Vec::new(),
        }
    }
}

/// Files that change other URLs than those of their paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteSpec {
    /// A glob of files; the text of each wildcard is kept.
    pub from: String,
    /// Paths below the domains, or whole URLs; `{1}` is the first wildcard's text, `{0}` the path.
    pub to: Vec<String>,
    /// Whether the files have no URL of their own.
    pub only: bool,
}

/// What is served under more than one query string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySpec {
    /// Globs of it, as it is served.
    pub paths: Vec<String>,
    /// The query strings that are refreshed beside none.
    pub variants: Vec<String>,
    /// Whether every query string is refreshed at once, by an ignore-params refresh.
    pub ignore_params: bool,
}

/// A field of [`Spec`] that can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `domains`.
    Domains,
    /// `index`.
    Index,
    /// `clean_urls`.
    CleanUrls,
    /// `variants`.
    Variants,
    /// `from` of a rewrite.
    RewriteFrom,
    /// `to` of a rewrite.
    RewriteTo,
    /// `paths` of a query rule.
    QueryPaths,
    /// `variants` of a query rule.
    QueryVariants,
    /// `short_ttl`.
    ShortTtl,
    /// `immutable`.
    Immutable,
    /// `exclude`.
    Exclude,
    /// `prefetch`.
    Prefetch,
    /// `popular`.
    Popular,
}

impl Field {
    /// Returns the field's name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domains => "domains",
            Self::Index => "index",
            Self::CleanUrls => "clean_urls",
            Self::Variants | Self::QueryVariants => "variants",
            Self::RewriteFrom => "from",
            Self::RewriteTo => "to",
            Self::QueryPaths => "paths",
            Self::ShortTtl => "short_ttl",
            Self::Immutable => "immutable",
            Self::Exclude => "exclude",
            Self::Prefetch => "prefetch",
            Self::Popular => "popular",
        }
    }
}

/// An item of a [`Spec`] that cannot stand, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct MappingError {
    /// Which field.
    pub field: Field,
    /// Of which rewrite or query rule, from 0; none for a field of the origin itself.
    pub rule: Option<usize>,
    /// Which item of it, from 0; none when the field as a whole is wrong.
    pub item: Option<usize>,
    /// What is wrong, with a remedy.
    pub why: String,
}
