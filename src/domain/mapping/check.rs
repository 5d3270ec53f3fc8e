//! From what an operator wrote to rules, noting everything that is wrong on the way.

use super::globs::Globs;
use super::pattern::Pattern;
use super::template::Template;
use super::{Field, MappingError, Query, QuerySpec, Rewrite, RewriteSpec, Spec};
use crate::domain::path::RelPath;
use crate::domain::url::{Base, CanonicalUrl};

/// What was found to be wrong so far.
#[derive(Debug, Default)]
pub(super) struct Check {
    pub(super) errors: Vec<MappingError>,
}

impl Check {
    fn refuse(&mut self, field: Field, rule: Option<usize>, item: Option<usize>, why: String) {
        self.errors.push(MappingError { field, rule, item, why });
    }

    pub(super) fn bases(&mut self, domains: &[String]) -> Vec<Base> {
        let mut bases: Vec<Base> = Vec::new();
        if domains.is_empty() {
            let why = "no domain is named: write at least one, such as `https://www.example.com`";
            self.refuse(Field::Domains, None, None, why.to_owned());
        }
        for (item, text) in domains.iter().enumerate() {
            let why = match Base::parse(text) {
                Ok(base) if bases.contains(&base) => {
                    format!("`{text}` is named twice: http and https share a cache entry")
                }
                Ok(base) => {
                    bases.push(base);
                    continue;
                }
                Err(why) => why.to_string(),
            };
            self.refuse(Field::Domains, None, Some(item), why);
        }
        bases
    }

    /// Checks the names of index files and the endings of clean URLs.
    pub(super) fn names(&mut self, spec: &Spec) {
        for (item, name) in spec.index.iter().enumerate() {
            if name.contains('/') || RelPath::new(name.as_str()).map_or(true, |name| name.is_root())
            {
                let why = format!("`{name}` is not a file name: write one such as `index.html`");
                self.refuse(Field::Index, None, Some(item), why);
            }
        }
        for (item, ending) in spec.clean_urls.iter().enumerate() {
            if ending.contains(['/', '*']) || !ending.starts_with('.') || ending.len() < 2 {
                let why = format!("`{ending}` is not the end of a name: write one such as `.html`");
                self.refuse(Field::CleanUrls, None, Some(item), why);
            }
        }
    }

    pub(super) fn globs(&mut self, field: Field, rule: Option<usize>, texts: &[String]) -> Globs {
        Globs::new(texts).unwrap_or_else(|bad| {
            for (item, why) in bad {
                self.refuse(field, rule, Some(item), why);
            }
            Globs::default()
        })
    }

    /// Checks the globs of files that are another form of one.
    pub(super) fn variants(&mut self, texts: &[String]) -> Globs {
        let globs = self.globs(Field::Variants, None, texts);
        for item in globs.trees() {
            let text = &texts[item];
            let tree = text.trim_end_matches('*').trim_end_matches('/');
            let why = format!(
                "`{text}` means a whole tree, and no ending of a file: write one such as \
                 `{tree}/**/*.gz`"
            );
            self.refuse(Field::Variants, None, Some(item), why);
        }
        globs
    }

    pub(super) fn rewrite(&mut self, rule: usize, spec: &RewriteSpec) -> Option<Rewrite> {
        let rule = Some(rule);
        let from = Pattern::new(&spec.from);
        // Without a glob it can't be said which wildcards there are: nine are more than is usual.
        let wildcards = from.as_ref().map_or(9, Pattern::wildcards);
        let from = from.map_err(|why| self.refuse(Field::RewriteFrom, rule, None, why)).ok();
        if spec.to.is_empty() {
            let why = "leads nowhere: write at least one path, such as `/feed.xml`; what has no URL \
                       at all belongs into `exclude`";
            self.refuse(Field::RewriteTo, rule, None, why.to_owned());
        }
        let mut to = Vec::new();
        for (item, text) in spec.to.iter().enumerate() {
            match Template::new(text, wildcards) {
                Ok(template) => to.push(template),
                Err(why) => self.refuse(Field::RewriteTo, rule, Some(item), why),
            }
        }
        Some(Rewrite { from: from?, to, only: spec.only })
    }

    pub(super) fn query(&mut self, rule: usize, spec: &QuerySpec) -> Query {
        let rule = Some(rule);
        if spec.paths.is_empty() {
            let why = "no path is named: write at least one glob, such as `*.css`";
            self.refuse(Field::QueryPaths, rule, None, why.to_owned());
        }
        let why = match (spec.variants.is_empty(), spec.ignore_params) {
            (true, false) => "names no query string: write some, or `ignore_params = true`",
            (false, true) => "can't stand beside `ignore_params`, which refreshes them all",
            _ => "",
        };
        if !why.is_empty() {
            self.refuse(Field::QueryVariants, rule, None, why.to_owned());
        }
        let bare = |text: &String| text.strip_prefix('?').unwrap_or(text).to_owned();
        let variants: Vec<String> = spec.variants.iter().map(bare).collect();
        for (item, text) in variants.iter().enumerate() {
            let sample = CanonicalUrl::parse(&format!("https://www.example.com/?{text}"));
            let why = match sample {
                Ok(_) if text.is_empty() => {
                    "an empty query string is refreshed anyway: leave it out".to_owned()
                }
                Ok(_) => continue,
                Err(why) => why.to_string(),
            };
            self.refuse(Field::QueryVariants, rule, Some(item), why);
        }
        Query {
            paths: self.globs(Field::QueryPaths, rule, &spec.paths),
            variants,
            ignore_params: spec.ignore_params,
        }
    }
}
