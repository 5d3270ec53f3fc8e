//! Targets and asks: what the CDN can be asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::url::literal_start;

/// What a refresh names. The wire calls it `ObjectType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Exactly one URL, query string included.
    Url,
    /// Every object below a prefix that ends in `/`.
    Directory,
    /// URLs that match an expression of the four permitted forms.
    Regex,
    /// Every cached query variant of one URL.
    IgnoreParams,
    /// Every object that a domain's origin labelled with a cache tag.
    Tag,
}

impl Kind {
    /// All kinds, narrow first.
    pub const ALL: [Self; 5] =
        [Self::Url, Self::Directory, Self::Regex, Self::IgnoreParams, Self::Tag];

    /// Returns the word used in code, config, CLI and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Directory => "directory",
            Self::Regex => "regex",
            Self::IgnoreParams => "ignore_params",
            Self::Tag => "tag",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What must become fresh: for a url or ignore-params target a canonical URL, for a directory a
/// canonical URL ending in `/`, for a regex the expression, for a cache tag the root of its domain with
/// the tag as fragment: `https://HOST/#TAG`, which is no canonical URL, for these have none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// How `text` is meant.
    pub kind: Kind,
    /// The canonical text, one line; of all but a tag as it travels in `ObjectPath`.
    pub text: String,
}

impl Target {
    /// Makes a target from text that is canonical already.
    #[must_use]
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Returns the host that `text` names; empty when it names none.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text
            .split_once("://")
            .map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default())
    }

    /// Returns the cache tag that is named, if it is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        let (_, tag) = self.text.split_once('#').filter(|_| self.kind == Kind::Tag)?;
        Some(tag)
    }

    /// Returns whether refreshing `self` reaches everything that refreshing `narrow` would.
    ///
    /// Regexes and tags are compared by their text only: what they reach, the CDN alone knows.
    #[must_use]
    pub fn covers(&self, narrow: &Self) -> bool {
        if self == narrow {
            return true;
        }
        match (self.kind, narrow.kind) {
            (Kind::Directory, Kind::Url | Kind::Directory | Kind::IgnoreParams) => {
                narrow.text.starts_with(&self.text)
            }
            (Kind::IgnoreParams, Kind::Url) => {
                narrow.text.split('?').next() == Some(self.text.as_str())
            }
            _ => false,
        }
    }
}

impl Target {
    /// Returns whether refreshing `self` may reach what `narrow` names: as
    /// [`covers`](Self::covers), and an expression may reach every URL that begins as it does. Of a
    /// tag nothing is known: it may reach any URL of its domain, and most likely doesn't.
    #[must_use]
    pub fn may_reach(&self, narrow: &Self) -> bool {
        self.covers(narrow)
            || (self.kind == Kind::Regex && narrow.text.starts_with(literal_start(&self.text)))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Url => formatter.write_str(&self.text),
            kind => write!(formatter, "{kind} {}", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: Kind, text: &str) -> Target {
        Target::new(kind, text)
    }

    #[test]
    fn a_wider_target_covers_what_it_reaches() {
        let directory = target(Kind::Directory, "https://a.example/d/");
        assert!(directory.covers(&target(Kind::Url, "https://a.example/d/x?q=1")));
        assert!(directory.covers(&target(Kind::Directory, "https://a.example/d/e/")));
        assert!(!directory.covers(&target(Kind::Url, "https://a.example/dd")));
        assert!(!target(Kind::Url, "https://a.example/d/").covers(&directory));
        let variants = target(Kind::IgnoreParams, "https://a.example/x");
        assert!(variants.covers(&target(Kind::Url, "https://a.example/x?q=1")));
        assert!(variants.covers(&target(Kind::Url, "https://a.example/x")));
        assert!(!variants.covers(&target(Kind::Url, "https://a.example/xy")));
        let expression = target(Kind::Regex, "https://a.example/d/[0-9].*");
        assert!(expression.may_reach(&target(Kind::Url, "https://a.example/d/7")));
        assert!(!expression.may_reach(&target(Kind::Url, "https://a.example/e/7")));
    }

    #[test]
    fn a_tag_stands_for_itself_alone() {
        let tag = target(Kind::Tag, "https://a.example/#news#1");
        assert_eq!((tag.host(), tag.tag()), ("a.example", Some("news#1")));
        assert!(tag.covers(&tag.clone()));
        assert!(!tag.may_reach(&target(Kind::Url, "https://a.example/news")));
        assert!(!target(Kind::Directory, "https://a.example/").covers(&tag));
        assert_eq!(target(Kind::Url, "https://a.example/").tag(), None);
    }

    #[test]
    fn the_host_stands_between_scheme_and_path() {
        assert_eq!(target(Kind::Url, "https://a.example/x").host(), "a.example");
        assert_eq!(target(Kind::Url, "https://a.example").host(), "a.example");
    }
}
