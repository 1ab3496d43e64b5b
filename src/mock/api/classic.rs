//! What the APIs of the classic protocol have in common: they look at the group when it is their turn, and a JoinGroup
//! or SyncGroup waits until the group has something to tell it.

use super::find_coordinator::check_coordinator;
use super::{Pending, join_group, sync_group};
use crate::error::ErrorCode;
use crate::mock::core::{Answer, Context, Core};
use crate::mock::group::classic::{ClassicGroup, Reply};
use crate::mock::group::consumer::ConsumerGroup;
use crate::mock::topics::Topics;

/// A JoinGroup or SyncGroup that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) group: String,
}

/// Answers a request with what its group tells it, or parks it.
pub(crate) fn settle(core: &mut Core, context: &Context, waiting: Waiting) -> Answer {
    core.deliver(&waiting.group);
    if let Some(reply) = core.take_reply(context.origin.connection) {
        return told(context, reply);
    }
    let Some(group) = core.groups.get_mut(&waiting.group).and_then(|group| group.classic_mut()) else {
        return refused(context, ErrorCode::UNKNOWN_MEMBER_ID);
    };
    let until = group.park_until(context.now);
    Answer::Park(Pending::Group(waiting), until)
}

/// Goes on with a parked request: it was woken, or something in its group was due.
pub(crate) fn resume(core: &mut Core, context: &Context, waiting: Waiting) -> Answer {
    if let Err(code) = check_coordinator(core, context, &waiting.group) {
        let _ = core.take_reply(context.origin.connection);
        return refused(context, code);
    }
    let _ = core.group(&waiting.group, context.now);
    settle(core, context, waiting)
}

/// The classic group that a request of a member is about; UNKNOWN_MEMBER_ID where there is none.
pub(crate) fn of_member<'a>(
    core: &'a mut Core,
    context: &Context,
    group_id: &str,
) -> Result<&'a mut ClassicGroup, ErrorCode> {
    if group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    check_coordinator(core, context, group_id)?;
    let group = core.group(group_id, context.now).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
    group.classic_mut().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
}

/// The group of a request, if it has members of KIP-848 and is coordinated here, and the topics.
pub(crate) fn of_consumers<'a>(
    core: &'a mut Core,
    context: &Context,
    group_id: &str,
) -> Option<(&'a mut ConsumerGroup, &'a Topics)> {
    if group_id.is_empty() || check_coordinator(core, context, group_id).is_err() {
        return None;
    }
    let _ = core.group(group_id, context.now);
    let group = core.groups.get_mut(group_id)?.consumer_mut().filter(|group| !group.is_empty())?;
    Some((group, &core.topics))
}

/// What a request is answered at once.
pub(crate) fn told(context: &Context, reply: Reply) -> Answer {
    match (reply, context.fault) {
        (_, Some((code, _))) => refused(context, code),
        (Reply::Join(joined), None) => join_group::answer(context, joined),
        (Reply::Sync(synced), None) => sync_group::answer(context, synced),
    }
}

fn refused(context: &Context, code: ErrorCode) -> Answer {
    match context.api {
        super::Api::SyncGroup => sync_group::refuse(context, code),
        _ => join_group::refuse(context, "", code),
    }
}
