//! `GET events`: the status, at once and whenever it changed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::SharedClock;
use crate::journal::JournalError;
use crate::web::wishes::Refused;
use crate::web::{Desk, Desks, status};

/// The status is made at most so often, for all listeners together.
const PACE: Duration = Duration::from_secs(1);
/// A comment says so often that the stream lives: proxies close what is quiet for a minute.
const ALIVE: Duration = Duration::from_secs(15);
/// So many listen at once: some tabs of each person who looks after sites.
const SEATS: usize = 32;

/// The status that listeners share: whoever needs it first makes it for all, and nobody else does.
#[derive(Clone, Debug, Default)]
pub struct Events {
    made: Arc<Mutex<Option<Made>>>,
    /// Of the listeners, each cancelled once it left; who listens longest comes first.
    seats: Arc<Lock<VecDeque<CancellationToken>>>,
}

/// A status, and the time since boot when it was made.
#[derive(Clone, Debug)]
struct Made {
    at: Duration,
    text: Arc<str>,
}

impl Events {
    /// Returns the status as JSON, no older than a second.
    pub(super) async fn recent(&self, desk: &Desk) -> Result<Arc<str>, JournalError> {
        self.made(desk, PACE).await
    }

    /// Returns the status as JSON as it is now, and keeps it for the others.
    pub(super) async fn newest(&self, desk: &Desk) -> Result<Arc<str>, JournalError> {
        self.made(desk, Duration::ZERO).await
    }

    /// Gives a listener a seat: when none is free, that of who listens longest.
    fn seat(&self) -> CancellationToken {
        let seat = CancellationToken::new();
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|seat| !seat.is_cancelled());
        if seats.len() >= SEATS
            && let Some(longest) = seats.pop_front()
        {
            longest.cancel();
        }
        seats.push_back(seat.clone());
        seat
    }

    async fn made(&self, desk: &Desk, age: Duration) -> Result<Arc<str>, JournalError> {
        let mut made = self.made.lock().await;
        if let Some(made) = made.as_ref().filter(|made| desk.clock.boot() < made.at + age) {
            return Ok(made.text.clone());
        }
        let status = status::status(desk).await?;
        let text = serde_json::to_string(&status);
        let text: Arc<str> =
            text.map_err(|error| JournalError::Inconsistent(error.to_string()))?.into();
        *made = Some(Made { at: desk.clock.boot(), text: text.clone() });
        Ok(text)
    }
}

/// What a listener was told, and what it needs to be told more.
struct Listener {
    desks: Desks,
    clock: SharedClock,
    stopping: CancellationToken,
    told: Option<(&'static str, Arc<str>)>,
    seat: CancellationToken,
    _leaves: DropGuard,
}

impl Listener {
    /// Returns what there is to tell now, by the configuration in force; none when it was told.
    async fn news(&mut self) -> Option<Event> {
        let desk = self.desks.0.borrow().clone();
        let now = match desk.events.recent(&desk).await {
            Ok(status) => ("status", status),
            Err(error) => {
                let problems = Refused { problems: vec![error.to_string()] };
                ("problem", serde_json::to_string(&problems).ok()?.into())
            }
        };
        if self.told.as_ref() == Some(&now) {
            return None;
        }
        let event = Event::default().event(now.0).data(&*now.1);
        self.told = Some(now);
        Some(event)
    }
}

/// Tells the status at once and whenever it changed, once a second at most: `event: status`, with what
/// `GET status` answers as data. While it can't be read, `event: problem` says why, once. 32 listen at a
/// time: another one takes the place of who listens longest.
#[utoipa::path(
    get, path = "/events", tag = "looking",
    responses((status = 200, body = String, content_type = "text/event-stream"))
)]
pub(super) async fn answer(
    State(desks): State<Desks>,
    State(desk): State<Desk>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let seat = desk.events.seat();
    let (clock, stopping) = (desk.clock.clone(), desk.stopping.clone());
    let listener =
        Listener { desks, clock, stopping, told: None, _leaves: seat.clone().drop_guard(), seat };
    let news = unfold((listener, false), |(mut listener, begun)| async move {
        let mut is_next = begun;
        loop {
            if is_next {
                tokio::select! {
                    () = listener.stopping.cancelled() => return None,
                    () = listener.seat.cancelled() => return None,
                    () = listener.clock.sleep(PACE) => {}
                }
            }
            is_next = true;
            if let Some(event) = listener.news().await {
                return Some((Ok(event), (listener, true)));
            }
        }
    });
    Sse::new(news).keep_alive(KeepAlive::new().interval(ALIVE))
}
