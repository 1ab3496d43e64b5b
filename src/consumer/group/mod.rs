//! Group membership and committed offsets.

pub(crate) mod classic;
pub(crate) mod commits;
pub(crate) mod committed;
pub(crate) mod committing;
pub(crate) mod coordinator;
#[cfg(feature = "internals")]
pub(crate) mod fuzz;
pub(crate) mod member;
pub(crate) mod membership;
pub(crate) mod offsets;
pub(crate) mod owned;
pub(crate) mod participation;
pub(crate) mod request;
pub(crate) mod session_timeout;
#[cfg(test)]
mod tests;
pub(crate) mod work;
