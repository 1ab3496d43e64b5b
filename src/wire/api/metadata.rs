//! Metadata (3), v12 and v13: brokers, topics, leaders and their epochs.

use super::{error_code, ids, port, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::metadata_request as message;
use uuid::Uuid;

const BROKER_BYTES_MIN: usize = 4 + 1 + 4 + 1 + 1;
const TOPIC_BYTES_MIN: usize = 2 + 1 + 16 + 1 + 1 + 4 + 1;
const PARTITION_BYTES_MIN: usize = 2 + 4 + 4 + 4 + 1 + 1 + 1 + 1;

#[derive(Debug, Clone)]
pub(crate) struct MetadataRequest {
    /// `None` asks for all topics, an empty list for none.
    pub(crate) topics: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) brokers: Vec<MetadataBroker>,
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller_id: i32,
    pub(crate) topics: Vec<MetadataTopic>,
    /// v13: REBOOTSTRAP_REQUIRED and the like; `NONE` before.
    pub(crate) error: ErrorCode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataBroker {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataTopic {
    pub(crate) error: ErrorCode,
    pub(crate) name: Option<String>,
    pub(crate) id: Uuid,
    pub(crate) is_internal: bool,
    /// In the order of the answer, which Kafka does not sort.
    pub(crate) partitions: Vec<MetadataPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataPartition {
    pub(crate) error: ErrorCode,
    pub(crate) index: i32,
    /// -1 while there is none.
    pub(crate) leader_id: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
}

impl Api for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    const VERSIONS: VersionRange = VersionRange::new(12, 13);
    type Response = MetadataResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let topic = |name: &String| message::MetadataRequestTopic::default().with_name(Some(text(name)));
        let request = message::MetadataRequest::default()
            .with_topics(self.topics.as_ref().map(|names| names.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(false);
        write::<Self>(&request, version, out)
    }

    fn decode(version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let brokers = reader.compact_array("brokers", BROKER_BYTES_MIN, broker)?;
        let cluster_id = reader.compact_nullable_string("cluster id")?;
        let controller_id = reader.i32("controller id")?;
        let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, topic)?;
        let error = if version >= 13 { error_code(reader)? } else { ErrorCode::NONE };
        reader.skip_tagged_fields()?;
        Ok(MetadataResponse { throttle_time_ms, brokers, cluster_id, controller_id, topics, error })
    }
}

fn broker(reader: &mut Reader) -> Result<MetadataBroker, DecodeError> {
    let broker = MetadataBroker {
        id: reader.i32("broker id")?,
        host: reader.compact_string("host")?,
        port: port(reader)?,
        rack: reader.compact_nullable_string("rack")?,
    };
    reader.skip_tagged_fields()?;
    Ok(broker)
}

fn topic(reader: &mut Reader) -> Result<MetadataTopic, DecodeError> {
    let topic = MetadataTopic {
        error: error_code(reader)?,
        name: reader.compact_nullable_string("topic name")?,
        id: reader.uuid("topic id")?,
        is_internal: reader.bool("is internal")?,
        partitions: reader.compact_array("partitions", PARTITION_BYTES_MIN, partition)?,
    };
    reader.i32("authorized operations")?;
    reader.skip_tagged_fields()?;
    Ok(topic)
}

fn partition(reader: &mut Reader) -> Result<MetadataPartition, DecodeError> {
    let partition = MetadataPartition {
        error: error_code(reader)?,
        index: reader.i32("partition")?,
        leader_id: reader.i32("leader id")?,
        leader_epoch: reader.i32("leader epoch")?,
        replicas: ids(reader, "replicas")?,
        isr: ids(reader, "in-sync replicas")?,
    };
    ids(reader, "offline replicas")?;
    reader.skip_tagged_fields()?;
    Ok(partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{
        MANY, check_answer, check_shortest, sent, tagged, text, versions, written,
    };
    use kafka_protocol::messages::metadata_response as answer;

    fn answer(version: i16) -> answer::MetadataResponse {
        let broker = answer::MetadataResponseBroker::default()
            .with_node_id(3.into())
            .with_host("kafka-3".into())
            .with_port(9092)
            .with_rack(Some("b".into()));
        let partition = answer::MetadataResponsePartition::default()
            .with_error_code(5)
            .with_partition_index(7)
            .with_leader_id((-1).into())
            .with_leader_epoch(11)
            .with_replica_nodes(vec![1.into(), 2.into(), 3.into()])
            .with_isr_nodes(vec![2.into()])
            .with_offline_replicas(vec![1.into()]);
        let topic = answer::MetadataResponseTopic::default()
            .with_error_code(3)
            .with_name(Some(text("crafting.session.events")))
            .with_topic_id(Uuid::from_u128(5))
            .with_is_internal(true)
            .with_partitions(vec![tagged!(partition)])
            .with_topic_authorized_operations(1);
        tagged!(answer::MetadataResponse::default())
            .with_throttle_time_ms(4)
            .with_brokers(vec![tagged!(broker)])
            .with_cluster_id(Some("cluster".into()))
            .with_controller_id(2.into())
            .with_topics(vec![tagged!(topic)])
            .with_error_code(if version >= 13 { 129 } else { 0 })
    }

    fn expected(version: i16) -> MetadataResponse {
        let partition = MetadataPartition {
            error: ErrorCode::LEADER_NOT_AVAILABLE,
            index: 7,
            leader_id: -1,
            leader_epoch: 11,
            replicas: vec![1, 2, 3],
            isr: vec![2],
        };
        MetadataResponse {
            throttle_time_ms: 4,
            brokers: vec![MetadataBroker {
                id: 3,
                host: "kafka-3".to_owned(),
                port: 9092,
                rack: Some("b".to_owned()),
            }],
            cluster_id: Some("cluster".to_owned()),
            controller_id: 2,
            topics: vec![MetadataTopic {
                error: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                name: Some("crafting.session.events".to_owned()),
                id: Uuid::from_u128(5),
                is_internal: true,
                partitions: vec![partition],
            }],
            error: if version >= 13 { ErrorCode::REBOOTSTRAP_REQUIRED } else { ErrorCode::NONE },
        }
    }

    #[test]
    fn answers_of_all_versions_are_read() {
        for version in versions(MetadataRequest::VERSIONS) {
            check_answer::<MetadataRequest>(version, &answer(version), &expected(version));
        }
    }

    #[test]
    fn a_port_outside_of_1_to_65535_is_refused() {
        for port in [i32::MIN, -1, 0, 65_536, i32::MAX] {
            let broker = answer::MetadataResponseBroker::default().with_port(port);
            let answer = answer::MetadataResponse::default().with_brokers(vec![broker]);
            let error = MetadataRequest::decode(12, &mut Reader::new(written(&answer, 12))).unwrap_err();
            assert_eq!(error, DecodeError::Invalid { what: "port", at: 10, value: i64::from(port) });
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(MetadataRequest::VERSIONS) {
            let partitions = vec![answer::MetadataResponsePartition::default(); MANY];
            let topics = [Vec::new(), partitions]
                .map(|partitions| {
                    let topic = answer::MetadataResponseTopic::default().with_name(None);
                    vec![topic.with_partitions(partitions); MANY]
                })
                .concat();
            let brokers = vec![answer::MetadataResponseBroker::default().with_port(1); MANY];
            let answer = answer::MetadataResponse::default();
            check_shortest::<MetadataRequest>(version, &answer.clone().with_brokers(brokers));
            check_shortest::<MetadataRequest>(version, &answer.with_topics(topics));
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        for version in versions(MetadataRequest::VERSIONS) {
            for topics in [None, Some(vec![]), Some(vec!["a".to_owned(), "b".to_owned()])] {
                let read: message::MetadataRequest =
                    sent(&MetadataRequest { topics: topics.clone() }, version);
                assert!(!read.allow_auto_topic_creation && !read.include_topic_authorized_operations);
                let named = read.topics.map(|topics| {
                    topics
                        .into_iter()
                        .map(|topic| {
                            assert!(topic.topic_id.is_nil());
                            topic.name.unwrap().to_string()
                        })
                        .collect::<Vec<_>>()
                });
                assert_eq!(named, topics);
            }
        }
    }
}
