//! The page's own files: they are part of the binary.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use sha2::{Digest as _, Sha256};

use crate::web::Desk;

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
pub(super) fn routes() -> Router<Desk> {
    ASSETS
        .into_iter()
        .fold(Router::new(), |router, (path, kind, text)| router.route(path, asset(kind, text)))
}

/// Answers with a file, or with 304 where the browser has this very one.
fn asset(kind: &'static str, text: &'static str) -> MethodRouter<Desk> {
    let digest = Sha256::digest(text);
    let tag = digest.iter().take(16).fold("\"".to_owned(), |tag, byte| format!("{tag}{byte:02x}"));
    let tag: Arc<str> = format!("{tag}\"").into();
    get(
        move |State(_): State<Desk>, headers: HeaderMap| async move { tell(kind, text, &tag, &headers) },
    )
}

fn tell(kind: &'static str, text: &'static str, tag: &str, headers: &HeaderMap) -> Response {
    // A proxy that compresses makes the tag a weak one.
    let has = |value: &str| value.split(',').any(|had| had.trim().trim_start_matches("W/") == tag);
    let has_it = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(has);
    let cached = [(ETAG, tag), (CACHE_CONTROL, "no-cache")];
    if has_it {
        return (StatusCode::NOT_MODIFIED, cached).into_response();
    }
    (cached, [(CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget: it is loaded over slow lines when something is wrong.
    const BUDGET: usize = 60 << 10;

    #[test]
    fn the_page_is_small_asks_nobody_else_and_takes_no_text_for_markup() {
        let all: usize = ASSETS.iter().map(|(_, _, text)| text.len()).sum();
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
