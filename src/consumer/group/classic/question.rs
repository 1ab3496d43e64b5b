//! What a member of a classic group asks its coordinator, and what it is answered.

use crate::{
    error::ErrorCode,
    wire::{
        ApiKey,
        api::{
            heartbeat::{HeartbeatRequest, HeartbeatResponse},
            join_group::{JoinGroupRequest, JoinGroupResponse},
            leave_group::{LeaveGroupRequest, LeaveGroupResponse},
            sync_group::{SyncGroupRequest, SyncGroupResponse},
        },
    },
};

/// A request of the protocol.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
}

/// The answer to the question of the same name.
#[derive(Debug)]
pub(crate) enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave(LeaveGroupResponse),
}

impl Answer {
    pub(crate) fn api(&self) -> ApiKey {
        match self {
            Self::Join(_) => ApiKey::JoinGroup,
            Self::Sync(_) => ApiKey::SyncGroup,
            Self::Heartbeat(_) => ApiKey::Heartbeat,
            Self::Leave(_) => ApiKey::LeaveGroup,
        }
    }

    /// What went wrong for this member.
    pub(crate) fn error(&self) -> ErrorCode {
        match self {
            Self::Join(answer) => answer.error,
            Self::Sync(answer) => answer.error,
            Self::Heartbeat(answer) => answer.error,
            Self::Leave(answer) if !answer.error.is_ok() => answer.error,
            Self::Leave(answer) => answer.errors.first().copied().unwrap_or(ErrorCode::NONE),
        }
    }

    /// Whether it says that the member belongs to the group's present generation.
    pub(crate) fn confirms(&self) -> bool {
        matches!(self, Self::Sync(_) | Self::Heartbeat(_)) && self.error().is_ok()
    }
}
