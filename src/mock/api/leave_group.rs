//! LeaveGroup (13), v0 to v5: members go for good, many in one request from v3 on.
//!
//! * v3: an administrator may name a static member by its instance alone.

use super::classic;
use super::find_coordinator::check_coordinator;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::hooks::When;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

pub(crate) fn handle(core: &mut Core, context: &Context, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let leaving = if context.version < 3 {
        vec![MemberIdentity::default().with_member_id(request.member_id.clone())]
    } else {
        request.members.clone()
    };
    let result = match context.fault {
        Some((code, When::Before)) => Err(code),
        Some((code, When::After)) => leave(core, context, &request, &leaving).and(Err(code)),
        None => leave(core, context, &request, &leaving),
    };
    let codes = match result {
        Ok(codes) => codes,
        Err(code) => return LeaveGroupResponse::default().with_error_code(code.0),
    };
    if context.version < 3 {
        let code = codes.first().copied().unwrap_or(ErrorCode::NONE);
        return LeaveGroupResponse::default().with_error_code(code.0);
    }
    let members = leaving.into_iter().zip(codes).map(|(member, code)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code.0)
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

/// A code for each member, or one for the request.
fn leave(
    core: &mut Core,
    context: &Context,
    request: &LeaveGroupRequest,
    leaving: &[MemberIdentity],
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let group_id = request.group_id.as_str();
    if group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    check_coordinator(core, context, group_id)?;
    let named: Vec<_> = leaving
        .iter()
        .map(|member| {
            let instance = member.group_instance_id.as_ref().map(ToString::to_string);
            (member.member_id.to_string(), instance)
        })
        .collect();
    let results = if let Some((group, _)) = classic::of_consumers(core, context, group_id) {
        group.leave_of_classic(&named)
    } else if let Ok(group) = classic::of_member(core, context, group_id) {
        group.leave(&named, context.now)
    } else {
        return Ok(vec![ErrorCode::UNKNOWN_MEMBER_ID; leaving.len()]);
    };
    core.deliver(group_id);
    Ok(results.into_iter().map(|result| result.err().unwrap_or(ErrorCode::NONE)).collect())
}
