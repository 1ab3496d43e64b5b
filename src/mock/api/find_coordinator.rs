//! FindCoordinator (10), v0 to v6.
//!
//! * v1: key types; 0 group, 1 transaction. v4: many keys in one request.
//! * A group's coordinator is the broker its name hashes to, or the next one up.

use super::text;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if context.version >= 4 {
        let keys = request.coordinator_keys.iter();
        let coordinators = keys.map(|key| one(core, context, key, request.key_type)).collect();
        return FindCoordinatorResponse::default().with_coordinators(coordinators);
    }
    let found = one(core, context, &request.key, request.key_type);
    FindCoordinatorResponse::default()
        .with_error_code(found.error_code)
        .with_error_message(found.error_message)
        .with_node_id(found.node_id)
        .with_host(found.host)
        .with_port(found.port)
}

fn one(core: &Core, context: &Context, key: &str, key_type: i8) -> Coordinator {
    let answer = Coordinator::default().with_key(text(key));
    let found = match context.fault {
        Some((code, _)) => Err(code),
        None if key_type == 0 => coordinator_of(core, key).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        None if key_type == 1 => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        None => Err(ErrorCode::INVALID_REQUEST),
    };
    match found.map(|id| (id, core.brokers.get(&id))) {
        Ok((id, Some(broker))) => answer
            .with_node_id(BrokerId(id))
            .with_host(text(broker.host.as_str()))
            .with_port(i32::from(broker.port)),
        Ok((_, None)) => absent(answer, ErrorCode::COORDINATOR_NOT_AVAILABLE),
        Err(code) => absent(answer, code),
    }
}

fn absent(answer: Coordinator, code: ErrorCode) -> Coordinator {
    let answer = answer.with_error_code(code.0).with_node_id(BrokerId(-1)).with_port(-1);
    if code == ErrorCode::INVALID_REQUEST {
        return answer.with_error_message(Some(text(code.to_string())));
    }
    answer
}

/// The broker that coordinates a group, if any is up.
pub(crate) fn coordinator_of(core: &Core, group: &str) -> Option<i32> {
    let up = core.brokers_up();
    if let Some(set) = core.coordinators.get(group).filter(|id| up.contains(id)) {
        return Some(*set);
    }
    let hash = group.bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let ids: Vec<i32> = core.brokers.keys().copied().collect();
    let first = usize::try_from(hash).unwrap_or(0) % ids.len().max(1);
    ids.iter().cycle().skip(first).take(ids.len()).copied().find(|id| up.contains(id))
}

/// NOT_COORDINATOR, unless this broker coordinates the group.
pub(crate) fn check_coordinator(core: &Core, context: &Context, group: &str) -> Result<(), ErrorCode> {
    if coordinator_of(core, group) == Some(context.origin.broker) {
        Ok(())
    } else {
        Err(ErrorCode::NOT_COORDINATOR)
    }
}
