//! JSON of events, in and out.
//!
//! What is absent: a tree of values. Reading goes by the text, writing goes straight into memory.

mod read;
mod write;

pub(crate) use read::{
    ABSENT, Node, boolean, bounded_list, integer, list, number, object, one_of, parsed, string, uuid,
};
pub(crate) use write::{ObjectWriter, Out, ToJson, UUID_BYTES, append, uuid_text, write_into};
