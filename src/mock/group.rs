//! A group.
/// stub
#[derive(Debug, Default)]
pub(crate) struct Group {}
