//! What members of the classic protocol tell each other inside the group's requests (`protocol_type` "consumer").

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ConsumerProtocolAssignment;
use kafka_protocol::protocol::Decodable;

/// The partitions of an assignment as (topic, partition); none where the bytes are something else.
pub(crate) fn assignment(bytes: &Bytes) -> Vec<(String, i32)> {
    let mut bytes = bytes.clone();
    if bytes.len() < 2 {
        return Vec::new();
    }
    let version = bytes.get_i16().clamp(0, VERSION_MAX);
    let Ok(decoded) = ConsumerProtocolAssignment::decode(&mut bytes, version) else { return Vec::new() };
    let of_topic = |topic: &kafka_protocol::messages::consumer_protocol_assignment::TopicPartition| {
        let name = topic.topic.to_string();
        topic.partitions.iter().map(move |index| (name.clone(), *index)).collect::<Vec<_>>()
    };
    decoded.assigned_partitions.iter().flat_map(of_topic).collect()
}

const VERSION_MAX: i16 = 3;
