//! SCRAM (RFC 5802) with SHA-256 (RFC 7677) or SHA-512: both sides prove that they know the password, and send it to
//! nobody.
//!
//! Invariants: the broker's nonce is ours and more; fewer iterations than 4096 are refused, since the proof would give
//! the password away to who listens, and more than 100 000, since they would keep a processor busy; it is over only once the
//! broker has proven itself. User and password go as they are, without SASLprep: Kafka's own tools and brokers
//! know none, so a password that SASLprep changes would never be the broker's.

use super::secret::Secret;
use crate::error::AuthenticationCause;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use std::{fmt, sync::Arc};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The hash that a mechanism is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

/// What follows from a password, a salt and a number of iterations; computing it takes long.
pub(crate) struct Keys {
    salt: Vec<u8>,
    iterations: u32,
    client_key: Zeroizing<Vec<u8>>,
    server_key: Zeroizing<Vec<u8>>,
}

/// The computation of [`Keys`], to be run where it keeps nobody waiting.
pub(crate) struct Derivation {
    hash: Hash,
    password: Secret,
    salt: Vec<u8>,
    iterations: u32,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    Send(Zeroizing<Vec<u8>>),
    Derive(Derivation),
    Done,
}

/// One exchange.
#[derive(Debug)]
pub(crate) struct Scram {
    hash: Hash,
    password: Secret,
    client_nonce: String,
    client_first_bare: String,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitServerFirst,
    AwaitKeys { server_first: String, nonce: String },
    AwaitServerFinal { server_signature: Zeroizing<Vec<u8>> },
    Over,
}

impl Scram {
    /// An exchange with a nonce that was never used before, and the client's first message.
    pub(crate) fn start(
        hash: Hash,
        user: &str,
        password: Secret,
        client_nonce: String,
    ) -> (Self, Zeroizing<Vec<u8>>) {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let client_first_bare = format!("n={user},r={client_nonce}");
        let message = Zeroizing::new(format!("{GS2_HEADER}{client_first_bare}").into_bytes());
        (Self { hash, password, client_nonce, client_first_bare, state: State::AwaitServerFirst }, message)
    }

    /// Takes the broker's message. `known` are keys from an exchange before, of use if the broker has not changed theirs.
    pub(crate) fn handle(
        &mut self,
        message: &[u8],
        known: Option<&Keys>,
    ) -> Result<Next, AuthenticationCause> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(broken("at most 4096 bytes"));
        }
        let message = std::str::from_utf8(message).map_err(|_| broken("UTF-8"))?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitServerFirst => self.server_first(message, known),
            State::AwaitServerFinal { server_signature } => server_final(message, &server_signature),
            State::AwaitKeys { .. } | State::Over => Err(broken("one message for each of the client's")),
        }
    }

    /// Takes what was asked for with [`Next::Derive`].
    pub(crate) fn handle_keys(&mut self, keys: &Keys) -> Result<Next, AuthenticationCause> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitKeys { server_first, nonce } => Ok(self.client_final(&server_first, &nonce, keys)),
            _ => Err(broken("keys are derived once")),
        }
    }

    fn server_first(&mut self, message: &str, known: Option<&Keys>) -> Result<Next, AuthenticationCause> {
        let mut attributes = message.split(',');
        let mut attribute = |name: &str| attributes.next().and_then(|text| text.strip_prefix(name));
        let nonce = attribute("r=").ok_or_else(|| broken("the first message begins with a nonce, r="))?;
        let salt = attribute("s=").ok_or_else(|| broken("after the nonce comes a salt, s="))?;
        let iterations =
            attribute("i=").ok_or_else(|| broken("after the salt comes a number of iterations, i="))?;
        if !nonce.starts_with(&self.client_nonce) || nonce.len() == self.client_nonce.len() {
            return Err(broken("the broker's nonce is the client's and more"));
        }
        let salt = STANDARD.decode(salt).map_err(|_| broken("the salt is base64"))?;
        if salt.is_empty() {
            return Err(broken("the salt is not empty"));
        }
        let iterations = checked_iterations(iterations)?;
        let (server_first, nonce) = (message.to_owned(), nonce.to_owned());
        match known.filter(|keys| keys.salt == salt && keys.iterations == iterations) {
            Some(keys) => Ok(self.client_final(&server_first, &nonce, keys)),
            None => {
                self.state = State::AwaitKeys { server_first, nonce };
                let (hash, password) = (self.hash, self.password.clone());
                Ok(Next::Derive(Derivation { hash, password, salt, iterations }))
            }
        }
    }

    fn client_final(&mut self, server_first: &str, nonce: &str, keys: &Keys) -> Next {
        let without_proof = format!("c={GS2_HEADER_BASE64},r={nonce}");
        let auth_message = format!("{},{server_first},{without_proof}", self.client_first_bare);
        let stored_key = self.hash.digest(&keys.client_key);
        let mut proof = self.hash.hmac(&stored_key, auth_message.as_bytes());
        for (byte, key) in proof.iter_mut().zip(keys.client_key.iter()) {
            *byte ^= key;
        }
        let server_signature = self.hash.hmac(&keys.server_key, auth_message.as_bytes());
        self.state = State::AwaitServerFinal { server_signature };
        let proof = Zeroizing::new(STANDARD.encode(&*proof));
        Next::Send(Zeroizing::new([without_proof.as_bytes(), b",p=", proof.as_bytes()].concat()))
    }
}

fn server_final(message: &str, server_signature: &[u8]) -> Result<Next, AuthenticationCause> {
    let first = message.split(',').next().unwrap_or_default();
    if let Some(error) = first.strip_prefix("e=") {
        return Err(AuthenticationCause::Refused { message: Some(error.escape_debug().to_string().into()) });
    }
    let proof = first.strip_prefix("v=").ok_or_else(|| broken("the last message begins with a proof, v="))?;
    let proof = STANDARD.decode(proof).map_err(|_| broken("the proof is base64"))?;
    match bool::from(proof.ct_eq(server_signature)) {
        true => Ok(Next::Done),
        false => Err(AuthenticationCause::ServerNotProven),
    }
}

fn checked_iterations(text: &str) -> Result<u32, AuthenticationCause> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(broken("the number of iterations is a number"));
    }
    // What does not fit is over the bound in any case.
    let iterations: u64 = text.parse().unwrap_or(u64::MAX);
    match u32::try_from(iterations) {
        Ok(checked) if (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&checked) => Ok(checked),
        _ => Err(AuthenticationCause::Iterations { iterations, min: ITERATIONS_MIN, max: ITERATIONS_MAX }),
    }
}

impl Derivation {
    /// Keys as if the computation had been done, for fuzzing.
    #[cfg(feature = "internals")]
    pub(crate) fn without_password(self) -> Keys {
        let key = || Zeroizing::new(vec![7; self.hash.len()]);
        Keys { client_key: key(), server_key: key(), salt: self.salt, iterations: self.iterations }
    }

    /// Computes the keys. This takes milliseconds for a few thousand iterations.
    pub(crate) fn run(self) -> Keys {
        let Self { hash, password, salt, iterations } = self;
        let mut salted = Zeroizing::new(vec![0; hash.len()]);
        let password = password.reveal().as_bytes();
        match hash {
            Hash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, iterations, &mut salted),
            Hash::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, &salt, iterations, &mut salted),
        }
        let client_key = hash.hmac(&salted, b"Client Key");
        let server_key = hash.hmac(&salted, b"Server Key");
        Keys { salt, iterations, client_key, server_key }
    }
}

impl Hash {
    const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn digest(self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        })
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, data),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, data),
        })
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length; an empty result proves nothing to anybody.
    <M as KeyInit>::new_from_slice(key)
        .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

const fn broken(rule: &'static str) -> AuthenticationCause {
    AuthenticationCause::Message { rule }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// Keys that the exchanges of one client share.
pub(crate) type KnownKeys = Option<Arc<Keys>>;

/// No channel binding, acting for nobody else.
const GS2_HEADER: &str = "n,,";
const GS2_HEADER_BASE64: &str = "biws";
/// Kafka's and the RFC's least.
const ITERATIONS_MIN: u32 = 4_096;
/// Kafka's brokers take 16 384 at the most.
const ITERATIONS_MAX: u32 = 100_000;
const MESSAGE_BYTES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn start(hash: Hash, user: &str, password: &str, nonce: &str) -> (Scram, String) {
        let (scram, message) = Scram::start(hash, user, Secret::new(password.to_owned()), nonce.to_owned());
        (scram, String::from_utf8(message.to_vec()).unwrap())
    }

    fn answer(scram: &mut Scram, server_first: &str) -> Result<(String, Keys), AuthenticationCause> {
        let Next::Derive(derivation) = scram.handle(server_first.as_bytes(), None)? else {
            panic!("no keys were known")
        };
        let keys = derivation.run();
        let Next::Send(message) = scram.handle_keys(&keys)? else { panic!("nothing to send") };
        Ok((String::from_utf8(message.to_vec()).unwrap(), keys))
    }

    const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn at_the_end() -> Scram {
        let (mut scram, _) = start(Hash::Sha256, "user", "pencil", CLIENT_NONCE);
        answer(&mut scram, SERVER_FIRST).unwrap();
        scram
    }

    #[test]
    fn rfc_7677_sha_256() {
        let (mut scram, first) = start(Hash::Sha256, "user", "pencil", CLIENT_NONCE);
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (last, keys) = answer(&mut scram, SERVER_FIRST).unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(matches!(scram.handle(SERVER_FINAL.as_bytes(), None), Ok(Next::Done)));

        // The same once more, with the keys kept from before.
        let (mut again, _) = start(Hash::Sha256, "user", "pencil", CLIENT_NONCE);
        let Next::Send(message) = again.handle(SERVER_FIRST.as_bytes(), Some(&keys)).unwrap() else {
            panic!("keys are known")
        };
        assert_eq!(&message[..], last.as_bytes());
        // A broker with another salt, and one with another count, are another matter.
        for other in [SERVER_FIRST.replace("W22Z", "W22A"), SERVER_FIRST.replace("4096", "4097")] {
            let (mut scram, _) = start(Hash::Sha256, "user", "pencil", CLIENT_NONCE);
            assert!(matches!(scram.handle(other.as_bytes(), Some(&keys)), Ok(Next::Derive(_))));
        }
    }

    /// No RFC has vectors of SHA-512: what a server computes is computed here.
    #[test]
    fn both_hashes_agree_with_a_server_of_their_own() {
        for hash in [Hash::Sha256, Hash::Sha512] {
            let (mut scram, first) = start(hash, "smith", "a,b=c \u{2168}", "abc");
            let server_first = "r=abcdef,s=c2FsdHNhbHQ=,i=4096";
            let (last, keys) = answer(&mut scram, server_first).unwrap();
            let (without_proof, proof) = last.split_once(",p=").unwrap();
            let auth_message = format!("{},{server_first},{without_proof}", &first[GS2_HEADER.len()..]);
            // What a server keeps is the hash of the client's key; the proof gives the key back.
            let stored = hash.digest(&keys.client_key);
            let signature = hash.hmac(&stored, auth_message.as_bytes());
            let proof = STANDARD.decode(proof).unwrap();
            let key: Vec<u8> = proof.iter().zip(signature.iter()).map(|(a, b)| a ^ b).collect();
            assert_eq!(hash.digest(&key), stored, "{hash:?}");
            let v = STANDARD.encode(&*hash.hmac(&keys.server_key, auth_message.as_bytes()));
            assert!(matches!(scram.handle(format!("v={v}").as_bytes(), None), Ok(Next::Done)));
        }
    }

    #[test]
    fn names_are_escaped_and_left_as_they_are_otherwise() {
        let (_, first) = start(Hash::Sha256, "a=b,c\u{ad}\u{2168}", "", "x");
        assert_eq!(first, "n,,n=a=3Db=2Cc\u{ad}\u{2168},r=x");
    }

    #[test]
    fn f44_iterations_out_of_bounds_are_refused_before_anything_is_computed() {
        for (text, iterations) in [
            ("1", 1),
            ("0", 0),
            ("4095", 4_095),
            ("100001", 100_001),
            ("2147483648", 1 << 31),
            ("99999999999999999999999", u64::MAX),
        ] {
            let (mut scram, _) = start(Hash::Sha256, "user", "pencil", "abc");
            let message = format!("r=abcdef,s=c2FsdA==,i={text}");
            let refused = scram.handle(message.as_bytes(), None).unwrap_err();
            let expected = AuthenticationCause::Iterations { iterations, min: 4_096, max: 100_000 };
            assert_eq!(refused, expected);
        }
        for text in ["", "-4096", "+4096", "4096.0", "0x1000", " 4096"] {
            let (mut scram, _) = start(Hash::Sha256, "user", "pencil", "abc");
            let message = format!("r=abcdef,s=c2FsdA==,i={text}");
            let refused = scram.handle(message.as_bytes(), None).unwrap_err();
            assert!(matches!(refused, AuthenticationCause::Message { .. }), "{text}: {refused}");
        }
    }

    #[test]
    fn f44_a_nonce_that_is_not_extended_is_refused() {
        for nonce in ["abc", "abd", "ab", "", "xabcdef"] {
            let (mut scram, _) = start(Hash::Sha256, "user", "pencil", "abc");
            let message = format!("r={nonce},s=c2FsdA==,i=4096");
            assert!(scram.handle(message.as_bytes(), None).is_err(), "{nonce}");
        }
    }

    #[test]
    fn f44_a_broker_that_does_not_know_the_password_is_refused() {
        let forged = SERVER_FINAL.replace("6rri", "6rra");
        for message in [forged.as_str(), "v=", "v=AAAA", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=AAAA"]
        {
            let refused = at_the_end().handle(message.as_bytes(), None).unwrap_err();
            let is_told =
                matches!(refused, AuthenticationCause::ServerNotProven | AuthenticationCause::Message { .. });
            assert!(is_told, "{message}: {refused}");
        }
        let refused = at_the_end().handle(b"e=invalid-proof", None).unwrap_err();
        assert!(
            matches!(refused, AuthenticationCause::Refused { message: Some(text) } if &*text == "invalid-proof")
        );
    }

    #[test]
    fn messages_out_of_form_are_refused() {
        for message in [
            "",
            "m=ext,r=abcdef,s=c2FsdA==,i=4096",
            "r=abcdef",
            "r=abcdef,s=,i=4096",
            "r=abcdef,s=!,i=4096",
            "r=abcdef,i=4096,s=c2FsdA==",
            "s=c2FsdA==,r=abcdef,i=4096",
        ] {
            let (mut scram, _) = start(Hash::Sha256, "user", "pencil", "abc");
            let refused = scram.handle(message.as_bytes(), None).unwrap_err();
            assert!(matches!(refused, AuthenticationCause::Message { .. }), "{message}: {refused}");
        }
        let (mut scram, _) = start(Hash::Sha256, "user", "pencil", "abc");
        let long = format!("r=abc{},s=c2FsdA==,i=4096", "x".repeat(4_096));
        assert!(scram.handle(long.as_bytes(), None).is_err());
        let (mut scram, _) = start(Hash::Sha256, "user", "pencil", "abc");
        assert!(scram.handle(b"r=abc\xff,s=c2FsdA==,i=4096", None).is_err());
    }

    #[test]
    fn nothing_is_taken_twice_and_nothing_is_done_before_the_end() {
        let (mut scram, _) = start(Hash::Sha256, "user", "pencil", CLIENT_NONCE);
        assert!(scram.handle(SERVER_FINAL.as_bytes(), None).is_err(), "a proof before the first message");
        let mut scram = at_the_end();
        assert!(matches!(scram.handle(SERVER_FINAL.as_bytes(), None), Ok(Next::Done)));
        assert!(scram.handle(SERVER_FINAL.as_bytes(), None).is_err());
        let (mut scram, _) = start(Hash::Sha256, "user", "pencil", CLIENT_NONCE);
        assert!(matches!(scram.handle(SERVER_FIRST.as_bytes(), None), Ok(Next::Derive(_))));
        assert!(scram.handle(SERVER_FIRST.as_bytes(), None).is_err(), "a second message before the keys");
    }

    #[test]
    fn nothing_that_is_shown_holds_the_password() {
        let shown = format!("{:?}", at_the_end());
        assert!(!shown.contains("pencil"), "{shown}");
    }
}
