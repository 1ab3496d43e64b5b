//! DescribeGroups (15), v0 to v6: classic groups and their members. A group of KIP-848 is none to it.
//!
//! * v4: static members' instances. v6: a group that is not there is an error; before, it is a dead group.

use super::find_coordinator::check_coordinator;
use super::text;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::group::classic::{ClassicGroup, State};
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use kafka_protocol::protocol::StrBytes;

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|id| {
        let described = match describe(core, context, &id) {
            Ok(described) => described,
            Err(ErrorCode::GROUP_ID_NOT_FOUND) if context.version < 6 => dead(),
            Err(code) if context.version >= 6 && code == ErrorCode::GROUP_ID_NOT_FOUND => {
                dead().with_error_code(code.0).with_error_message(Some(not_found(&id)))
            }
            Err(code) => DescribedGroup::default().with_error_code(code.0),
        };
        described.with_group_id(id)
    });
    let groups = groups.collect();
    DescribeGroupsResponse::default().with_groups(groups)
}

fn describe(core: &mut Core, context: &Context, id: &str) -> Result<DescribedGroup, ErrorCode> {
    if let Some((code, _)) = context.fault {
        return Err(code);
    }
    check_coordinator(core, context, id)?;
    let group = core.group(id, context.now).and_then(|group| group.classic_mut());
    Ok(described(group.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?, context.version))
}

fn described(group: &ClassicGroup, version: i16) -> DescribedGroup {
    // Before a generation is complete, it has no protocol that the members' metadata could be told of.
    let protocol = group.protocol().filter(|_| group.state() == State::Stable);
    let members = group.members().map(|(id, member)| {
        DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(member.instance_id.clone().filter(|_| version >= 4).map(text))
            .with_client_id(text(member.client_id.as_str()))
            .with_client_host(text(CLIENT_HOST))
            .with_member_metadata(protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default())
            .with_member_assignment(member.assignment.clone())
    });
    DescribedGroup::default()
        .with_group_state(text(group.state().name()))
        .with_protocol_type(text(group.protocol_type().unwrap_or_default()))
        .with_protocol_data(text(protocol.unwrap_or_default()))
        .with_members(members.collect())
}

fn dead() -> DescribedGroup {
    DescribedGroup::default().with_group_state(text("Dead"))
}

/// What Kafka says of a group that is not there.
pub(super) fn not_found(id: &str) -> StrBytes {
    text(format!("Group {id} not found."))
}

/// Where all members are, as Kafka writes it.
pub(crate) const CLIENT_HOST: &str = "/127.0.0.1";
