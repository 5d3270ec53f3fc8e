//! The body of a refused call, as JSON or XML (API reference 2.1).

use serde::{Deserialize, Serialize};

use super::parse_json;
use super::reply::or_empty;

/// What the CDN says of a call it refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ErrorBody {
    /// The CDN's request id.
    #[serde(default, deserialize_with = "or_empty")]
    pub request_id: String,
    /// The host that was asked.
    #[serde(default, deserialize_with = "or_empty")]
    pub host_id: String,
    /// The code that verdicts go by; never empty in a parsed body.
    #[serde(deserialize_with = "or_empty")]
    pub code: String,
    /// For people.
    #[serde(default, deserialize_with = "or_empty")]
    pub message: String,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommend: Option<String>,
}

impl ErrorBody {
    /// Reads a body, whatever its content type claims; nothing when it holds no code.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        parse_json::<Self>(body)
            .or_else(|| Self::parse_xml(std::str::from_utf8(body).ok()?))
            .filter(|error| !error.code.is_empty())
    }

    /// Reads the four children wherever they stand: the root is `Error` or `<Operation>Response`.
    /// An XHTML page is no error body, whatever elements it may hold.
    fn parse_xml(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if !text.starts_with('<') || text.contains("<html") || text.contains("<HTML") {
            return None;
        }
        let child = |name: &str| xml_child(text, name).unwrap_or_default();
        Some(Self {
            request_id: child("RequestId"),
            host_id: child("HostId"),
            code: xml_child(text, "Code")?,
            message: child("Message"),
            recommend: xml_child(text, "Recommend"),
        })
    }
}

const ENTITIES: [(&str, &str); 5] =
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];

fn xml_child(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let inner = inner.trim();
    let inner = inner
        .strip_prefix("<![CDATA[")
        .and_then(|data| data.strip_suffix("]]>"))
        .map_or_else(|| xml_unescape(inner), str::to_owned);
    Some(inner)
}

/// `&amp;` comes last, so that `&amp;lt;` reads as `&lt;`.
fn xml_unescape(text: &str) -> String {
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}
