//! ListGroups (16), v0 to v5: the groups that this broker coordinates.
//!
//! * v4: their states, and only those in the states asked for. v5: their types, likewise.

use super::find_coordinator::coordinator_of;
use super::text;
use crate::mock::core::{Context, Core};
use crate::mock::group::Members;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

pub(crate) fn handle(core: &mut Core, context: &Context, request: ListGroupsRequest) -> ListGroupsResponse {
    if let Some((code, _)) = context.fault {
        return ListGroupsResponse::default().with_error_code(code.0);
    }
    let ids: Vec<String> = core.groups.keys().cloned().collect();
    let is_wanted = |asked: &[StrBytes], value: &str| {
        asked.is_empty() || asked.iter().any(|one| one.trim().eq_ignore_ascii_case(value))
    };
    let mut listed = Vec::new();
    for id in ids {
        if coordinator_of(core, &id) != Some(context.origin.broker) {
            continue;
        }
        let Some(group) = core.group(&id, context.now) else { continue };
        let (kind, protocol_type) = match &group.members {
            Members::Consumer(_) => ("consumer", "consumer"),
            Members::Classic(group) => ("classic", group.protocol_type().unwrap_or_default()),
        };
        let state = group.state();
        if !is_wanted(&request.states_filter, state) || !is_wanted(&request.types_filter, kind) {
            continue;
        }
        let group =
            ListedGroup::default().with_protocol_type(text(protocol_type)).with_group_id(GroupId(text(id)));
        listed.push(match context.version {
            ..4 => group,
            4 => group.with_group_state(text(state)),
            _ => group.with_group_state(text(state)).with_group_type(text(kind)),
        });
    }
    ListGroupsResponse::default().with_groups(listed)
}
