//! Looks into the fetches that clients send: of one partition, the leader epoch that a client names never goes back
//! (KIP-320), whatever late metadata tells it.

use bytes::Bytes;
use craftwire::mock::Api;
use kafka_protocol::{
    messages::FetchRequest,
    protocol::{Decodable, decode_request_header_from_buffer},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The highest epoch that each client named of each partition; a client is one of its lives.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    highest: BTreeMap<((usize, u64), Uuid, i32), i32>,
}

/// An epoch that went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WentBack {
    pub(crate) client: (usize, u64),
    pub(crate) partition: i32,
    pub(crate) from: i32,
    pub(crate) to: i32,
}

/// Whether a frame of this API is of interest here.
pub(crate) fn is_looked_at(api: i16) -> bool {
    api == Api::Fetch.number()
}

impl Epochs {
    /// Takes a fetch as it left a client, its length taken off.
    pub(crate) fn fetch(&mut self, client: (usize, u64), mut frame: Bytes) -> Option<WentBack> {
        let header = decode_request_header_from_buffer(&mut frame).ok()?;
        let request = FetchRequest::decode(&mut frame, header.request_api_version).ok()?;
        let mut found = None;
        for topic in &request.topics {
            for asked in &topic.partitions {
                let (partition, to) = (asked.partition, asked.current_leader_epoch);
                let highest = self.highest.entry((client, topic.topic_id, partition)).or_insert(to);
                if to < *highest {
                    found = Some(WentBack { client, partition, from: *highest, to });
                }
                *highest = to.max(*highest);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::{
        messages::{
            RequestHeader,
            fetch_request::{FetchPartition, FetchTopic},
        },
        protocol::{Encodable, encode_request_header_into_buffer},
    };

    fn fetch(epoch: i32) -> Bytes {
        let mut frame = BytesMut::new();
        let version = 16;
        let header = RequestHeader::default()
            .with_request_api_key(Api::Fetch.number())
            .with_request_api_version(version);
        encode_request_header_into_buffer(&mut frame, &header).unwrap();
        let partition = FetchPartition::default().with_partition(3).with_current_leader_epoch(epoch);
        let topic = FetchTopic::default().with_partitions(vec![partition]);
        FetchRequest::default().with_topics(vec![topic]).encode(&mut frame, version).unwrap();
        frame.freeze()
    }

    #[test]
    fn an_epoch_that_goes_back_is_seen_and_another_client_may_know_less() {
        let mut epochs = Epochs::default();
        assert_eq!(epochs.fetch((0, 0), fetch(5)), None);
        assert_eq!(epochs.fetch((0, 0), fetch(6)), None);
        assert_eq!(epochs.fetch((0, 1), fetch(5)), None);
        let went_back = WentBack { client: (0, 0), partition: 3, from: 6, to: 5 };
        assert_eq!(epochs.fetch((0, 0), fetch(5)), Some(went_back));
    }
}
