//! Task: where tokens for OAUTHBEARER come from, and the one that is in use.
//!
//! The connections of a client share a token; one asks for the next, the others wait for it.

use super::bearer_token::BearerToken;
use crate::net::clock;
use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Why a provider has no token now.
pub type TokenError = Box<dyn Error + Send + Sync>;

/// A token to come.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<BearerToken, TokenError>> + Send + 'a>>;

/// Gets tokens for OAUTHBEARER, from wherever they are issued. Feature `sasl`.
///
/// It is asked before the first connection, again when about 80 % of a token's lifetime is over, and for each
/// authentication when the lifetime is not known; never twice at the same time. An error is not the end: while the token at
/// hand is good it stays in use, and the provider is asked again with the next connection.
///
/// Closures are providers, and so is a [`BearerToken`] by itself.
///
/// ```
/// use craftwire::{BearerToken, Sasl, TokenError};
///
/// async fn fetch() -> Result<BearerToken, TokenError> {
///     // Ask the authorization server here.
///     Ok(BearerToken::new("eyJhbGciOi...").principal("smith"))
/// }
/// let sasl = Sasl::oauth_bearer(fetch);
/// ```
pub trait TokenProvider: Send + Sync + 'static {
    /// The token to authenticate with from now on.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from having one. The text is part of errors and logs: no secret belongs into it.
    fn token(&self) -> TokenFuture<'_>;
}

impl<F, T> TokenProvider for F
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<BearerToken, TokenError>> + Send + 'static,
{
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(self())
    }
}

impl TokenProvider for BearerToken {
    fn token(&self) -> TokenFuture<'_> {
        let token = self.clone();
        Box::pin(async move { Ok(token) })
    }
}

/// The provider, and the token in use.
pub(crate) struct Tokens {
    provider: Box<dyn TokenProvider>,
    current: Mutex<Option<Current>>,
}

struct Current {
    token: Arc<BearerToken>,
    /// From then on another is asked for; `None`: always.
    fresh_until: Option<Instant>,
    /// From then on it is of no use.
    good_until: Option<Instant>,
}

impl Tokens {
    pub(crate) fn new(provider: impl TokenProvider) -> Self {
        Self { provider: Box::new(provider), current: Mutex::default() }
    }

    /// The token to authenticate with now; `random` decides when the next one is asked for.
    ///
    /// # Errors
    ///
    /// What the provider said, when there is no token that is good.
    ///
    /// # Cancel safety
    ///
    /// Safe: the provider's future is dropped.
    pub(crate) async fn get(&self, random: u64) -> Result<Arc<BearerToken>, Arc<str>> {
        let mut current = self.current.lock().await;
        let is_before = |until: Option<Instant>| until.is_some_and(|until| clock::now() < until);
        if let Some(current) = current.as_ref().filter(|current| is_before(current.fresh_until)) {
            return Ok(current.token.clone());
        }
        match self.provider.token().await {
            Ok(token) => {
                let token = Arc::new(token);
                let now = clock::now();
                let lifetime = token.known_lifetime();
                *current = Some(Current {
                    token: token.clone(),
                    fresh_until: lifetime.map(|lifetime| now + share(lifetime, random)),
                    good_until: lifetime.map(|lifetime| now + lifetime),
                });
                Ok(token)
            }
            Err(error) => match current.as_ref().filter(|current| is_before(current.good_until)) {
                Some(current) => {
                    tracing::warn!(%error, "no new token; the one at hand is good for a while");
                    Ok(current.token.clone())
                }
                None => Err(error.to_string().into()),
            },
        }
    }

    /// A broker refused the token in use.
    pub(crate) fn forget(&self) {
        // Whoever holds the lock is asking for another already.
        if let Ok(mut current) = self.current.try_lock() {
            *current = None;
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// 80 to 85 % of a lifetime.
fn share(lifetime: Duration, random: u64) -> Duration {
    let percent = 80 + u32::try_from(random % 6).unwrap_or(0);
    lifetime / 100 * percent
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    /// Tokens 1, 2, 3 and so on; after `good` of them there are none.
    fn counted(lifetime: Option<Duration>, good: u32) -> Tokens {
        let count = Arc::new(AtomicU32::new(0));
        Tokens::new(move || {
            let number = count.fetch_add(1, SeqCst) + 1;
            async move {
                if number > good {
                    return Err(format!("no token {number}").into());
                }
                let token = BearerToken::new(number.to_string());
                Ok(lifetime.into_iter().fold(token, BearerToken::lifetime))
            }
        })
    }

    async fn text(tokens: &Tokens) -> String {
        tokens.get(0).await.map_or_else(|error| error.to_string(), |token| token.text().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_for_most_of_its_life_and_no_longer_than_it_is_good() {
        let tokens = counted(Some(Duration::from_secs(100)), 2);
        assert_eq!(text(&tokens).await, "1");
        tokio::time::advance(Duration::from_secs(79)).await;
        assert_eq!(text(&tokens).await, "1");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(text(&tokens).await, "2");
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(text(&tokens).await, "2", "no third, but the second is good");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(text(&tokens).await, "no token 4");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_lifetime_and_after_a_refusal_the_provider_is_asked() {
        let tokens = counted(None, 9);
        assert_eq!((text(&tokens).await.as_str(), text(&tokens).await.as_str()), ("1", "2"));
        let tokens = counted(Some(Duration::from_secs(100)), 9);
        assert_eq!((text(&tokens).await.as_str(), text(&tokens).await.as_str()), ("1", "1"));
        tokens.forget();
        assert_eq!(text(&tokens).await, "2");
    }
}
