//! Certificates for one run, and a client that trusts them alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub connector: TlsConnector,
}

impl Tls {
    /// # Errors
    /// The directory cannot be written to.
    pub fn new(dir: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let (certificate, key) = (dir.join("server.pem"), dir.join("server.key"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            certificate,
            key,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }
}
