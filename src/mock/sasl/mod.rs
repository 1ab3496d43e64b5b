//! Who may use the cluster, and how far each connection is with proving it.
//!
//! As Kafka does: before it is authenticated a connection is answered ApiVersions and SASL only; one whose session is over
//! is closed by its next request; one may authenticate again as the same user by the same mechanism, a second later
//! at the earliest, and says nothing else meanwhile.

mod control;
mod scram;

pub use control::SaslLie;

use super::api::Api;
use super::api::sasl_authenticate::Reply;
use super::random::Random;
use crate::error::ErrorCode;
use bytes::Bytes;
use scram::{Hash, Server};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The SASL of a cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sasl {
    /// Passwords by user.
    users: BTreeMap<String, String>,
    /// Principals by token.
    tokens: BTreeMap<String, String>,
    /// `None`: all that there are credentials for.
    offered: Option<Vec<String>>,
    lifetime: Option<Duration>,
    iterations: Option<u32>,
    lie: Option<SaslLie>,
    is_on: bool,
    /// What is kept of passwords, once it was computed: it takes long.
    stored: BTreeMap<(String, Hash), scram::Stored>,
    connections: BTreeMap<u64, Connection>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    authentications: u64,
    renewals: u64,
    refusals: u64,
    expired: u64,
}

#[derive(Debug, Clone, Default)]
struct Connection {
    phase: Phase,
    session: Option<Session>,
}

/// What a connection has proven.
#[derive(Debug, Clone)]
struct Session {
    mechanism: String,
    principal: String,
    began: Instant,
    expires_at: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
enum Phase {
    #[default]
    Idle,
    Shaken(String),
    Scram(String, Box<Server>),
    /// A token was refused, and the client is to say that it has heard.
    TokenRefused,
    Refused,
}

type Refusal = (ErrorCode, String);

impl Sasl {
    /// Whether a request is read at all.
    pub(crate) fn admits(&mut self, connection: u64, api: Api, now: Instant) -> bool {
        if !self.is_on {
            return true;
        }
        let found = self.connections.entry(connection).or_default();
        match (&found.phase, &found.session) {
            (Phase::Idle, None) => matches!(api, Api::ApiVersions | Api::SaslHandshake),
            (Phase::Idle, Some(_)) if api == Api::SaslHandshake => true,
            (Phase::Idle, Some(session)) => {
                let is_over = session.expires_at.is_some_and(|at| at < now);
                self.counts.expired += u64::from(is_over);
                !is_over
            }
            (Phase::Refused, _) => false,
            _ => api == Api::SaslAuthenticate,
        }
    }

    /// Whether the connection ends after the answer.
    pub(crate) fn is_refused(&self, connection: u64) -> bool {
        self.connections.get(&connection).is_some_and(|found| matches!(found.phase, Phase::Refused))
    }

    pub(crate) fn refuse(&mut self, connection: u64) {
        if self.is_on {
            self.counts.refusals += 1;
            self.connections.entry(connection).or_default().phase = Phase::Refused;
        }
    }

    pub(crate) fn disconnected(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    pub(crate) fn shake_hands(
        &mut self,
        connection: u64,
        mechanism: &str,
        now: Instant,
    ) -> (ErrorCode, Vec<String>) {
        if !self.is_on {
            return (ErrorCode::ILLEGAL_SASL_STATE, Vec::new());
        }
        let offered = self.offered();
        let lifetime = self.lifetime;
        let found = self.connections.entry(connection).or_default();
        if let Some(session) = &mut found.session {
            if lifetime.is_none() || now.duration_since(session.began) < RENEWAL_MIN {
                return (ErrorCode::ILLEGAL_SASL_STATE, Vec::new());
            }
            session.began = now;
        }
        let is_changed = found.session.as_ref().is_some_and(|session| session.mechanism != mechanism);
        if is_changed || !offered.iter().any(|name| name == mechanism) {
            found.phase = Phase::Refused;
            return (ErrorCode::UNSUPPORTED_SASL_MECHANISM, offered);
        }
        found.phase = Phase::Shaken(mechanism.to_owned());
        (ErrorCode::NONE, offered)
    }

    pub(crate) fn authenticate(
        &mut self,
        connection: u64,
        message: &[u8],
        now: Instant,
        random: &mut Random,
    ) -> Result<Reply, Refusal> {
        let found = self.connections.entry(connection).or_default();
        match std::mem::take(&mut found.phase) {
            Phase::Shaken(mechanism) if mechanism == "PLAIN" => {
                let user = self.plain(message).ok_or_else(wrong_login)?;
                self.succeed(connection, mechanism, user, Bytes::new(), now)
            }
            Phase::Shaken(mechanism) if mechanism == "OAUTHBEARER" => match self.token(message) {
                Some(principal) => self.succeed(connection, mechanism, principal, Bytes::new(), now),
                None => {
                    self.connections.entry(connection).or_default().phase = Phase::TokenRefused;
                    let message = Bytes::from_static(b"{\"status\":\"invalid_token\"}");
                    Ok(Reply { message, lifetime_ms: 0 })
                }
            },
            Phase::Shaken(mechanism) => {
                let hash = Hash::of(&mechanism).ok_or_else(wrong_login)?;
                let (server, reply) = self.begin_scram(hash, message, random).ok_or_else(wrong_login)?;
                self.connections.entry(connection).or_default().phase =
                    Phase::Scram(mechanism, Box::new(server));
                Ok(Reply { message: reply, lifetime_ms: 0 })
            }
            Phase::Scram(mechanism, server) => {
                let mut proof = server.finish(message).ok_or_else(wrong_login)?;
                if self.lie == Some(SaslLie::WrongProof) {
                    proof = Bytes::from_static(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
                }
                self.succeed(connection, mechanism, server.user, proof, now)
            }
            Phase::TokenRefused => Err(wrong_login()),
            Phase::Idle | Phase::Refused => Err((
                ErrorCode::ILLEGAL_SASL_STATE,
                "SaslAuthenticate request received after successful authentication".to_owned(),
            )),
        }
    }

    fn succeed(
        &mut self,
        connection: u64,
        mechanism: String,
        principal: String,
        message: Bytes,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let found = self.connections.entry(connection).or_default();
        match &found.session {
            Some(session) if session.principal != principal => return Err(wrong_login()),
            Some(_) => self.counts.renewals += 1,
            None => self.counts.authentications += 1,
        }
        let began = found.session.as_ref().map_or(now - RENEWAL_MIN, |session| session.began);
        let expires_at = self.lifetime.map(|lifetime| now + lifetime);
        found.session = Some(Session { mechanism, principal, began, expires_at });
        let lifetime_ms = self.lifetime.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX));
        Ok(Reply { message, lifetime_ms })
    }

    fn offered(&self) -> Vec<String> {
        let by_password = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(str::to_owned);
        self.offered.clone().unwrap_or_else(|| {
            let mut all = if self.users.is_empty() { Vec::new() } else { by_password.to_vec() };
            if !self.tokens.is_empty() {
                all.push("OAUTHBEARER".to_owned());
            }
            all
        })
    }

    fn plain(&self, message: &[u8]) -> Option<String> {
        let mut parts = std::str::from_utf8(message).ok()?.split('\0');
        let (acting_for, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        let is_right = self.users.get(user).is_some_and(|known| known == password);
        (is_right && acting_for.is_empty() && parts.next().is_none()).then(|| user.to_owned())
    }

    fn token(&self, message: &[u8]) -> Option<String> {
        let fields =
            std::str::from_utf8(message).ok()?.strip_prefix("n,,\u{1}")?.strip_suffix("\u{1}\u{1}")?;
        let token = fields.split('\u{1}').find_map(|field| field.strip_prefix("auth=Bearer "))?;
        self.tokens.get(token).cloned()
    }

    fn begin_scram(&mut self, hash: Hash, message: &[u8], random: &mut Random) -> Option<(Server, Bytes)> {
        let first = scram::ClientFirst::read(message)?;
        let password = self.users.get(&first.user)?;
        let iterations = self.iterations.unwrap_or(ITERATIONS);
        let stored = self
            .stored
            .entry((first.user.clone(), hash))
            .or_insert_with(|| scram::Stored::new(hash, password, random.uuid().as_bytes(), iterations));
        let told = match self.lie {
            Some(SaslLie::Iterations(told)) => told,
            _ => u64::from(iterations),
        };
        let mut nonce = format!("{}{}", first.nonce, random.uuid().simple());
        if self.lie == Some(SaslLie::SameNonce) {
            nonce.truncate(first.nonce.len());
        }
        Some(Server::begin(first, stored.clone(), nonce, told))
    }
}

fn wrong_login() -> Refusal {
    (ErrorCode::SASL_AUTHENTICATION_FAILED, "Authentication failed: invalid credentials".to_owned())
}

/// Kafka's least, which is its tools' default, too.
const ITERATIONS: u32 = 4_096;
/// Kafka's `SaslServerAuthenticator` takes no second authentication sooner.
const RENEWAL_MIN: Duration = Duration::from_secs(1);
