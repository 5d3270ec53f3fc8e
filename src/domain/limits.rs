//! What the CDN takes: figures that providers change, so that each is a setting with its documented
//! default.
//!
//! Behind each figure stands the section of the API reference and the date of its source; a figure
//! that no source states is a guess on the safe side, and says so.

use super::ask::{Kind, Target};
use super::intent::Action;
use super::quota::{PerKind, QuotaKind};
use super::url::{UrlError, refuse_longer};

/// What the CDN takes in a second, in a request and in a minute: `[account.NAME.limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Refreshes a second: 50 (section 0, 2025-01; newer pages state none).
    pub refresh_calls: u32,
    /// Prefetches a second: 50 (section 0, 2026-10).
    pub prefetch_calls: u32,
    /// Refreshes by cache tag a second: 10. Not published.
    pub tag_calls: u32,
    /// Lists of tasks a second: 5 (section 0, 2025-11; 10 before).
    pub tasks_calls: u32,
    /// Looks at tasks by id a second: 30 (section 0, 2026-11).
    pub task_by_id_calls: u32,
    /// Questions for the quota a second: 20 (section 0, 2026-11).
    pub quota_calls: u32,
    /// Questions for the details of a prefetch a second: 30 (section 0, npm 5.0.0).
    pub detail_calls: u32,
    /// Questions for the account's domains a second: 100 (section 1.11).
    pub domains_calls: u32,
    /// URLs of one refresh: 1,000 (section 0, 2026-11).
    pub urls_per_request: usize,
    /// Directories of one refresh: 100 (section 0, 2026-11; 1,000 in 2021).
    pub directories_per_request: usize,
    /// Expressions of one refresh: 1 (section 0, 2026-11).
    pub regexes_per_request: usize,
    /// Ignore-params targets of one refresh: 100. Not published; it is the usual day's quota.
    pub ignore_params_per_request: usize,
    /// Cache tags of one refresh: 20. Not published.
    pub tags_per_request: usize,
    /// URLs of one prefetch: 100 (section 0, 2026-10).
    pub prefetches_per_request: usize,
    /// Domains that one refresh may name: 10 (section 0, 2026-11; none stated in 2021). By tag it is one.
    pub domains_per_request: usize,
    /// URL refreshes of a domain a minute: 10,000 (section 0, 2026-11; 1,000 until 2025).
    pub urls_per_minute: u64,
    /// Directory refreshes of a domain a minute: 100 (section 0, 2025-12).
    pub directories_per_minute: u64,
    /// The longest URL, in bytes: 1,024 (section 0, 2026-10). That is stated for prefetches. Refreshes
    /// are held to it, too, for one bad URL is assumed to refuse its whole request.
    pub url_bytes: usize,
    /// The longest cache tag, in bytes: 128. Not published.
    pub tag_bytes: usize,
    /// The longest encoded query, in bytes: 8,192. Not published (section 1.1); it is what common HTTP
    /// servers take.
    pub query_bytes: usize,
    /// The longest encoded form, in bytes: 1 MiB. Not published (section 1.1).
    pub body_bytes: usize,
    /// Task ids of one look by id: 10 (section 1.8, 2026-11).
    pub ids_per_call: usize,
}

impl Limits {
    /// The figures as documented, and guesses where nothing is.
    pub const DOCUMENTED: Self = Self {
        refresh_calls: 50,
        prefetch_calls: 50,
        tag_calls: 10,
        tasks_calls: 5,
        task_by_id_calls: 30,
        quota_calls: 20,
        detail_calls: 30,
        domains_calls: 100,
        urls_per_request: 1_000,
        directories_per_request: 100,
        regexes_per_request: 1,
        ignore_params_per_request: 100,
        tags_per_request: 20,
        prefetches_per_request: 100,
        domains_per_request: 10,
        urls_per_minute: 10_000,
        directories_per_minute: 100,
        url_bytes: 1_024,
        tag_bytes: 128,
        query_bytes: 8_192,
        body_bytes: 1 << 20,
        ids_per_call: 10,
    };

    /// Returns the most asks of one request.
    #[must_use]
    pub const fn per_request(&self, action: Action, kind: Kind) -> usize {
        match (action, kind) {
            (Action::Prefetch, _) => self.prefetches_per_request,
            (Action::Refresh, Kind::Url) => self.urls_per_request,
            (Action::Refresh, Kind::Directory) => self.directories_per_request,
            (Action::Refresh, Kind::Regex) => self.regexes_per_request,
            (Action::Refresh, Kind::IgnoreParams) => self.ignore_params_per_request,
            (Action::Refresh, Kind::Tag) => self.tags_per_request,
        }
    }

    /// Lowers the most asks of one request.
    pub const fn lower(&mut self, action: Action, kind: Kind, most: usize) {
        let figure = match (action, kind) {
            (Action::Prefetch, _) => &mut self.prefetches_per_request,
            (Action::Refresh, Kind::Url) => &mut self.urls_per_request,
            (Action::Refresh, Kind::Directory) => &mut self.directories_per_request,
            (Action::Refresh, Kind::Regex) => &mut self.regexes_per_request,
            (Action::Refresh, Kind::IgnoreParams) => &mut self.ignore_params_per_request,
            (Action::Refresh, Kind::Tag) => &mut self.tags_per_request,
        };
        if *figure > most {
            *figure = most;
        }
    }

    /// Returns how many domains one request may name.
    #[must_use]
    pub const fn domains(&self, action: Action, kind: Kind) -> usize {
        match (action, kind) {
            (Action::Prefetch, _) => usize::MAX,
            (Action::Refresh, Kind::Tag) => 1,
            (Action::Refresh, _) => self.domains_per_request,
        }
    }

    /// Refuses the canonical text of a target that is longer than the CDN takes.
    pub fn refuse_longer(&self, target: &Target) -> Result<(), UrlError> {
        match target.tag() {
            None => refuse_longer(&target.text, self.url_bytes),
            Some(tag) if tag.len() > self.tag_bytes => {
                Err(UrlError::LongTag { length: tag.len(), most: self.tag_bytes })
            }
            Some(_) => Ok(()),
        }
    }

    /// Returns how much of each kind one domain takes in any minute; none where nothing is known to
    /// bound it.
    #[must_use]
    pub fn per_minute(&self) -> PerKind<Option<u64>> {
        PerKind::from_fn(|kind| match kind {
            QuotaKind::Url => Some(self.urls_per_minute),
            QuotaKind::Directory => Some(self.directories_per_minute),
            QuotaKind::Regex | QuotaKind::IgnoreParams | QuotaKind::Tag | QuotaKind::Prefetch => {
                None
            }
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DOCUMENTED
    }
}
