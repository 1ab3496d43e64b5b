//! Where an answer says for how long its client is to keep quiet.

/// An answer with a throttle time. Versions too old for the field leave it out.
pub(crate) trait Throttled: Clone {
    fn set_throttle_time_ms(&mut self, throttle_time_ms: i32);
}

macro_rules! throttled {
    ($($response:ident),* $(,)?) => {
        use kafka_protocol::messages::{$($response),*};

        $(impl Throttled for $response {
            fn set_throttle_time_ms(&mut self, throttle_time_ms: i32) {
                self.throttle_time_ms = throttle_time_ms;
            }
        })*
    };
}

use kafka_protocol::messages::{SaslAuthenticateResponse, SaslHandshakeResponse};

/// Who is not known yet is told nothing of quotas.
impl Throttled for SaslHandshakeResponse {
    fn set_throttle_time_ms(&mut self, _throttle_time_ms: i32) {}
}

impl Throttled for SaslAuthenticateResponse {
    fn set_throttle_time_ms(&mut self, _throttle_time_ms: i32) {}
}

throttled! {
    ApiVersionsResponse, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatResponse, CreateTopicsResponse,
    DeleteGroupsResponse, DeleteTopicsResponse, DescribeClusterResponse, DescribeConfigsResponse,
    DescribeGroupsResponse, FetchResponse, FindCoordinatorResponse, HeartbeatResponse,
    IncrementalAlterConfigsResponse, InitProducerIdResponse, JoinGroupResponse, LeaveGroupResponse,
    ListGroupsResponse, ListOffsetsResponse, MetadataResponse, OffsetCommitResponse, OffsetDeleteResponse,
    OffsetFetchResponse, OffsetForLeaderEpochResponse, ProduceResponse, SyncGroupResponse,
}
