//! From a file to what is served because of it, and on to URLs: rule by rule, with notes for whoever
//! asks why.

use std::slice;

use super::fingerprint::fingerprint;
use super::globs::Globs;
use super::trace::{Notes, Rule};
use super::{DirectoryUrls, Mapped, Mapping, Unmappable};
use crate::domain::ask::{Kind, Target};
use crate::domain::path::{RelPath, escape};
use crate::domain::url::{Base, CanonicalUrl, UrlError, refuse_longer};

/// Something that is served: a path below the domains, with a trailing `/` if it is a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served<'m> {
    /// Below what, if not below the origin's domains.
    pub(super) base: Option<&'m Base>,
    /// The path, without a `/` in front.
    pub(super) path: Vec<u8>,
    /// The query string that a rewrite wrote.
    pub(super) query: Option<String>,
}

/// A URL that a path reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) url: CanonicalUrl,
    /// By what it is refreshed: as a URL, or with all its query strings.
    pub(super) kind: Kind,
    /// Whether a refresh makes sense: nobody can hold copies of what never was there before.
    pub(super) refresh: bool,
    /// Whether the CDN keeps it for so short that nothing needs to be asked for.
    pub(super) is_short_lived: bool,
}

impl Reached {
    /// Returns what its refresh names.
    pub(super) fn target(&self) -> Target {
        Target::new(self.kind, self.url.as_str())
    }
}

impl Served<'_> {
    /// Returns it as globs see it, and whether it is a directory.
    fn place(&self) -> Option<(RelPath, bool)> {
        let (path, is_directory) = match self.path.strip_suffix(b"/") {
            Some(path) => (path, true),
            None => (self.path.as_slice(), false),
        };
        Some((RelPath::new(path).ok()?, is_directory))
    }

    fn shown(&self) -> String {
        let base = self.base.map(|base| base.url().as_str().trim_end_matches('/'));
        let query = self.query.iter().map(|query| format!("?{query}"));
        format!("{}/{}{}", base.unwrap_or_default(), escape(&self.path), query.collect::<String>())
    }
}

impl Mapping {
    fn url(&self, base: &Base, path: &[u8], query: Option<&str>) -> Result<CanonicalUrl, UrlError> {
        let mut url = CanonicalUrl::of_path(base, path)?;
        if let Some(query) = query {
            url = CanonicalUrl::parse(&format!("{url}?{query}"))?;
        }
        refuse_longer(url.as_str(), self.spec.url_bytes)?;
        Ok(url)
    }

    /// Returns the URLs that a path reaches, each once. What is `merely_created` was not there
    /// before, as far as is known.
    pub(super) fn reached(
        &self,
        path: &RelPath,
        merely_created: bool,
        notes: &mut Notes,
    ) -> Mapped<Reached> {
        let mut made: Vec<Reached> = Vec::new();
        let mut unmappable = Vec::new();
        for mut served in self.served(path, notes) {
            notes.about(|| served.shown());
            self.drop_variants(&mut served, notes);
            let is_short_lived = self.is_short_lived(&served, notes);
            let never_changes = self.never_changes(&served, notes);
            let refresh = !(is_short_lived || (merely_created && never_changes));
            let spellings = self.spellings(&served, notes);
            let queries = self.query_strings(&served, notes);
            for base in served.base.map_or(self.bases.as_slice(), slice::from_ref) {
                for spelling in &spellings {
                    for (query, kind) in &queries {
                        match self.url(base, spelling, query.as_deref()) {
                            Ok(url) => {
                                add(
                                    &mut made,
                                    Reached { url, kind: *kind, refresh, is_short_lived },
                                );
                            }
                            Err(why) => unmappable.push(Unmappable { path: path.clone(), why }),
                        }
                    }
                }
            }
        }
        Mapped { made, unmappable }
    }

    /// Returns whether something that is served because of a path never changes under its name.
    #[must_use]
    pub fn is_immutable(&self, path: &RelPath) -> bool {
        let notes = &mut Notes::off();
        self.served(path, notes).into_iter().any(|mut served| {
            self.drop_variants(&mut served, notes);
            self.never_changes(&served, notes)
        })
    }

    /// Returns the URLs at which a file is served as itself, byte for byte: its own path below each base.
    /// None where it is excluded, where a rewrite takes its place, and where it is another form of a file,
    /// which is chosen by what a visitor accepts.
    #[must_use]
    pub fn own_urls(&self, path: &RelPath) -> Vec<CanonicalUrl> {
        let is_moved =
            self.rewrites.iter().any(|rule| rule.only && rule.from.captures(path).is_some());
        if is_moved
            || self.excluded(path, false).is_some()
            || self.variants.find_file(path).is_some()
        {
            return Vec::new();
        }
        let urls = self.bases.iter().map(|base| self.url(base, path.as_bytes(), None));
        urls.filter_map(Result::ok).collect()
    }

    /// Returns what is served because of a file: it, and what rewrites make of it.
    fn served(&self, path: &RelPath, notes: &mut Notes) -> Vec<Served<'_>> {
        notes.about(|| path.to_string());
        let mut served = Vec::new();
        let mut has_own = true;
        for (number, rewrite) in (1..).zip(&self.rewrites) {
            let number = Some(number);
            let glob = rewrite.from.text();
            let Some(kept) = rewrite.from.captures(path) else {
                notes.not(Rule::Rewrite, number, || format!("`{glob}` doesn't match"));
                continue;
            };
            let given: Vec<_> = rewrite.to.iter().map(|template| template.fill(&kept)).collect();
            notes.fired(Rule::Rewrite, number, || {
                let given: Vec<_> = given.iter().map(Served::shown).collect();
                let only = if rewrite.only { ", and the file has no URL of its own" } else { "" };
                format!("`{glob}` gives {}{only}", given.join(", "))
            });
            has_own &= !rewrite.only;
            served.extend(given);
        }
        if has_own {
            let path = path.as_bytes().to_vec();
            served.insert(0, Served { base: None, path, query: None });
        }
        served
    }

    /// Makes of another form of a file that file.
    fn drop_variants(&self, served: &mut Served<'_>, notes: &mut Notes) {
        let mut is_variant = false;
        // By its own name: what lies in a directory `www.example.de` is not German for that.
        while let Some((path, false)) = served.place()
            && let Some(glob) = self.variants.find_file(&path)
        {
            let start = served.path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
            let dot = served.path[start..].iter().rposition(|byte| *byte == b'.');
            let Some(dot) = dot.filter(|dot| *dot > 0) else { break };
            served.path.truncate(start + dot);
            is_variant = true;
            notes.fired(Rule::Variants, None, || {
                format!("`{glob}` matches: it is another form of {}", served.shown())
            });
        }
        if !is_variant {
            notes.not(Rule::Variants, None, || no_glob(&self.spec.variants));
        }
    }

    fn is_short_lived(&self, served: &Served<'_>, notes: &mut Notes) -> bool {
        let glob = find(&self.short_ttl, served);
        match glob {
            Some(glob) => notes.fired(Rule::ShortTtl, None, || {
                format!(
                    "`{glob}` matches: the CDN keeps it for less than the five minutes that a \
                     refresh takes, so none is asked for"
                )
            }),
            None => notes.not(Rule::ShortTtl, None, || no_glob(&self.spec.short_ttl)),
        }
        glob.is_some()
    }

    fn never_changes(&self, served: &Served<'_>, notes: &mut Notes) -> bool {
        let name = served.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let recognised = fingerprint(name).filter(|_| self.spec.immutable_defaults);
        let glob = find(&self.immutable, served);
        if recognised.is_none() && glob.is_none() {
            notes.not(Rule::Immutable, None, || {
                let globs = no_glob(&self.spec.immutable);
                if self.spec.immutable_defaults {
                    format!("its name carries no fingerprint, and {globs}")
                } else {
                    globs
                }
            });
            return false;
        }
        notes.fired(Rule::Immutable, None, || {
            let why = match (recognised, glob) {
                (Some(text), _) => format!("its name carries the fingerprint {text}"),
                (None, glob) => format!("`{}` matches", glob.unwrap_or_default()),
            };
            format!("{why}: no refresh when it is created, unless it was seen removed before")
        });
        true
    }

    /// Returns the paths that a file is served under.
    fn spellings(&self, served: &Served<'_>, notes: &mut Notes) -> Vec<Vec<u8>> {
        let mut spellings = vec![served.path.clone()];
        if served.path.is_empty() || served.path.ends_with(b"/") {
            let why = || "it is a directory".to_owned();
            notes.not(Rule::Index, None, why);
            notes.not(Rule::CleanUrls, None, why);
            return spellings;
        }
        let start = served.path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let (directory, name) = served.path.split_at(start);
        if self.index.contains(name) {
            self.directory_spellings(directory, &mut spellings, notes);
            notes.not(Rule::CleanUrls, None, || "it is an index file".to_owned());
            return spellings;
        }
        notes.not(Rule::Index, None, || format!("its name is not {}", any_of(&self.spec.index)));
        let stems = self.clean_urls.iter().filter_map(|ending| name.strip_suffix(&ending[..]));
        let clean: Vec<Vec<u8>> =
            stems.filter(|stem| !stem.is_empty()).map(|stem| [directory, stem].concat()).collect();
        if clean.is_empty() {
            notes.not(Rule::CleanUrls, None, || match self.spec.clean_urls.as_slice() {
                [] => "no ending is named".to_owned(),
                endings => format!("it doesn't end in {}", any_of(endings)),
            });
        } else {
            notes.fired(Rule::CleanUrls, None, || {
                let shown: Vec<_> = clean.iter().map(|path| format!("/{}", escape(path))).collect();
                format!("it is also {}", shown.join(", "))
            });
        }
        spellings.extend(clean);
        spellings
    }

    /// Adds the paths of the directory that an index file stands for; `directory` ends in `/` or is
    /// empty.
    fn directory_spellings(
        &self,
        directory: &[u8],
        spellings: &mut Vec<Vec<u8>>,
        notes: &mut Notes,
    ) {
        if self.spec.directory_urls == DirectoryUrls::None {
            notes.not(Rule::Index, None, || {
                "`directory_urls` is \"none\": an index file is itself only".to_owned()
            });
            return;
        }
        let mut also = vec![directory.to_vec()];
        if let (DirectoryUrls::Both, Some(bare)) =
            (self.spec.directory_urls, directory.strip_suffix(b"/"))
        {
            also.push(bare.to_vec());
        }
        notes.fired(Rule::Index, None, || {
            let shown: Vec<_> = also.iter().map(|path| format!("/{}", escape(path))).collect();
            format!("it is also {}", shown.join(" and "))
        });
        spellings.extend(also);
    }

    /// Returns the query strings under which something is refreshed, and by what kind of refresh.
    fn query_strings(&self, served: &Served<'_>, notes: &mut Notes) -> Vec<(Option<String>, Kind)> {
        if served.query.is_some() {
            return vec![(served.query.clone(), Kind::Url)];
        }
        let mut strings = vec![(None, Kind::Url)];
        let mut ignore_params = false;
        for (number, (rule, spec)) in (1..).zip(self.queries.iter().zip(&self.spec.queries)) {
            let number = Some(number);
            let Some(glob) = find(&rule.paths, served) else {
                notes.not(Rule::Query, number, || no_glob(&spec.paths));
                continue;
            };
            if rule.ignore_params {
                ignore_params = true;
                notes.fired(Rule::Query, number, || {
                    format!("`{glob}` matches: refreshed with every query string at once")
                });
            } else {
                notes.fired(Rule::Query, number, || {
                    format!("`{glob}` matches: also with ?{}", rule.variants.join(", ?"))
                });
                strings.extend(rule.variants.iter().map(|query| (Some(query.clone()), Kind::Url)));
            }
        }
        if ignore_params { vec![(None, Kind::IgnoreParams)] } else { strings }
    }
}

/// Adds a URL, or what is new of one that is known already.
fn add(made: &mut Vec<Reached>, new: Reached) {
    match made.iter_mut().find(|known| known.url == new.url && known.kind == new.kind) {
        Some(known) => {
            known.refresh |= new.refresh;
            known.is_short_lived &= new.is_short_lived;
        }
        None => made.push(new),
    }
}

fn find<'g>(globs: &'g Globs, served: &Served<'_>) -> Option<&'g str> {
    let (path, is_directory) = served.place()?;
    globs.find(&path, is_directory)
}

/// Says why a list of globs did nothing.
pub(super) fn no_glob(globs: &[String]) -> String {
    match globs {
        [] => "no glob is named".to_owned(),
        [glob] => format!("`{glob}` doesn't match"),
        globs => format!("none matches of {}", any_of(globs)),
    }
}

fn any_of(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
