//! The keys of a section `[origin.NAME]` that say which URLs its paths have.

use std::ops::Range;
use std::path::Path;

use super::section::{Findings, Found, Section, Wrong};
use super::shape::Shape;
use super::value;
use crate::domain::limits::Limits;
use crate::domain::mapping::{
    DirectoryUrls, Field, Mapping, MappingError, QuerySpec, RewriteSpec, Spec,
};
use crate::domain::names::AccountName;

/// What every base URL looks like; `Mapping` knows better which are good.
const DOMAIN: &str = "^[A-Za-z]+://[^/*?#:]+(/[^?#]*)?$";

/// What was written, and where it stands.
pub(super) struct Written {
    places: Places,
    spec: Spec,
}

type Texts = Found<Vec<Found<String>>>;

/// Where lists of texts and rules stand.
#[derive(Default)]
struct Places {
    /// By field, with the number of the rule that it belongs to.
    lists: Vec<(Field, Option<usize>, Texts)>,
    rewrites: Vec<Range<usize>>,
    queries: Vec<Range<usize>>,
}

impl Places {
    /// Reads a list; none when it isn't there.
    fn list(
        &mut self,
        field: Field,
        rule: Option<usize>,
        section: &mut Section<'_>,
        findings: &mut Findings,
    ) -> Option<Vec<String>> {
        let read = |value: &toml::de::DeValue<'_>| {
            let shape = if field == Field::Domains { Shape::Like(DOMAIN) } else { Shape::Text };
            value::text(value).map_err(|wrong| wrong.taking(shape))
        };
        let found = section.list(field.as_str(), read, findings)?;
        let texts = found.value.iter().map(|found| found.value.clone()).collect();
        self.lists.push((field, rule, found));
        Some(texts)
    }

    fn rewrite(&mut self, mut section: Section<'_>, findings: &mut Findings) -> RewriteSpec {
        let rule = Some(self.rewrites.len());
        self.rewrites.push(section.span());
        let from = section.required("from", "\"content/posts/*.md\"", value::text, findings);
        if !section.has("to") {
            section.missing("to", "[\"/posts/{1}/\"]", findings);
        }
        let to = self.list(Field::RewriteTo, rule, &mut section, findings);
        let only = section.or("only", false, value::boolean, findings);
        section.finish(findings);
        // In place of what is refused already stands what can't be: one slip is told of once.
        let text = from.as_ref().map_or("/?????????", |from| &from.value).to_owned();
        if let Some(from) = from {
            let place = Found { span: from.span.clone(), value: vec![from] };
            self.lists.push((Field::RewriteFrom, rule, place));
        }
        RewriteSpec { from: text, to: to.unwrap_or_else(|| vec!["/".to_owned()]), only }
    }

    fn query(&mut self, mut section: Section<'_>, findings: &mut Findings) -> QuerySpec {
        let rule = Some(self.queries.len());
        self.queries.push(section.span());
        if !section.has("paths") {
            section.missing("paths", "[\"*.css\"]", findings);
        }
        let paths = self.list(Field::QueryPaths, rule, &mut section, findings);
        let variants = self.list(Field::QueryVariants, rule, &mut section, findings);
        let ignore_params = section.or("ignore_params", false, value::boolean, findings);
        section.finish(findings);
        QuerySpec {
            paths: paths.unwrap_or_else(|| vec!["*".to_owned()]),
            variants: variants.unwrap_or_default(),
            ignore_params,
        }
    }

    /// Refuses what the mapping refused, where it stands.
    fn refuse(&self, error: &MappingError, findings: &mut Findings) {
        let list = self
            .lists
            .iter()
            .find(|(field, rule, _)| *field == error.field && *rule == error.rule)
            .map(|(_, _, list)| list);
        let item = list.zip(error.item).and_then(|(list, item)| list.value.get(item));
        let rules = match error.field {
            Field::RewriteFrom | Field::RewriteTo => &self.rewrites,
            _ => &self.queries,
        };
        let whole = error.rule.and_then(|rule| rules.get(rule));
        let span = item.map(|item| &item.span).or(list.map(|list| &list.span)).or(whole);
        let Some(span) = span else {
            // It is missing, and that was said.
            return;
        };
        let is_within = |place: &Range<usize>| span.start <= place.start && place.end <= span.end;
        let mut places = findings.problems.iter().filter_map(|problem| problem.span.as_ref());
        if item.is_none() && list.is_some() && places.any(is_within) {
            // The list is empty because all that it held was refused.
            return;
        }
        let help = match error.field {
            Field::Domains => "write it like \"https://www.example.com\"",
            Field::Index => "write the name alone, like \"index.html\"",
            Field::CleanUrls => "write the ending alone, like \".html\"",
            Field::RewriteFrom => "write it like \"content/posts/*.md\"",
            Field::RewriteTo => {
                "write it like \"/posts/{1}/\", where {1} is what the first wildcard matched"
            }
            Field::QueryVariants => "write it like \"?v=1\"",
            Field::Variants
            | Field::QueryPaths
            | Field::ShortTtl
            | Field::Immutable
            | Field::Exclude
            | Field::Prefetch
            | Field::Popular => {
                "write it like \"*.html\" or \"news/**\"; `\\` before a character takes it literally"
            }
        };
        let message = format!("`{}`: {}", error.field.as_str(), error.why);
        findings.refuse(span.clone(), "this value", Wrong::new(message, help));
    }
}

/// Reads the keys; none without domains.
pub(super) fn read(section: &mut Section<'_>, findings: &mut Findings) -> Option<Written> {
    if !section.has("domains") {
        section.missing("domains", "[\"https://www.example.com\"]", findings);
    }
    let mut places = Places::default();
    let mut list = |field, findings: &mut Findings| places.list(field, None, section, findings);
    let domains = list(Field::Domains, findings);
    let index = list(Field::Index, findings);
    let clean_urls = list(Field::CleanUrls, findings);
    let variants = list(Field::Variants, findings);
    let short_ttl = list(Field::ShortTtl, findings);
    let immutable = list(Field::Immutable, findings);
    let exclude = list(Field::Exclude, findings);
    let prefetch = list(Field::Prefetch, findings);
    let popular = list(Field::Popular, findings);
    let directory_urls =
        section.or("directory_urls", DirectoryUrls::default(), value::directory_urls, findings);
    let immutable_defaults = section.or("immutable_defaults", true, value::boolean, findings);
    let exclude_defaults = section.or("exclude_defaults", true, value::boolean, findings);
    let rewrites = section.tables("rewrite", findings);
    let rewrites = rewrites.into_iter().map(|rule| places.rewrite(rule, findings)).collect();
    let queries = section.tables("query", findings);
    let queries = queries.into_iter().map(|rule| places.query(rule, findings)).collect();
    let spec = Spec {
        account: "".into(),
        url_bytes: Limits::DOCUMENTED.url_bytes,
        domains: domains?,
        index: index.unwrap_or_else(|| vec!["index.html".to_owned()]),
        directory_urls,
        clean_urls: clean_urls.unwrap_or_default(),
        variants: variants.unwrap_or_default(),
        rewrites,
        queries,
        short_ttl: short_ttl.unwrap_or_default(),
        immutable: immutable.unwrap_or_default(),
        immutable_defaults,
        exclude: exclude.unwrap_or_default(),
        exclude_defaults,
        prefetch: prefetch.unwrap_or_default(),
        popular: popular.unwrap_or_default(),
    };
    Some(Written { places, spec })
}

impl Written {
    /// Makes the mapping, or notes what is wrong. Without an account or a root the origin is refused
    /// anyway; what else is wrong is said all the same.
    pub(super) fn check(
        self,
        account: Option<&AccountName>,
        root: Option<&Path>,
        findings: &mut Findings,
    ) -> Option<Mapping> {
        let account = account.cloned().unwrap_or_else(|| "".into());
        let mapping = Mapping::new(Spec { account, ..self.spec });
        let mapping = mapping.map_err(|errors| {
            for error in errors {
                self.places.refuse(&error, findings);
            }
        });
        for (field, _, globs) in &self.places.lists {
            if let (
                Field::Exclude
                | Field::Prefetch
                | Field::Popular
                | Field::Variants
                | Field::ShortTtl
                | Field::Immutable
                | Field::QueryPaths
                | Field::RewriteFrom,
                Some(root),
            ) = (field, root)
            {
                refuse_absolute(*field, &globs.value, root, findings);
            }
        }
        mapping.ok()
    }
}

/// Refuses globs that spell the root out: they would match nothing.
fn refuse_absolute(field: Field, globs: &[Found<String>], root: &Path, findings: &mut Findings) {
    for glob in globs {
        if let Ok(rest) = Path::new(&glob.value).strip_prefix(root) {
            let wrong = Wrong::new(
                format!("`{}`: `{}` begins with the root", field.as_str(), glob.value),
                format!("globs are relative to it: write \"{}\"", rest.display()),
            );
            findings.refuse(glob.span.clone(), "this value", wrong);
        }
    }
}
