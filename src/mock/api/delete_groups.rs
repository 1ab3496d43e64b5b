//! DeleteGroups (42), v0 to v2. A group with members is not deleted.

use super::find_coordinator::check_coordinator;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::hooks::When;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|group| {
        let result = match context.fault {
            Some((code, When::Before)) => Err(code),
            Some((code, When::After)) => delete(core, context, &group).and(Err(code)),
            None => delete(core, context, &group),
        };
        let code = result.err().unwrap_or(ErrorCode::NONE);
        DeletableGroupResult::default().with_group_id(group).with_error_code(code.0)
    });
    let results = results.collect();
    DeleteGroupsResponse::default().with_results(results)
}

fn delete(core: &mut Core, context: &Context, group_id: &str) -> Result<(), ErrorCode> {
    check_coordinator(core, context, group_id)?;
    let group = core.group(group_id, context.now).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
    if !group.is_empty() {
        return Err(ErrorCode::NON_EMPTY_GROUP);
    }
    core.groups.remove(group_id);
    Ok(())
}
