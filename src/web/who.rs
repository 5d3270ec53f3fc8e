//! Who asks, and whether it may change anything: each door says it, and the answers believe the door.

use std::sync::Arc;

use axum::Json;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{FromRequestParts, Request};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use tokio::net::{UnixListener, UnixStream};

use super::wishes::Refused;

/// The uid that a user namespace shows for users it does not know (`user_namespaces(7)`).
pub(super) const NOBODY: u32 = 65_534;

/// The user at the other end of a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::of(stream.io())
    }
}

impl Peer {
    /// Asks the kernel who is at the other end.
    pub(super) fn of(stream: &UnixStream) -> Self {
        Self(stream.peer_cred().ok().map(|peer| peer.uid()))
    }

    /// Returns the user who asks, if that can be told.
    pub(super) const fn uid(self) -> Option<u32> {
        self.0
    }

    /// Names who asks, for the record.
    fn name(self) -> String {
        match self.0 {
            Some(0) => "root".to_owned(),
            Some(uid) if uid != NOBODY => format!("uid {uid}"),
            _ => "an operator".to_owned(),
        }
    }
}

/// What a door found out about who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// May read and change.
    Trusted,
    /// Showed nothing: may read.
    Unknown,
    /// Showed what is not true.
    Refused,
}

/// Who asks. Doors put it among a request's extensions; without it the request is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    name: Arc<str>,
    standing: Standing,
}

impl Who {
    /// Makes somebody who may change things, under the name that the record gets: `root`, `token NAME`.
    #[must_use]
    pub fn trusted(name: &str) -> Self {
        Self { name: name.into(), standing: Standing::Trusted }
    }

    /// Makes somebody who showed nothing.
    #[must_use]
    pub fn anyone() -> Self {
        Self { name: "anyone".into(), standing: Standing::Unknown }
    }

    /// Makes somebody who showed a token that is none.
    #[must_use]
    pub fn refused() -> Self {
        Self { name: "anyone".into(), standing: Standing::Refused }
    }

    /// Returns the name for the record of whoever may change things; else what it is answered.
    pub fn may_change(&self) -> Result<&str, Denied> {
        match self.standing {
            Standing::Trusted => Ok(&self.name),
            Standing::Unknown => Err(Denied::Unauthorized),
            Standing::Refused => Err(Denied::Forbidden),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::anyone))
    }
}

/// The name of somebody who may change things: a handler that takes it is reached by nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changer(pub String);

impl<S: Sync> FromRequestParts<S> for Changer {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Denied> {
        let who = parts.extensions.get::<Who>().cloned().unwrap_or_else(Who::anyone);
        who.may_change().map(|name| Self(name.to_owned()))
    }
}

/// What somebody who may not change things is answered, and no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// 401: a token is needed.
    Unauthorized,
    /// 403: it is not this one.
    Forbidden,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let answer = |code, problem: &str| {
            (code, Json(Refused { problems: vec![problem.to_owned()] })).into_response()
        };
        match self {
            Self::Forbidden => answer(StatusCode::FORBIDDEN, "this token is not accepted"),
            Self::Unauthorized => {
                let problem = "a token is needed: send `Authorization: Bearer TOKEN`";
                let mut response = answer(StatusCode::UNAUTHORIZED, problem);
                let bearer = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
                response
            }
        }
    }
}

/// Says on a unix socket who asks: whoever could open it may change things.
pub(super) async fn by_peer(
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(Who::trusted(&peer.name()));
    next.run(request).await
}
