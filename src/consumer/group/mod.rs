//! Group membership and committed offsets.

pub(crate) mod commits;
pub(crate) mod coordinator;
pub(crate) mod membership;
pub(crate) mod offsets;
