//! The bodies of the fuzz targets that play a group's coordinator to a member: `group_metadata` with any bytes,
//! `membership_ops` by a model that knows what the member may do.

mod answers;
mod model;

pub use self::{answers::check_group_metadata, model::check_membership_ops};

use crate::{
    cluster::{Topic, Topology},
    consumer::{config::ConsumerConfig, core::Core, shared::Shared},
    error::{ErrorCode, RequestError},
};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// The topic that the member knows by name.
const TOPIC: Uuid = Uuid::from_u128(7);
/// One that it never comes to know.
const UNKNOWN_TOPIC: Uuid = Uuid::from_u128(8);
const NAME: &str = "t";
const GROUP: &str = "g";
const BROKER: i32 = 3;

fn shared(session_timeout: Option<Duration>) -> Arc<Shared> {
    let config = ConsumerConfig {
        group: Some(GROUP.into()),
        topics: vec![NAME.into()],
        session_timeout,
        ..ConsumerConfig::default()
    };
    Arc::new(Shared::new(Core::new(Arc::new(config))))
}

fn topology() -> Topology {
    let topic = Topic { name: NAME.into(), id: TOPIC, error: ErrorCode::NONE, partitions: Vec::new() };
    let mut topology = Topology::default();
    topology.topics.insert(NAME.into(), Arc::new(topic));
    topology
}

fn no_answer() -> RequestError {
    RequestError::TimedOut { api: "fuzz", after: Duration::ZERO, last: None }
}
