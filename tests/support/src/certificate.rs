//! A broker's certificate for tests, made by the JDK's `keytool`: new each time, and trusted by nobody else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::builder::Builder;

const PASSWORD: &str = "only-for-tests";

/// A self-signed certificate for 127.0.0.1 and localhost, with its key. Its files go when it does.
#[derive(Debug)]
pub struct Certificate {
    dir: tempfile::TempDir,
}

impl Certificate {
    /// Makes one.
    ///
    /// # Panics
    ///
    /// When `keytool` does not run.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("craftwire-certificate-").tempdir().expect("a directory");
        let this = Self { dir };
        let store = this.store().display().to_string();
        let store = ["-keystore", &store, "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", "kafka"];
        let key = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "7"];
        let name = ["-dname", "CN=craftwire tests", "-ext", "SAN=ip:127.0.0.1,dns:localhost"];
        keytool(&[&key[..], &name, &store].concat());
        let pem = this.file("certificate.pem").display().to_string();
        keytool(&[&["-exportcert", "-rfc", "-file", &pem], &store[..]].concat());
        this
    }

    /// What a client is to trust.
    ///
    /// # Panics
    ///
    /// When the file is gone.
    #[must_use]
    pub fn pem(&self) -> Vec<u8> {
        fs::read(self.file("certificate.pem")).expect("keytool wrote it")
    }

    /// Has the listener that [`Builder::advertise`] adds speak TLS, with this certificate.
    #[must_use]
    pub fn encrypt_advertised(&self, builder: Builder) -> Builder {
        let ssl = "listener.name.proxied.ssl";
        builder
            .set("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:SSL")
            .set(&format!("{ssl}.keystore.location"), &self.store().display().to_string())
            .set(&format!("{ssl}.keystore.type"), "PKCS12")
            .set(&format!("{ssl}.keystore.password"), PASSWORD)
            .set(&format!("{ssl}.key.password"), PASSWORD)
    }

    fn store(&self) -> PathBuf {
        self.file("broker.p12")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

fn keytool(args: &[&str]) {
    let output = Command::new("keytool").args(args).output().expect("the JDK's keytool runs");
    assert!(output.status.success(), "keytool {args:?}: {}", String::from_utf8_lossy(&output.stdout));
}
