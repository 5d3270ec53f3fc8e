//! `GET events`: the status, at once and whenever it changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use tokio::sync::Mutex;

use crate::web::{Desk, status};

/// The status is made at most so often, for all listeners together.
const PACE: Duration = Duration::from_secs(1);
/// A comment says so often that the stream lives: proxies close what is quiet for a minute.
const ALIVE: Duration = Duration::from_secs(15);

/// The status that listeners share: whoever needs it first makes it for all, and nobody else does.
#[derive(Clone, Debug, Default)]
pub struct Events {
    made: Arc<Mutex<Option<Made>>>,
}

/// A status, and the time since boot when it was made.
#[derive(Clone, Debug)]
struct Made {
    at: Duration,
    text: Arc<str>,
}

impl Events {
    /// Returns the status as JSON, no older than a second; none when it can't be had now.
    async fn status(&self, desk: &Desk) -> Option<Arc<str>> {
        let mut made = self.made.lock().await;
        if let Some(made) = made.as_ref().filter(|made| desk.clock.boot() < made.at + PACE) {
            return Some(made.text.clone());
        }
        let status = status::status(desk).await.ok()?;
        let text: Arc<str> = serde_json::to_string(&status).ok()?.into();
        *made = Some(Made { at: desk.clock.boot(), text: text.clone() });
        Some(text)
    }
}

/// Tells the status at once and whenever it changed, once a second at most: `event: status`, with what
/// `GET status` answers as data.
#[utoipa::path(
    get, path = "/events", tag = "looking",
    responses((status = 200, body = String, content_type = "text/event-stream"))
)]
pub(super) async fn answer(
    State(desk): State<Desk>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let news = unfold((desk, None, false), |(desk, last, begun)| async move {
        let mut is_next = begun;
        loop {
            if is_next {
                tokio::select! {
                    () = desk.stopping.cancelled() => return None,
                    () = desk.clock.sleep(PACE) => {}
                }
            }
            is_next = true;
            let now = desk.events.status(&desk).await;
            if let Some(text) = now.filter(|text| last.as_ref() != Some(text)) {
                let event = Event::default().event("status").data(&*text);
                return Some((Ok(event), (desk, Some(text), true)));
            }
        }
    });
    Sse::new(news).keep_alive(KeepAlive::new().interval(ALIVE))
}
