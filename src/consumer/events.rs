//! Task: the events of a consumer, as a stream.

use super::{event::ConsumerEvent, shared::Shared};
use futures_core::Stream;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// What happens to a consumer besides records: a [`Stream`] of [`ConsumerEvent`]s.
///
/// They come in the order in which they happened. Several handles share them: each event is given to one of them. While
/// nobody takes them the last 1 024 are kept. What each means, and what to do, is in the [guide](super::guide).
#[derive(Debug)]
pub struct Events {
    pub(super) shared: Arc<Shared>,
}

impl Events {
    /// The next event; `None` once the consumer is closed and all were given out.
    ///
    /// # Cancel safety
    ///
    /// Safe: an event is given out with the return of this call, or not at all.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// use craftwire::consumer::ConsumerEvent;
    ///
    /// let mut events = consumer.events();
    /// if let Some(ConsumerEvent::Assigned(partitions)) = events.next().await {
    ///     println!("reading {partitions:?}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn next(&mut self) -> Option<ConsumerEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Option<ConsumerEvent>> {
        self.shared.wait_for_events(cx.waker());
        let (event, is_closed) = self.shared.with(|core| (core.take_event(), core.is_closed()));
        match event {
            Some(event) => Poll::Ready(Some(event)),
            None if is_closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Stream for Events {
    type Item = ConsumerEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ConsumerEvent>> {
        self.poll_event(cx)
    }
}
