//! Encryption of connections, and whom they trust: rustls with graviola's cryptography, so that no C is built.
//!
//! Invariants: a broker's certificate and name are always checked, unless a caller's own configuration says otherwise;
//! the processor is asked before graviola is, which would panic on one that it does not know. No process-wide default
//! is set or read. Absent: the handshake itself, see `transport`.

use crate::error::ConnectionError;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem, pem::PemObject},
};
use std::{fmt, io, sync::Arc};

/// How connections to brokers are encrypted, and whom they trust. Cheap to clone. Feature `tls`.
///
/// TLS 1.3 and 1.2; the broker's certificate must be issued by one of the given authorities, for the host that was
/// connected to. It works on x86-64 since Broadwell and Zen, and on AArch64 with the cryptography extensions; any other
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
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(TlsError::Pem)?).map_err(TlsError::Certificate)?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        if let Some(feature) = missing_cpu_feature() {
            return Err(TlsError::Cpu { feature });
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Certificate)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }

    /// Uses a rustls configuration of the caller's own: other cryptography, other checks, client certificates.
    pub fn from_rustls(config: Arc<ClientConfig>) -> Self {
        Self { config }
    }

    pub(crate) fn rustls(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The text is no PEM.
    #[error("the authorities' PEM cannot be read")]
    Pem(#[source] pem::Error),
    /// The text holds no certificate.
    #[error("the authorities' PEM holds no certificate: at least one `BEGIN CERTIFICATE` block is needed")]
    NoCertificate,
    /// A certificate cannot be used as an authority's.
    #[error("an authority's certificate cannot be used")]
    Certificate(#[source] rustls::Error),
    /// The processor lacks an instruction set that the built-in cryptography needs.
    #[error(
        "the processor lacks {feature}, which the built-in cryptography needs; use Tls::from_rustls with another provider"
    )]
    Cpu {
        /// The instruction set.
        feature: &'static str,
    },
}

/// The name that a broker's certificate must be for.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    // The dot of a fully qualified name is no part of the name in a certificate (librdkafka #4348).
    ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned())
}

/// What a failed handshake with `host` means: who is not trusted will not be at the next attempt either.
pub(crate) fn handshake_error(host: &Arc<str>, port: u16, error: io::Error) -> ConnectionError {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let is_untrusted = matches!(cause, Some(rustls::Error::InvalidCertificate(_)));
    let (host, source) = (host.clone(), Arc::new(error));
    if is_untrusted {
        ConnectionError::Untrusted { host, port, source }
    } else {
        ConnectionError::Handshake { host, port, source }
    }
}

/// What graviola needs and this processor lacks.
fn missing_cpu_feature() -> Option<&'static str> {
    needed_cpu_features().into_iter().find_map(|(name, is_there)| (!is_there).then_some(name))
}

#[cfg(target_arch = "x86_64")]
fn needed_cpu_features() -> [(&'static str, bool); 6] {
    use std::arch::is_x86_feature_detected as has;
    [
        ("aes", has!("aes")),
        ("pclmulqdq", has!("pclmulqdq")),
        ("bmi1", has!("bmi1")),
        ("adx", has!("adx")),
        ("avx", has!("avx")),
        ("avx2", has!("avx2")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn needed_cpu_features() -> [(&'static str, bool); 4] {
    use std::arch::is_aarch64_feature_detected as has;
    [("neon", has!("neon")), ("aes", has!("aes")), ("pmull", has!("pmull")), ("sha2", has!("sha2"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_authority_is_refused() {
        assert!(matches!(Tls::with_ca_pem(b""), Err(TlsError::NoCertificate)));
        assert!(matches!(Tls::with_ca_pem(b"no PEM at all"), Err(TlsError::NoCertificate)));
        let cut = b"-----BEGIN CERTIFICATE-----\nMIIB\n";
        assert!(matches!(Tls::with_ca_pem(cut), Err(TlsError::Pem(_))));
        let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Tls::with_ca_pem(nonsense), Err(TlsError::Certificate(_))));
    }

    #[test]
    fn names_and_addresses_are_what_certificates_are_for() {
        for host in ["kafka-1.example.com", "kafka-1.example.com.", "127.0.0.1", "::1"] {
            assert!(server_name(host).is_ok(), "{host}");
        }
        assert!(server_name("not a name").is_err());
        assert_eq!(server_name("kafka.").unwrap(), server_name("kafka").unwrap());
    }

    #[test]
    fn an_untrusted_certificate_is_told_from_a_broken_handshake() {
        let host: Arc<str> = Arc::from("kafka");
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = handshake_error(&host, 9093, io::Error::new(io::ErrorKind::InvalidData, unknown));
        assert!(matches!(error, ConnectionError::Untrusted { .. }) && !error.is_retriable());
        let error = handshake_error(&host, 9093, io::ErrorKind::UnexpectedEof.into());
        assert!(matches!(error, ConnectionError::Handshake { .. }) && error.is_retriable());
    }
}
