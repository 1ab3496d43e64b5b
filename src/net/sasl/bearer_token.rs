//! A token for OAUTHBEARER, and what may stand in one.
//!
//! Invariant: only what the RFC allows is sent, since a byte 0x01 in a token or an extension would begin another field of
//! the message (RFC 7628, RFC 6750).

use super::secret::Secret;
use crate::error::AuthenticationCause;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// An access token, as an authorization server issues it. Feature `sasl`.
///
/// ```
/// use craftwire::BearerToken;
/// use std::time::Duration;
///
/// let token = BearerToken::new("eyJhbGciOi...").principal("smith").lifetime(Duration::from_secs(3600));
/// assert_eq!(token.name(), "smith");
/// ```
#[derive(Clone)]
pub struct BearerToken {
    token: Secret,
    principal: Arc<str>,
    lifetime: Option<Duration>,
    extensions: BTreeMap<String, Secret>,
}

impl BearerToken {
    /// A token without a name, a known lifetime or extensions.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: Secret::new(token.into()),
            principal: Arc::from(""),
            lifetime: None,
            extensions: BTreeMap::new(),
        }
    }

    /// Whom the token stands for, to be named in errors; the broker reads it from the token itself.
    pub fn principal(mut self, name: &str) -> Self {
        self.principal = name.into();
        self
    }

    /// How long the token is good for from now on. It is used for about 80 % of that, then the provider is asked for another.
    /// Default: not known, so that each authentication asks the provider.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Has the broker told more by name, such as a tenant. A name has ASCII letters only, and is not `auth`.
    pub fn extension(mut self, name: &str, value: &str) -> Self {
        self.extensions.insert(name.to_owned(), Secret::new(value.to_owned()));
        self
    }

    /// Whom the token stands for, empty if that was not said.
    pub fn name(&self) -> &str {
        &self.principal
    }

    pub(crate) const fn known_lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.principal.clone()
    }

    pub(crate) fn text(&self) -> &str {
        self.token.reveal()
    }

    pub(crate) fn extensions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.extensions.iter().map(|(name, value)| (name.as_str(), value.reveal()))
    }

    /// Whether it can be sent.
    pub(crate) fn check(&self) -> Result<(), AuthenticationCause> {
        let wrong = |field, rule| Err(AuthenticationCause::Token { field, rule });
        let text = self.text();
        let body = text.trim_end_matches('=');
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        if body.is_empty() || !body.bytes().all(is_token_byte) {
            return wrong("token", "must be letters, digits and -._~+/ of ASCII, with = at the end only");
        }
        if text.len() > TOKEN_BYTES_MAX {
            return wrong("token", "must have at most 64 KiB");
        }
        for (name, value) in self.extensions() {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return wrong("extension", "its name must be letters of ASCII");
            }
            if name.eq_ignore_ascii_case("auth") {
                return wrong("extension", "its name must not be auth, which is the token's");
            }
            let is_value_byte = |byte| matches!(byte, 0x20..=0x7e | b'\t' | b'\r' | b'\n');
            if value.is_empty() || !value.bytes().all(is_value_byte) || value.len() > TOKEN_BYTES_MAX {
                return wrong("extension", "its value must be text of ASCII, at most 64 KiB");
            }
        }
        Ok(())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerToken")
            .field("principal", &self.principal)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Brokers take 512 KiB before they know who it is (`sasl.server.max.receive.size`).
const TOKEN_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_begin_another_field_is_refused() {
        for text in ["", "=", "a b", "a\u{1}auth=Bearer b", "a\u{1}", "a=b", "ä", "a,b"] {
            assert!(BearerToken::new(text).check().is_err(), "{text:?}");
        }
        for text in ["abc", "a-._~+/1==", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzbWl0aCJ9."] {
            assert_eq!(BearerToken::new(text).check(), Ok(()));
        }
        let with = |name: &str, value: &str| BearerToken::new("a").extension(name, value).check();
        for (name, value) in [
            ("auth", "x"),
            ("AUTH", "x"),
            ("", "x"),
            ("a1", "x"),
            ("a=b", "x"),
            ("a", ""),
            ("a", "x\u{1}auth=y"),
            ("a", "ä"),
        ] {
            assert!(with(name, value).is_err(), "{name}={value}");
        }
        assert_eq!(with("tenant", "the forge, of 1 = all"), Ok(()));
        assert!(BearerToken::new("a".repeat(TOKEN_BYTES_MAX + 1)).check().is_err());
    }

    #[test]
    fn it_is_not_shown() {
        let shown =
            format!("{:?}", BearerToken::new("secret").extension("tenant", "hidden").principal("smith"));
        assert!(!shown.contains("secret") && !shown.contains("hidden") && shown.contains("smith"), "{shown}");
    }
}
