//! What the rules said of a path, noted on the way when somebody asks for it.

use serde::Serialize;

/// A rule of a mapping, by its key in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `exclude` and `exclude_defaults`.
    Exclude,
    /// `rewrite`.
    Rewrite,
    /// `variants`.
    Variants,
    /// `short_ttl`.
    ShortTtl,
    /// `immutable` and `immutable_defaults`.
    Immutable,
    /// `index` and `directory_urls`.
    Index,
    /// `clean_urls`.
    CleanUrls,
    /// `query`.
    Query,
    /// `prefetch`.
    Prefetch,
}

impl Rule {
    /// Returns the rule's key in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Rewrite => "rewrite",
            Self::Variants => "variants",
            Self::ShortTtl => "short_ttl",
            Self::Immutable => "immutable",
            Self::Index => "index",
            Self::CleanUrls => "clean_urls",
            Self::Query => "query",
            Self::Prefetch => "prefetch",
        }
    }
}

/// What one rule said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Of what: a file's path, or from a `/` on what is served because of it.
    pub about: String,
    /// Which rule.
    pub rule: Rule,
    /// Its number, from 1, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<usize>,
    /// Whether it did anything.
    pub fired: bool,
    /// What it did, or why nothing.
    pub why: String,
}

/// Takes notes, or none: then nothing is put into words.
#[derive(Debug, Default)]
pub(super) struct Notes {
    steps: Option<Vec<Step>>,
    about: String,
}

impl Notes {
    /// Takes no notes.
    pub(super) fn off() -> Self {
        Self::default()
    }

    /// Takes notes.
    pub(super) fn on() -> Self {
        Self { steps: Some(Vec::new()), ..Self::default() }
    }

    /// Says what the rules look at from now on.
    pub(super) fn about(&mut self, about: impl FnOnce() -> String) {
        if self.steps.is_some() {
            self.about = about();
        }
    }

    /// Notes what a rule did.
    pub(super) fn fired(
        &mut self,
        rule: Rule,
        number: Option<usize>,
        why: impl FnOnce() -> String,
    ) {
        self.note(rule, number, true, why);
    }

    /// Notes why a rule did nothing.
    pub(super) fn not(&mut self, rule: Rule, number: Option<usize>, why: impl FnOnce() -> String) {
        self.note(rule, number, false, why);
    }

    fn note(
        &mut self,
        rule: Rule,
        number: Option<usize>,
        fired: bool,
        why: impl FnOnce() -> String,
    ) {
        if let Some(steps) = &mut self.steps {
            steps.push(Step { about: self.about.clone(), rule, number, fired, why: why() });
        }
    }

    /// Returns the notes.
    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps.unwrap_or_default()
    }
}
