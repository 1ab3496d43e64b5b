//! Heartbeat (12), v0 to v4: a member of a classic group is alive, and hears of a new generation.
//!
//! * v3: static members. Kafka's coordinator answers 0 while it loads the group; this one has nothing to load, and what a
//!   hook says is told as it is.

use super::classic;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::hooks::When;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

pub(crate) fn handle(core: &mut Core, context: &Context, request: HeartbeatRequest) -> HeartbeatResponse {
    let result = match context.fault {
        Some((code, When::Before)) => Err(code),
        Some((code, When::After)) => beat(core, context, &request).and(Err(code)),
        None => beat(core, context, &request),
    };
    HeartbeatResponse::default().with_error_code(result.err().unwrap_or(ErrorCode::NONE).0)
}

fn beat(core: &mut Core, context: &Context, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
    let instance = request.group_instance_id.as_deref();
    if let Some((group, _)) = classic::of_consumers(core, context, &request.group_id) {
        return group.beat_of_classic(&request.member_id, instance, request.generation_id, context.now);
    }
    let group = classic::of_member(core, context, &request.group_id)?;
    group.heartbeat(&request.member_id, instance, request.generation_id, context.now)
}
