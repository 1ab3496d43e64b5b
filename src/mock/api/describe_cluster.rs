//! DescribeCluster (60), v0 to v2.
//!
//! * v1: brokers or controllers may be asked for; brokers answer for themselves only.
//! * v2: brokers that are down are told of, too, if asked for (KIP-1073).

use super::text;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let answer = DescribeClusterResponse::default().with_cluster_id(text(core.cluster_id.as_str()));
    if let Some((code, _)) = context.fault {
        return answer.with_error_code(code.0);
    }
    if request.endpoint_type != BROKERS {
        let known = request.endpoint_type == CONTROLLERS;
        let code = if known { MISMATCHED_ENDPOINT_TYPE } else { UNSUPPORTED_ENDPOINT_TYPE };
        let answer = answer.with_error_code(code.0).with_controller_id(BrokerId(-1));
        return answer.with_error_message(Some(text("this is a broker, and tells of brokers")));
    }
    let brokers =
        core.brokers.iter().filter(|(_, broker)| !broker.is_fenced || request.include_fenced_brokers);
    let brokers = brokers.map(|(id, broker)| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(*id))
            .with_host(text(broker.host.as_str()))
            .with_port(i32::from(broker.port))
            .with_is_fenced(context.version >= 2 && broker.is_fenced)
    });
    let brokers = brokers.collect();
    let controller = core.brokers_up().first().copied().unwrap_or(-1);
    answer.with_brokers(brokers).with_controller_id(BrokerId(controller))
}

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
const MISMATCHED_ENDPOINT_TYPE: ErrorCode = ErrorCode(114);
const UNSUPPORTED_ENDPOINT_TYPE: ErrorCode = ErrorCode(115);
