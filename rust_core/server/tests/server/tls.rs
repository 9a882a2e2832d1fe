//! TLS, and certificates of clients.

use std::path::PathBuf;

use bespeak_proto::v1::promise_service_client::PromiseServiceClient;
use bespeak_server::config::TlsConfig;
use bespeak_server::{Server, ServerConfig, ServerHandle};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic_types::StatusExt;

use crate::world::{PATIENCE, check, why};

/// An authority, and what it signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Certificate and key for `localhost`.
    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }
}

fn config(
    dir: &tempfile::TempDir,
    authority: &Authority,
    client_authority: Option<&Authority>,
) -> ServerConfig {
    let write = |name: &str, text: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let (certificate, key) = authority.sign();
    let tls = TlsConfig {
        certificate: write("server.pem", &certificate),
        key: write("server.key", &key),
        client_authority: client_authority.map(|authority| write("clients.pem", &authority.pem)),
    };
    ServerConfig {
        tls: Some(tls),
        drain_ms: 50,
        ..ServerConfig::local()
    }
}

async fn connect(
    server: &ServerHandle,
    trusts: &Authority,
    identity: Option<(String, String)>,
) -> Result<PromiseServiceClient<Channel>, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&trusts.pem))
        .domain_name("localhost");
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let address = format!("https://localhost:{}", server.address().port());
    let channel = Channel::from_shared(address)
        .expect("an address")
        .tls_config(tls)?
        .connect()
        .await?;
    Ok(PromiseServiceClient::new(channel))
}

/// True when a call comes through to the services.
async fn is_served(client: Result<PromiseServiceClient<Channel>, tonic::transport::Error>) -> bool {
    let Ok(mut client) = client else { return false };
    why(client.check(check("tea", "ams1", 1)).await).1 == "UNKNOWN_ITEM"
}

#[tokio::test]
async fn a_server_with_a_certificate_is_trusted_by_those_who_know_its_authority() {
    let dir = tempfile::tempdir().expect("a directory");
    let (known, unknown) = (Authority::new(), Authority::new());
    let server = Server::start(config(&dir, &known, None)).expect("starts");
    server.wait_ready(PATIENCE).expect("is ready");
    assert!(is_served(connect(&server, &known, None).await).await);
    assert!(!is_served(connect(&server, &unknown, None).await).await);
    let plain = Channel::from_shared(format!("http://{}", server.address())).expect("an address");
    let refused = match plain.connect().await {
        Ok(channel) => PromiseServiceClient::new(channel)
            .check(check("tea", "ams1", 1))
            .await
            .is_err(),
        Err(_) => true,
    };
    assert!(refused, "plain text is not served");
}

#[tokio::test]
async fn with_an_authority_of_clients_only_its_clients_are_served() {
    let dir = tempfile::tempdir().expect("a directory");
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let server = Server::start(config(&dir, &servers, Some(&clients))).expect("starts");
    server.wait_ready(PATIENCE).expect("is ready");
    assert!(is_served(connect(&server, &servers, Some(clients.sign())).await).await);
    for stranger in [None, Some(others.sign())] {
        let Ok(mut client) = connect(&server, &servers, stranger).await else {
            continue;
        };
        // The handshake fails, at the latest when the first call is sent.
        let refused = client
            .check(check("tea", "ams1", 1))
            .await
            .expect_err("not one of ours");
        assert!(
            refused.get_error_details().error_info().is_none(),
            "{refused} came from the services"
        );
    }
}

#[test]
fn files_that_are_no_certificates_are_named_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config(&dir, &Authority::new(), None);
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").expect("written");
    if let Some(tls) = &mut config.tls {
        tls.certificate = empty;
    }
    let error = Server::start(config)
        .expect_err("no certificate")
        .to_string();
    assert!(
        error.contains("empty.pem") && error.contains("no certificate"),
        "{error}"
    );
}
