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

/// Where each stands, what it is, and its text.
const ASSETS: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("assets/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("assets/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("assets/page.js")),
];

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
    #[test]
    fn the_page_is_small_and_asks_nobody_else_for_anything() {
        let all: usize = ASSETS.iter().map(|(_, _, text)| text.len()).sum();
        assert!(all <= 60 << 10, "{all} bytes");
        for (path, _, text) in ASSETS {
            for word in
                ["http://", "https://", "innerHTML", "insertAdjacentHTML", "@import", "eval("]
            {
                let allowed = text.matches("http://www.w3.org/2000/svg").count();
                let allowed = if word == "http://" { allowed } else { 0 };
                assert_eq!(text.matches(word).count(), allowed, "{word} in {path}");
            }
        }
    }
}
