//! One file per API: the request as this client uses it, and the answer as this client reads it.
//!
//! Only what the client uses is kept of an answer. Names are Kafka's; counts and lengths are checked by the reader.
//! The `…_BYTES_MIN` numbers are the least bytes that one element of an array takes, its tagged fields included; the
//! reader refuses a count that the bytes in hand cannot hold.

pub(crate) mod api_versions;
pub(crate) mod consumer_group_heartbeat;
pub(crate) mod create_topics;
pub(crate) mod delete_groups;
pub(crate) mod delete_topics;
pub(crate) mod describe_cluster;
pub(crate) mod describe_configs;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod heartbeat;
pub(crate) mod incremental_alter_configs;
pub(crate) mod init_producer_id;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_commit;
pub(crate) mod offset_fetch;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
#[cfg(feature = "sasl")]
pub(crate) mod sasl_authenticate;
#[cfg(feature = "sasl")]
pub(crate) mod sasl_handshake;
pub(crate) mod sync_group;

#[cfg(feature = "internals")]
pub(crate) mod fuzz;
#[cfg(feature = "internals")]
pub(crate) mod spoken;
#[cfg(test)]
pub(super) mod testing;

use super::{Api, reader::Reader};
use crate::error::{DecodeError, EncodeError, ErrorCode};
use bytes::BytesMut;
use kafka_protocol::protocol::{Encodable, StrBytes};

/// Appends `message`, which is `A` in the form of the crate that writes requests.
fn write<A: Api>(message: &impl Encodable, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
    message.encode(out, version).map_err(|_| EncodeError { api: A::KEY.name(), version })
}

fn text<T: From<StrBytes>>(value: &str) -> T {
    StrBytes::from_string(value.to_owned()).into()
}

fn error_code(reader: &mut Reader) -> Result<ErrorCode, DecodeError> {
    reader.i16("error code").map(ErrorCode)
}

fn ids(reader: &mut Reader, what: &'static str) -> Result<Vec<i32>, DecodeError> {
    reader.compact_array(what, 4, |r| r.i32(what))
}

/// The port of a broker that can be connected to, 1 to 65535; the protocol's field has 32 bits.
fn port(reader: &mut Reader) -> Result<u16, DecodeError> {
    let at = reader.position();
    let value = reader.i32("port")?;
    checked_port(value, at)
}

fn checked_port(value: i32, at: usize) -> Result<u16, DecodeError> {
    match u16::try_from(value) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(DecodeError::Invalid { what: "port", at, value: i64::from(value) }),
    }
}
