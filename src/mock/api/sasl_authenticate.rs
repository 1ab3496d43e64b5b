//! SaslAuthenticate (36), v0 to v2.
//!
//! * v1: for how long the session lives (KIP-368).
//! * Outside of an exchange it is ILLEGAL_SASL_STATE. After a refusal the connection is closed.

use super::text;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

/// What a mechanism makes of a message.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) message: Bytes,
    pub(crate) lifetime_ms: i64,
}

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    let reply = match context.fault {
        Some((code, _)) => Err((code, "a hook refuses it".to_owned())),
        None => authenticate(core, context, &request.auth_bytes),
    };
    match reply {
        Ok(Reply { message, lifetime_ms }) => SaslAuthenticateResponse::default()
            .with_auth_bytes(message)
            .with_session_lifetime_ms(if context.version >= 1 { lifetime_ms } else { 0 }),
        Err((code, said)) => {
            #[cfg(feature = "sasl")]
            core.sasl.refuse(context.origin.connection);
            SaslAuthenticateResponse::default().with_error_code(code.0).with_error_message(Some(text(said)))
        }
    }
}

#[cfg(feature = "sasl")]
fn authenticate(core: &mut Core, context: &Context, message: &[u8]) -> Result<Reply, (ErrorCode, String)> {
    let Core { sasl, random, .. } = core;
    sasl.authenticate(context.origin.connection, message, context.now, random)
}

#[cfg(not(feature = "sasl"))]
fn authenticate(_core: &mut Core, _context: &Context, _message: &[u8]) -> Result<Reply, (ErrorCode, String)> {
    Err((
        ErrorCode::ILLEGAL_SASL_STATE,
        "SaslAuthenticate request received after successful authentication".to_owned(),
    ))
}
