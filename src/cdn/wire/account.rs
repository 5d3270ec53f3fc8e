//! The replies about an account's domains, and about the details of a prefetch (API reference 1.10,
//! 1.11).

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Operation;
use super::foreign_text;
use super::reply::{number, or_empty, text_or_number};
use crate::cdn::PrefetchDetail;
use crate::domain::own::CdnDomain;

/// The most rows that [`Operation::DescribeUserDomains`] gives in a page (1.11).
pub const DOMAINS_PAGE: u32 = 500;

/// The reply to [`Operation::DescribeUserDomains`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DomainsReply {
    /// The CDN's request id.
    #[serde(default, deserialize_with = "or_empty")]
    pub request_id: String,
    /// The domains. An answer without them is not believed: "none" would condemn each mapping.
    pub domains: Domains,
    /// How many there are in all pages.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub total_count: Option<u64>,
    /// The page, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub page_number: Option<u64>,
    /// Domains a page.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub page_size: Option<u64>,
}

/// A page of domains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Domains {
    /// The domains.
    pub page_data: Vec<Domain>,
}

/// A domain of the account's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Domain {
    /// Its name; a wildcard's begins with `.`.
    pub domain_name: String,
    /// `online`, `offline`, `configuring`, …
    #[serde(default, deserialize_with = "or_empty")]
    pub domain_status: String,
    /// What is accelerated: `web`, `download` or `video`.
    #[serde(default, deserialize_with = "or_empty")]
    pub cdn_type: String,
    /// Where: `domestic`, `overseas` or `global`.
    #[serde(default, deserialize_with = "or_empty")]
    pub coverage: String,
    /// What its DNS record points to.
    #[serde(default, deserialize_with = "or_empty")]
    pub cname: String,
}

impl Domain {
    /// Turns the domain into the house's words.
    #[must_use]
    pub fn into_domain(self) -> CdnDomain {
        CdnDomain { name: self.domain_name, status: foreign_text(&self.domain_status) }
    }
}

/// The reply to [`Operation::DescribePreloadDetailById`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetailReply {
    /// The CDN's request id.
    #[serde(default, deserialize_with = "or_empty")]
    pub request_id: String,
    /// A row for each domain of the task.
    pub url_details: Vec<DomainDetail>,
    /// How many there are.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub total_count: Option<u64>,
}

impl DetailReply {
    /// Turns the rows into the house's words.
    #[must_use]
    pub fn into_details(self) -> Vec<PrefetchDetail> {
        let rows = self.url_details.into_iter().flat_map(|row| {
            let domain = row.domain;
            row.urls.into_iter().map(move |url| PrefetchDetail {
                url: foreign_text(&format!("{domain}{}", url.url)),
                success: foreign_text(&url.success.unwrap_or_default()),
                description: foreign_text(&url.description),
            })
        });
        rows.collect()
    }
}

/// How a task is with the URLs of one domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DomainDetail {
    /// The task id.
    #[serde(deserialize_with = "text_or_number")]
    pub task_id: Option<String>,
    /// The domain.
    #[serde(deserialize_with = "or_empty")]
    pub domain: String,
    /// `Complete`, `Refreshing` or `Failed`.
    #[serde(deserialize_with = "or_empty")]
    pub status: String,
    /// Percent, as `99.37%`.
    #[serde(deserialize_with = "text_or_number")]
    pub process: Option<String>,
    /// `0` when all is well.
    #[serde(deserialize_with = "text_or_number")]
    pub ret_code: Option<String>,
    /// When the task was made.
    #[serde(deserialize_with = "or_empty")]
    pub creation_time: String,
    /// When it ended; empty before.
    #[serde(deserialize_with = "or_empty")]
    pub end_time: String,
    /// The URLs.
    pub urls: Vec<UrlDetail>,
}

/// How the CDN's nodes are with one URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UrlDetail {
    /// The path.
    #[serde(deserialize_with = "or_empty")]
    pub url: String,
    /// Which part of the nodes has it, as `47%`.
    #[serde(deserialize_with = "text_or_number")]
    pub success: Option<String>,
    /// What became of it.
    #[serde(deserialize_with = "or_empty")]
    pub description: String,
}
