//! SaslHandshake (17), v0 and v1.
//!
//! * A listener without SASL, and a connection that is authenticated for good, are no place for it: ILLEGAL_SASL_STATE.
//! * A mechanism that is not offered is refused with those that are.
//! * v0 announced messages without frames, which the mock does not read.

use super::text;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use kafka_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: SaslHandshakeRequest,
) -> SaslHandshakeResponse {
    let (code, offered) = match context.fault {
        Some((code, _)) => (code, Vec::new()),
        None => shake(core, context, &request.mechanism),
    };
    let offered = offered.into_iter().map(text).collect();
    SaslHandshakeResponse::default().with_error_code(code.0).with_mechanisms(offered)
}

#[cfg(feature = "sasl")]
fn shake(core: &mut Core, context: &Context, mechanism: &str) -> (ErrorCode, Vec<String>) {
    core.sasl.shake_hands(context.origin.connection, mechanism, context.now)
}

#[cfg(not(feature = "sasl"))]
const fn shake(_core: &Core, _context: &Context, _mechanism: &str) -> (ErrorCode, Vec<String>) {
    (ErrorCode::ILLEGAL_SASL_STATE, Vec::new())
}
