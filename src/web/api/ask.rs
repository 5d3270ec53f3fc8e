//! What a request names: its path, its parameters, its body; each refusal names what is wrong.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::problem::Problem;
use crate::domain::ask::Kind;
use crate::domain::intent::{Action, IntentId, Wait};
use crate::journal::browse::{OUTCOMES, StateWord};

/// The most and the usual number of items in one answer.
pub(super) const MOST: usize = 500;
const USUAL: usize = 100;

/// The parameters behind the `?`.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        asked.map(|Query(asked)| Self(asked)).map_err(|wrong| Problem::bad(wrong.body_text()))
    }
}

/// The body.
pub(super) struct Told<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Told<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let told: Result<axum::Json<T>, JsonRejection> =
            axum::Json::from_request(request, state).await;
        told.map(|axum::Json(told)| Self(told)).map_err(|wrong| {
            let code = match wrong.status() {
                StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            Problem::new(code, wrong.body_text())
        })
    }
}

/// The name in the path.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        named.map(|Path(name)| Self(name)).map_err(|wrong| Problem::bad(wrong.body_text()))
    }
}

impl Named {
    /// Reads the number of an intent.
    pub(super) fn intent(&self) -> Result<IntentId, Problem> {
        let number = self.0.parse().ok().filter(|number| *number > 0);
        number
            .map(IntentId)
            .ok_or_else(|| Problem::bad(format!("`{}` is no number of an intent", shown(&self.0))))
    }
}

/// Cuts and escapes what somebody sent, to be repeated.
pub(super) fn shown(text: &str) -> String {
    crate::domain::path::foreign_text(text)
}

/// Reads how many items are wanted.
pub(super) fn limit(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else {
        return Ok(USUAL);
    };
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| {
        Problem::bad(format!("`limit` is `{}`, not a number from 1 to {MOST}", shown(text)))
    })
}

/// Reads where a list is gone on with: what an answer named as `next`.
pub(super) fn after<T>(
    text: Option<&str>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let problem = || Problem::bad(format!("`after` is `{}`, which no `next` said", shown(text)));
    read(text).map(Some).ok_or_else(problem)
}

/// Reads a word; the refusal names those that there are.
pub(super) fn word<T>(
    key: &str,
    text: Option<&String>,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
) -> Result<Option<T>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let problem =
        || Problem::bad(format!("`{key}` is `{}`; there are {}", shown(text), known.join(", ")));
    parse(text).map(Some).ok_or_else(problem)
}

/// Refuses an empty text.
pub(super) fn filled(key: &str, text: Option<&String>) -> Result<(), Problem> {
    match text {
        Some(text) if text.is_empty() => Err(Problem::bad(format!("`{key}` is empty"))),
        _ => Ok(()),
    }
}

pub(super) fn states() -> [&'static str; 4] {
    StateWord::ALL.map(StateWord::as_str)
}

pub(super) fn waits() -> [&'static str; 8] {
    Wait::ALL.map(Wait::as_str)
}

pub(super) fn kinds() -> [&'static str; 5] {
    Kind::ALL.map(Kind::as_str)
}

pub(super) fn actions() -> [&'static str; 2] {
    [Action::Refresh, Action::Prefetch].map(Action::as_str)
}

/// Describes one of some words.
fn one_of(words: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.to_vec())).build()
}

pub(super) fn state_schema() -> Object {
    one_of(&states())
}

pub(super) fn wait_schema() -> Object {
    one_of(&waits())
}

pub(super) fn outcome_schema() -> Object {
    one_of(&OUTCOMES)
}

pub(super) fn action_schema() -> Object {
    one_of(&actions())
}

pub(super) fn kind_schema() -> Object {
    one_of(&kinds())
}

pub(super) fn limit_schema() -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(MOST)).build()
}

pub(super) fn text_schema() -> Object {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build()
}
