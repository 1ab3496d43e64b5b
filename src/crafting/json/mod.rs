//! JSON of events, in and out.
//!
//! What is absent: a tree of values. Reading goes by the text, writing goes straight into memory.

mod read;
mod scan;
mod write;

pub(crate) use read::{
    ABSENT, Array, Inside, Node, boolean, bounded_count, bounded_list, checked_text, integer, list, number,
    object, object_with_inside, one_of, parsed, place, place_of, string, text, uuid,
};
pub(crate) use write::{ObjectWriter, Out, ToJson, UUID_BYTES, append, uuid_text, write_into};
