//! TLS and mutual TLS from files.

use std::fs;
use std::path::Path;

use pdp_proto::v1::Effect;
use pdp_server::{Server, StartError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::support::{Client, Running, access, config, effect, policies, start_with};

/// An authority and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// Writes the server's files and starts it.
fn serve(authority: &Authority, client_ca: Option<&Authority>) -> (Running, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.sign("localhost");
    let at = |name: &str| files.path().join(name);
    fs::write(at("server.pem"), certificate).unwrap();
    fs::write(at("server.key"), key).unwrap();
    if let Some(ca) = client_ca {
        fs::write(at("client_ca.pem"), ca.pem()).unwrap();
    }
    let tls = serde_json::json!({
        "certificate": at("server.pem"), "key": at("server.key"),
        "client_ca": client_ca.map(|_| at("client_ca.pem")),
    });
    (start_with(serde_json::json!({"tls": tls})), files)
}

async fn connect(running: &Running, tls: ClientTlsConfig) -> Result<Client, tonic::transport::Error> {
    let endpoint = Channel::from_shared(format!("https://{}", running.address())).unwrap();
    endpoint.tls_config(tls.domain_name("localhost"))?.connect().await.map(Client::new)
}

fn trust(authority: &Authority) -> ClientTlsConfig {
    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()))
}

/// Whether a call is answered with ALLOW; a refused certificate may show at the connect or at the first call.
async fn answered(running: &Running, tls: ClientTlsConfig) -> bool {
    let Ok(mut client) = connect(running, tls).await else { return false };
    client.check(access()).await.is_ok_and(|answer| effect(answer.get_ref()) == Effect::Allow)
}

#[tokio::test]
async fn tls_answers_a_client_that_trusts_the_authority() {
    let authority = Authority::new();
    let (running, _files) = serve(&authority, None);
    assert!(answered(&running, trust(&authority)).await);
    assert!(!answered(&running, trust(&Authority::new())).await, "another authority");
    assert!(answered(&running, trust(&authority)).await);
}

#[tokio::test]
async fn mutual_tls_answers_only_certificates_of_its_authority() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (running, _files) = serve(&authority, Some(&clients));
    let identity = |issuer: &Authority| {
        let (certificate, key) = issuer.sign("caller");
        Identity::from_pem(certificate, key)
    };
    assert!(answered(&running, trust(&authority).identity(identity(&clients))).await);
    assert!(!answered(&running, trust(&authority)).await, "no certificate");
    assert!(
        !answered(&running, trust(&authority).identity(identity(&authority))).await,
        "another authority's"
    );
    assert!(answered(&running, trust(&authority).identity(identity(&clients))).await);
}

#[tokio::test]
async fn plaintext_to_a_tls_port_is_not_answered() {
    let (running, _files) = serve(&Authority::new(), None);
    let endpoint = Channel::from_shared(format!("http://{}", running.address())).unwrap();
    let refused = match endpoint.connect().await {
        Ok(channel) => Client::new(channel).check(access()).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
}

#[test]
fn file_at_fault_is_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.sign("localhost");
    let (_, other_key) = other.sign("localhost");
    let write = |name: &str, text: &str| {
        fs::write(files.path().join(name), text).unwrap();
        files.path().join(name)
    };
    let certificate = write("server.pem", &certificate);
    let key = write("server.key", &key);
    let other_key = write("other.key", &other_key);
    let empty = write("empty.pem", "");
    let missing = files.path().join("missing.pem");
    let text = |certificate: &Path, key: &Path| {
        let directory = policies();
        let tls = serde_json::json!({"tls": {"certificate": certificate, "key": key}});
        match Server::start(&config(directory.path(), tls)) {
            Err(error @ StartError::Tls(_)) => error.to_string(),
            other => panic!("{:?}", other.err()),
        }
    };
    for (certificate, key, said) in [
        (&missing, &key, "`tls.certificate` is `"),
        (&empty, &key, "holds no certificate"),
        (&certificate, &empty, "`tls.key` is `"),
        (&certificate, &other_key, "does not fit the certificate"),
    ] {
        let text = text(certificate, key);
        assert!(text.contains(said) && text.lines().count() == 1, "{text}");
    }
}
