//! What is wrong with settings for TLS: which setting, the rule, and what was given. Never a key's own bytes.

use rustls::pki_types::pem;
use std::io;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting}: {path} cannot be read; check that it is there and that this program may read it")]
    File {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A text or file is no PEM.
    #[error("{setting}: must be PEM, which {value} is not")]
    Pem {
        /// The setting.
        setting: &'static str,
        /// Where it was read.
        value: String,
        /// What is wrong.
        #[source]
        source: pem::Error,
    },
    /// A text or file holds no certificate.
    #[error(
        "{setting}: must hold a `BEGIN CERTIFICATE` block, and {value} holds none; convert stores of Java to PEM"
    )]
    NoCertificate {
        /// The setting.
        setting: &'static str,
        /// Where it was read.
        value: String,
    },
    /// A certificate cannot be used for what it was given for.
    #[error("{setting}: must be certificates of X.509, and one in {value} cannot be used")]
    Certificate {
        /// The setting.
        setting: &'static str,
        /// Where it was read.
        value: String,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The client's private key cannot be used.
    #[error("client key: {rule}, which {value} is not")]
    Key {
        /// What it must be.
        rule: &'static str,
        /// Where it was read.
        value: String,
    },
    /// The client's key is another's than the certificate's.
    #[error("client key: must be that of the first client certificate, which {value} is not")]
    KeyMismatch {
        /// Where both were read.
        value: String,
    },
    /// Nobody is trusted.
    #[error("authorities: at least one is needed, and none was given")]
    NoAuthority,
    /// The system has no authorities that can be read.
    #[error(
        "authorities: must be in the system's store, and none is; install its certificates or name a file"
    )]
    PlatformRoots(#[source] io::Error),
    /// No version is allowed.
    #[error("versions: at least one of TLSv1.2 and TLSv1.3 is needed, and none was given")]
    NoVersion,
    /// The cryptography cannot do what is asked of it.
    #[error("versions: must be known to the cryptography, and one is not")]
    Cryptography(#[source] rustls::Error),
    /// The processor lacks an instruction set that the built-in cryptography needs.
    #[error(
        "the processor lacks {feature}, which the built-in cryptography needs; use another by TlsBuilder::crypto_provider"
    )]
    Cpu {
        /// The instruction set.
        feature: &'static str,
    },
}
