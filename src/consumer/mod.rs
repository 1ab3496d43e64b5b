//! Reading records. Imports: cluster, wire.

mod aborted;
mod buffer;
mod config;
mod core;
mod error;
mod event;
mod fetch_session;
mod group;
mod lane;
mod positions;
mod reader;
mod record;
mod shared;
mod start;
#[cfg(test)]
mod test_batches;

pub use error::{CommitError, ConsumeError, NotAssigned};
pub use event::ConsumerEvent;
pub use record::{ConsumerRecord, Headers, RecordRef, Records, RecordsIter, TopicPartition};
pub use start::StartFrom;
