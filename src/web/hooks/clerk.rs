//! The clerk writes deliveries down: whatever came while it wrote is the next transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::Force;
use super::quiet::Quiet;
use crate::domain::names::OriginName;
use crate::store::{Delivered, Delivery, Store, StoreError};

/// The most deliveries of one transaction.
const MOST: usize = 256;
/// The most bytes of bodies of one transaction, but for the last.
const MOST_BYTES: usize = 32 << 20;

/// A delivery on its way to the inbox.
pub(super) struct Letter {
    /// What is written down.
    pub delivery: Delivery,
    /// Its share of the memory for bodies.
    pub room: OwnedSemaphorePermit,
    /// Where it is told what became of it; nothing is told if it couldn't be written.
    pub answer: oneshot::Sender<Delivered>,
}

/// Writes down what comes until nobody can send any more, and wakes whom it concerns. A failure that
/// doesn't pass by itself is its end.
pub(super) async fn write_down(
    store: Store,
    mut letters: mpsc::Receiver<Letter>,
    force: watch::Receiver<Force>,
    quiet: Arc<Quiet>,
) -> Result<(), StoreError> {
    while let Some(letter) = letters.recv().await {
        let mut bytes = letter.delivery.body.len();
        let mut batch = vec![letter];
        while batch.len() < MOST
            && bytes < MOST_BYTES
            && let Ok(letter) = letters.try_recv()
        {
            bytes += letter.delivery.body.len();
            batch.push(letter);
        }
        let (mut deliveries, mut answers, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        for Letter { delivery, room, answer } in batch {
            deliveries.push(delivery);
            answers.push(answer);
            rooms.push(room);
        }
        let pushes = deliveries.iter().flat_map(|delivery| &delivery.pushes);
        let concerned: BTreeSet<OriginName> = pushes.map(|(origin, _)| origin.clone()).collect();
        let written = store.receive(deliveries).await;
        drop(rooms);
        match written {
            Ok(delivered) => {
                for (answer, delivered) in answers.into_iter().zip(delivered) {
                    // Whoever asked may have gone; the delivery is there all the same.
                    let _ = answer.send(delivered);
                }
                let terms = force.borrow().terms.clone();
                for wake in concerned.iter().filter_map(|origin| terms.wakes.get(origin)) {
                    wake.notify_one();
                }
            }
            Err(error) => {
                if let Some(silent) = quiet.may_speak("", "unwritten") {
                    tracing::error!(
                        silent,
                        "deliveries can't be written down, and their senders are told to come again: {error}"
                    );
                }
                if !matches!(&error, StoreError::Database(error) if error.may_pass()) {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
