//! How the CDN is to prefetch, and which hosts want it otherwise.

use std::collections::BTreeMap;

use super::url::encoded_length;

/// Where copies are to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The Chinese mainland.
    Domestic,
    /// Everywhere else.
    Overseas,
}

impl Area {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Domestic, Self::Overseas];

    /// Returns the word used in the configuration and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domestic => "domestic",
            Self::Overseas => "overseas",
        }
    }
}

/// How the CDN is to prefetch (API reference 1.5). The default leaves everything to the CDN.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PrefetchOptions {
    /// Where; none for wherever the domain is accelerated.
    pub area: Option<Area>,
    /// Whether the second tier of the CDN must be filled, too.
    pub l2: bool,
    /// Whether the cache key is looked up in the domain's configuration; else it is the URL.
    pub query_hashkey: bool,
    /// Whether the CDN asks the origin from one place a region.
    pub consistency_hash: bool,
    /// The headers that the CDN asks the origin with, each with the values of a stored variant; empty
    /// for the CDN's own, `Accept-Encoding: gzip`.
    pub headers: BTreeMap<String, Vec<String>>,
}

impl PrefetchOptions {
    /// How long they may be in a query, in bytes: ours. The targets of the call share the query with
    /// them.
    pub const LONGEST: usize = 1_000;

    /// Returns what travels, as names and values of the API; what is as the CDN does it anyway does
    /// not.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let flags = [
            ("L2Preload", self.l2),
            ("QueryHashkey", self.query_hashkey),
            ("ConsistencyHash", self.consistency_hash),
        ];
        let flags = flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "true".into()));
        let area = self.area.map(|area| ("Area", area.as_str().to_owned()));
        let headers = (!self.headers.is_empty())
            .then(|| ("WithHeader", serde_json::json!(self.headers).to_string()));
        area.into_iter().chain(flags).chain(headers).collect()
    }

    /// Returns how long they are in a query, in bytes.
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        let parameters = self.parameters();
        parameters.iter().map(|(name, value)| name.len() + encoded_length(value) + 2).sum()
    }
}

/// The options of each host that has any.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PrefetchByHost(BTreeMap<String, PrefetchOptions>);

impl PrefetchByHost {
    /// Gives a host its options.
    pub fn insert(&mut self, host: &str, options: &PrefetchOptions) {
        self.0.insert(host.to_owned(), options.clone());
    }

    /// Returns the options of a host.
    #[must_use]
    pub fn of(&self, host: &str) -> PrefetchOptions {
        self.0.get(host).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_the_cdns_own_way_travels() {
        assert_eq!(PrefetchOptions::default().parameters(), []);
        assert_eq!(PrefetchOptions::default().encoded_length(), 0);
        let values = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let options = PrefetchOptions {
            area: Some(Area::Overseas),
            l2: true,
            query_hashkey: true,
            consistency_hash: true,
            headers: [
                ("Accept-Encoding".to_owned(), values(&["gzip", "br"])),
                ("X-None".to_owned(), values(&[" "])),
            ]
            .into(),
        };
        let told: Vec<_> = [
            ("Area", "overseas"),
            ("L2Preload", "true"),
            ("QueryHashkey", "true"),
            ("ConsistencyHash", "true"),
            ("WithHeader", r#"{"Accept-Encoding":["gzip","br"],"X-None":[" "]}"#),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        assert_eq!(options.parameters(), told);
        let query = "Area=overseas&L2Preload=true&QueryHashkey=true&ConsistencyHash=true&WithHeader=\
                     %7B%22Accept-Encoding%22%3A%5B%22gzip%22%2C%22br%22%5D%2C%22X-None%22%3A%5B%22\
                     %20%22%5D%7D&";
        assert_eq!(options.encoded_length(), query.len());
    }
}
