//! TLS and an ACL user of least privilege. The server at hand speaks no TLS, so a proxy speaks it for it.

use std::sync::Arc;

use pdp_state::StateStore;
use pdp_state::redis::{PrivateKey, RedisOptions, RedisStore};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::behaviours;
use crate::question::{Ask, bucket, policy};
use crate::valkey::Valkey;

/// What docs/reference/redis-keys.md tells operators to grant.
const GRANT: &[&str] = &[
    "resetkeys",
    "~pdp:1:*",
    "resetchannels",
    "-@all",
    "+eval",
    "+evalsha",
    "+ping",
    "+time",
    "+get",
    "+mget",
    "+set",
    "+del",
    "+pexpire",
    "+zadd",
    "+zrem",
    "+zcard",
    "+zscore",
    "+zmscore",
    "+zrange",
    "+zrangebyscore",
    "+zrevrange",
    "+zremrangebyscore",
];

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key, PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

/// Speaks TLS for a server; clients must show a certificate of the authority.
fn speak_tls(port: u16, authority: &Authority) -> u16 {
    let (certificate, key) = authority.issue("localhost");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    });
    own
}

#[test]
fn tls_and_a_user_of_least_privilege_suffice() {
    let server = Valkey::start(&[]);
    let mut grant = vec!["ACL", "SETUSER", "pdp", "on", ">s3cret-word"];
    grant.extend(GRANT);
    server.command(&grant);
    let authority = Authority::new();
    let port = speak_tls(server.port, &authority);
    let options = |word: &str| {
        let mut options = RedisOptions::from_url(&format!("rediss://pdp:{word}@localhost:{port}")).unwrap();
        let (certificate, key) = authority.issue("decision-point");
        let tls = options.tls.as_mut().unwrap();
        tls.ca = Some(authority.pem().into_bytes());
        tls.certificate = Some(certificate.into_bytes());
        tls.key = Some(PrivateKey(key.into_bytes()));
        options
    };
    let store = RedisStore::connect(options("s3cret-word")).unwrap();
    behaviours::run(&*store);
    assert_eq!(store.health().last_failure, None);

    let mut unknown = options("s3cret-word");
    unknown.tls.as_mut().unwrap().ca = Some(Authority::new().pem().into_bytes());
    let store = RedisStore::connect(unknown).unwrap();
    assert!(!Ask::new(&policy(), &bucket(1), 1).spend(&*store).admitted);
    let failure = store.health().last_failure.unwrap();
    assert!(failure.contains("TLS"), "{failure}");
}

#[test]
fn certificates_that_are_none_are_named() {
    let mut options = RedisOptions::from_url("rediss://localhost:1").unwrap();
    options.tls.as_mut().unwrap().ca = Some(b"nonsense".to_vec());
    let error = RedisStore::connect(options).unwrap_err().to_string();
    assert!(error.starts_with("`tls.ca`"), "{error}");
}
