//! A batch that the broker surely refused, taken apart: in two where it was too large, or without the records at fault
//! (KIP-467).
//!
//! Invariants: every record is in one part or refused, and the parts hold them in their order. Absent: the parts' stamps
//! and their place in the queue, see `settle`.

use super::{
    delivery::{BatchState, Outcome, Run},
    error::NotSent,
};
use crate::{
    error::ErrorCode,
    wire::{
        compression::Decompressor,
        record_batch::{BatchBuilder, RecordParts, RecordRef, SealedBatch, walk},
    },
};
use std::{collections::BTreeMap, str, sync::Arc};

/// What is left of a batch.
#[derive(Debug)]
pub(super) struct Cut {
    /// In the order of their records, none of them empty.
    pub(super) parts: Vec<Part>,
    /// Where each record is now.
    pub(super) runs: Box<[Run]>,
    /// How many records are in no part.
    pub(super) refused: u32,
}

/// A batch to be sealed.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) builder: BatchBuilder,
    pub(super) state: Arc<BatchState>,
}

impl Cut {
    /// Two batches of about half the bytes each; `None` for a batch of one record.
    pub(super) fn in_two(sealed: &SealedBatch, state: &BatchState) -> Option<Self> {
        let last = sealed.record_count.checked_sub(1).filter(|last| *last > 0)?;
        let half = sealed.uncompressed_len / 2;
        let mut rebuilding = Rebuilding::new(state);
        rebuilding.open_part(half);
        each_record(sealed, |index, record| {
            let first_len = rebuilding.parts.first().map_or(0, |part| part.builder.len());
            let is_first_part = rebuilding.parts.len() == 1;
            if is_first_part && index > 0 && (first_len >= half || index == last) {
                rebuilding.open_part(half);
            }
            rebuilding.keep(index, record);
        })?;
        Some(rebuilding.finish())
    }

    /// One batch of the records that `errors` does not name, if any are left; `None` if `errors` names none of the batch.
    pub(super) fn without(
        sealed: &SealedBatch,
        state: &BatchState,
        errors: &[(i32, Option<String>)],
        code: ErrorCode,
        message: Option<&Arc<str>>,
    ) -> Option<Self> {
        let named: BTreeMap<u32, &Option<String>> = errors
            .iter()
            .filter_map(|(index, message)| Some((u32::try_from(*index).ok()?, message)))
            .filter(|(index, _)| *index < sealed.record_count)
            .collect();
        if named.is_empty() {
            return None;
        }
        let mut rebuilding = Rebuilding::new(state);
        each_record(sealed, |index, record| match named.get(&index) {
            Some(own) => {
                let message = own.as_deref().map(Arc::from).or_else(|| message.cloned());
                rebuilding.refuse(index, NotSent::RecordRejected { code, message });
            }
            None => {
                if rebuilding.parts.is_empty() {
                    rebuilding.open_part(sealed.uncompressed_len);
                }
                rebuilding.keep(index, record);
            }
        })?;
        Some(rebuilding.finish())
    }
}

/// A cut under way.
struct Rebuilding<'a> {
    whole: &'a BatchState,
    parts: Vec<Part>,
    runs: Vec<Run>,
    refused: u32,
}

impl<'a> Rebuilding<'a> {
    fn new(whole: &'a BatchState) -> Self {
        Self { whole, parts: Vec::new(), runs: Vec::new(), refused: 0 }
    }

    fn open_part(&mut self, bytes: usize) {
        let builder = BatchBuilder::with_capacity(bytes);
        self.parts.push(Part { builder, state: Arc::new(self.whole.sibling()) });
    }

    /// Appends a record to the last part.
    fn keep(&mut self, index: u32, record: &RecordRef<'_>) {
        let Some(part) = self.parts.last_mut() else { return };
        let at = u32::try_from(part.builder.record_count()).unwrap_or(u32::MAX);
        // What lies behind its neighbour goes on in the neighbour's run.
        if self.runs.last().is_none_or(|run| !Arc::ptr_eq(&run.to, &part.state)) {
            self.runs.push(Run { first: index, to: part.state.clone(), at });
        }
        // The keys were strings when they were written.
        let headers: Vec<_> = record
            .headers()
            .filter_map(Result::ok)
            .filter_map(|(key, value)| Some((str::from_utf8(key).ok()?, value)))
            .collect();
        part.builder.append(&RecordParts {
            key: record.key,
            value: record.value,
            headers: &headers,
            timestamp_ms: record.timestamp_ms,
        });
    }

    fn refuse(&mut self, index: u32, cause: NotSent) {
        let state = Arc::new(self.whole.sibling());
        state.complete(Outcome::NotSent(cause));
        self.runs.push(Run { first: index, to: state, at: 0 });
        self.refused += 1;
    }

    fn finish(self) -> Cut {
        Cut { parts: self.parts, runs: self.runs.into(), refused: self.refused }
    }
}

/// Calls `take` with each record and its index; `None` if the batch cannot be read, which would be this client's fault.
fn each_record(sealed: &SealedBatch, mut take: impl FnMut(u32, &RecordRef<'_>)) -> Option<()> {
    let raw = walk(sealed.bytes.clone()).next()?.ok()?;
    let open = raw.open(sealed.uncompressed_len, &mut Decompressor::default()).ok()?;
    let records: Vec<_> = open.records().collect::<Result<_, _>>().ok()?;
    for (index, record) in (0..).zip(&records) {
        take(index, record);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        compression::{Compression, Compressor},
        record_batch::ProducerStamp,
    };

    type Values = Vec<Vec<u8>>;

    fn whole(sizes: &[usize], codec: Compression) -> SealedBatch {
        let mut builder = BatchBuilder::with_capacity(100);
        for (n, size) in (0..).zip(sizes) {
            let value = vec![n; *size];
            let headers = [("a", Some(&value[..1])), ("a", None)];
            builder.append(&RecordParts {
                key: Some(&[n]),
                value: (*size > 1).then_some(&value),
                headers: &headers,
                timestamp_ms: 1_000 - i64::from(n),
            });
        }
        seal(builder, codec)
    }

    fn seal(builder: BatchBuilder, codec: Compression) -> SealedBatch {
        builder.seal(codec, ProducerStamp::NONE, &mut Compressor::default())
    }

    fn state() -> BatchState {
        BatchState::new("t".into(), 0)
    }

    fn keys(sealed: &SealedBatch) -> Values {
        let mut keys = Vec::new();
        each_record(sealed, |_, record| keys.push(record.key.unwrap().to_vec())).unwrap();
        keys
    }

    fn parts(cut: Cut) -> Vec<Values> {
        cut.parts.into_iter().map(|part| keys(&seal(part.builder, Compression::None))).collect()
    }

    #[test]
    fn two_parts_hold_all_records_in_order_whatever_their_sizes() {
        for (sizes, first) in [
            (&[100, 100, 100, 100][..], 2),
            (&[1_000, 1], 1),
            (&[1, 1_000], 1),
            (&[1, 1, 1_000], 2),
            (&[1_000, 1, 1], 1),
        ] {
            for codec in [Compression::None, Compression::Lz4] {
                let cut = Cut::in_two(&whole(sizes, codec), &state()).unwrap();
                assert_eq!(cut.refused, 0);
                assert_eq!(cut.runs.iter().map(|run| run.at).collect::<Vec<_>>(), [0, 0]);
                assert_eq!(usize::try_from(cut.runs[1].first), Ok(first), "{sizes:?}");
                let parts = parts(cut);
                assert_eq!((parts.len(), parts[0].len()), (2, first), "{sizes:?}");
                assert_eq!(parts.concat(), keys(&whole(sizes, codec)), "{sizes:?}");
            }
        }
    }

    #[test]
    fn one_record_cannot_be_cut() {
        assert!(Cut::in_two(&whole(&[5_000], Compression::None), &state()).is_none());
    }

    #[test]
    fn records_stay_as_they_were() {
        let mut read = Vec::new();
        let cut = Cut::without(
            &whole(&[1, 10, 20], Compression::Snappy),
            &state(),
            &[(0, None)],
            ErrorCode::INVALID_RECORD,
            None,
        );
        let builder = cut.unwrap().parts.remove(0).builder;
        each_record(&seal(builder, Compression::None), |_, record| {
            let headers: Vec<_> =
                record.headers().map(Result::unwrap).map(|(k, v)| (k.to_vec(), v)).collect();
            assert_eq!(headers.len(), 2, "equal header keys are kept");
            assert_eq!(headers[1].1, None);
            read.push((record.timestamp_ms, record.value.map(<[u8]>::len)));
        });
        assert_eq!(read, [(999, Some(10)), (998, Some(20))]);
    }

    #[test]
    fn named_records_are_left_out_and_have_their_outcome() {
        let sealed = whole(&[10; 6], Compression::None);
        let errors = [(4, Some("four".to_owned())), (-1, None), (1, None), (6, None), (4, None)];
        let message: Arc<str> = "all".into();
        let code = ErrorCode::INVALID_RECORD;
        let cut = Cut::without(&sealed, &state(), &errors, code, Some(&message)).unwrap();
        assert_eq!(cut.refused, 2);
        let placed: Vec<_> = cut.runs.iter().map(|run| (run.first, run.at)).collect();
        assert_eq!(placed, [(0, 0), (1, 0), (2, 1), (4, 0), (5, 3)]);
        let refused = |message: &str| NotSent::RecordRejected { code, message: Some(message.into()) };
        assert_eq!(cut.runs[1].to.outcome(), Some(&Outcome::NotSent(refused("all"))));
        assert!(cut.runs[3].to.outcome().is_some());
        assert_eq!(parts(cut), [[0, 2, 3, 5].map(|key| vec![key])]);
    }

    #[test]
    fn names_of_no_record_of_the_batch_name_nothing() {
        let sealed = whole(&[10; 2], Compression::None);
        for errors in [&[][..], &[(-1, None), (2, None), (i32::MAX, None)]] {
            assert!(Cut::without(&sealed, &state(), errors, ErrorCode::INVALID_RECORD, None).is_none());
        }
    }

    #[test]
    fn a_batch_of_refused_records_leaves_no_part() {
        let sealed = whole(&[10; 2], Compression::None);
        let errors = [(0, None), (1, None)];
        let cut = Cut::without(&sealed, &state(), &errors, ErrorCode::INVALID_RECORD, None).unwrap();
        assert_eq!((cut.parts.len(), cut.runs.len(), cut.refused), (0, 2, 2));
    }
}
