//! Settings for TLS.

use super::{
    Tls, TlsError,
    pem_source::PemSource,
    plan::{Identity, Plan},
};
use rustls::crypto::CryptoProvider;
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

/// A version of TLS that may be agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        })
    }
}

impl FromStr for TlsVersion {
    type Err = crate::ConfigError;

    /// Reads Java's names, `TLSv1.2` and `TLSv1.3`.
    fn from_str(text: &str) -> Result<Self, crate::ConfigError> {
        match text {
            "TLSv1.2" => Ok(Self::V1_2),
            "TLSv1.3" => Ok(Self::V1_3),
            _ => Err(crate::ConfigError {
                setting: "TLS version",
                rule: "must be TLSv1.2 or TLSv1.3",
                value: text.to_owned(),
            }),
        }
    }
}

/// Settings for [`Tls`]: whom to trust, who the client is, which versions.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/security/certificates"))?;
/// use craftwire::{Client, Tls, TlsVersion};
///
/// let tls = Tls::builder()
///     .ca_file("authority.pem")
///     .identity_files("smith.pem", "smith.key")
///     .versions([TlsVersion::V1_3])
///     .build()?;
/// let client = Client::builder("kafka-1:9093").tls(tls);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a builder makes nothing before `build`"]
pub struct TlsBuilder {
    plan: Plan,
    #[cfg(feature = "tls-native-roots")]
    wants_platform_roots: bool,
}

impl TlsBuilder {
    pub(super) fn new() -> Self {
        let versions = vec![TlsVersion::V1_2, TlsVersion::V1_3];
        let plan =
            Plan { authorities: Vec::new(), anchors: Vec::new(), identity: None, versions, provider: None };
        Self {
            plan,
            #[cfg(feature = "tls-native-roots")]
            wants_platform_roots: false,
        }
    }

    /// Trusts the certificate authorities in this PEM, besides others that are named.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.plan.authorities.push(PemSource::text(pem));
        self
    }

    /// Trusts the certificate authorities in this file of PEM, besides others that are named. The file is read again for
    /// every new connection.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.plan.authorities.push(PemSource::File(path.into()));
        self
    }

    /// Trusts the authorities that the system trusts, as they are when it is built; `SSL_CERT_FILE` and `SSL_CERT_DIR`
    /// say where others are. Feature `tls-native-roots`.
    #[cfg(feature = "tls-native-roots")]
    pub const fn platform_roots(mut self) -> Self {
        self.wants_platform_roots = true;
        self
    }

    /// Trusts the authorities that Mozilla trusts, as they were when the program was built: for images that have none of
    /// their own. Feature `tls-webpki-roots`.
    #[cfg(feature = "tls-webpki-roots")]
    pub fn webpki_roots(mut self) -> Self {
        self.plan.anchors.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
        self
    }

    /// Shows brokers that ask for it (`ssl.client.auth`) this certificate: its chain, the client's own first, and its
    /// private key, both in PEM. Default: none.
    pub fn identity_pem(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let (certificates, key) = (PemSource::text(certificates), PemSource::text(key));
        self.plan.identity = Some(Identity { certificates, key });
        self
    }

    /// As [`identity_pem`](Self::identity_pem), from files, or one file that holds both. They are read again for every
    /// new connection.
    pub fn identity_files(mut self, certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let (certificates, key) = (PemSource::File(certificates.into()), PemSource::File(key.into()));
        self.plan.identity = Some(Identity { certificates, key });
        self
    }

    /// The versions that may be agreed on. Default: TLS 1.2 and 1.3.
    pub fn versions(mut self, versions: impl IntoIterator<Item = TlsVersion>) -> Self {
        self.plan.versions = versions.into_iter().collect();
        self
    }

    /// Cryptography of the caller's own in place of graviola's; the processor is not asked then.
    pub fn crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.plan.provider = Some(provider);
        self
    }

    /// Reads what is named.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names what cannot be used: nobody to trust, a file, a certificate, a key, or the processor.
    pub fn build(self) -> Result<Tls, TlsError> {
        #[cfg(feature = "tls-native-roots")]
        let Self { mut plan, wants_platform_roots } = self;
        #[cfg(not(feature = "tls-native-roots"))]
        let Self { plan } = self;
        #[cfg(feature = "tls-native-roots")]
        if wants_platform_roots {
            super::plan::add_platform_roots(&mut plan.anchors)?;
        }
        Tls::planned(plan)
    }
}

impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsBuilder").field("versions", &self.plan.versions).finish_non_exhaustive()
    }
}
