//! Memory that decompressed batches are written to and read from, used again when they are gone.
//!
//! Invariant: a batch holds at most twice its size, so that a record that is kept for long costs no more than that; the
//! pool keeps at most [`KEPT_MAX`] pieces of at most [`super::SCRATCH_KEPT_BYTES`].

use super::SCRATCH_KEPT_BYTES;
use bytes::Bytes;
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

/// One batch is read while the next is opened; more are kept by callers who hold on to theirs.
const KEPT_MAX: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// Memory that was used before, if there is any. Its length is what of it is set; what it says means nothing.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(super) fn put(&self, memory: Vec<u8>) {
        if memory.capacity() > SCRATCH_KEPT_BYTES {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(memory);
        }
    }
}

/// The first `len` bytes of `memory`, which goes to the pool with the last view of them; or, if they would keep too much
/// memory, a copy of them.
pub(super) fn lend(pool: &Arc<Pool>, memory: Vec<u8>, len: usize) -> Bytes {
    if memory.capacity() / 2 > len {
        let copy = Bytes::copy_from_slice(&memory[..len]);
        pool.put(memory);
        return copy;
    }
    Bytes::from_owner(Lent { memory, len, pool: Arc::clone(pool) })
}

struct Lent {
    memory: Vec<u8>,
    len: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.put(mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_with_the_last_view_and_not_before() {
        let pool = Arc::new(Pool::default());
        let lent = lend(&pool, vec![7; 100], 80);
        let view = lent.slice(10..20);
        drop(lent);
        assert_eq!(pool.take().capacity(), 0);
        assert_eq!(view, [7; 10].as_slice());
        drop(view);
        assert_eq!(pool.take().capacity(), 100);
    }

    #[test]
    fn little_in_much_memory_is_copied() {
        let pool = Arc::new(Pool::default());
        let lent = lend(&pool, vec![7; 100], 49);
        assert_eq!((lent.len(), pool.take().capacity()), (49, 100));
        let half = lend(&pool, vec![7; 100], 50);
        assert_eq!((half.len(), pool.take().capacity()), (50, 0));
    }

    #[test]
    fn the_pool_keeps_a_few_pieces_and_none_too_large() {
        let pool = Arc::new(Pool::default());
        pool.put(Vec::with_capacity(SCRATCH_KEPT_BYTES + 1));
        assert_eq!(pool.take().capacity(), 0);
        for _ in 0..=KEPT_MAX {
            pool.put(Vec::with_capacity(1));
        }
        let taken = (0..=KEPT_MAX).filter(|_| pool.take().capacity() > 0).count();
        assert_eq!(taken, KEPT_MAX);
    }
}
