//! JSON of events, in and out.
//!
//! What is absent: a tree of values. Reading goes by the text, writing goes straight into memory.

mod read;
mod scan;
mod write;

pub(crate) use read::{
    ABSENT, Inside, Node, boolean, bounded_list, integer, list, number, object, object_with_inside, one_of,
    parsed, place, place_of, string, uuid,
};
pub(crate) use write::{ObjectWriter, Out, ToJson, UUID_BYTES, append, uuid_text, write_into};
