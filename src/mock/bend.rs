//! What a hook does to the bytes of an answer, and to the connection after it.

use bytes::{Bytes, BytesMut};
use std::fmt;
use std::sync::Arc;

/// How a connection ends after an answer that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It is closed in good order (FIN).
    Close,
    /// It is reset (RST); in memory this is the same as a close.
    Reset,
    /// It stays open, and nothing is ever written to it again.
    Silence,
}

/// A function that a test gave; equal to itself only.
pub(crate) struct Callback<F: ?Sized>(pub(crate) Arc<F>);

/// A change of the cluster that a hook makes.
pub(crate) type Effect = Callback<dyn Fn(&super::MockCluster) + Send + Sync>;
/// A change of an answer's body.
pub(crate) type Rewrite = Callback<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

impl<F: ?Sized> Clone for Callback<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: ?Sized> PartialEq for Callback<F> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<F: ?Sized> Eq for Callback<F> {}

impl<F: ?Sized> fmt::Debug for Callback<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

/// What is done to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bend {
    /// Only its first bytes are written, then the connection ends.
    Cut(usize, Ending),
    /// It answers a request that was never made.
    Misname,
    Double,
    /// Another answer comes first, to nobody.
    Precede,
    /// It comes after the answer to the next request.
    Swap,
    Rewrite(Rewrite),
}

/// The frame under another correlation id, which is `by` further on.
pub(crate) fn misnamed(frame: &Bytes, by: i32) -> Bytes {
    let mut out = BytesMut::from(&frame[..]);
    if let Some(id) = out.get_mut(CORRELATION_ID_AT..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *id = i32::from_be_bytes(*id).wrapping_add(by).to_be_bytes();
    }
    out.freeze()
}

/// Two frames in a row.
pub(crate) fn joined(first: &[u8], second: &[u8]) -> Bytes {
    [first, second].concat().into()
}

const CORRELATION_ID_AT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_misnamed_and_otherwise_left_as_it_is() {
        let frame = Bytes::from_static(&[0, 0, 0, 5, 0, 0, 0, 7, 42]);
        assert_eq!(misnamed(&frame, 1), &[0, 0, 0, 5, 0, 0, 0, 8, 42][..]);
        assert_eq!(misnamed(&Bytes::from_static(&[1, 2]), 1), &[1, 2][..]);
    }
}
