//! InitProducerId (22), v4 and v5: a producer id for idempotent producing.

use super::{error_code, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::init_producer_id_request as message;

/// Asks for a fresh producer id (no transactional id).
#[derive(Debug, Clone)]
pub(crate) struct InitProducerIdRequest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InitProducerIdResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
}

impl Api for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    const VERSIONS: VersionRange = VersionRange::new(4, 5);
    type Response = InitProducerIdResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        // Without a transactional id the timeout says nothing; Kafka's own producer sends the highest.
        let request = message::InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX);
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let response = InitProducerIdResponse {
            throttle_time_ms: reader.i32("throttle time")?,
            error: error_code(reader)?,
            producer_id: reader.i64("producer id")?,
            producer_epoch: reader.i16("producer epoch")?,
        };
        reader.skip_tagged_fields()?;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{check_answer, sent, tagged, versions};
    use kafka_protocol::messages::init_producer_id_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let answer = answer::InitProducerIdResponse::default()
            .with_throttle_time_ms(3)
            .with_error_code(14)
            .with_producer_id(4_000_000_000.into())
            .with_producer_epoch(2);
        let expected = InitProducerIdResponse {
            throttle_time_ms: 3,
            error: ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            producer_id: 4_000_000_000,
            producer_epoch: 2,
        };
        for version in versions(InitProducerIdRequest::VERSIONS) {
            check_answer::<InitProducerIdRequest>(version, &tagged!(answer.clone()), &expected);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        for version in versions(InitProducerIdRequest::VERSIONS) {
            let read: message::InitProducerIdRequest = sent(&InitProducerIdRequest, version);
            assert_eq!((read.transactional_id, read.transaction_timeout_ms), (None, i32::MAX));
            assert_eq!((*read.producer_id, read.producer_epoch), (-1, -1));
        }
    }
}
