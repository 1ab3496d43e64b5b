//! Which partitions a request is about, for hooks that choose by them.

use super::api::Api;
use super::fetch_session::{Sessions, TopicKey};
use super::hooks::Call;
use super::topics::Topics;
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, OffsetCommitRequest, ProduceRequest};
use kafka_protocol::protocol::Decodable;
use uuid::Uuid;

/// Whether a Produce, Fetch, ListOffsets or OffsetCommit is about a partition. A fetch is about all that its session
/// holds, too. Of other requests nothing is known.
pub(crate) fn touches(topics: &Topics, sessions: &Sessions, call: &Call, topic: &str, index: i32) -> bool {
    let id = topics.get(topic).map(|topic| topic.id);
    let is_it = |name: &str, asked: Uuid| name == topic || (!asked.is_nil() && id == Some(asked));
    let (mut body, version) = (call.body.clone(), call.version);
    match call.api {
        Api::Produce => ProduceRequest::decode(&mut body, version).is_ok_and(|request| {
            let mut found = request.topic_data.iter().filter(|one| is_it(&one.name, one.topic_id));
            found.any(|one| one.partition_data.iter().any(|partition| partition.index == index))
        }),
        Api::Fetch => FetchRequest::decode(&mut body, version).is_ok_and(|request| {
            let mut found = request.topics.iter().filter(|one| is_it(&one.topic, one.topic_id));
            let session = (call.broker, request.session_id);
            found.any(|one| one.partitions.iter().any(|partition| partition.partition == index))
                || sessions.holds(session, &TopicKey::Name(topic.to_owned()), index)
                || id.is_some_and(|id| sessions.holds(session, &TopicKey::Id(id), index))
        }),
        Api::ListOffsets => ListOffsetsRequest::decode(&mut body, version).is_ok_and(|request| {
            let mut found = request.topics.iter().filter(|one| is_it(&one.name, Uuid::nil()));
            found.any(|one| one.partitions.iter().any(|partition| partition.partition_index == index))
        }),
        Api::OffsetCommit => OffsetCommitRequest::decode(&mut body, version).is_ok_and(|request| {
            let mut found = request.topics.iter().filter(|one| is_it(&one.name, Uuid::nil()));
            found.any(|one| one.partitions.iter().any(|partition| partition.partition_index == index))
        }),
        _ => false,
    }
}
