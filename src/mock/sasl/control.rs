//! Task: the part of the builder and of the public handle that is about who may use the cluster.

use super::Sasl;
use crate::mock::{MockCluster, MockClusterBuilder};
use std::time::Duration;

/// How a broker that cannot be trusted answers in SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslLie {
    /// It asks for so many iterations, whatever the password was kept with.
    Iterations(u64),
    /// Its nonce is the client's, with nothing added.
    SameNonce,
    /// Its proof that it knows the password is wrong.
    WrongProof,
}

/// Who may use the cluster. Without any of these everybody may, and SASL is refused. Feature `sasl`.
impl MockClusterBuilder {
    /// Lets a user in by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use craftwire::mock::MockCluster;
    /// use craftwire::{Client, Sasl};
    ///
    /// let mock = MockCluster::builder().sasl_user("smith", "iron").start_in_memory()?;
    /// let client = Client::builder(&mock.bootstrap()).memory(mock.connector());
    /// let refused = client.sasl(Sasl::plain("smith", "wood")).build().await;
    /// assert!(refused.is_err_and(|error| !error.is_retriable()));
    /// # Ok(()) }
    /// ```
    pub fn sasl_user(mut self, name: &str, password: &str) -> Self {
        self.sasl_mut().set_user(name, password);
        self
    }

    /// Lets whoever shows this token in as `principal`, by OAUTHBEARER.
    pub fn sasl_token(mut self, token: &str, principal: &str) -> Self {
        self.sasl_mut().set_token(token, principal);
        self
    }

    /// The mechanisms that are offered. Default: all that somebody has credentials for.
    pub fn sasl_mechanisms(mut self, names: &[&str]) -> Self {
        let sasl = self.sasl_mut();
        sasl.is_on = true;
        sasl.offered = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// When clients have to authenticate again at the latest (`connections.max.reauth.ms`, KIP-368). Default: never.
    pub fn sasl_session_lifetime(mut self, lifetime: Duration) -> Self {
        self.sasl_mut().lifetime = Some(lifetime);
        self
    }

    /// The number of iterations of SCRAM. Default: 4096.
    pub fn sasl_iterations(mut self, iterations: u32) -> Self {
        self.sasl_mut().iterations = Some(iterations);
        self
    }
}

/// Who may use the cluster. Feature `sasl`.
impl MockCluster {
    /// Lets a user in, or changes the password. Sessions that were begun go on.
    pub fn set_sasl_user(&self, name: &str, password: &str) {
        self.shared().with_core(|core| core.sasl.set_user(name, password));
    }

    /// Lets a user in no more. Sessions that were begun go on.
    pub fn remove_sasl_user(&self, name: &str) {
        self.shared().with_core(|core| core.sasl.remove_user(name));
    }

    /// Lets whoever shows this token in as `principal`.
    pub fn set_sasl_token(&self, token: &str, principal: &str) {
        self.shared().with_core(|core| core.sasl.set_token(token, principal));
    }

    /// Lets nobody in with this token any more.
    pub fn remove_sasl_token(&self, token: &str) {
        self.shared().with_core(|core| drop(core.sasl.tokens.remove(token)));
    }

    /// Has all brokers lie in SCRAM from now on, or be honest again.
    pub fn set_sasl_lie(&self, lie: Option<SaslLie>) {
        self.shared().with_core(|core| core.sasl.lie = lie);
    }

    /// How many connections were authenticated since the start.
    pub fn sasl_authentications(&self) -> u64 {
        self.shared().with_core(|core| core.sasl.counts.authentications)
    }

    /// How often a connection in use was authenticated again.
    pub fn sasl_renewals(&self) -> u64 {
        self.shared().with_core(|core| core.sasl.counts.renewals)
    }

    /// How many authentications were refused.
    pub fn sasl_refusals(&self) -> u64 {
        self.shared().with_core(|core| core.sasl.counts.refusals)
    }

    /// How many connections were closed since they had not authenticated again in time.
    pub fn sasl_expired_connections(&self) -> u64 {
        self.shared().with_core(|core| core.sasl.counts.expired)
    }
}

impl Sasl {
    fn set_user(&mut self, name: &str, password: &str) {
        self.is_on = true;
        self.users.insert(name.to_owned(), password.to_owned());
        self.stored.retain(|(user, _), _| user != name);
    }

    fn remove_user(&mut self, name: &str) {
        self.users.remove(name);
        self.stored.retain(|(user, _), _| user != name);
    }

    fn set_token(&mut self, token: &str, principal: &str) {
        self.is_on = true;
        self.tokens.insert(token.to_owned(), principal.to_owned());
    }
}
