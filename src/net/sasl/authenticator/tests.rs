//! Exchanges as a broker would lead them, answer by answer.

use super::*;
use crate::{net::sasl::work::Work, wire::VersionRange};
use bytes::{BufMut, BytesMut};

fn versions() -> Versions {
    Versions::new([(17, VersionRange::new(0, 1)), (36, VersionRange::new(0, 2))])
}

fn handshake_answer(code: i16, offered: &[&str]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_i16(code);
    frame.put_i32(i32::try_from(offered.len()).unwrap());
    for name in offered {
        frame.put_i16(i16::try_from(name.len()).unwrap());
        frame.put_slice(name.as_bytes());
    }
    frame.freeze()
}

fn answer(code: i16, message: &str, auth_bytes: &[u8], lifetime_ms: i64) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_u8(0);
    frame.put_i16(code);
    for bytes in [message.as_bytes(), auth_bytes] {
        frame.put_u8(u8::try_from(bytes.len() + 1).unwrap());
        frame.put_slice(bytes);
    }
    frame.put_i64(lifetime_ms);
    frame.put_u8(0);
    frame.freeze()
}

/// The mechanism's message in a request.
fn message(step: &Step) -> Vec<u8> {
    let Step::Ask(body) = step else { panic!("{step:?}") };
    assert_eq!(body.key, ApiKey::SaslAuthenticate);
    let bytes = body.segments.concat();
    bytes[1..bytes.len() - 1].to_vec()
}

fn shaken(sasl: &Sasl) -> (Authenticator, Step) {
    let (mut authenticator, step) = Authenticator::start(sasl, &versions()).unwrap();
    assert!(matches!(step, Step::Ask(body) if body.key == ApiKey::SaslHandshake && body.version == 1));
    let step = authenticator.handle_answer(handshake_answer(0, &[]), || "abc".to_owned()).unwrap();
    (authenticator, step)
}

fn next(authenticator: &mut Authenticator, frame: Bytes) -> Result<Step, ConnectionError> {
    authenticator.handle_answer(frame, || panic!("one nonce an exchange"))
}

fn cause(result: Result<Step, ConnectionError>) -> AuthenticationCause {
    match result {
        Err(ConnectionError::Authentication(error)) => error.cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_is_one_message() {
    let (mut authenticator, step) = shaken(&Sasl::plain("smith", "hush"));
    assert_eq!(message(&step), b"\0smith\0hush");
    let step = next(&mut authenticator, answer(0, "", b"", 5_000)).unwrap();
    assert!(matches!(step, Step::Done(Some(lifetime)) if lifetime == Duration::from_secs(5)));
    assert!(next(&mut authenticator, answer(0, "", b"", 0)).is_err(), "nothing comes after the end");
}

#[test]
fn a_lifetime_of_nothing_is_none() {
    for lifetime_ms in [0, -1, i64::MIN] {
        let (mut authenticator, _) = shaken(&Sasl::plain("smith", "hush"));
        let step = next(&mut authenticator, answer(0, "", b"", lifetime_ms)).unwrap();
        assert!(matches!(step, Step::Done(None)), "{lifetime_ms}");
    }
}

#[test]
fn f44_a_wrong_password_names_mechanism_and_principal_and_no_secret() {
    for sasl in [Sasl::plain("smith", "hush"), Sasl::scram_sha_256("smith", "hush")] {
        let (mut authenticator, _) = shaken(&sasl);
        let error = next(&mut authenticator, answer(58, "Invalid\u{1b} username", b"", 0)).unwrap_err();
        assert!(!error.is_retriable());
        let error = error.fatal_authentication().unwrap();
        assert_eq!((error.mechanism, &*error.principal), (sasl.mechanism(), "smith"));
        assert!(error.cause.to_string().contains("Invalid\\u{1b} username"), "{}", error.cause);
        assert!(!format!("{error:?} {error} {}", error.cause).contains("hush"));
    }
}

#[test]
fn other_codes_may_pass() {
    let (mut authenticator, _) = shaken(&Sasl::plain("smith", "hush"));
    let error = next(&mut authenticator, answer(-1, "", b"", 0)).unwrap_err();
    assert!(matches!(error, ConnectionError::Refused { .. }) && error.is_retriable());
}

#[test]
fn what_the_broker_offers_is_told() {
    let start = || Authenticator::start(&Sasl::scram_sha_512("smith", "hush"), &versions()).unwrap().0;
    let refused = cause(next(&mut start(), handshake_answer(33, &["PLAIN", "OAUTHBEARER"])));
    let offered = vec!["PLAIN".to_owned(), "OAUTHBEARER".to_owned()];
    assert_eq!(refused, AuthenticationCause::UnsupportedMechanism { offered });
    let refused = cause(next(&mut start(), handshake_answer(34, &[])));
    assert_eq!(refused, AuthenticationCause::NotASaslListener);
}

#[test]
fn keys_are_derived_once_for_all_connections() {
    let sasl = Sasl::scram_sha_256("user", "pencil");
    let first = answer(0, "", b"r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", 0);
    let (mut authenticator, step) = shaken(&sasl);
    assert_eq!(message(&step), b"n,,n=user,r=abc");
    let Step::Work(Work::Derive(derivation)) = next(&mut authenticator, first.clone()).unwrap() else {
        panic!("keys are known already")
    };
    let step = authenticator.handle_done(work::Done::Keys(Some(Arc::new(derivation.run())))).unwrap();
    let (mut again, _) = shaken(&sasl);
    assert_eq!(message(&next(&mut again, first).unwrap()), message(&step));
    let refused = cause(next(&mut again, answer(0, "", b"v=AAAA", 0)));
    assert_eq!(refused, AuthenticationCause::ServerNotProven);
}

#[test]
fn a_token_comes_first_and_its_refusal_is_answered() {
    let sasl = Sasl::oauth_bearer(BearerToken::new("unused"));
    let (mut authenticator, step) = Authenticator::start(&sasl, &versions()).unwrap();
    assert!(matches!(step, Step::Work(Work::Token(_))));
    let token = Arc::new(BearerToken::new("hush").principal("smith"));
    let step = authenticator.handle_done(work::Done::Token(Ok(token))).unwrap();
    assert!(matches!(step, Step::Ask(body) if body.key == ApiKey::SaslHandshake));
    let step = authenticator.handle_answer(handshake_answer(0, &[]), || "abc".to_owned()).unwrap();
    assert_eq!(message(&step), b"n,,\x01auth=Bearer hush\x01\x01");
    let step = next(&mut authenticator, answer(0, "", b"{\"status\":\"expired\"}", 0)).unwrap();
    assert_eq!(message(&step), [1]);
    let error = next(&mut authenticator, answer(58, "in general", b"", 0)).unwrap_err();
    let error = error.fatal_authentication().unwrap();
    assert_eq!(&*error.principal, "smith");
    assert!(error.cause.to_string().contains("expired"), "{}", error.cause);
}

#[test]
fn a_provider_without_a_token_is_asked_again_and_a_bad_token_is_not_sent() {
    let sasl = Sasl::oauth_bearer(BearerToken::new("unused"));
    let (mut authenticator, _) = Authenticator::start(&sasl, &versions()).unwrap();
    let error = authenticator.handle_done(work::Done::Token(Err("down".into()))).unwrap_err();
    assert!(error.is_retriable() && error.fatal_authentication().is_none());
    let (mut authenticator, _) = Authenticator::start(&sasl, &versions()).unwrap();
    let token = Arc::new(BearerToken::new("a\u{1}b"));
    let refused = cause(authenticator.handle_done(work::Done::Token(Ok(token))));
    assert!(matches!(refused, AuthenticationCause::Token { field: "token", .. }));
}
