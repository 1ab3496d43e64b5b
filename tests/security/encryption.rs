//! TLS before the mock: who is shown to whom, by which version, and files that change meanwhile.

use crate::PATIENCE;
use craftwire::{
    Client, ConnectError, ProducerRecord, Tls, TlsVersion,
    error::{ConnectionError, RequestError},
    mock::{Api, MockCluster},
};
use craftwire_test_support::eventually;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/security/certificates");

fn file(name: &str) -> Vec<u8> {
    fs::read(format!("{DIR}/{name}")).unwrap()
}

/// A mock of one broker behind TLS that wants certificates of clients; who they were.
struct Gate {
    mock: Arc<MockCluster>,
    shown: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl Gate {
    async fn open(version: &'static rustls::SupportedProtocolVersion) -> Self {
        let provider = Arc::new(rustls_graviola::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&file("authority.pem")).unwrap()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(&file("broker.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&file("broker.key")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mock = Arc::new(MockCluster::builder().topic("orders", 2).start_in_memory().unwrap());
        mock.stop_broker(1);
        mock.start_broker_at(1, "127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
        let shown: Arc<Mutex<Vec<_>>> = Arc::default();
        let gate = Self { mock: mock.clone(), shown: shown.clone() };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, mock, shown) = (acceptor.clone(), mock.clone(), shown.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let seen = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
                    shown.lock().unwrap().push(seen);
                    let _ = mock.serve(1, stream);
                });
            }
        });
        gate
    }

    async fn connect(&self, tls: Tls) -> Result<Client, ConnectError> {
        Client::builder(&self.mock.bootstrap()).tls(tls).build().await
    }

    fn saw_last(&self, name: &str) -> bool {
        let certificate = CertificateDer::from_pem_slice(&file(name)).unwrap();
        self.shown.lock().unwrap().last() == Some(&certificate)
    }
}

async fn publish(client: &Client) {
    let producer = client.producer().build().await.unwrap();
    producer.send(ProducerRecord::new("orders", "one sword")).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn clients_show_who_they_are_by_either_version() {
    for (ours, theirs) in
        [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)]
    {
        let gate = Gate::open(theirs).await;
        let tls = Tls::builder().ca_pem(file("authority.pem")).versions([ours]);
        let tls = tls.identity_pem(file("smith.pem"), file("smith.key")).build().unwrap();
        publish(&gate.connect(tls).await.unwrap()).await;
        assert!(gate.saw_last("smith.pem"));
    }
}

#[tokio::test]
async fn a_version_that_the_broker_lacks_is_a_failed_handshake() {
    let gate = Gate::open(&rustls::version::TLS12).await;
    let tls = Tls::builder().ca_pem(file("authority.pem")).versions([TlsVersion::V1_3]).build().unwrap();
    let impatient = Client::builder(&gate.mock.bootstrap()).connect_timeout(Duration::from_secs(1));
    let error = impatient.tls(tls).build().await.unwrap_err();
    assert!(error.is_retriable(), "brokers may be upgraded meanwhile: {error:?}");
    assert!(format!("{error:?}").contains("ProtocolVersion"), "{error:?}");
}

#[tokio::test]
async fn a_client_that_is_not_accepted_is_told_so_at_once() {
    for theirs in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let gate = Gate::open(theirs).await;
        let nobody = Tls::builder().ca_pem(file("authority.pem"));
        let stranger = nobody.clone().identity_pem(file("stranger.pem"), file("stranger.key"));
        for tls in [nobody, stranger] {
            let error = gate.connect(tls.build().unwrap()).await.unwrap_err();
            assert!(!error.is_retriable(), "{error:?}");
            let ConnectError::Unreachable { source, .. } = error else { panic!("{error:?}") };
            assert!(matches!(connection(&source), ConnectionError::ClientCertificate { .. }), "{source:?}");
        }
        assert_eq!(gate.mock.request_count(Api::ApiVersions), 0);
    }
}

#[tokio::test]
async fn files_that_change_are_shown_by_new_connections_and_cost_the_old_ones_nothing() {
    let gate = Gate::open(&rustls::version::TLS13).await;
    let dir = tempfile::tempdir().unwrap();
    let put = |of: &str| {
        for end in ["pem", "key"] {
            fs::copy(format!("{DIR}/{of}.{end}"), dir.path().join(format!("client.{end}"))).unwrap();
        }
    };
    put("smith");
    let tls = Tls::builder()
        .ca_file(format!("{DIR}/authority.pem"))
        .identity_files(dir.path().join("client.pem"), dir.path().join("client.key"))
        .build()
        .unwrap();
    let client = gate.connect(tls).await.unwrap();
    let producer = client.producer().build().await.unwrap();
    let send = async || {
        producer.send(ProducerRecord::new("orders", "a bow").partition(0)).await.unwrap().await.unwrap();
    };
    send().await;
    let before = gate.shown.lock().unwrap().len();
    put("mason");
    send().await;
    assert_eq!(gate.shown.lock().unwrap().len(), before, "the connections that there are stay");
    // Half of a renewal: the key of one beside the certificate of another.
    fs::copy(format!("{DIR}/smith.key"), dir.path().join("client.key")).unwrap();
    gate.mock.cut_connections(1);
    send().await;
    assert!(gate.saw_last("smith.pem"), "what was read last holds");
    put("mason");
    gate.mock.cut_connections(1);
    send().await;
    eventually("the new certificate", PATIENCE, async || gate.saw_last("mason.pem").then_some(())).await;
    assert_eq!(gate.mock.offsets("orders", 0), Some((0, 4)), "each was written once");
}

fn connection(error: &RequestError) -> &ConnectionError {
    match error {
        RequestError::Connection { source, .. } => source,
        other => panic!("{other:?}"),
    }
}
