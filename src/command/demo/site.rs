//! The demo's web server: static files with the validators a real one sends.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// Returns a server of the files below `root`; `/` and `…/` are their `index.html`.
pub(super) fn router(root: PathBuf) -> Router {
    Router::new().fallback(file).with_state(Arc::new(root))
}

async fn file(State(root): State<Arc<PathBuf>>, uri: Uri, headers: HeaderMap) -> Response {
    let mut path = uri.path().trim_start_matches('/').to_owned();
    if path.is_empty() || path.ends_with('/') {
        path.push_str("index.html");
    }
    if path.split('/').any(|part| part.starts_with('.')) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let full = root.join(path);
    let (Ok(bytes), Ok(metadata)) = (std::fs::read(&full), std::fs::metadata(&full)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag =
        format!("\"{:x}-{:x}.{:x}\"", metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    let kind = "text/html; charset=utf-8".to_owned();
    ([(ETAG, etag), (CONTENT_TYPE, kind)], bytes).into_response()
}
