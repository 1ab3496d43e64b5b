//! JoinGroup (11), v0 to v9: a member comes, or is called to a new generation. It waits until all have come.
//!
//! * v1: a rebalance timeout of its own. v4: a member without an id is given one first. v5: static members.
//! * v7: the protocol's type, and no name where there is none. v9: a leader that is back may keep the assignment.

use super::find_coordinator::check_coordinator;
use super::{classic, frame, text};
use crate::error::ErrorCode;
use crate::mock::core::{Answer, Context, Core};
use crate::mock::group::Group;
use crate::mock::group::classic::{ClassicGroup, Join, Joined, Reply};
use crate::mock::hooks::When;
use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::Decodable;
use std::time::Duration;

pub(crate) fn serve(core: &mut Core, context: &Context, mut body: Bytes) -> Answer {
    let Ok(request) = JoinGroupRequest::decode(&mut body, context.version) else { return Answer::Close };
    let member_id = request.member_id.to_string();
    if let Some((code, When::Before)) = context.fault {
        return refuse(context, &member_id, code);
    }
    let join = join_of(core, context, &request);
    if let Some((group, topics)) = classic::of_consumers(core, context, &request.group_id) {
        let joined = group.join(&join, topics, context.now);
        return classic::told(context, Reply::Join(joined));
    }
    match group(core, context, &request) {
        Ok(group) => group.join(&join, context.now),
        Err(code) => return refuse(context, &member_id, code),
    }
    classic::settle(core, context, classic::Waiting { group: request.group_id.to_string() })
}

pub(crate) fn answer(context: &Context, joined: Joined) -> Answer {
    let name = joined.protocol.filter(|name| !name.is_empty()).map(text);
    let peers = joined.peers.into_iter().map(|peer| {
        JoinGroupResponseMember::default()
            .with_member_id(text(peer.member_id))
            .with_group_instance_id(peer.instance_id.filter(|_| context.version >= 5).map(text))
            .with_metadata(peer.metadata)
    });
    let response = JoinGroupResponse::default()
        .with_error_code(joined.code.0)
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(text))
        .with_protocol_name(if context.version < 7 { Some(name.unwrap_or_default()) } else { name })
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.is_assignment_kept)
        .with_member_id(text(joined.member_id))
        .with_members(peers.collect());
    frame(context, &response)
}

pub(crate) fn refuse(context: &Context, member_id: &str, code: ErrorCode) -> Answer {
    answer(context, Joined::refused(member_id, code))
}

/// The group that is joined. It is made where a member without an id names a new one.
fn group<'a>(
    core: &'a mut Core,
    context: &Context,
    request: &JoinGroupRequest,
) -> Result<&'a mut ClassicGroup, ErrorCode> {
    let id = request.group_id.as_str();
    if id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    let rules = core.settings.classic;
    let session = millis(request.session_timeout_ms);
    if session < rules.session_min || session > rules.session_max {
        return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    check_coordinator(core, context, id)?;
    if request.member_id.is_empty() {
        core.groups.entry(id.to_owned()).or_insert_with(|| Group::new(rules));
    }
    let group = core.group(id, context.now).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
    group.as_classic(rules).ok_or(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
}

fn join_of(core: &mut Core, context: &Context, request: &JoinGroupRequest) -> Join {
    let instance_id = request.group_instance_id.as_ref().map(ToString::to_string);
    let named = instance_id.as_deref().unwrap_or(&context.client_id);
    let rebalance =
        if context.version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    let protocols = request.protocols.iter();
    Join {
        connection: context.origin.connection,
        member_id: request.member_id.to_string(),
        new_member_id: format!("{named}-{}", core.random.uuid()),
        instance_id,
        client_id: context.client_id.clone(),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(rebalance),
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.map(|known| (known.name.to_string(), known.metadata.clone())).collect(),
        needs_member_id: context.version >= 4,
        can_keep_assignment: context.version >= 9,
    }
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
