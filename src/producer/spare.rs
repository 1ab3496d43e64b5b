//! The buffers of batches that are resolved, kept for the next ones: memory that is given back and asked for again costs
//! page faults, and those cost more than what is written into it.
//!
//! Invariants: a buffer is taken up only once nobody else holds it, a socket least of all (KAFKA-19012: records went to
//! another topic); what is kept stays within its bound; a batch gets less than twice what it was granted.

use bytes::{Bytes, BytesMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug)]
pub(crate) struct Spare {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the power of two that is their capacity. Of each size the last that came is the first to go, since it is
    /// still in the processor's caches.
    sizes: [Vec<BytesMut>; SIZES],
    bytes: usize,
}

impl Spare {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// An empty buffer for `bytes`.
    pub(crate) fn take(&self, bytes: usize) -> BytesMut {
        let capacity = bytes.next_power_of_two();
        let Some(size) = size_of(capacity) else {
            return BytesMut::with_capacity(bytes);
        };
        let kept = {
            let mut kept = self.kept();
            let buffer = kept.sizes[size].pop();
            kept.bytes -= buffer.as_ref().map_or(0, BytesMut::capacity);
            buffer
        };
        kept.unwrap_or_else(|| {
            let mut buffer = BytesMut::with_capacity(capacity);
            // Memory that was shared once stays counted, so that freezing it costs no allocation, time and again.
            drop(buffer.split());
            buffer
        })
    }

    /// Keeps the memory of `bytes`, if nobody else holds it.
    pub(crate) fn put(&self, bytes: Bytes) {
        let Ok(mut buffer) = bytes.try_into_mut() else { return };
        buffer.clear();
        let capacity = buffer.capacity();
        let Some(size) = size_of(capacity) else { return };
        let mut kept = self.kept();
        // Sizes follow the load: what nobody takes makes room for what is in use.
        while kept.bytes + capacity > self.bytes_max {
            let others = kept.sizes.iter_mut().enumerate().filter(|(at, _)| *at != size);
            let Some(dropped) = others.rev().find_map(|(_, buffers)| buffers.pop()) else { return };
            kept.bytes -= dropped.capacity();
        }
        kept.bytes += capacity;
        kept.sizes[size].push(buffer);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where buffers of this capacity are kept; `None` if it is no power of two, or none that is worth it.
fn size_of(capacity: usize) -> Option<usize> {
    let size = usize::try_from(capacity.checked_ilog2()?).ok()?;
    (capacity.is_power_of_two() && size < SIZES).then_some(size)
}

/// Up to 64 MiB.
const SIZES: usize = 27;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(capacity: usize) -> Bytes {
        let mut buffer = BytesMut::with_capacity(capacity);
        buffer.extend_from_slice(b"abc");
        buffer.freeze()
    }

    #[test]
    fn memory_comes_back_empty_and_as_large_as_it_was() {
        let spare = Spare::new(10_000);
        let first = bytes(1_024);
        let address = first.as_ptr();
        spare.put(first);
        let again = spare.take(600);
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (address, 0, 1_024));
        assert_eq!(spare.kept().bytes, 0);
    }

    #[test]
    fn what_somebody_else_holds_is_left_alone() {
        let spare = Spare::new(10_000);
        let sent = bytes(1_024);
        spare.put(sent.clone());
        assert_ne!(spare.take(1_024).as_ptr(), sent.as_ptr());
        assert_eq!(&sent[..], b"abc");
    }

    #[test]
    fn a_batch_gets_less_than_twice_what_it_asks_for() {
        let spare = Spare::new(10_000);
        spare.put(bytes(1_024));
        for (asked, capacity) in [(1, 1), (512, 512), (1_025, 2_048), (513, 1_024)] {
            assert_eq!(spare.take(asked).capacity(), capacity, "{asked}");
        }
    }

    #[test]
    fn no_more_is_kept_than_the_bound_and_sizes_follow_the_load() {
        let spare = Spare::new(2_500);
        for _ in 0..3 {
            spare.put(bytes(1_024));
        }
        assert_eq!(spare.kept().bytes, 2_048);
        spare.put(bytes(512));
        assert_eq!(spare.kept().bytes, 1_024 + 512);
        spare.put(bytes(4_096));
        assert!(spare.kept().bytes <= 2_500);
    }
}
