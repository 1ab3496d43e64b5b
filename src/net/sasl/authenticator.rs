//! One authentication of one connection: which mechanism, then the mechanism's messages. Pure.
//!
//! ```text
//! (OAUTHBEARER: Token ─▶) Handshake ─▶ Exchange ⇄ Keys ─▶ Done
//! ```
//!
//! The same for a new connection and for one that is in use: the requests that were sent before go on, and nothing else may
//! be sent from the first [`Step::Ask`] to [`Step::Done`].

use super::{
    Mechanism, Sasl, bearer_token::BearerToken, known_keys, oauth_bearer, oauth_bearer::OAuthBearer, plain,
    scram, scram::Scram, work,
};
use crate::{
    error::{AuthenticationCause, AuthenticationError, ConnectionError, ErrorCode},
    net::Versions,
    wire::{
        Api, ApiKey,
        api::{
            sasl_authenticate::{
                SASL_AUTHENTICATE_VERSIONS, SaslAuthenticateResponse, sasl_authenticate_body,
            },
            sasl_handshake::SaslHandshakeRequest,
        },
        request::{Body, decode_response, response_body},
    },
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this and give the answer to [`Authenticator::handle_answer`].
    Ask(Body),
    /// Have this done and give what came of it to [`Authenticator::handle_done`].
    Work(work::Work),
    /// The broker knows who this client is, for so long; `None`: for as long as the connection lives.
    Done(Option<Duration>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Authenticator {
    sasl: Sasl,
    principal: Arc<str>,
    handshake_version: i16,
    authenticate_version: i16,
    token: Option<Arc<BearerToken>>,
    state: State,
}

#[derive(Debug)]
enum State {
    Token,
    Handshake,
    Plain,
    Scram(Scram),
    OAuthBearer(OAuthBearer),
    Over,
}

impl Authenticator {
    /// The start of an authentication with a broker that speaks these versions.
    pub(crate) fn start(sasl: &Sasl, versions: &Versions) -> Result<(Self, Step), ConnectionError> {
        let mut this = Self {
            sasl: sasl.clone(),
            principal: sasl.principal(),
            handshake_version: versions.of::<SaslHandshakeRequest>()?,
            authenticate_version: versions.choose(ApiKey::SaslAuthenticate, SASL_AUTHENTICATE_VERSIONS)?,
            token: None,
            state: State::Token,
        };
        let step = match &sasl.mechanism {
            Mechanism::OAuthBearer(tokens) => Step::Work(work::Work::Token(tokens.clone())),
            Mechanism::Plain(_) | Mechanism::Scram(..) => this.shake_hands()?,
        };
        Ok((this, step))
    }

    /// Takes the answer to the last request; `nonce` was never used before and cannot be guessed.
    pub(crate) fn handle_answer(
        &mut self,
        frame: Bytes,
        nonce: impl FnOnce() -> String,
    ) -> Result<Step, ConnectionError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Handshake => {
                let answer = decode_response::<SaslHandshakeRequest>(self.handshake_version, frame)
                    .map_err(|source| unreadable(SaslHandshakeRequest::KEY, source))?;
                let cause = match answer.error {
                    ErrorCode::NONE => return self.first_message(nonce()),
                    ErrorCode::UNSUPPORTED_SASL_MECHANISM => {
                        let shown = answer.mechanisms.iter().take(OFFERS_SHOWN_MAX);
                        let offered = shown.map(|name| name.escape_debug().to_string()).collect();
                        AuthenticationCause::UnsupportedMechanism { offered }
                    }
                    ErrorCode::ILLEGAL_SASL_STATE => AuthenticationCause::NotASaslListener,
                    code => return Err(refused(ApiKey::SaslHandshake, code)),
                };
                Err(self.failed(cause))
            }
            State::Token | State::Over => {
                Err(self.failed(AuthenticationCause::Message { rule: "one answer for each request" }))
            }
            exchange => self.exchange(exchange, frame),
        }
    }

    /// Takes what came of the work.
    pub(crate) fn handle_done(&mut self, done: work::Done) -> Result<Step, ConnectionError> {
        match (done, &mut self.state) {
            (work::Done::Token(Ok(token)), State::Token) => {
                self.principal = token.shared_name();
                token.check().map_err(|cause| self.failed(cause))?;
                self.token = Some(token);
                self.shake_hands()
            }
            (work::Done::Token(Err(reason)), State::Token) => {
                Err(self.failed(AuthenticationCause::NoToken { reason }))
            }
            (work::Done::Keys(Some(keys)), State::Scram(scram)) => {
                let next = scram.handle_keys(&keys);
                if let Mechanism::Scram(_, _, known) = &self.sasl.mechanism {
                    *known_keys(known) = Some(keys);
                }
                self.scram_step(next, None)
            }
            _ => Err(ConnectionError::Shutdown),
        }
    }

    fn shake_hands(&mut self) -> Result<Step, ConnectionError> {
        let request = SaslHandshakeRequest { mechanism: self.sasl.mechanism() };
        self.state = State::Handshake;
        Body::encode(&request, self.handshake_version).map(Step::Ask).map_err(ConnectionError::Encode)
    }

    fn first_message(&mut self, nonce: String) -> Result<Step, ConnectionError> {
        let message = match (&self.sasl.mechanism, &self.token) {
            (Mechanism::Plain(login), _) => {
                self.state = State::Plain;
                plain::message(&login.user, &login.password)
            }
            (Mechanism::Scram(hash, login, _), _) => {
                let (scram, message) = Scram::start(*hash, &login.user, login.password.clone(), nonce);
                self.state = State::Scram(scram);
                message
            }
            (Mechanism::OAuthBearer(_), Some(token)) => {
                self.state = State::OAuthBearer(OAuthBearer::default());
                oauth_bearer::message(token)
            }
            (Mechanism::OAuthBearer(_), None) => return Err(ConnectionError::Shutdown),
        };
        Ok(self.ask(&message))
    }

    fn exchange(&mut self, exchange: State, frame: Bytes) -> Result<Step, ConnectionError> {
        let answer = response_body(ApiKey::SaslAuthenticate, self.authenticate_version, frame)
            .and_then(|mut reader| SaslAuthenticateResponse::read(self.authenticate_version, &mut reader))
            .map_err(|source| unreadable(ApiKey::SaslAuthenticate, source))?;
        if !answer.error.is_ok() {
            return Err(self.refusal(exchange, answer));
        }
        let lifetime = u64::try_from(answer.session_lifetime_ms).ok().filter(|ms| *ms > 0);
        let lifetime = lifetime.map(Duration::from_millis);
        match exchange {
            State::Plain if answer.auth_bytes.is_empty() => Ok(Step::Done(lifetime)),
            State::Scram(mut scram) => {
                let known = match &self.sasl.mechanism {
                    Mechanism::Scram(_, _, known) => known_keys(known).clone(),
                    _ => None,
                };
                let next = scram.handle(&answer.auth_bytes, known.as_deref());
                self.state = State::Scram(scram);
                self.scram_step(next, lifetime)
            }
            State::OAuthBearer(mut exchange) => {
                let next = exchange.handle(&answer.auth_bytes).map_err(|cause| self.failed(cause))?;
                self.state = State::OAuthBearer(exchange);
                Ok(match next {
                    oauth_bearer::Next::Send(message) => self.ask(message),
                    oauth_bearer::Next::Done => Step::Done(lifetime),
                })
            }
            _ => Err(self.failed(AuthenticationCause::Message { rule: "nothing is said after the end" })),
        }
    }

    fn scram_step(
        &self,
        next: Result<scram::Next, AuthenticationCause>,
        lifetime: Option<Duration>,
    ) -> Result<Step, ConnectionError> {
        match next.map_err(|cause| self.failed(cause))? {
            scram::Next::Send(message) => Ok(self.ask(&message)),
            scram::Next::Derive(derivation) => Ok(Step::Work(work::Work::Derive(derivation))),
            scram::Next::Done => Ok(Step::Done(lifetime)),
        }
    }

    fn refusal(&self, exchange: State, answer: SaslAuthenticateResponse) -> ConnectionError {
        if answer.error != ErrorCode::SASL_AUTHENTICATION_FAILED {
            return refused(ApiKey::SaslAuthenticate, answer.error);
        }
        if let Mechanism::OAuthBearer(tokens) = &self.sasl.mechanism {
            tokens.forget();
        }
        let told = match exchange {
            State::OAuthBearer(mut exchange) => exchange.take_refusal(),
            _ => None,
        };
        let said = || {
            let text = answer.error_message?;
            let shown: String = text.chars().take(MESSAGE_CHARS_SHOWN_MAX).collect();
            Some(Arc::from(shown.escape_debug().to_string()))
        };
        self.failed(AuthenticationCause::Refused { message: told.or_else(said) })
    }

    fn ask(&self, message: &[u8]) -> Step {
        Step::Ask(sasl_authenticate_body(self.authenticate_version, message))
    }

    fn failed(&self, cause: AuthenticationCause) -> ConnectionError {
        let (mechanism, principal) = (self.sasl.mechanism(), self.principal.clone());
        ConnectionError::Authentication(Box::new(AuthenticationError { mechanism, principal, cause }))
    }
}

fn refused(api: ApiKey, code: ErrorCode) -> ConnectionError {
    ConnectionError::Refused { api: api.name(), code }
}

fn unreadable(api: ApiKey, source: crate::error::DecodeError) -> ConnectionError {
    ConnectionError::Protocol { api: api.name(), source }
}

/// Of what a broker says, before it has proven anything.
const MESSAGE_CHARS_SHOWN_MAX: usize = 1_024;
const OFFERS_SHOWN_MAX: usize = 32;

#[cfg(test)]
mod tests;
