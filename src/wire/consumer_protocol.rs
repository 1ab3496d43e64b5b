//! What members of a classic group of consumers tell each other inside the group's requests: subscriptions (v0 to v3)
//! and assignments (v0 to v3), in the old form with a version in front.
//!
//! The bytes come from other clients, through the broker, so they are read by the checked reader like any answer. A
//! version above ours is read as ours: fields are only ever added at the end.

use super::reader::Reader;
use crate::error::{DecodeError, EncodeError};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, consumer_protocol_assignment,
        consumer_protocol_subscription,
    },
    protocol::{Encodable, StrBytes},
};

/// Partitions by topic.
pub(crate) type TopicPartitions = Vec<(String, Vec<i32>)>;

/// What a member tells its group's leader of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subscription {
    pub(crate) topics: Vec<String>,
    /// v1 and later: what it owns.
    pub(crate) owned: TopicPartitions,
    /// v2 and later: since when it owns that, negative for never. Of older versions, what the user data says.
    pub(crate) generation: i32,
    /// v3 and later.
    pub(crate) rack: Option<String>,
}

impl Subscription {
    /// As v3, which older leaders read the beginning of. Java before 3.4 looks for the generation in the user data.
    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let owned = self.owned.iter().map(|(topic, partitions)| {
            consumer_protocol_subscription::TopicPartition::default()
                .with_topic(text(topic).into())
                .with_partitions(partitions.clone())
        });
        let message = ConsumerProtocolSubscription::default()
            .with_topics(self.topics.iter().map(|topic| text(topic)).collect())
            .with_user_data(Some(Bytes::copy_from_slice(&self.generation.to_be_bytes())))
            .with_owned_partitions(owned.collect())
            .with_generation_id(self.generation)
            .with_rack_id(self.rack.as_deref().map(text));
        versioned(&message)
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16("subscription's version")?;
        let topics = reader.array("subscribed topics", STRING_BYTES_MIN, |r| r.string("topic name"))?;
        let user_data = reader.nullable_bytes("user data")?;
        let owned = if version >= 1 { partitions(&mut reader)? } else { Vec::new() };
        let told = user_data.and_then(|bytes| <[u8; 4]>::try_from(&bytes[..]).ok()).map(i32::from_be_bytes);
        let generation = if version >= 2 { reader.i32("generation")? } else { told.unwrap_or(NO_GENERATION) };
        let rack = if version >= 3 { reader.nullable_string("rack")? } else { None };
        Ok(Self { topics, owned, generation, rack })
    }
}

/// What a leader gives a member, as bytes.
pub(crate) fn encode_assignment(assigned: &TopicPartitions) -> Result<Bytes, EncodeError> {
    let assigned = assigned.iter().map(|(topic, partitions)| {
        consumer_protocol_assignment::TopicPartition::default()
            .with_topic(text(topic).into())
            .with_partitions(partitions.clone())
    });
    versioned(&ConsumerProtocolAssignment::default().with_assigned_partitions(assigned.collect()))
}

/// What a member was given. No bytes at all mean nothing.
pub(crate) fn decode_assignment(bytes: Bytes) -> Result<TopicPartitions, DecodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    reader.i16("assignment's version")?;
    partitions(&mut reader)
}

fn partitions(reader: &mut Reader) -> Result<TopicPartitions, DecodeError> {
    reader.array("topics", STRING_BYTES_MIN + 4, |r| {
        let topic = r.string("topic name")?;
        Ok((topic, r.array("partitions", 4, |r| r.i32("partition"))?))
    })
}

fn versioned(message: &impl Encodable) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    let refused = |_| EncodeError { api: "consumer protocol", version: VERSION };
    message.encode(&mut out, VERSION).map_err(refused)?;
    Ok(out.freeze())
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

const VERSION: i16 = 3;
const STRING_BYTES_MIN: usize = 2;
/// Outside of every generation.
pub(crate) const NO_GENERATION: i32 = -1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{check_answer_with, text, written};
    use kafka_protocol::protocol::Decodable;

    fn subscription() -> Subscription {
        Subscription {
            topics: vec!["a".to_owned(), "b".to_owned()],
            owned: vec![("a".to_owned(), vec![0, 2])],
            generation: 7,
            rack: Some("north".to_owned()),
        }
    }

    fn theirs() -> ConsumerProtocolSubscription {
        let owned = consumer_protocol_subscription::TopicPartition::default()
            .with_topic(text("a"))
            .with_partitions(vec![0, 2]);
        ConsumerProtocolSubscription::default()
            .with_topics(vec![text("a"), text("b")])
            .with_user_data(Some(Bytes::copy_from_slice(&7_i32.to_be_bytes())))
            .with_owned_partitions(vec![owned])
            .with_generation_id(7)
            .with_rack_id(Some(text("north")))
    }

    /// A reader of the body alone, as the checks have no version in front.
    fn body<R>(
        decode: impl Fn(Bytes) -> Result<R, DecodeError>,
    ) -> impl Fn(i16, &mut Reader) -> Result<R, DecodeError> {
        move |version, reader| {
            let left = reader.remaining();
            let whole = [&version.to_be_bytes()[..], &reader.take("rest", left)?].concat();
            decode(Bytes::from(whole))
        }
    }

    #[test]
    fn subscriptions_of_all_versions_are_read() {
        for version in 0..=3 {
            let whole = subscription();
            let expected = Subscription {
                owned: if version >= 1 { whole.owned } else { Vec::new() },
                rack: whole.rack.filter(|_| version >= 3),
                ..whole
            };
            let mut message = theirs();
            if version < 3 {
                message = message.with_rack_id(None);
            }
            if version < 2 {
                message = message.with_generation_id(-1);
            }
            if version < 1 {
                message = message.with_owned_partitions(Vec::new());
            }
            check_answer_with(body(Subscription::decode), version, &message, &expected);
        }
    }

    #[test]
    fn the_others_read_what_is_written() {
        let mut bytes = subscription().encode().unwrap().slice(2..);
        assert_eq!(ConsumerProtocolSubscription::decode(&mut bytes, 3).unwrap(), theirs());
        let assigned = vec![("a".to_owned(), vec![1]), ("b".to_owned(), vec![])];
        let bytes = encode_assignment(&assigned).unwrap();
        assert_eq!(decode_assignment(bytes.clone()).unwrap(), assigned);
        let read = ConsumerProtocolAssignment::decode(&mut bytes.slice(2..), 3).unwrap();
        assert_eq!(read.assigned_partitions.len(), 2);
    }

    #[test]
    fn assignments_are_read_and_forged_ones_refused() {
        let given = consumer_protocol_assignment::TopicPartition::default()
            .with_topic(text("a"))
            .with_partitions(vec![4, 5]);
        let message = ConsumerProtocolAssignment::default().with_assigned_partitions(vec![given]);
        let expected = vec![("a".to_owned(), vec![4, 5])];
        let bytes = written(&message, 3);
        let versioned = [&[0, 3][..], &bytes].concat();
        assert_eq!(decode_assignment(Bytes::from(versioned.clone())).unwrap(), expected);
        assert_eq!(decode_assignment(Bytes::new()).unwrap(), Vec::new());
        let partitions_end = versioned.len() - 4; // the user data's length follows, and is not looked at
        for cut in 1..partitions_end {
            assert!(decode_assignment(Bytes::copy_from_slice(&versioned[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn user_data_of_another_form_says_no_generation() {
        for user_data in [None, Some(Bytes::from_static(b"sticky state"))] {
            let message = ConsumerProtocolSubscription::default().with_user_data(user_data);
            let bytes = [&[0, 1][..], &written(&message, 1)].concat();
            assert_eq!(Subscription::decode(bytes.into()).unwrap().generation, NO_GENERATION);
        }
    }
}
