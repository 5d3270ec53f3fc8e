//! Who is in the house: so many connections at once, and of one address.
//!
//! Nobody is turned away because the house is full of people who say nothing: of those that were listened to
//! and keep us waiting, the one goes that has been longest without a request that was granted. A proxy's
//! connections are its own; whom it asks for has a share of its requests, and waits for its turn.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The connections there are.
#[derive(Debug)]
pub(super) struct Guests {
    inside: Mutex<Inside>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    /// How many there may be, and how many of one address.
    most: (usize, usize),
    /// Counts what happens: of two numbers the smaller was earlier.
    events: u64,
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    is_proxy: bool,
    /// For whom it asks; of a proxy only while it asks.
    source: Option<IpAddr>,
    /// Since which event it has been without a request that was granted.
    since: u64,
    /// Whether it was listened to, and had nothing more to say.
    keeps_waiting: bool,
    /// Whether its request was proved and isn't answered yet.
    is_served: bool,
    out: CancellationToken,
}

/// The place of one connection, free again once it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    guests: Arc<Guests>,
    number: u64,
    out: CancellationToken,
}

impl Guests {
    /// Makes an empty house, which lets nobody in before it is told how many.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { inside: Mutex::default(), changed: Notify::new() })
    }

    /// Lets so many in from now on, and so many of one address; who is in stays.
    pub(super) fn hold_to(&self, most: usize, most_of_one: usize) {
        self.inside().most = (most, most_of_one);
        self.changed.notify_waiters();
    }

    /// Lets a connection in, as soon as somebody can be shown out for it; a proxy's source is none.
    pub(super) async fn enter(self: &Arc<Self>, source: Option<IpAddr>) -> Place {
        self.once(|| self.try_enter(source)).await
    }

    fn try_enter(self: &Arc<Self>, source: Option<IpAddr>) -> Option<Place> {
        let mut inside = self.inside();
        if source.is_some() && inside.count(source) >= inside.most.1 {
            inside.show_out(|guest| guest.source == source);
            return None;
        }
        if inside.guests.len() >= inside.most.0 {
            inside.show_out(|_| true);
            return None;
        }
        let (number, out) = (inside.event(), CancellationToken::new());
        let guest = Guest {
            is_proxy: source.is_none(),
            source,
            since: number,
            keeps_waiting: false,
            is_served: false,
            out: out.clone(),
        };
        inside.guests.insert(number, guest);
        drop(inside);
        Some(Place { guests: self.clone(), number, out })
    }

    /// Asks again whenever something has changed, until there is an answer.
    async fn once<T>(&self, ask: impl Fn() -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(answer) = ask() {
                return answer;
            }
            changed.await;
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Returns what is cancelled once the connection is shown out.
    pub(super) const fn out(&self) -> &CancellationToken {
        &self.out
    }

    /// Waits until whom a proxy asks for has its turn.
    pub(super) async fn asks_for(&self, source: IpAddr) {
        self.guests.once(|| self.try_ask_for(source)).await;
    }

    fn try_ask_for(&self, source: IpAddr) -> Option<()> {
        let mut inside = self.guests.inside();
        let has_turn = inside.count(Some(source)) < inside.most.1;
        match inside.guests.get_mut(&self.number) {
            Some(guest) if guest.is_proxy && has_turn => guest.source = Some(source),
            Some(guest) if guest.is_proxy => return None,
            _ => {}
        }
        Some(())
    }

    /// Says that the client was listened to, and keeps us waiting.
    pub(super) fn keeps_waiting(&self) {
        let mut inside = self.guests.inside();
        let guest = inside.guests.get_mut(&self.number).filter(|guest| !guest.keeps_waiting);
        if let Some(guest) = guest {
            guest.keeps_waiting = true;
            drop(inside);
            self.guests.changed.notify_waiters();
        }
    }

    /// Shows somebody else out for what it holds.
    pub(super) fn outlasts(&self) {
        let inside = self.guests.inside();
        let own = inside.guests.get(&self.number).map(|guest| guest.since);
        inside.show_out(|guest| Some(guest.since) != own);
    }

    /// Says that the request was proved to be its sender's: it isn't shown out before it is
    /// [answered](Self::is_answered).
    pub(super) fn is_served(&self) {
        self.change(|guest, _| guest.is_served = true);
    }

    /// Says that the request was answered, and whether it was granted.
    pub(super) fn is_answered(&self, granted: bool) {
        self.change(|guest, now| {
            guest.is_served = false;
            if granted {
                guest.since = now;
            }
            if guest.is_proxy {
                guest.source = None;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Guest, u64)) {
        let mut inside = self.guests.inside();
        let now = inside.event();
        if let Some(guest) = inside.guests.get_mut(&self.number) {
            change(guest, now);
        }
        drop(inside);
        self.guests.changed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.inside().guests.remove(&self.number);
        self.guests.changed.notify_waiters();
    }
}

impl Inside {
    const fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn count(&self, source: Option<IpAddr>) -> usize {
        self.guests.values().filter(|guest| guest.source == source).count()
    }

    /// Shows out whoever of these keeps us waiting and has been longest without a request that was
    /// granted, unless one of them is on its way out: its place is free once it has left.
    fn show_out(&self, is_one: impl Fn(&Guest) -> bool) {
        if self.guests.values().any(|guest| guest.out.is_cancelled() && is_one(guest)) {
            return;
        }
        let may_go = |guest: &&Guest| guest.keeps_waiting && !guest.is_served && is_one(guest);
        let last = self.guests.values().filter(may_go).min_by_key(|guest| guest.since);
        if let Some(guest) = last {
            guest.out.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn enter(guests: &Arc<Guests>, last: u8) -> Option<Place> {
        guests.try_enter(Some(IpAddr::from([192, 0, 2, last])))
    }

    fn is_out(place: &Place) -> bool {
        place.out().is_cancelled()
    }

    #[test]
    fn who_waited_longest_is_shown_out_of_a_full_house() {
        let guests = Guests::new();
        guests.hold_to(3, 3);
        let enter = |last| enter(&guests, last);
        let [asked, silent, served] = [1, 2, 3].map(|last| enter(last).expect("a place"));
        assert!(enter(4).is_none() && ![&asked, &silent, &served].into_iter().any(is_out));
        [&asked, &silent, &served].into_iter().for_each(Place::keeps_waiting);
        asked.is_answered(true);
        assert!(enter(4).is_none() && enter(4).is_none(), "its place is free once it has left");
        assert!(is_out(&silent) && ![&asked, &served].into_iter().any(is_out));
        drop(silent);
        let fourth = enter(4).expect("a place");
        served.is_served();
        assert!(enter(5).is_none() && is_out(&asked) && !is_out(&served), "who is served stays");
        drop(asked);
        let _fifth = enter(5).expect("a place");
        served.is_answered(false);
        fourth.keeps_waiting();
        fourth.outlasts();
        assert!(is_out(&served) && !is_out(&fourth), "what was refused counts for nothing");
    }

    #[test]
    fn one_address_has_its_share_and_loses_its_own() {
        let guests = Guests::new();
        guests.hold_to(10, 2);
        let other = enter(&guests, 9).expect("a place");
        let [first, second] = [1; 2].map(|last| enter(&guests, last).expect("a place"));
        [&other, &first, &second].into_iter().for_each(Place::keeps_waiting);
        assert!(enter(&guests, 1).is_none() && is_out(&first));
        assert!(!is_out(&second) && !is_out(&other));
        drop(first);
        let _third = enter(&guests, 1).expect("a place");
    }

    #[tokio::test]
    async fn behind_a_proxy_whom_it_asks_for_waits_for_its_turn() {
        let guests = Guests::new();
        guests.hold_to(10, 2);
        let [first, second, third] =
            [None; 3].map(|none| guests.try_enter(none).expect("any number of a proxy"));
        [&first, &second, &third].into_iter().for_each(Place::keeps_waiting);
        assert_eq!(first.try_ask_for(ONE).and(second.try_ask_for(ONE)), Some(()));
        assert_eq!(third.try_ask_for(ONE), None);
        assert_eq!(third.try_ask_for(IpAddr::from([192, 0, 2, 2])), Some(()), "another");
        third.is_answered(true);
        let turn = async { third.asks_for(ONE).await };
        let answer = async { first.is_answered(true) };
        tokio::join!(turn, answer);
        assert!(![&first, &second, &third].into_iter().any(is_out));
        let direct = enter(&guests, 2).expect("a place");
        assert_eq!(direct.try_ask_for(ONE), Some(()), "who comes by itself has its place already");
    }
}
