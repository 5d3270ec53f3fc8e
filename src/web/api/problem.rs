//! What is answered when something is wrong: a status, and a sentence for each problem.

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::journal::JournalError;
use crate::store::StoreError;
use crate::web::wishes::Refused;

/// Why a request is not answered as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: StatusCode,
    problems: Vec<String>,
}

impl Problem {
    /// Makes a 400: the request names what it can't.
    pub(super) fn bad(problem: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, problem)
    }

    /// Makes a 400 of several sentences.
    pub(super) fn all_bad(problems: Vec<String>) -> Self {
        Self { code: StatusCode::BAD_REQUEST, problems }
    }

    /// Makes a 404.
    pub(super) fn unknown(problem: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, problem)
    }

    /// Makes an answer of one sentence.
    pub(super) fn new(code: StatusCode, problem: impl Into<String>) -> Self {
        Self { code, problems: vec![problem.into()] }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.code, Json(Refused { problems: self.problems })).into_response()
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

/// Answers what is asked for at a path that is none.
pub(super) async fn unknown_path(uri: Uri) -> Problem {
    let path = uri.path();
    Problem::unknown(format!("there is nothing at `/api/v1{path}`; see /api/v1/openapi.json"))
}

/// Answers a method that a path does not take.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path = uri.path();
    let problem = format!("`/api/v1{path}` does not take {method}; see /api/v1/openapi.json");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, problem)
}
