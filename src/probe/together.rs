//! Several questions at once, within one task.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// Something that is being asked.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Waits for all of a few futures beside each other, and returns what they came to, in their order. They end
/// with whoever waits.
pub async fn all<T: Unpin>(asking: Vec<Asking<'_, T>>) -> Vec<T> {
    let mut open: Vec<(Option<Asking<'_, T>>, Option<T>)> =
        asking.into_iter().map(|one| (Some(one), None)).collect();
    std::future::poll_fn(|context| {
        for (asking, answer) in &mut open {
            if let Some(one) = asking
                && let Poll::Ready(told) = one.as_mut().poll(context)
            {
                (*asking, *answer) = (None, Some(told));
            }
        }
        if open.iter().any(|(asking, _)| asking.is_some()) {
            return Poll::Pending;
        }
        Poll::Ready(open.iter_mut().filter_map(|(_, answer)| answer.take()).collect())
    })
    .await
}
