//! OAUTHBEARER (RFC 7628): a token that the broker checks. Its refusal comes as a message that wants an answer, a single
//! byte 0x01, before the exchange fails.

use super::bearer_token::BearerToken;
use crate::error::AuthenticationCause;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Send(&'static [u8]),
    Done,
}

/// One exchange, after the client's first message.
#[derive(Debug, Default)]
pub(crate) struct OAuthBearer {
    /// What the broker refused the token with.
    refusal: Option<Arc<str>>,
}

/// The client's first message. The token was checked.
pub(crate) fn message(token: &BearerToken) -> Zeroizing<Vec<u8>> {
    let len = token
        .extensions()
        .fold(HEAD.len() + token.text().len() + 2, |len, (name, value)| len + name.len() + value.len() + 2);
    let mut message = Zeroizing::new(Vec::with_capacity(len));
    message.extend_from_slice(HEAD);
    message.extend_from_slice(token.text().as_bytes());
    for (name, value) in token.extensions() {
        message.push(SEPARATOR);
        message.extend_from_slice(name.as_bytes());
        message.push(b'=');
        message.extend_from_slice(value.as_bytes());
    }
    message.extend_from_slice(&[SEPARATOR, SEPARATOR]);
    message
}

impl OAuthBearer {
    /// Takes the broker's message.
    pub(crate) fn handle(&mut self, message: &[u8]) -> Result<Next, AuthenticationCause> {
        if let Some(refusal) = self.refusal.take() {
            // It should have failed now; whatever it says, the token was refused.
            return Err(AuthenticationCause::Refused { message: Some(refusal) });
        }
        if message.is_empty() {
            return Ok(Next::Done);
        }
        let shown = &message[..message.len().min(SHOWN_BYTES_MAX)];
        self.refusal = Some(String::from_utf8_lossy(shown).escape_debug().to_string().into());
        Ok(Next::Send(&[SEPARATOR]))
    }

    /// What the broker refused the token with, for the failure that follows it.
    pub(crate) fn take_refusal(&mut self) -> Option<Arc<str>> {
        self.refusal.take()
    }
}

/// Acting for nobody else.
const HEAD: &[u8] = b"n,,\x01auth=Bearer ";
const SEPARATOR: u8 = 1;
const SHOWN_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_that_of_the_rfc() {
        assert_eq!(&message(&BearerToken::new("abc="))[..], b"n,,\x01auth=Bearer abc=\x01\x01");
        let token = BearerToken::new("abc").extension("tenant", "forge").extension("zone", "1");
        let message = message(&token);
        assert_eq!(&message[..], b"n,,\x01auth=Bearer abc\x01tenant=forge\x01zone=1\x01\x01");
        assert_eq!(message.capacity(), message.len(), "nothing was left behind by growing");
    }

    #[test]
    fn a_refusal_is_answered_with_one_byte_and_then_it_fails() {
        let mut exchange = OAuthBearer::default();
        assert_eq!(exchange.handle(b"{\"status\":\"invalid_token\"}").unwrap(), Next::Send(&[1]));
        let refused = exchange.handle(b"").unwrap_err();
        assert!(refused.to_string().contains("invalid_token"), "{refused}");
        assert_eq!(OAuthBearer::default().handle(b"").unwrap(), Next::Done);
    }
}
