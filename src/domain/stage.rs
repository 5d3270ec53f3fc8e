//! Stages: in which order a deploy goes to the CDN.
//!
//! A page that is fresh before its style sheet is looks broken, and a feed that is fresh before its
//! pages leads to old ones. So assets go first, then pages, then what lists them.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::ask::Target;
use super::mapping::globs::Globs;
use super::path::RelPath;

/// What goes first unless an operator says otherwise.
pub const ASSETS: [&str; 21] = [
    "*.css", "*.js", "*.mjs", "*.map", "*.wasm", "*.woff", "*.woff2", "*.ttf", "*.otf", "*.png",
    "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.avif", "*.svg", "*.ico", "*.mp3", "*.mp4", "*.webm",
    "*.pdf",
];

/// What goes last unless an operator says otherwise.
pub const FEEDS: [&str; 13] = [
    "feed.xml",
    "feed.json",
    "rss.xml",
    "atom.xml",
    "*.rss",
    "*.atom",
    "sitemap*.xml",
    "sitemap*.xml.gz",
    "*.webmanifest",
    "manifest.json",
    "asset-manifest.json",
    "sw.js",
    "service-worker.js",
];

/// When of a deploy something goes. It is durable as its number.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// It waits for nothing and nothing waits for it: what was removed, and a person's wish.
    #[default]
    Any,
    /// Before the pages that use it.
    Assets,
    /// After the assets.
    Pages,
    /// After the pages.
    Feeds,
}

impl Order {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Any, Self::Assets, Self::Pages, Self::Feeds];

    /// Returns the number it is stored as.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Says, to a person, what goes before it.
    #[must_use]
    pub const fn before(self) -> &'static str {
        match self {
            Self::Any | Self::Assets => "nothing",
            Self::Pages => "the assets",
            Self::Feeds => "the assets and pages",
        }
    }
}

/// What must have become of a stage before the next goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum After {
    /// The CDN accepted it.
    #[default]
    Accepted,
    /// The CDN says that it is complete: five minutes and more a stage.
    Complete,
}

/// The stage of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Stage {
    /// When it goes.
    pub order: Order,
    /// What must have become of those before it.
    pub after: After,
}

/// Which paths of an origin go when.
#[derive(Clone, Debug, Default)]
pub struct Stages {
    assets: Globs,
    feeds: Globs,
    after: After,
    texts: [Vec<String>; 2],
}

impl PartialEq for Stages {
    fn eq(&self, other: &Self) -> bool {
        (self.after, &self.texts) == (other.after, &other.texts)
    }
}

impl Eq for Stages {}

impl Stages {
    /// Compiles the globs of what goes first and last. The inner error names the number of each bad
    /// glob, and why it is bad; the outer one says whether `assets` (false) or `feeds` (true) it is.
    pub fn new(
        assets: Vec<String>,
        feeds: Vec<String>,
        after: After,
    ) -> Result<Self, Vec<(bool, usize, String)>> {
        let compiled = (Globs::new(&assets), Globs::new(&feeds));
        let texts = [assets, feeds];
        match compiled {
            (Ok(assets), Ok(feeds)) => Ok(Self { assets, feeds, after, texts }),
            (assets, feeds) => {
                let bad = |last, errors: Vec<(usize, String)>| {
                    errors.into_iter().map(move |(item, why)| (last, item, why))
                };
                let assets = assets.err().into_iter().flat_map(|errors| bad(false, errors));
                let feeds = feeds.err().into_iter().flat_map(|errors| bad(true, errors));
                Err(assets.chain(feeds).collect())
            }
        }
    }

    /// Returns the stage of a target that a file which is there has: by what is served, for a rewrite
    /// makes a feed of a page's source; else by the file.
    #[must_use]
    pub fn of(&self, target: &Target, path: &RelPath) -> Stage {
        let served = served(&target.text).and_then(|served| self.order(&served));
        let order = served.or_else(|| self.order(path)).unwrap_or(Order::Pages);
        Stage { order, after: self.after }
    }

    /// Returns what globs say of a path. What is to go last does though it is an asset.
    fn order(&self, path: &RelPath) -> Option<Order> {
        let listed = |globs: &Globs, order| globs.find(path, false).map(|_| order);
        listed(&self.feeds, Order::Feeds).or_else(|| listed(&self.assets, Order::Assets))
    }
}

/// Returns the path of a URL, unless it is a directory's.
fn served(url: &str) -> Option<RelPath> {
    let path = url.splitn(4, '/').nth(3)?.split('?').next()?;
    RelPath::new(percent_decode_str(path).collect::<Vec<u8>>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ask::Kind;

    #[test]
    fn assets_go_first_and_what_lists_pages_last() {
        let texts = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>();
        let stages =
            Stages::new(texts(&ASSETS), texts(&FEEDS), After::Accepted).expect("they are valid");
        let order = |file: &str, url: &str| {
            let target = Target::new(Kind::Url, format!("https://a.example/{url}"));
            stages.of(&target, &RelPath::new(file).expect("valid")).order
        };
        let of = |file: &str| order(file, file);
        assert_eq!(of("css/site.css"), Order::Assets);
        assert_eq!(of("docs/index.html"), Order::Pages);
        assert_eq!(of("data"), Order::Pages);
        assert_eq!(of("sw.js"), Order::Feeds);
        assert_eq!(of("blog/feed.xml"), Order::Feeds);
        assert_eq!(order("posts/a.md", "feed.xml"), Order::Feeds);
        assert_eq!(order("posts/a.md", "posts/a/"), Order::Pages);
        assert_eq!(order("app.js.br", "app.js?v=1"), Order::Assets);
        assert_eq!(order("a.md", "%73w.js"), Order::Feeds);
        assert_eq!(Order::ALL.map(Order::number), [0, 1, 2, 3]);
        let bad = Stages::new(texts(&["ok", "["]), texts(&["!x"]), After::Accepted);
        let bad = bad.expect_err("both are bad").into_iter().map(|(last, item, _)| (last, item));
        assert_eq!(bad.collect::<Vec<_>>(), [(false, 1), (true, 0)]);
    }
}
