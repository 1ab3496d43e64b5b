//! From settings to a configuration of rustls, as often as the files that are named change.

use super::{
    TlsError, TlsVersion, cpu,
    pem_source::{PemBytes, PemSource},
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::WantsClientCert,
    crypto::CryptoProvider,
    pki_types::TrustAnchor,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// What is asked for.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) authorities: Vec<PemSource>,
    /// Read once: what the system and the program bring along.
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    pub(super) identity: Option<Identity>,
    pub(super) versions: Vec<TlsVersion>,
    /// `None` for graviola.
    pub(super) provider: Option<Arc<CryptoProvider>>,
}

/// Who the client is.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificates: PemSource,
    pub(super) key: PemSource,
}

/// What was read: the same again is no change.
#[derive(PartialEq, Eq)]
pub(super) struct Material {
    authorities: Vec<PemBytes>,
    identity: Option<(PemBytes, PemBytes)>,
}

impl Plan {
    pub(super) fn has_files(&self) -> bool {
        let identity = self.identity.iter().flat_map(|identity| [&identity.certificates, &identity.key]);
        self.authorities.iter().chain(identity).any(PemSource::is_file)
    }

    /// Reads all that is named.
    pub(super) fn read(&self) -> Result<Material, TlsError> {
        Ok(Material {
            authorities: self
                .authorities
                .iter()
                .map(|source| source.read(AUTHORITIES))
                .collect::<Result<_, _>>()?,
            identity: match &self.identity {
                Some(identity) => {
                    Some((identity.certificates.read(CERTIFICATE)?, identity.key.read("client key")?))
                }
                None => None,
            },
        })
    }

    /// A configuration of its own for what was read: one that is changed would resume sessions as who the client was.
    pub(super) fn assemble(&self, material: &Material) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = self.roots(material)?;
        let builder = ClientConfig::builder_with_provider(self.provider()?)
            .with_protocol_versions(&self.protocol_versions()?)
            .map_err(TlsError::Cryptography)?
            .with_root_certificates(roots);
        let config = match (&self.identity, &material.identity) {
            (Some(identity), Some(read)) => identity.present(builder, read)?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    fn roots(&self, material: &Material) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore { roots: self.anchors.clone() };
        for (source, pem) in self.authorities.iter().zip(&material.authorities) {
            for certificate in source.certificates(AUTHORITIES, pem)? {
                roots.add(certificate).map_err(|error| TlsError::Certificate {
                    setting: AUTHORITIES,
                    value: source.name(),
                    source: error,
                })?;
            }
        }
        if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
    }

    fn provider(&self) -> Result<Arc<CryptoProvider>, TlsError> {
        if let Some(provider) = &self.provider {
            return Ok(provider.clone());
        }
        match cpu::missing_feature() {
            Some(feature) => Err(TlsError::Cpu { feature }),
            None => Ok(Arc::new(rustls_graviola::default_provider())),
        }
    }

    fn protocol_versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        if self.versions.is_empty() {
            return Err(TlsError::NoVersion);
        }
        let of = |version: &TlsVersion| match version {
            TlsVersion::V1_2 => &TLS12,
            TlsVersion::V1_3 => &TLS13,
        };
        Ok(self.versions.iter().map(of).collect())
    }
}

impl Identity {
    fn present(
        &self,
        builder: rustls::ConfigBuilder<ClientConfig, WantsClientCert>,
        (certificates, key): &(PemBytes, PemBytes),
    ) -> Result<ClientConfig, TlsError> {
        let chain = self.certificates.certificates(CERTIFICATE, certificates)?;
        let key = self.key.key(key)?;
        builder.with_client_auth_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let (certificates, key) = (self.certificates.name(), self.key.name());
                let value = if certificates == key {
                    key
                } else {
                    format!("{key} with the certificate of {certificates}")
                };
                TlsError::KeyMismatch { value }
            }
            rustls::Error::General(_) => {
                TlsError::Key { rule: "must be of RSA, P-256, P-384 or Ed25519", value: self.key.name() }
            }
            source => TlsError::Certificate { setting: CERTIFICATE, value: self.certificates.name(), source },
        })
    }
}

/// Adds what the system trusts: certificates that cannot be used are passed over.
#[cfg(feature = "tls-native-roots")]
pub(super) fn add_platform_roots(anchors: &mut Vec<TrustAnchor<'static>>) -> Result<(), TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(found.certs);
    anchors.append(&mut store.roots);
    if usable > 0 {
        return Ok(());
    }
    let cause = found.errors.into_iter().next();
    Err(TlsError::PlatformRoots(
        cause.map_or_else(|| std::io::ErrorKind::NotFound.into(), std::io::Error::other),
    ))
}

const AUTHORITIES: &str = "authorities";
const CERTIFICATE: &str = "client certificate";
