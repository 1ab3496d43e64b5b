//! InitProducerId (22), v0 to v5.
//!
//! Without a transactional id every request gets a fresh producer id at epoch 0, whatever id it states (as in 4.1:
//! an epoch is bumped by the client alone). Transactional ids are refused: there are no transactions yet.

use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let code = match context.fault {
        Some((code, _)) => code,
        None if request.transactional_id.is_some() => ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        None => {
            let id = core.next_producer_id;
            core.next_producer_id += 1;
            return InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0);
        }
    };
    InitProducerIdResponse::default()
        .with_error_code(code.0)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}
