//! What members of a classic group are told.

use crate::error::ErrorCode;
use bytes::Bytes;

/// What a parked request is told in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Join(Joined),
    Sync(Synced),
}

/// JoinGroup's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) code: ErrorCode,
    pub(crate) member_id: String,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: String,
    pub(crate) peers: Vec<Peer>,
    pub(crate) is_assignment_kept: bool,
}

/// A member as the leader is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) metadata: Bytes,
}

/// SyncGroup's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) code: ErrorCode,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignment: Bytes,
}

impl Joined {
    pub(crate) fn refused(member_id: &str, code: ErrorCode) -> Self {
        Self {
            code,
            member_id: member_id.to_owned(),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            peers: Vec::new(),
            is_assignment_kept: false,
        }
    }
}

impl Synced {
    pub(crate) const fn refused(code: ErrorCode) -> Self {
        Self { code, protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}
