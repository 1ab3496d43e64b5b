//! Task: what an exchange needs and would keep its connection waiting: a token, or keys from a password.

use super::{
    bearer_token::BearerToken,
    scram::{Derivation, Keys},
    token_provider::Tokens,
};
use std::{future::Future, pin::Pin, sync::Arc};
use tokio::task::spawn_blocking;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Work {
    Token(Arc<Tokens>),
    Derive(Derivation),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Done {
    /// A token, or why there is none.
    Token(Result<Arc<BearerToken>, Arc<str>>),
    /// The keys; `None` if the runtime ends.
    Keys(Option<Arc<Keys>>),
}

/// Work under way.
pub(crate) type Doing = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Does it; `random` decides what is left open.
///
/// # Cancel safety
///
/// Safe: what is not finished is dropped, or computed for nobody.
pub(crate) fn start(work: Work, random: u64) -> Doing {
    match work {
        Work::Token(tokens) => Box::pin(async move { Done::Token(tokens.get(random).await) }),
        Work::Derive(derivation) => {
            Box::pin(async move { Done::Keys(spawn_blocking(|| Arc::new(derivation.run())).await.ok()) })
        }
    }
}
