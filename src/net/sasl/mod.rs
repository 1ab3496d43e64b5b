//! Who this client is, to brokers that ask: PLAIN, SCRAM and OAUTHBEARER.
//!
//! Invariants: a secret is in memory that is overwritten when it is let go of, and in no error, log or `Debug`; what sends
//! the secret itself goes over encrypted connections only, unless the caller said otherwise.

pub(crate) mod authenticator;
mod bearer_token;
#[cfg(feature = "internals")]
pub(crate) mod fuzz;
mod oauth_bearer;
mod plain;
pub(crate) mod renewal;
mod scram;
mod secret;
mod token_provider;
pub(crate) mod work;

pub use bearer_token::BearerToken;
pub use token_provider::{TokenError, TokenFuture, TokenProvider};

use crate::config::ConfigError;
use scram::{Hash, KnownKeys};
use secret::Secret;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use token_provider::Tokens;

/// Credentials, and the mechanism by which brokers are to check them. Cheap to clone. Feature `sasl`.
///
/// Every connection of the client authenticates before it is used, and again when the broker wants that (KIP-368), while
/// requests are on their way. A refusal is final: connecting, sending and receiving end with
/// [`AuthenticationError`](crate::error::AuthenticationError), which names the mechanism and the principal.
///
/// User names and passwords are sent as they are given, in UTF-8; Kafka does the same and knows no SASLprep.
///
/// # Examples
///
/// ```
/// use craftwire::{Client, Sasl};
///
/// let client = Client::builder("kafka-1:9094").sasl(Sasl::scram_sha_512("smith", "the password"));
/// ```
#[derive(Clone)]
pub struct Sasl {
    mechanism: Mechanism,
    may_be_read: bool,
}

#[derive(Clone)]
enum Mechanism {
    Plain(Login),
    Scram(Hash, Login, Arc<Mutex<KnownKeys>>),
    OAuthBearer(Arc<Tokens>),
}

#[derive(Clone)]
struct Login {
    user: Arc<str>,
    password: Secret,
}

impl Sasl {
    /// User and password, sent as they are: over TLS only, unless [`allow_unencrypted`](Self::allow_unencrypted).
    pub fn plain(user: &str, password: impl Into<String>) -> Self {
        Self::new(Mechanism::Plain(Login::new(user, password)))
    }

    /// User and password, of which the broker gets a proof only, and proves that it knows the password itself.
    pub fn scram_sha_256(user: &str, password: impl Into<String>) -> Self {
        Self::new(Mechanism::Scram(Hash::Sha256, Login::new(user, password), Arc::default()))
    }

    /// As [`scram_sha_256`](Self::scram_sha_256), with the longer hash.
    pub fn scram_sha_512(user: &str, password: impl Into<String>) -> Self {
        Self::new(Mechanism::Scram(Hash::Sha512, Login::new(user, password), Arc::default()))
    }

    /// Tokens of an authorization server, sent as they are: over TLS only, unless
    /// [`allow_unencrypted`](Self::allow_unencrypted).
    pub fn oauth_bearer(provider: impl TokenProvider) -> Self {
        Self::new(Mechanism::OAuthBearer(Arc::new(Tokens::new(provider))))
    }

    /// Lets PLAIN and OAUTHBEARER send their secret over connections that are not encrypted, where everybody on the way can
    /// read it. Default: [`ClientBuilder::build`](crate::ClientBuilder::build) refuses that.
    pub const fn allow_unencrypted(mut self) -> Self {
        self.may_be_read = true;
        self
    }

    /// Kafka's name of the mechanism.
    pub const fn mechanism(&self) -> &'static str {
        match &self.mechanism {
            Mechanism::Plain(_) => "PLAIN",
            Mechanism::Scram(Hash::Sha256, ..) => "SCRAM-SHA-256",
            Mechanism::Scram(Hash::Sha512, ..) => "SCRAM-SHA-512",
            Mechanism::OAuthBearer(_) => "OAUTHBEARER",
        }
    }

    const fn new(mechanism: Mechanism) -> Self {
        Self { mechanism, may_be_read: false }
    }

    /// Whether it can be used, over connections that are private or not.
    pub(crate) fn check(&self, is_private: bool) -> Result<(), ConfigError> {
        let shows_secret = matches!(self.mechanism, Mechanism::Plain(_) | Mechanism::OAuthBearer(_));
        if shows_secret && !is_private && !self.may_be_read {
            return Err(ConfigError {
                setting: "sasl",
                rule: "a mechanism that sends the secret itself needs TLS; use it, or SCRAM, or say \
                       Sasl::allow_unencrypted",
                value: format!("{} without TLS", self.mechanism()),
            });
        }
        let Some(login) = self.login() else { return Ok(()) };
        let wrong = |setting, rule, value: &str| Err(ConfigError { setting, rule, value: value.to_owned() });
        if login.user.is_empty() || login.user.contains('\0') || login.user.len() > LOGIN_BYTES_MAX {
            return wrong("sasl user", "1 to 1024 bytes, none of them 0", &login.user);
        }
        let password = login.password.reveal();
        if password.is_empty() || password.contains('\0') || password.len() > LOGIN_BYTES_MAX {
            return wrong("sasl password", "1 to 1024 bytes, none of them 0", "[secret]");
        }
        Ok(())
    }

    /// Whom the credentials are of, as far as that is known before a token was asked for.
    fn principal(&self) -> Arc<str> {
        self.login().map_or_else(|| Arc::from(""), |login| login.user.clone())
    }

    const fn login(&self) -> Option<&Login> {
        match &self.mechanism {
            Mechanism::Plain(login) | Mechanism::Scram(_, login, _) => Some(login),
            Mechanism::OAuthBearer(_) => None,
        }
    }
}

impl Login {
    fn new(user: &str, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: Secret::new(password.into()) }
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.login().map(|login| &login.user);
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism())
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

fn known_keys(keys: &Mutex<KnownKeys>) -> std::sync::MutexGuard<'_, KnownKeys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

const LOGIN_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Sasl; 4] {
        let token = BearerToken::new("hush");
        [
            Sasl::plain("smith", "hush"),
            Sasl::scram_sha_256("smith", "hush"),
            Sasl::scram_sha_512("smith", "hush"),
            Sasl::oauth_bearer(token),
        ]
    }

    #[test]
    fn what_sends_the_secret_wants_a_private_connection_or_to_be_told() {
        for sasl in all() {
            let is_scram = sasl.mechanism().starts_with("SCRAM");
            assert!(sasl.check(true).is_ok());
            assert_eq!(sasl.check(false).is_ok(), is_scram, "{sasl:?}");
            assert!(sasl.allow_unencrypted().check(false).is_ok());
        }
    }

    #[test]
    fn no_secret_is_shown() {
        for sasl in all() {
            let shown = format!("{sasl:?}");
            assert!(!shown.contains("hush") && shown.contains(sasl.mechanism()), "{shown}");
        }
    }

    #[test]
    fn what_no_broker_can_know_is_refused() {
        for (user, password) in [("", "x"), ("a\0b", "x"), ("smith", ""), ("smith", "a\0b")] {
            let error = Sasl::plain(user, password).check(true).unwrap_err();
            assert!(error.setting.starts_with("sasl"), "{error}");
        }
        let error = Sasl::plain("smith", "hu\0sh").check(true).unwrap_err();
        assert!(!error.to_string().contains("hu"), "{error}");
    }
}
