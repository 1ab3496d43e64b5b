//! PEM that was given as text or by the name of a file, and what is read from it.

use super::TlsError;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use std::{fs, path::PathBuf};
use zeroize::Zeroizing;

/// Bytes that may be a key's: overwritten when they are let go of.
pub(super) type PemBytes = Zeroizing<Vec<u8>>;

/// Where PEM comes from.
#[derive(Clone)]
pub(super) enum PemSource {
    Text(PemBytes),
    File(PathBuf),
}

impl PemSource {
    pub(super) fn text(pem: impl Into<Vec<u8>>) -> Self {
        Self::Text(Zeroizing::new(pem.into()))
    }

    pub(super) const fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Reads it, for a setting of this name.
    pub(super) fn read(&self, setting: &'static str) -> Result<PemBytes, TlsError> {
        match self {
            Self::Text(pem) => Ok(pem.clone()),
            Self::File(path) => fs::read(path).map(Zeroizing::new).map_err(|source| TlsError::File {
                setting,
                path: path.display().to_string(),
                source,
            }),
        }
    }

    /// What errors call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Text(_) => "the text given".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// All certificates, at least one; anything else in the text is passed over.
    pub(super) fn certificates(
        &self,
        setting: &'static str,
        pem: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| TlsError::Pem { setting, value: self.name(), source })?;
        if found.is_empty() {
            return Err(TlsError::NoCertificate { setting, value: self.name() });
        }
        Ok(found)
    }

    /// The first private key.
    pub(super) fn key(&self, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
            let rule = if pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
                "must be a key that is not encrypted (`openssl pkey` decrypts it)"
            } else if matches!(error, pem::Error::NoItemsFound) {
                "must hold a `BEGIN PRIVATE KEY` block"
            } else {
                // The cause is left out, since it can quote the text.
                "must be PEM"
            };
            TlsError::Key { rule, value: self.name() }
        })
    }
}

/// As PKCS#8 and the older forms say it.
const ENCRYPTED: &[u8] = b"ENCRYPTED";
