use super::*;
use std::{fs, path::Path};

const AUTHORITY: &[u8] = include_bytes!("../../../tests/security/certificates/authority.pem");
const SMITH: &[u8] = include_bytes!("../../../tests/security/certificates/smith.pem");
const SMITH_KEY: &[u8] = include_bytes!("../../../tests/security/certificates/smith.key");
const SMITH_ENCRYPTED_KEY: &[u8] = include_bytes!("../../../tests/security/certificates/smith-encrypted.key");
const MASON_KEY: &[u8] = include_bytes!("../../../tests/security/certificates/mason.key");

#[test]
fn what_is_no_authority_is_refused() {
    assert!(matches!(Tls::builder().build(), Err(TlsError::NoAuthority)));
    assert!(matches!(Tls::with_ca_pem(b""), Err(TlsError::NoCertificate { .. })));
    assert!(matches!(Tls::with_ca_pem(b"no PEM at all"), Err(TlsError::NoCertificate { .. })));
    let cut = b"-----BEGIN CERTIFICATE-----\nMIIB\n";
    assert!(matches!(Tls::with_ca_pem(cut), Err(TlsError::Pem { .. })));
    let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Tls::with_ca_pem(nonsense), Err(TlsError::Certificate { .. })));
    let error = Tls::builder().ca_file("/no/such/file.pem").build().unwrap_err();
    assert!(error.to_string().contains("authorities: /no/such/file.pem"), "{error}");
}

#[test]
fn what_is_no_identity_is_refused_and_no_key_is_shown() {
    let with = |certificates: &[u8], key: &[u8]| {
        Tls::builder().ca_pem(AUTHORITY).identity_pem(certificates, key).build()
    };
    with(SMITH, SMITH_KEY).unwrap();
    with(&[SMITH, SMITH_KEY].concat(), &[SMITH, SMITH_KEY].concat()).unwrap();
    assert!(matches!(with(SMITH_KEY, SMITH_KEY), Err(TlsError::NoCertificate { .. })));
    assert!(matches!(with(SMITH, MASON_KEY), Err(TlsError::KeyMismatch { .. })));
    let nonsense: &[u8] = b"-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE KEY-----\n";
    let broken: &[u8] = b"-----BEGIN PRIVATE KEY-----\nhush!\n-----END PRIVATE KEY-----\n";
    for (key, rule) in [
        (SMITH, "BEGIN PRIVATE KEY"),
        (SMITH_ENCRYPTED_KEY, "not encrypted"),
        (nonsense, "RSA"),
        (broken, "PEM"),
    ] {
        let error = with(SMITH, key).unwrap_err();
        assert!(error.to_string().starts_with("client key: ") && error.to_string().contains(rule), "{error}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
    let builder = Tls::builder().ca_pem(AUTHORITY).identity_pem(SMITH, nonsense);
    assert!(!format!("{builder:?}").contains("PRIVATE"));
}

#[test]
fn versions_are_chosen_and_one_is_needed() {
    let with =
        |versions: &[TlsVersion]| Tls::builder().ca_pem(AUTHORITY).versions(versions.iter().copied()).build();
    with(&[TlsVersion::V1_2]).unwrap();
    with(&[TlsVersion::V1_3]).unwrap();
    assert!(matches!(with(&[]), Err(TlsError::NoVersion)));
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    let error = "TLSv1.1".parse::<TlsVersion>().unwrap_err();
    assert!(error.to_string().contains("TLSv1.1"), "{error}");
}

#[cfg(feature = "tls-webpki-roots")]
#[test]
fn built_in_authorities_need_no_file() {
    Tls::builder().webpki_roots().build().unwrap();
}

#[test]
fn files_that_change_make_another_configuration_and_bad_ones_none() {
    let dir = std::env::temp_dir().join(format!("craftwire-tls-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    write("ca.pem", AUTHORITY);
    write("client.pem", SMITH);
    write("client.key", SMITH_KEY);
    let path = |name: &str| Path::new(&dir).join(name);
    let tls = Tls::builder()
        .ca_file(path("ca.pem"))
        .identity_files(path("client.pem"), path("client.key"))
        .build()
        .unwrap();
    assert!(tls.has_files());
    let first = tls.rustls();
    assert!(!tls.reload().unwrap());
    assert!(Arc::ptr_eq(&first, &tls.rustls()), "sessions are resumed while nothing changes");
    write("client.key", MASON_KEY);
    assert!(matches!(tls.reload(), Err(TlsError::KeyMismatch { .. })));
    fs::remove_file(path("client.key")).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::File { .. })));
    tls.look_at_files();
    assert!(Arc::ptr_eq(&first, &tls.rustls()), "what was read last holds");
    write("client.key", SMITH_KEY);
    write("ca.pem", &AUTHORITY.repeat(2));
    assert!(tls.reload().unwrap());
    assert!(!Arc::ptr_eq(&first, &tls.rustls()));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_callers_own_configuration_is_used_as_it_is() {
    let own = Tls::with_ca_pem(AUTHORITY).unwrap().rustls();
    let tls = Tls::from_rustls(own.clone());
    assert!(!tls.has_files() && !tls.reload().unwrap());
    assert!(Arc::ptr_eq(&own, &tls.rustls()));
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
    let of = |cause| io::Error::new(io::ErrorKind::InvalidData, cause);
    let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let error = handshake_error(&host, 9093, of(unknown));
    assert!(matches!(error, ConnectionError::Untrusted { .. }) && !error.is_retriable());
    let error = handshake_error(&host, 9093, io::ErrorKind::UnexpectedEof.into());
    assert!(matches!(error, ConnectionError::Handshake { .. }) && error.is_retriable());
    let alert = || of(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
    let error = handshake_error(&host, 9093, alert());
    assert!(matches!(error, ConnectionError::ClientCertificate { .. }) && !error.is_retriable());
    let address = HostPort { host, port: 9093 };
    let error = first_answer_error(&address, ConnectionError::Io(Arc::new(alert())));
    assert!(matches!(error, ConnectionError::ClientCertificate { .. }));
}
