//! A request's body, as much of it as there is room for.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::web::guests::Place;

/// Bodies that are in memory at once, in bytes.
pub(super) const ROOM: usize = 64 << 20;

/// What of a refused request is read and thrown away after the answer, in bytes: who writes all before it
/// reads hears the answer then, and no reset.
const THROWN_AWAY: usize = 32 << 20;

/// How long room for more is waited for, once somebody was shown out for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns whether a body says beforehand that it is longer than allowed.
pub(super) fn is_too_long(body: &Incoming, most: usize) -> bool {
    body.size_hint().lower() > most as u64
}

/// Reads a body of at most `most` bytes within `patience`; returns it with its share of the memory. Where
/// bodies take up all of that, whoever keeps us waiting for longest goes first.
pub(super) async fn read(
    body: &mut Incoming,
    most: usize,
    patience: Duration,
    room: &Arc<Semaphore>,
    place: &Place,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), (StatusCode, &'static str)> {
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "there are too many bodies in memory");
    let share = async |bytes: usize| {
        let bytes = u32::try_from(bytes).map_err(|_| busy)?;
        if let Ok(share) = room.clone().try_acquire_many_owned(bytes) {
            return Ok(share);
        }
        place.outlasts();
        let share = tokio::time::timeout(PATIENCE, room.clone().acquire_many_owned(bytes)).await;
        share.ok().and_then(Result::ok).ok_or(busy)
    };
    let all = async {
        let (mut bytes, mut permit) = (Vec::new(), share(0).await?);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "the body broke off"))?;
            // What is no data is a trailer, which says nothing here.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"));
            }
            permit.merge(share(data.len()).await?);
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, permit))
    };
    let late = Err((StatusCode::REQUEST_TIMEOUT, "the body came too slowly"));
    tokio::time::timeout(patience, all).await.unwrap_or(late)
}

/// Reads a body to its end for nobody; returns whether it had one.
pub(super) async fn throw_away(mut body: Incoming) -> bool {
    let mut left = THROWN_AWAY;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, hyper::body::Bytes::len);
        match left.checked_sub(bytes) {
            Some(less) => left = less,
            None => return false,
        }
    }
    true
}
