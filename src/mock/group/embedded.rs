//! What members of the classic protocol tell each other inside the group's requests (`protocol_type` "consumer").

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::{ConsumerProtocolAssignment, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};
use std::collections::{BTreeMap, BTreeSet};

/// What a member says of itself.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) topics: BTreeSet<String>,
    pub(crate) owned: Vec<(String, i32)>,
}

/// A subscription; none where the bytes are something else.
pub(crate) fn subscription(bytes: &Bytes) -> Option<Subscription> {
    let (mut bytes, version) = versioned(bytes)?;
    let topics = each(&mut bytes, text)?;
    let user_data = usize::try_from(bytes.try_get_i32().ok()?).unwrap_or(0);
    (user_data <= bytes.len()).then(|| bytes.advance(user_data))?;
    let owned = if version >= 1 { partitions(&mut bytes)? } else { Vec::new() };
    Some(Subscription { topics: topics.into_iter().collect(), owned })
}

/// The partitions of an assignment as (topic, partition); none where the bytes are something else.
pub(crate) fn assignment(bytes: &Bytes) -> Vec<(String, i32)> {
    versioned(bytes).and_then(|(mut bytes, _)| partitions(&mut bytes)).unwrap_or_default()
}

/// An assignment, for a member whose subscription is `told`: in the version of that.
pub(crate) fn assigned(partitions: impl Iterator<Item = (String, i32)>, told: &Bytes) -> Bytes {
    let mut by_topic: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        by_topic.entry(topic).or_default().push(index);
    }
    let topics = by_topic.into_iter().map(|(topic, indexes)| {
        let topic = TopicName(StrBytes::from_string(topic));
        TopicPartition::default().with_topic(topic).with_partitions(indexes)
    });
    let message = ConsumerProtocolAssignment::default().with_assigned_partitions(topics.collect());
    let version = versioned(told).map_or(0, |(_, version)| version);
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    let is_written = message.encode(&mut bytes, version).is_ok();
    debug_assert!(is_written, "an assignment of version {version}");
    bytes.freeze()
}

fn partitions(bytes: &mut Bytes) -> Option<Vec<(String, i32)>> {
    let of_topic = |bytes: &mut Bytes| {
        let topic = text(bytes)?;
        let indexes = each(bytes, |bytes| bytes.try_get_i32().ok())?;
        Some(indexes.into_iter().map(move |index| (topic.clone(), index)).collect::<Vec<_>>())
    };
    Some(each(bytes, of_topic)?.into_iter().flatten().collect())
}

/// As many as are announced; the crate of the messages would allocate for any number.
fn each<T>(bytes: &mut Bytes, mut one: impl FnMut(&mut Bytes) -> Option<T>) -> Option<Vec<T>> {
    let count = bytes.try_get_i32().ok()?;
    (0..count).map(|_| one(bytes)).collect()
}

fn text(bytes: &mut Bytes) -> Option<String> {
    let len = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
    let text = (len <= bytes.len()).then(|| bytes.split_to(len))?;
    String::from_utf8(text.to_vec()).ok()
}

/// The bytes after their version, and that.
fn versioned(bytes: &Bytes) -> Option<(Bytes, i16)> {
    let mut bytes = bytes.clone();
    let version = bytes.try_get_i16().ok()?;
    Some((bytes, version.clamp(0, VERSION_MAX)))
}

/// Of groups of consumers.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";
const VERSION_MAX: i16 = 3;
