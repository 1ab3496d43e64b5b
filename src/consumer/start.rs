//! Where reading starts when nothing says otherwise.

/// Where a partition is read from when there is no committed offset, or when its offset does not exist any more.
///
/// Partitions that are added to a topic later are read from their start, whatever the rule: what was written to them
/// before this consumer heard of them is not skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StartFrom {
    /// From the oldest record that is kept. The default.
    #[default]
    Earliest,
    /// From the end: only what is written from now on.
    Latest,
    /// From the first record at or after this time, in milliseconds since 1970; from the end if there is none.
    TimestampMs(i64),
    /// From this offset. As a rule for offsets that do not exist any more it means [`Fail`](Self::Fail).
    Offset(i64),
    /// Nowhere: the partition stops with an error until the caller seeks.
    Fail,
}
