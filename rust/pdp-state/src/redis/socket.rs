//! Opens connections: TCP, TLS where it is spoken, then user, password and database.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::failure::Failure;
use super::options::{Address, RedisOptions, RedisOptionsError, RedisTls};

/// Silence after which the system asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// An open connection and the task that drives it. Clones share it; the last one ends it.
#[derive(Clone)]
pub struct Connection {
    /// The connection.
    pub(crate) multiplexed: MultiplexedConnection,
    _driver: Arc<Driver>,
}

/// Ends the task with the connection.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a connection is opened for.
#[derive(Clone, Default)]
pub struct Purpose {
    /// Receives pushes, such as invalidations; the connection then speaks RESP3.
    pub pushes: Option<tokio::sync::mpsc::UnboundedSender<redis::PushInfo>>,
}

/// Opens connections as the options say.
pub(super) struct Opener {
    login: RedisConnectionInfo,
    tls: Option<TlsConnector>,
    timeout: Duration,
}

impl Opener {
    /// Reads the certificates.
    pub(super) fn new(options: &RedisOptions) -> Result<Self, RedisOptionsError> {
        let mut login = RedisConnectionInfo::default()
            .set_db(options.db)
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        if let Some(username) = &options.username {
            login = login.set_username(username);
        }
        if let Some(password) = &options.password {
            login = login.set_password(password.reveal());
        }
        let tls = options.tls.as_ref().map(client_config).transpose()?;
        let tls = tls.map(|config| TlsConnector::from(Arc::new(config)));
        Ok(Self { login, tls, timeout: options.connect_timeout })
    }

    /// Opens a connection; its driver runs on the runtime of the caller.
    pub(super) async fn open(&self, address: &Address, purpose: Purpose) -> Result<Connection, Failure> {
        match tokio::time::timeout(self.timeout, self.open_unbounded(address, purpose)).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::connect(format!("{address}: no connection within {:?}", self.timeout))),
        }
    }

    async fn open_unbounded(&self, address: &Address, purpose: Purpose) -> Result<Connection, Failure> {
        let failed = |error: std::io::Error| Failure::connect(format!("{address}: {error}"));
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        // Best effort: without it a dead peer is found by the timeouts of calls.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        let Some(tls) = &self.tls else { return self.shake_hands(stream, purpose).await };
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| Failure::connect(format!("{address}: is no name that a certificate can hold")))?;
        let stream = tls
            .connect(name, stream)
            .await
            .map_err(|error| Failure::connect(format!("{address}: TLS: {error}")))?;
        self.shake_hands(stream, purpose).await
    }

    async fn shake_hands<S>(&self, stream: S, purpose: Purpose) -> Result<Connection, Failure>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        // Callers bound their waits themselves.
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut login = self.login.clone();
        if let Some(pushes) = purpose.pushes {
            login = login.set_protocol(ProtocolVersion::RESP3);
            config = config.set_push_sender(pushes);
        }
        let (multiplexed, driver) = MultiplexedConnection::new_with_config(&login, stream, config)
            .await
            .map_err(|error| Failure::opening(&error))?;
        let driver = Arc::new(Driver(tokio::spawn(driver)));
        Ok(Connection { multiplexed, _driver: driver })
    }
}

fn client_config(tls: &RedisTls) -> Result<ClientConfig, RedisOptionsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| RedisOptionsError::new("tls", format!("cannot be spoken: {error}")))?
        .with_root_certificates(roots(tls)?);
    let (Some(chain), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("tls.certificate", chain)?;
    let key = PrivateKeyDer::from_pem_slice(&key.0)
        .map_err(|_| RedisOptionsError::new("tls.key", "is no PEM private key; give the file's contents"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        RedisOptionsError::new("tls.key", format!("does not fit `tls.certificate`: {error}; give its key"))
    })
}

fn roots(tls: &RedisTls) -> Result<RootCertStore, RedisOptionsError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(pem) => {
            for certificate in certificates("tls.ca", pem)? {
                roots.add(certificate).map_err(|error| {
                    RedisOptionsError::new("tls.ca", format!("{error}; give the authority's certificate"))
                })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(RedisOptionsError::new(
                    "tls.ca",
                    "is not given and this system has no certificates; give the authority's PEM file",
                ));
            }
        }
    }
    Ok(roots)
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RedisOptionsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| RedisOptionsError::new(key, "is no PEM certificate; give the file's contents"))?;
    if found.is_empty() {
        return Err(RedisOptionsError::new(key, "holds no certificate; give a PEM file"));
    }
    Ok(found)
}
