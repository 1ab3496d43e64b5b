//! SCRAM as a server speaks it (RFC 5802): what is kept of a password, and the two answers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

/// What a server keeps of a password.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    hash: Hash,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

/// The client's first message.
#[derive(Debug)]
pub(super) struct ClientFirst {
    pub(super) user: String,
    pub(super) nonce: String,
    bare: String,
}

/// An exchange that was begun.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) user: String,
    stored: Stored,
    nonce: String,
    /// The client's first message and the server's.
    so_far: String,
}

impl Hash {
    pub(super) fn of(mechanism: &str) -> Option<Self> {
        match mechanism {
            "SCRAM-SHA-256" => Some(Self::Sha256),
            "SCRAM-SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, data),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, data),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(key);
    mac.map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()).unwrap_or_default()
}

impl Stored {
    pub(super) fn new(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Self {
        let mut salted = vec![0; hash.digest(b"").len()];
        let password = password.as_bytes();
        match hash {
            Hash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
            Hash::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut salted),
        }
        let stored_key = hash.digest(&hash.hmac(&salted, b"Client Key"));
        let server_key = hash.hmac(&salted, b"Server Key");
        Self { hash, salt: salt.to_vec(), stored_key, server_key }
    }
}

impl ClientFirst {
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let bare = std::str::from_utf8(message).ok()?.strip_prefix("n,,")?;
        let (user, nonce) = bare.split_once(',')?;
        let user = user.strip_prefix("n=")?.replace("=2C", ",").replace("=3D", "=");
        let nonce = nonce.strip_prefix("r=").filter(|nonce| !nonce.is_empty() && !nonce.contains(','))?;
        Some(Self { user, nonce: nonce.to_owned(), bare: bare.to_owned() })
    }
}

impl Server {
    /// The server's first message, which tells so many iterations.
    pub(super) fn begin(first: ClientFirst, stored: Stored, nonce: String, iterations: u64) -> (Self, Bytes) {
        let message = format!("r={nonce},s={},i={iterations}", STANDARD.encode(&stored.salt));
        let so_far = format!("{},{message}", first.bare);
        (Self { user: first.user, stored, nonce, so_far }, message.into())
    }

    /// The server's proof, if the client's is right.
    pub(super) fn finish(&self, message: &[u8]) -> Option<Bytes> {
        let (without_proof, proof) = std::str::from_utf8(message).ok()?.split_once(",p=")?;
        if without_proof.strip_prefix("c=biws,r=")? != self.nonce {
            return None;
        }
        let Stored { hash, stored_key, server_key, .. } = &self.stored;
        let all = format!("{},{without_proof}", self.so_far);
        let signature = hash.hmac(stored_key, all.as_bytes());
        let proof = STANDARD.decode(proof).ok().filter(|proof| proof.len() == signature.len())?;
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let is_right = hash.digest(&client_key) == *stored_key;
        is_right.then(|| format!("v={}", STANDARD.encode(hash.hmac(server_key, all.as_bytes()))).into())
    }
}
