//! The APIs, one file each: which versions are there, and who answers.

pub(crate) mod api_versions;
pub(crate) mod classic;
pub(crate) mod consumer_group_describe;
pub(crate) mod consumer_group_heartbeat;
pub(crate) mod create_topics;
pub(crate) mod delete_groups;
pub(crate) mod delete_topics;
pub(crate) mod describe_cluster;
pub(crate) mod describe_configs;
pub(crate) mod describe_groups;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod heartbeat;
pub(crate) mod incremental_alter_configs;
pub(crate) mod init_producer_id;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_groups;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_commit;
pub(crate) mod offset_fetch;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
pub(crate) mod sasl_authenticate;
pub(crate) mod sasl_handshake;
pub(crate) mod sync_group;
mod throttle;

use super::core::{Answer, Context, Core, with_length};
use bytes::{BufMut, Bytes};
use kafka_protocol::messages::{ApiKey, TopicName};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use throttle::Throttled;

/// A kind of request that the mock answers, by Kafka's name and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(i16)]
pub enum Api {
    /// Appends record batches.
    Produce = 0,
    /// Reads record batches.
    Fetch = 1,
    /// Finds offsets by time, or the ends of a log.
    ListOffsets = 2,
    /// Tells brokers, topics and leaders.
    Metadata = 3,
    /// Stores a group's offsets.
    OffsetCommit = 8,
    /// Reads a group's offsets.
    OffsetFetch = 9,
    /// Tells a group's coordinator.
    FindCoordinator = 10,
    /// Comes into a group of the classic protocol.
    JoinGroup = 11,
    /// Stays in a group of the classic protocol.
    Heartbeat = 12,
    /// Takes members out of a group of the classic protocol.
    LeaveGroup = 13,
    /// Gives out the assignments of a group of the classic protocol.
    SyncGroup = 14,
    /// Tells the members of groups of the classic protocol.
    DescribeGroups = 15,
    /// Tells the groups that a broker coordinates.
    ListGroups = 16,
    /// Names the mechanism of an authentication.
    SaslHandshake = 17,
    /// Tells the versions of all APIs.
    ApiVersions = 18,
    /// Creates topics.
    CreateTopics = 19,
    /// Deletes topics.
    DeleteTopics = 20,
    /// Gives out producer ids.
    InitProducerId = 22,
    /// Tells where a leader epoch ends.
    OffsetForLeaderEpoch = 23,
    /// Tells the configs of topics, brokers and groups.
    DescribeConfigs = 32,
    /// Carries the messages of an authentication.
    SaslAuthenticate = 36,
    /// Deletes groups.
    DeleteGroups = 42,
    /// Changes configs.
    IncrementalAlterConfigs = 44,
    /// Tells the registered brokers.
    DescribeCluster = 60,
    /// Membership of a group (KIP-848).
    ConsumerGroupHeartbeat = 68,
    /// Tells the members of groups of KIP-848.
    ConsumerGroupDescribe = 69,
}

impl Api {
    /// All of them, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Produce,
        Self::Fetch,
        Self::ListOffsets,
        Self::Metadata,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::FindCoordinator,
        Self::JoinGroup,
        Self::Heartbeat,
        Self::LeaveGroup,
        Self::SyncGroup,
        Self::DescribeGroups,
        Self::ListGroups,
        Self::SaslHandshake,
        Self::ApiVersions,
        Self::CreateTopics,
        Self::DeleteTopics,
        Self::InitProducerId,
        Self::OffsetForLeaderEpoch,
        Self::DescribeConfigs,
        Self::SaslAuthenticate,
        Self::DeleteGroups,
        Self::IncrementalAlterConfigs,
        Self::DescribeCluster,
        Self::ConsumerGroupHeartbeat,
        Self::ConsumerGroupDescribe,
    ];

    /// Kafka's number.
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The API of that number, if the mock answers it.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.iter().copied().find(|api| api.number() == number)
    }

    /// The versions that the mock can answer, lowest and highest: those of Kafka 4.1.
    ///
    /// What brokers tell is that of their [`KafkaVersion`](super::KafkaVersion) unless the mock was built otherwise.
    pub const fn versions(self) -> (i16, i16) {
        match self {
            Self::Produce => (0, 13),
            Self::Fetch => (4, 18),
            Self::ListOffsets => (1, 10),
            Self::Metadata => (0, 13),
            Self::OffsetCommit => (2, 9),
            Self::OffsetFetch => (1, 9),
            Self::FindCoordinator => (0, 6),
            Self::JoinGroup => (0, 9),
            Self::Heartbeat => (0, 4),
            Self::LeaveGroup => (0, 5),
            Self::SyncGroup => (0, 5),
            Self::DescribeGroups => (0, 6),
            Self::ListGroups => (0, 5),
            Self::SaslHandshake => (0, 1),
            Self::ApiVersions => (0, 4),
            Self::CreateTopics => (2, 7),
            Self::DeleteTopics => (1, 6),
            Self::InitProducerId => (0, 5),
            Self::OffsetForLeaderEpoch => (2, 4),
            Self::DescribeConfigs => (1, 4),
            Self::SaslAuthenticate => (0, 2),
            Self::DeleteGroups => (0, 2),
            Self::IncrementalAlterConfigs => (0, 1),
            Self::DescribeCluster => (0, 2),
            Self::ConsumerGroupHeartbeat => (0, 1),
            Self::ConsumerGroupDescribe => (0, 1),
        }
    }
}

/// Answers a request; one that cannot be decoded closes the connection, as Kafka does.
pub(crate) fn serve(core: &mut Core, context: &Context, body: Bytes) -> Answer {
    let spoken = core.settings.versions_of(context.origin.broker, context.api);
    if spoken.is_none_or(|(min, max)| !(min..=max).contains(&context.version)) {
        return match context.api {
            Api::ApiVersions => api_versions::unsupported(core, context),
            _ => Answer::Close,
        };
    }
    match context.api {
        Api::Produce => produce::serve(core, context, body),
        Api::Fetch => fetch::serve(core, context, body),
        Api::ListOffsets => answer(core, context, body, list_offsets::handle),
        Api::Metadata => answer(core, context, body, metadata::handle),
        Api::OffsetCommit => answer(core, context, body, offset_commit::handle),
        Api::OffsetFetch => answer(core, context, body, offset_fetch::handle),
        Api::FindCoordinator => answer(core, context, body, find_coordinator::handle),
        Api::JoinGroup => join_group::serve(core, context, body),
        Api::Heartbeat => answer(core, context, body, heartbeat::handle),
        Api::LeaveGroup => answer(core, context, body, leave_group::handle),
        Api::SyncGroup => sync_group::serve(core, context, body),
        Api::DescribeGroups => answer(core, context, body, describe_groups::handle),
        Api::ListGroups => answer(core, context, body, list_groups::handle),
        Api::SaslHandshake => answer(core, context, body, sasl_handshake::handle),
        Api::ApiVersions => answer(core, context, body, api_versions::handle),
        Api::CreateTopics => answer(core, context, body, create_topics::handle),
        Api::DeleteTopics => answer(core, context, body, delete_topics::handle),
        Api::InitProducerId => answer(core, context, body, init_producer_id::handle),
        Api::OffsetForLeaderEpoch => answer(core, context, body, offset_for_leader_epoch::handle),
        Api::DescribeConfigs => answer(core, context, body, describe_configs::handle),
        Api::SaslAuthenticate => answer(core, context, body, sasl_authenticate::handle),
        Api::DeleteGroups => answer(core, context, body, delete_groups::handle),
        Api::IncrementalAlterConfigs => answer(core, context, body, incremental_alter_configs::handle),
        Api::DescribeCluster => answer(core, context, body, describe_cluster::handle),
        Api::ConsumerGroupHeartbeat => answer(core, context, body, consumer_group_heartbeat::handle),
        Api::ConsumerGroupDescribe => answer(core, context, body, consumer_group_describe::handle),
    }
}

/// A request that waits, and what it waits for.
#[derive(Debug)]
pub(crate) enum Pending {
    Fetch(Box<fetch::Pending>),
    Produce(Box<produce::Pending>),
    Group(classic::Waiting),
}

/// Goes on with a request that waited: it was woken, or the time that it gave has come.
pub(crate) fn resume(core: &mut Core, context: &Context, pending: Pending) -> Answer {
    match pending {
        Pending::Fetch(pending) => fetch::resume(core, context, pending),
        Pending::Produce(pending) => produce::resume(core, context, pending),
        Pending::Group(waiting) => classic::resume(core, context, waiting),
    }
}

fn answer<R: Request>(
    core: &mut Core,
    context: &Context,
    mut body: Bytes,
    handle: impl FnOnce(&mut Core, &Context, R) -> R::Response,
) -> Answer
where
    R::Response: Throttled,
{
    let Ok(request) = R::decode(&mut body, context.version) else { return Answer::Close };
    let response = handle(core, context, request);
    frame(context, &response)
}

/// The answer as a frame, its length and header in front.
pub(crate) fn frame<R: Encodable + HeaderVersion + Throttled>(context: &Context, response: &R) -> Answer {
    let throttled = (context.throttle_time_ms != 0).then(|| {
        let mut response = response.clone();
        response.set_throttle_time_ms(context.throttle_time_ms);
        response
    });
    let response = throttled.as_ref().unwrap_or(response);
    let frame = with_length(|out| {
        out.put_i32(context.correlation_id);
        if R::header_version(context.version) > 0 {
            out.put_u8(0);
        }
        response.encode(out, context.version)
    });
    debug_assert!(frame.is_ok(), "{:?} v{}: {frame:?}", context.api, context.version);
    frame.map_or(Answer::Close, Answer::Frame)
}

/// How many bytes of an answer's frame come before its body: length, correlation id and, from some version on, a tag
/// count.
pub(crate) fn header_bytes(context: &Context) -> usize {
    if has_tags(context) { 9 } else { 8 }
}

fn has_tags(context: &Context) -> bool {
    ApiKey::try_from(context.api.number()).is_ok_and(|key| key.response_header_version(context.version) > 0)
}

/// A forged body as a frame.
pub(crate) fn frame_of(context: &Context, body: &[u8]) -> Bytes {
    let flexible = has_tags(context);
    let frame = with_length(|out| {
        out.put_i32(context.correlation_id);
        if flexible {
            out.put_u8(0);
        }
        out.put_slice(body);
        Ok::<_, std::convert::Infallible>(())
    });
    let Ok(frame) = frame;
    frame
}

pub(crate) fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}

pub(crate) fn topic_name(value: &str) -> TopicName {
    TopicName(text(value))
}
