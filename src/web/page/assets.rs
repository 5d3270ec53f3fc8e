//! The page's own files: they are part of the binary.

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName,
    IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::web::Desks;

/// What each is called, what it is, and its text. The first is the page, which names the others.
const ASSETS: [(&str, &str, &str); 8] = [
    ("", HTML, include_str!("assets/index.html")),
    ("page.css", "text/css; charset=utf-8", include_str!("assets/page.css")),
    ("page.js", SCRIPT, include_str!("assets/page.js")),
    ("data.js", SCRIPT, include_str!("assets/data.js")),
    ("dom.js", SCRIPT, include_str!("assets/dom.js")),
    ("parts.js", SCRIPT, include_str!("assets/parts.js")),
    ("plots.js", SCRIPT, include_str!("assets/plots.js")),
    ("words.js", SCRIPT, include_str!("assets/words.js")),
];
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Returns whether one of the page's own files is at a path.
pub(super) fn is_at(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|name| ASSETS.iter().any(|(known, ..)| *known == name))
}

/// Returns the routes of the page's own files.
pub(super) fn routes() -> Router<Desks> {
    ASSETS.into_iter().fold(Router::new(), |router, (name, kind, text)| {
        router.route(&format!("/{name}"), asset(kind, text))
    })
}

/// Answers with a file, or with 304 where the browser has this very one.
fn asset(kind: &'static str, text: &'static str) -> MethodRouter<Desks> {
    let digest = Sha256::digest(text);
    let tag = digest.iter().take(16).fold(String::new(), |tag, byte| format!("{tag}{byte:02x}"));
    let plain = Form { tag: format!("\"{tag}\""), bytes: Bytes::from_static(text.as_bytes()) };
    let small = Form { tag: format!("\"{tag}-gzip\""), bytes: compressed(text).into() };
    let forms = Arc::new([plain, small]);
    get(
        move |State(_): State<Desks>, headers: HeaderMap| async move { tell(kind, &forms, &headers) },
    )
}

/// A file as it is sent.
struct Form {
    tag: String,
    bytes: Bytes,
}

fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Memory takes all that is written to it.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

fn tell(kind: &'static str, [plain, small]: &[Form; 2], headers: &HeaderMap) -> Response {
    let says = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim() == word)
    };
    let takes_small = says(ACCEPT_ENCODING, "gzip");
    let form = if takes_small { small } else { plain };
    let cached =
        [(ETAG, form.tag.as_str()), (CACHE_CONTROL, "no-cache"), (VARY, "accept-encoding")];
    if says(IF_NONE_MATCH, &form.tag) {
        return (StatusCode::NOT_MODIFIED, cached).into_response();
    }
    let encoded = takes_small.then_some([(CONTENT_ENCODING, "gzip")]);
    (cached, [(CONTENT_TYPE, kind)], encoded.map(AppendHeaders), form.bytes.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget as it is sent: it is loaded over slow lines when something is wrong.
    const BUDGET: usize = 30 << 10;

    #[test]
    fn the_page_is_small_asks_nobody_else_and_takes_no_text_for_markup() {
        let all: usize = ASSETS.iter().map(|(_, _, text)| compressed(text).len()).sum();
        assert!(all <= BUDGET, "{all} bytes");
        for (name, _, text) in ASSETS {
            // Names of XML are no addresses.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in ["http:", "https:", "innerHTML", "outerHTML", "insertAdjacent", "eval("] {
                assert!(!text.contains(word), "{word} in {name}");
            }
        }
        let (_, _, page) = ASSETS[0];
        for (name, ..) in &ASSETS[1..] {
            assert!(page.contains(&format!("=\"{name}\"")), "{name} is loaded with the page");
        }
    }
}
