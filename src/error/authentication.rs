//! Why a broker and this client did not agree on who this client is.

use std::sync::Arc;

/// Authentication failed. It names the mechanism and the principal, never the secret.
///
/// Unless [it is retriable](Self::is_retriable) nothing changes by trying again, so nothing is tried again: connecting,
/// sending and receiving end with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("authentication by {mechanism} as {principal:?} failed")]
pub struct AuthenticationError {
    /// Kafka's name of the mechanism, such as `SCRAM-SHA-256`.
    pub mechanism: &'static str,
    /// The user; for OAUTHBEARER the principal that the token's provider names, empty if it names none.
    pub principal: Arc<str>,
    /// What went wrong.
    #[source]
    pub cause: AuthenticationCause,
}

impl AuthenticationError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub const fn is_retriable(&self) -> bool {
        matches!(self.cause, AuthenticationCause::NoToken { .. })
    }
}

/// What went wrong with an authentication.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationCause {
    /// The broker refused; check the user, the password or the token.
    #[error("the broker refused{}; check the user and the secret", explained(.message))]
    Refused {
        /// What the broker said.
        message: Option<Arc<str>>,
    },
    /// The broker does not offer the mechanism on this listener.
    #[error("the broker does not offer the mechanism on this listener; it offers {}", listed(.offered))]
    UnsupportedMechanism {
        /// The mechanisms that it offers.
        offered: Vec<String>,
    },
    /// The listener takes no authentication by SASL; use the port of one that does, or configure none.
    #[error("the listener takes no SASL; use the port of one that does, or leave the credentials out")]
    NotASaslListener,
    /// The broker could not prove that it knows the password: it may be somebody else.
    #[error("the broker did not prove that it knows the password; somebody else may be answering for it")]
    ServerNotProven,
    /// The broker asks for a number of iterations that is out of bounds: too few give the password away to who listens,
    /// too many are an attack on this process.
    #[error("the broker asks for {iterations} iterations, of which {min} to {max} are accepted")]
    Iterations {
        /// What the broker asks for.
        iterations: u64,
        /// The fewest.
        min: u32,
        /// The most.
        max: u32,
    },
    /// The broker's message does not follow the mechanism's rules.
    #[error("the broker's message does not follow the mechanism: {rule}")]
    Message {
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The provider gave no token. It is asked again with the next connection.
    #[error("the token provider gave no token: {reason}")]
    NoToken {
        /// What the provider said.
        reason: Arc<str>,
    },
    /// The provider gave a token that cannot be sent.
    #[error("{field}: {rule}")]
    Token {
        /// Which part of it.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

fn explained(message: &Option<Arc<str>>) -> String {
    message.as_ref().map(|message| format!(": {message}")).unwrap_or_default()
}

fn listed(offered: &[String]) -> String {
    if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_failed_by_what_and_why() {
        let cause = AuthenticationCause::UnsupportedMechanism {
            offered: vec!["PLAIN".into(), "SCRAM-SHA-512".into()],
        };
        let error = AuthenticationError { mechanism: "SCRAM-SHA-256", principal: "smith".into(), cause };
        assert_eq!(error.to_string(), "authentication by SCRAM-SHA-256 as \"smith\" failed");
        assert!(error.cause.to_string().ends_with("it offers PLAIN, SCRAM-SHA-512"));
        assert!(!error.is_retriable());
    }
}
