//! TLS of the decision service: identity and client authorities from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, version};

use crate::config::TlsConfig;

/// Why TLS cannot be offered. One line: key, file, fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`tls.{key}` is `{}`: {message}", path.display())]
pub struct TlsError {
    /// Key under `tls`.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

/// Builds the acceptor's configuration: TLS 1.2 or later, HTTP/2 only; with a
/// client authority, every client must present a certificate of it.
///
/// # Errors
/// [`TlsError`] naming the file at fault.
pub(crate) fn server_config(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates("certificate", &config.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| fault("key", &config.key, format!("is no PEM private key: {error}")))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| fault("certificate", &config.certificate, error.to_string()))?;
    let builder = match &config.client_ca {
        Some(path) => builder.with_client_cert_verifier(client_verifier(path)?),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder
        .with_single_cert(chain, key)
        .map_err(|error| fault("key", &config.key, format!("does not fit the certificate: {error}")))?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(server))
}

fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", path)? {
        roots.add(certificate).map_err(|error| fault("client_ca", path, error.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| fault("client_ca", path, error.to_string()))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| fault(key, path, format!("is no PEM certificate: {error}")))?;
    if found.is_empty() {
        return Err(fault(key, path, "holds no certificate".to_owned()));
    }
    Ok(found)
}

fn fault(key: &'static str, path: &Path, message: String) -> TlsError {
    TlsError { key, path: path.to_path_buf(), message }
}
