//! Encryption of connections, and whom they trust: rustls with graviola's cryptography, so that no C is built.
//!
//! Invariants: a broker's certificate and name are always checked, unless a caller's own configuration says otherwise;
//! the processor is asked before graviola is, which would panic on one that it does not know. No process-wide default
//! is set or read. Absent: the handshake itself, see `transport`.

mod builder;
mod cpu;
mod error;
mod pem_source;
mod plan;
#[cfg(test)]
mod tests;

pub use builder::{TlsBuilder, TlsVersion};
pub use error::TlsError;

use crate::{config::HostPort, error::ConnectionError};
use plan::{Material, Plan};
use rustls::{
    AlertDescription, ClientConfig,
    pki_types::{InvalidDnsNameError, ServerName},
};
use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

/// How connections to brokers are encrypted, and whom they trust. Cheap to clone. Feature `tls`.
///
/// TLS 1.3 and 1.2; the broker's certificate must be issued by one of the given authorities, for the host that was
/// connected to. [`Tls::builder`] has more: a certificate of the client's own, roots of the system, files.
///
/// Files that are named are read again for every new connection, so that certificates are renewed while the client works.
/// Connections in use go on as they are. Files that cannot be used at that moment are logged, and what was read last
/// holds; [`Tls::reload`] says what is wrong with them.
///
/// It works on x86-64 since Broadwell and Zen, and on AArch64 with the cryptography extensions; any other
/// processor needs a rustls configuration of the caller's own, [`Tls::from_rustls`].
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # const AUTHORITIES: &[u8] = b"-----BEGIN CERTIFICATE-----
/// # MIIBdDCCARmgAwIBAgIIG7rnnNF+L8AwCgYIKoZIzj0EAwIwJjEkMCIGA1UEAxMb
/// # YW4gYXV0aG9yaXR5IGZvciBhbiBleGFtcGxlMCAXDTI2MTEyMzE3MzM0MFoYDzIx
/// # MjYxMDMwMTczMzQwWjAmMSQwIgYDVQQDExthbiBhdXRob3JpdHkgZm9yIGFuIGV4
/// # YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATg5HU29crAzVoAD+ncnSpv
/// # zOqddeXcWyrM/5hXaFwsan5V1kmkv9jiK+HC2ZeMggDDLvetTbxBk0VJemNnoXpe
/// # oy8wLTAdBgNVHQ4EFgQUKrn4Elj2qdKHHwAJYFFodm6bmPswDAYDVR0TBAUwAwEB
/// # /zAKBggqhkjOPQQDAgNJADBGAiEA/Cm1mkwrEM/nkQQmAcp2F8NhEm3+WixG4tQm
/// # sLHBN9QCIQDEJjF0A/aCzu1mY2bETPGBwvBvEReUUzkTBQnsAZMXqQ==
/// # -----END CERTIFICATE-----";
/// use craftwire::{Client, Tls};
///
/// // The text of a file such as /etc/kafka/ca.pem.
/// let tls = Tls::with_ca_pem(AUTHORITIES)?;
/// let client = Client::builder("kafka-1:9093").tls(tls);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Tls {
    source: Arc<Source>,
}

enum Source {
    /// The caller's own.
    Given(Arc<ClientConfig>),
    Planned {
        plan: Box<Plan>,
        current: Mutex<Current>,
    },
}

/// What holds for new connections.
struct Current {
    material: Material,
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the certificate authorities in `pem`, one or more `BEGIN CERTIFICATE` blocks, and nobody else.
    ///
    /// # Errors
    ///
    /// [`TlsError`] when the text holds no certificate that can be used, or the processor lacks what is needed.
    pub fn with_ca_pem(pem: &[u8]) -> Result<Self, TlsError> {
        Self::builder().ca_pem(pem).build()
    }

    /// Settings for more than that.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::new()
    }

    /// Uses a rustls configuration of the caller's own: other cryptography, other checks, other client certificates. What
    /// it leaves unchecked stays unchecked.
    pub fn from_rustls(config: Arc<ClientConfig>) -> Self {
        Self { source: Arc::new(Source::Given(config)) }
    }

    /// Reads the files that are named again, for connections made from now on; says whether anything changed. New
    /// connections do the same by themselves.
    ///
    /// # Errors
    ///
    /// [`TlsError`] when they cannot be used now; what was read last holds.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Source::Planned { plan, current } = &*self.source else { return Ok(false) };
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        let material = plan.read()?;
        if current.material == material {
            return Ok(false);
        }
        let config = plan.assemble(&material)?;
        *current = Current { material, config };
        Ok(true)
    }

    fn planned(plan: Plan) -> Result<Self, TlsError> {
        let material = plan.read()?;
        let config = plan.assemble(&material)?;
        let current = Mutex::new(Current { material, config });
        Ok(Self { source: Arc::new(Source::Planned { plan: Box::new(plan), current }) })
    }

    /// Whether a new connection has files to look at before.
    pub(crate) fn has_files(&self) -> bool {
        matches!(&*self.source, Source::Planned { plan, .. } if plan.has_files())
    }

    /// Looks at the files; what is wrong with them is logged, and what was read last holds.
    pub(crate) fn look_at_files(&self) {
        match self.reload() {
            Ok(true) => tracing::info!("the files for TLS changed; new connections use them"),
            Ok(false) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the files for TLS cannot be used; what was read before holds");
            }
        }
    }

    pub(crate) fn rustls(&self) -> Arc<ClientConfig> {
        match &*self.source {
            Source::Given(config) => config.clone(),
            Source::Planned { current, .. } => {
                current.lock().unwrap_or_else(PoisonError::into_inner).config.clone()
            }
        }
    }
}

/// The name that a broker's certificate must be for.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    // The dot of a fully qualified name is no part of the name in a certificate (librdkafka #4348).
    ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned())
}

/// What a failed handshake with `host` means: who is not trusted will not be at the next attempt either.
pub(crate) fn handshake_error(host: &Arc<str>, port: u16, error: io::Error) -> ConnectionError {
    let is_untrusted = matches!(tls_error(&error), Some(rustls::Error::InvalidCertificate(_)));
    let is_refused = refuses_client(&error);
    let (host, source) = (host.clone(), Arc::new(error));
    if is_untrusted {
        ConnectionError::Untrusted { host, port, source }
    } else if is_refused {
        ConnectionError::ClientCertificate { host, port, source }
    } else {
        ConnectionError::Handshake { host, port, source }
    }
}

/// What a connection that broke before its first answer means: by TLS 1.3 a broker looks at the client's certificate when
/// the client is done already.
pub(crate) fn first_answer_error(address: &HostPort, error: ConnectionError) -> ConnectionError {
    match error {
        ConnectionError::Io(source) if refuses_client(&source) => {
            ConnectionError::ClientCertificate { host: address.host.clone(), port: address.port, source }
        }
        other => other,
    }
}

/// Whether the broker said that it does not take the client's certificate, or the lack of one.
fn refuses_client(error: &io::Error) -> bool {
    use AlertDescription as Alert;
    matches!(
        tls_error(error),
        Some(rustls::Error::AlertReceived(
            Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired
        ))
    )
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}
