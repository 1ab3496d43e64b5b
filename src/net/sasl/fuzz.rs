//! The body of the fuzz target `sasl`, and of the test that replays its corpus.

use super::{
    BearerToken, Sasl,
    authenticator::{Authenticator, Step},
    work::{Done, Work},
};
use crate::{
    net::Versions,
    wire::{ApiKey, VersionRange},
};
use bytes::Bytes;
use std::sync::Arc;

/// Leads an authentication by any answers: the first byte is the mechanism, then comes each answer's body behind its
/// length in two bytes.
///
/// # Panics
///
/// If SCRAM is over without the broker's proof, or an error holds the secret or is long.
pub fn check_sasl(data: &[u8]) {
    let &[mechanism, ref rest @ ..] = data else { return };
    let sasl = match mechanism % 4 {
        0 => Sasl::plain("smith", SECRET),
        1 => Sasl::scram_sha_256("smith", SECRET),
        2 => Sasl::scram_sha_512("smith", SECRET),
        _ => Sasl::oauth_bearer(BearerToken::new(SECRET)),
    };
    let versions = Versions::new([(17, VersionRange::new(1, 1)), (36, VersionRange::new(2, 2))]);
    let Ok((mut authenticator, mut step)) = Authenticator::start(&sasl, &versions) else { return };
    let mut rest = rest;
    loop {
        let next = match step {
            Step::Done(_) => {
                assert!(!sasl.mechanism().starts_with("SCRAM"), "over without a proof");
                return;
            }
            Step::Work(Work::Token(_)) => {
                authenticator.handle_done(Done::Token(Ok(Arc::new(BearerToken::new(SECRET)))))
            }
            Step::Work(Work::Derive(derivation)) => {
                authenticator.handle_done(Done::Keys(Some(Arc::new(derivation.without_password()))))
            }
            Step::Ask(body) => {
                let Some((length, behind)) = rest.split_first_chunk::<2>() else { return };
                let (answer, behind) =
                    behind.split_at(usize::from(u16::from_be_bytes(*length)).min(behind.len()));
                rest = behind;
                // The correlation id, and where there are any the count of tagged fields.
                let head: &[u8] = if body.key == ApiKey::SaslHandshake { &[0; 4] } else { &[0; 5] };
                authenticator.handle_answer(Bytes::from([head, answer].concat()), || {
                    "fyko+d2lbbFgONRv9qkxdawL".to_owned()
                })
            }
        };
        step = match next {
            Ok(step) => step,
            Err(error) => {
                let shown = format!("{error:?}");
                assert!(!shown.contains(SECRET) && shown.len() < (64 << 10), "{shown}");
                return;
            }
        };
    }
}

const SECRET: &str = "a-secret-that-is-in-no-error";
