//! The builder of a hook, and the handle that it leaves behind.

use super::MockCluster;
use super::api::Api;
use super::bend::{Bend, Callback, Ending};
use super::cluster::Shared;
use super::hooks::{Action, Call, Condition, Rule, When};
use crate::error::ErrorCode;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Chooses requests, then says what becomes of them; made by [`MockCluster::on`](super::MockCluster::on).
///
/// It applies to the next request that fits, once, unless [`skip`](Self::skip), [`times`](Self::times) or
/// [`always`](Self::always) say otherwise. The last call of the chain (`fail`, `delay` …) sets the hook; hooks are
/// tried in the order in which they were set, and the first that fits is the only one that acts.
#[must_use = "nothing is hooked until the last call says what to do"]
pub struct On<'a> {
    shared: &'a Arc<Shared>,
    api: Api,
    broker: Option<i32>,
    about: Option<(String, i32)>,
    condition: Option<Condition>,
    skip: u64,
    left: Option<u64>,
}

impl<'a> On<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, api: Api) -> Self {
        Self { shared, api, broker: None, about: None, condition: None, skip: 0, left: Some(1) }
    }

    /// Only requests to this broker.
    pub const fn broker(mut self, id: i32) -> Self {
        self.broker = Some(id);
        self
    }

    /// Only requests that are about this partition: Produce, Fetch (what its session holds counts), ListOffsets and
    /// OffsetCommit.
    pub fn partition(mut self, topic: &str, partition: i32) -> Self {
        self.about = Some((topic.to_owned(), partition));
        self
    }

    /// Only requests for which `condition` holds.
    ///
    /// It is called with the cluster locked: it must not call the mock, and should not take long.
    pub fn when(mut self, condition: impl Fn(&Call) -> bool + Send + 'static) -> Self {
        self.condition = Some(Box::new(condition));
        self
    }

    /// Lets the first `count` requests that fit pass.
    pub const fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Applies `count` times, then no more. Default: 1.
    pub const fn times(mut self, count: u64) -> Self {
        self.left = Some(count);
        self
    }

    /// Applies until it is removed.
    pub const fn always(mut self) -> Self {
        self.left = None;
        self
    }

    /// Answers with `code` wherever the answer has room for one; the request does not take effect.
    pub fn fail(self, code: ErrorCode) -> Hooked {
        self.set(None, Action::Fail(code, When::Before))
    }

    /// Answers with `code` after the request took effect.
    pub fn fail_after(self, code: ErrorCode) -> Hooked {
        self.set(None, Action::Fail(code, When::After))
    }

    /// Answers for one partition with `code`; that part of the request does not take effect.
    ///
    /// This is for Produce, Fetch, ListOffsets, OffsetCommit and OffsetFetch, and for Metadata, where partition -1 stands
    /// for the topic. The count is that of the partition's turns.
    pub fn fail_partition(self, topic: &str, partition: i32, code: ErrorCode) -> Hooked {
        self.set(Some((topic.to_owned(), partition)), Action::Fail(code, When::Before))
    }

    /// Answers for one partition with `code` after that part of the request took effect.
    pub fn fail_partition_after(self, topic: &str, partition: i32, code: ErrorCode) -> Hooked {
        self.set(Some((topic.to_owned(), partition)), Action::Fail(code, When::After))
    }

    /// Answers with these bytes in place of the answer's body; the request does not take effect.
    pub fn answer(self, body: impl Into<Bytes>) -> Hooked {
        self.set(None, Action::Answer(body.into()))
    }

    /// Holds the answer back; the request takes effect at once.
    pub fn delay(self, by: Duration) -> Hooked {
        self.set(None, Action::Delay(by, When::After))
    }

    /// Holds the request back before it takes effect.
    pub fn delay_before(self, by: Duration) -> Hooked {
        self.set(None, Action::Delay(by, When::Before))
    }

    /// Tells the client to keep quiet for so many milliseconds, in any answer that has room for that.
    ///
    /// The request takes effect, and the mock does not mute the connection, as a broker would: any number can be told.
    /// [`MockCluster::set_quota`](super::MockCluster::set_quota) does both.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use craftwire::mock::{Api, MockCluster};
    ///
    /// let mock = MockCluster::builder().start_in_memory()?;
    /// mock.on(Api::Fetch).times(3).throttle(i32::MAX);
    /// # Ok(()) }
    /// ```
    pub fn throttle(self, throttle_time_ms: i32) -> Hooked {
        self.set(None, Action::Throttle(throttle_time_ms))
    }

    /// Drops the request: the connection stays open, but nothing on it is answered from here on.
    pub fn drop_before(self) -> Hooked {
        self.set(None, Action::Silence(When::Before))
    }

    /// Drops the answer after the request took effect: the connection stays open, but nothing on it is answered
    /// from here on.
    pub fn drop_after(self) -> Hooked {
        self.set(None, Action::Silence(When::After))
    }

    /// Closes the connection; the request does not take effect.
    pub fn disconnect_before(self) -> Hooked {
        self.set(None, Action::Disconnect(When::Before))
    }

    /// Closes the connection in place of the answer, after the request took effect.
    pub fn disconnect_after(self) -> Hooked {
        self.set(None, Action::Disconnect(When::After))
    }

    /// Resets the connection (RST); the request does not take effect. In memory this is a close.
    pub fn reset_before(self) -> Hooked {
        self.set(None, Action::Reset(When::Before))
    }

    /// Resets the connection (RST) in place of the answer, after the request took effect. In memory this is a close.
    pub fn reset_after(self) -> Hooked {
        self.set(None, Action::Reset(When::After))
    }

    /// Writes only the first `bytes` of the answer, its length prefix counted, then ends the connection so.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use craftwire::mock::{Api, Ending, MockCluster};
    ///
    /// let mock = MockCluster::builder().start_in_memory()?;
    /// // Every answer to Produce is cut one byte further on.
    /// for bytes in 0..100 {
    ///     mock.on(Api::Produce).cut(bytes, Ending::Close);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn cut(self, bytes: usize, ending: Ending) -> Hooked {
        self.set(None, Action::Bend(Bend::Cut(bytes, ending)))
    }

    /// Answers under the correlation id of another request.
    pub fn misname(self) -> Hooked {
        self.set(None, Action::Bend(Bend::Misname))
    }

    /// Answers twice.
    pub fn answer_twice(self) -> Hooked {
        self.set(None, Action::Bend(Bend::Double))
    }

    /// Answers a request that was never made, then this one.
    pub fn answer_nobody_first(self) -> Hooked {
        self.set(None, Action::Bend(Bend::Precede))
    }

    /// Answers this request after the next one on its connection. Where no next one comes it stays without an answer.
    pub fn swap_with_next(self) -> Hooked {
        self.set(None, Action::Bend(Bend::Swap))
    }

    /// Answers with what `rewrite` makes of the answer's body, after the request took effect.
    ///
    /// It is called with the cluster locked: it must not call the mock.
    pub fn rewrite(self, rewrite: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Hooked {
        self.set(None, Action::Bend(Bend::Rewrite(Callback(Arc::new(rewrite)))))
    }

    /// Changes the cluster first, then serves the request as usual.
    ///
    /// The closure gets a handle; one of its own would keep the cluster alive for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use craftwire::mock::{Api, MockCluster};
    /// use std::time::Duration;
    ///
    /// let mock = MockCluster::builder().brokers(3).topic("orders", 1).start_in_memory()?;
    /// // The third Produce meets a leader that has just moved; the one after that kills the new one.
    /// mock.on(Api::Produce).skip(2).then(|mock| {
    ///     let _ = mock.move_leader("orders", 0, 2);
    /// });
    /// mock.on(Api::Produce).skip(2).broker(2).then_after(|mock| mock.kill_broker(2));
    /// # Ok(()) }
    /// ```
    pub fn then(self, effect: impl Fn(&MockCluster) + Send + Sync + 'static) -> Hooked {
        self.set(None, Action::Run(Callback(Arc::new(effect)), When::Before))
    }

    /// Serves the request, then changes the cluster, then answers, if the connection is still there.
    pub fn then_after(self, effect: impl Fn(&MockCluster) + Send + Sync + 'static) -> Hooked {
        self.set(None, Action::Run(Callback(Arc::new(effect)), When::After))
    }

    fn set(self, partition: Option<(String, i32)>, action: Action) -> Hooked {
        let rule = Rule {
            id: 0,
            api: self.api,
            broker: self.broker,
            partition,
            about: self.about,
            condition: self.condition,
            skip: self.skip,
            left: self.left,
            hits: 0,
            action,
        };
        let id = self.shared.with_core(|core| core.hooks.add(rule));
        Hooked { shared: Arc::clone(self.shared), id }
    }
}

impl fmt::Debug for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("On").field("api", &self.api).field("broker", &self.broker).finish_non_exhaustive()
    }
}

/// A hook that is set. Dropping it leaves the hook in place.
#[derive(Debug, Clone)]
pub struct Hooked {
    shared: Arc<Shared>,
    id: u64,
}

impl Hooked {
    /// How often it has acted.
    pub fn hits(&self) -> u64 {
        self.shared.with_core(|core| core.hooks.hits(self.id))
    }

    /// Takes it away; what it holds back already stays held back.
    pub fn remove(self) {
        self.shared.with_core(|core| core.hooks.remove(self.id));
    }
}
