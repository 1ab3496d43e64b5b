//! SyncGroup (14), v0 to v5: members ask for their assignments, the leader brings them. They wait for the leader.
//!
//! * v3: static members. v5: the protocol is stated, and must be.

use super::{classic, frame, text};
use crate::error::ErrorCode;
use crate::mock::core::{Answer, Context, Core};
use crate::mock::group::classic::{Reply, Sync, Synced};
use crate::mock::hooks::When;
use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::Decodable;

pub(crate) fn serve(core: &mut Core, context: &Context, mut body: Bytes) -> Answer {
    let Ok(request) = SyncGroupRequest::decode(&mut body, context.version) else { return Answer::Close };
    if let Some((code, When::Before)) = context.fault {
        return refuse(context, code);
    }
    if context.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return refuse(context, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    let group_id = request.group_id.to_string();
    let sync = Sync {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(ToString::to_string),
        protocol: request.protocol_name.as_ref().map(ToString::to_string),
        assignments: request
            .assignments
            .into_iter()
            .map(|given| (given.member_id.to_string(), given.assignment))
            .collect(),
    };
    if let Some((group, topics)) = classic::of_consumers(core, context, &group_id) {
        let synced = group.sync(&sync, topics);
        return classic::told(context, Reply::Sync(synced));
    }
    match classic::of_member(core, context, &group_id) {
        Ok(group) => group.sync(sync, context.origin.connection, context.now),
        Err(code) => return refuse(context, code),
    }
    classic::settle(core, context, classic::Waiting { group: group_id })
}

pub(crate) fn answer(context: &Context, synced: Synced) -> Answer {
    let response = SyncGroupResponse::default()
        .with_error_code(synced.code.0)
        .with_protocol_type(synced.protocol_type.map(text))
        .with_protocol_name(synced.protocol.map(text))
        .with_assignment(synced.assignment);
    frame(context, &response)
}

pub(crate) fn refuse(context: &Context, code: ErrorCode) -> Answer {
    answer(context, Synced::refused(code))
}
