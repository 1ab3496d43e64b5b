//! Where one frame ends and the next begins, whatever pieces the network hands over.

/// Past this a length is taken for nonsense, as brokers do (socket.request.max.bytes).
const LENGTH_MAX: i32 = 100 << 20;
/// Kind, version, length.
const TLS_HEADER_BYTES: usize = 5;

/// Cuts a stream of bytes into frames, each with its length before it.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    bytes: Vec<u8>,
    /// A length made no sense: what comes is handed on as it comes.
    lost: bool,
}

impl Splitter {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, or TLS record: no frame is so long that it could be taken for one.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let (prefix, rest) = self.bytes.split_first_chunk::<4>()?;
        let announced = i32::from_be_bytes(*prefix);
        let record = is_tls_record(&self.bytes);
        self.lost |= !record && !(0..=LENGTH_MAX).contains(&announced);
        if self.lost {
            return Some(std::mem::take(&mut self.bytes));
        }
        let whole = match record {
            true => TLS_HEADER_BYTES + usize::from(u16::from_be_bytes([prefix[3], *rest.first()?])),
            false => 4 + usize::try_from(announced).unwrap_or(0),
        };
        if self.bytes.len() < whole {
            return None;
        }
        let rest = self.bytes.split_off(whole);
        Some(std::mem::replace(&mut self.bytes, rest))
    }

    /// The piece of a frame that is left when the stream has ended.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// Whether the bytes begin as a record of TLS does: its kind, then its version.
fn is_tls_record(bytes: &[u8]) -> bool {
    matches!(bytes, [0x14..=0x17, 3, ..])
}

/// What every version of every request's header begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) api_key: i16,
    pub(super) api_version: i16,
    pub(super) correlation_id: i32,
}

impl RequestHead {
    /// Of a frame with its length; a TLS record shows none.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        if is_tls_record(frame) {
            return None;
        }
        let (head, _) = frame.get(4..)?.split_first_chunk::<8>()?;
        let [a, b, c, d, rest @ ..] = *head;
        Some(Self {
            api_key: i16::from_be_bytes([a, b]),
            api_version: i16::from_be_bytes([c, d]),
            correlation_id: i32::from_be_bytes(rest),
        })
    }
}

/// Every version of every answer's header begins with it.
pub(super) fn answered_correlation_id(frame: &[u8]) -> Option<i32> {
    if is_tls_record(frame) {
        return None;
    }
    let (id, _) = frame.get(4..)?.split_first_chunk::<4>()?;
    Some(i32::from_be_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&i32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
    }

    #[test]
    fn frames_come_out_whole_whatever_the_pieces() {
        let frames = [frame(b"one"), frame(b""), frame(&[7; 3000])];
        for piece in [1, 2, 3, 5, 4096] {
            let mut splitter = Splitter::default();
            let mut out = Vec::new();
            for piece in frames.concat().chunks(piece) {
                splitter.push(piece);
                out.extend(std::iter::from_fn(|| splitter.pop()));
            }
            assert_eq!(out, frames);
            assert!(splitter.rest().is_empty());
        }
    }

    #[test]
    fn a_cut_tail_is_the_rest_and_nonsense_is_handed_on() {
        let mut splitter = Splitter::default();
        splitter.push(&frame(b"tail")[..6]);
        assert_eq!(splitter.pop(), None);
        assert_eq!(splitter.rest(), &frame(b"tail")[..6]);
        for nonsense in [&b"\xff\xff\xff\xff"[..], b"HTTP/1.1"] {
            let mut splitter = Splitter::default();
            splitter.push(nonsense);
            assert_eq!(splitter.pop().unwrap(), nonsense);
            splitter.push(&frame(b"more"));
            assert_eq!(splitter.pop().unwrap(), frame(b"more"));
        }
    }

    #[test]
    fn tls_records_are_frames_without_a_head() {
        let records =
            [&b"\x16\x03\x01\x00\x02hi"[..], b"\x17\x03\x03\x00\x00", b"\x17\x03\x03\x00\x0ctwelve bytes"];
        for piece in [1, 3, 4096] {
            let mut splitter = Splitter::default();
            let mut out = Vec::new();
            for piece in records.concat().chunks(piece) {
                splitter.push(piece);
                out.extend(std::iter::from_fn(|| splitter.pop()));
            }
            assert_eq!(out, records);
        }
        assert_eq!((RequestHead::of(records[2]), answered_correlation_id(records[2])), (None, None));
    }

    #[test]
    fn heads_are_read_where_they_are() {
        let request = frame(&[0, 18, 0, 4, 0, 0, 1, 2, 9, 9]);
        let head = RequestHead { api_key: 18, api_version: 4, correlation_id: 258 };
        assert_eq!(RequestHead::of(&request), Some(head));
        assert_eq!(RequestHead::of(&request[..11]), None);
        assert_eq!(answered_correlation_id(&frame(&[0, 0, 1, 2])), Some(258));
        assert_eq!(answered_correlation_id(&frame(&[0, 0, 1])), None);
    }
}
