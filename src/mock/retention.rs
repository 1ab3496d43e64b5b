//! Which old segments of a log retention takes, by time and by size.
//!
//! Segments are worked out anew at each check from the batches that are there, by `segment.bytes` and `segment.ms` as
//! they are set then; Kafka decides that as it appends. The rest is Kafka's: a segment goes as a whole, the last one
//! too once its time is over, and nothing above the high watermark goes.

use super::log::Log;

/// A topic's configs that decide; -1 stands for no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) retention_ms: i64,
    pub(crate) retention_bytes: i64,
    pub(crate) segment_ms: i64,
    pub(crate) segment_bytes: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// Where the next one begins, or the log ends.
    end_offset: i64,
    bytes: i64,
    first_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl Retention {
    /// Moves the start of the log past all segments that are too old or too many.
    pub(crate) fn apply(&self, log: &mut Log, now_ms: i64) {
        let segments = self.segments(log);
        let replicated = |segment: &&Segment| segment.end_offset <= log.high_watermark();
        let mut start_offset = log.start_offset();
        if self.retention_bytes >= 0 {
            let total: i64 = segments.iter().map(|segment| segment.bytes).sum();
            let mut excess = total.saturating_sub(self.retention_bytes);
            for segment in segments.iter().take_while(replicated) {
                excess -= segment.bytes;
                if excess < 0 {
                    break;
                }
                start_offset = start_offset.max(segment.end_offset);
            }
        }
        if self.retention_ms >= 0 {
            let is_over = |segment: &&Segment| {
                now_ms.saturating_sub(segment.max_timestamp_ms) > self.retention_ms
                    || segment.end_offset <= start_offset
            };
            let over = segments.iter().take_while(replicated).take_while(is_over).last();
            start_offset = over.map_or(start_offset, |segment| start_offset.max(segment.end_offset));
        }
        log.delete_before(start_offset);
    }

    fn segments(&self, log: &Log) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::new();
        for batch in log.batches() {
            let bytes = i64::try_from(batch.bytes.len()).unwrap_or(i64::MAX);
            let timestamp = batch.header.max_timestamp_ms;
            let open = segments.last_mut().filter(|segment| {
                segment.bytes.saturating_add(bytes) <= self.segment_bytes
                    && timestamp.saturating_sub(segment.first_timestamp_ms) <= self.segment_ms
            });
            if let Some(segment) = open {
                segment.bytes += bytes;
                segment.max_timestamp_ms = segment.max_timestamp_ms.max(timestamp);
            } else {
                if let Some(closed) = segments.last_mut() {
                    closed.end_offset = batch.header.base_offset;
                }
                segments.push(Segment {
                    end_offset: log.end_offset(),
                    bytes,
                    first_timestamp_ms: timestamp,
                    max_timestamp_ms: timestamp,
                });
            }
        }
        segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::records::encode;

    const NEVER: Retention =
        Retention { retention_ms: -1, retention_bytes: -1, segment_ms: 10, segment_bytes: 1 << 30 };

    /// A batch of one record each 10 ms, so that there are two to a segment.
    fn log() -> Log {
        let mut log = Log::default();
        for at in 0..6 {
            log.append(&encode(&[(None, None, at * 10)]).unwrap(), 0, 0, None);
        }
        log
    }

    fn start_after(retention: Retention, now_ms: i64) -> i64 {
        let mut log = log();
        retention.apply(&mut log, now_ms);
        assert_eq!(log.end_offset(), 6);
        log.start_offset()
    }

    #[test]
    fn segments_go_by_the_time_of_their_last_record() {
        let old = |now_ms| start_after(Retention { retention_ms: 100, ..NEVER }, now_ms);
        assert_eq!([old(110), old(111), old(131), old(151)], [0, 2, 4, 6]);
        assert_eq!(start_after(NEVER, i64::MAX), 0);
    }

    #[test]
    fn segments_go_while_more_than_the_size_is_left() {
        let bytes = |batches| {
            batches * log().batches().next().map_or(0, |batch| i64::try_from(batch.bytes.len()).unwrap())
        };
        let left = |retention_bytes| start_after(Retention { retention_bytes, ..NEVER }, 0);
        assert_eq!([left(bytes(5)), left(bytes(4)), left(bytes(3)), left(0)], [0, 2, 2, 6]);
        let small = Retention { segment_bytes: bytes(1), retention_bytes: bytes(5), ..NEVER };
        assert_eq!(start_after(small, 0), 1);
    }
}
